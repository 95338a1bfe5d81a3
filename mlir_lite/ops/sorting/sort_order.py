"""What the kernels that sort have in common: which of two elements comes first, and how rows are
read and written.

NaN counts as larger than any number, and equals itself; -0 equals 0. Sorts are stable: of equal
elements the first comes first, in either direction.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

from ...expr import INDEX, Expr, Load, Var, all_of, apply, cast, index
from ...tile.nodes import Block, Buffer, Kernel, Kind, Loop, Ref, Stmt, Store
from ...types import DType, bool_, i32, i64, u8
from ..base.body import Indices, computing_type
from ..kernels.block_steps import BlockSteps, at, put

ROW = Var(INDEX, "row")


@dataclass(frozen=True)
class Rows:
    """The rows of `x` along an axis, of each of which the places of the first `count` elements in
    order are wanted."""

    shape: tuple[int, ...]
    dtype: DType
    axis: int
    count: int
    descending: bool

    @property
    def length(self) -> int:
        return self.shape[self.axis]

    @property
    def key(self) -> DType:
        """The type in which elements are compared."""
        # Bools have no order among the scalar functions.
        return u8 if self.dtype == bool_ else computing_type(self.dtype)

    def first(self, one: Expr, other: Expr) -> Expr:
        """Whether an element comes before another, wherever they stand."""
        if not self.key.is_float:
            return one > other if self.descending else one < other
        if self.descending:
            return all_of(apply("not", one <= other), other.eq(other))
        return all_of(apply("not", one >= other), one.eq(one))

    def read(self, i: Expr) -> Expr:
        """Element `i` of the row."""
        return cast(Load(self.dtype, "x", self._at(i)), self.key)

    def write(self, k: Expr, place: Expr) -> Stmt:
        """Say where the k-th element in order stands."""
        return Store(Ref("out", self._at(k)), cast(place, i64))

    def _at(self, i: Expr) -> Indices:
        """An index of all axes, those besides the sorted one counted together by `row`."""
        found: list[Expr] = []
        rest: Expr = ROW
        for axis, size in reversed(list(enumerate(self.shape))):
            if axis == self.axis:
                found.append(i)
                continue
            found.append(rest % size)
            rest = rest // size
        return tuple(reversed(found))

    def kernel(self, name: str, body: Block, steps: BlockSteps) -> Kernel:
        """The kernel that does the body for each row."""
        out = (*self.shape[: self.axis], self.count, *self.shape[self.axis + 1 :])
        others = (*self.shape[: self.axis], *self.shape[self.axis + 1 :])
        rows = Loop(ROW.name, index(0), index(prod(others)), body, Kind.PARALLEL)
        params = (Buffer("x", self.dtype, self.shape), Buffer("out", i64, out))
        return Kernel(name, params, ("out",), (rows,), tuple(steps.locals))


@dataclass(frozen=True)
class Entries:
    """Elements on their way into order and the places that they had, twice: what is in one half is
    merged into the other one and back."""

    steps: BlockSteps
    keys: tuple[Buffer, Buffer]  # (size,)
    places: tuple[Buffer, Buffer]

    @staticmethod
    def of(steps: BlockSteps, size: int) -> Entries:
        def twice(name: str, dtype: DType) -> tuple[Buffer, Buffer]:
            first, second = (steps.shared(f"{name}{half}", size, dtype=dtype) for half in "ab")
            return first, second

        return Entries(steps, twice("keys_", steps.dtype), twice("places_", i32))

    @property
    def size(self) -> int:
        return self.keys[0].shape[0]

    def key(self, half: int, i: Expr) -> Load:
        return at(self.keys[half], i)

    def place(self, half: int, i: Expr) -> Load:
        return at(self.places[half], i)

    def put(self, half: int, i: Expr, key: Expr, place: Expr) -> Block:
        return put(self.keys[half], i)(key), put(self.places[half], i)(cast(place, i32))

    def copied(self, half: int, i: Expr) -> Block:
        """Bring an entry of a half to the other one."""
        return self.put(1 - half, i, self.key(half, i), self.place(half, i))

    def merged(self, half: int, width: int, make: Callable[[int, Expr], Block]) -> Block:
        """Passes that merge sorted runs of this width in a half: `make(half, width)` merges those
        of a half into the other one. An even number of them, which leave all in the same half."""

        def twice(turn: Var) -> Block:
            let_width, first = self.steps.named(apply("shl", index(width), turn * 2))
            return let_width, *make(half, first), *make(1 - half, first * 2)

        runs = -(-self.size // width)
        passes = max(0, runs - 1).bit_length()
        return (self.steps.steps(0, -(-passes // 2), twice),)
