"""What kernels of factorisations without a library are built from: steps in order, in each of which
parallel loops say what the threads of a block may do at once.

    parallel b: {for k: {parallel i: column[i] = g[i, k] / sqrt(g[k, k]);
                         parallel i: parallel j: g[i, j] -= column[i] * column[j]}}
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count

from ..expr import COMBINERS, INDEX, Expr, Load, Var, apply, const, index, select
from ..tile.nodes import (
    Accumulate,
    Block,
    Buffer,
    Kind,
    Let,
    Loop,
    Ref,
    Space,
    Stmt,
    Store,
)
from ..types import DType, f32
from .linalg_kernel import element, place

Make = Callable[[Var], Block]


@dataclass
class BlockSteps:
    """Builds the steps of one matrix' factorisation, on elements of type `dtype`."""

    dtype: DType
    locals: list[Buffer] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=count)

    # Memory

    def shared(self, name: str, *shape: int, dtype: DType | None = None) -> Buffer:
        """Memory of the block."""
        return self._local(Buffer(name, dtype or self.dtype, shape, Space.SHARED))

    def matrix(self, name: str, rows: int, columns: int) -> Buffer:
        """Memory for a matrix, an odd number of elements from row to row: those of a column then
        lie in as many banks of the memory."""
        return self.shared(name, rows, columns | 1)

    def register(self, dtype: DType | None = None) -> Buffer:
        """A number that each thread has for itself."""
        name = f"r{next(self._numbers)}"
        return self._local(Buffer(name, dtype or self.dtype, (), Space.REGISTER))

    def _local(self, buffer: Buffer) -> Buffer:
        self.locals.append(buffer)
        return buffer

    # Loops

    def steps(self, start: Expr | int, stop: Expr | int, make: Make) -> Stmt:
        """One iteration after the other."""
        return self._loop(start, stop, make, Kind.ROLLED)

    def loop(self, start: Expr | int, stop: Expr | int, make: Make) -> Stmt:
        """As `steps`, of little work."""
        return self._loop(start, stop, make, Kind.SERIAL)

    def parallel(self, start: Expr | int, stop: Expr | int, make: Make) -> Stmt:
        """Iterations that need nothing of each other."""
        return self._loop(start, stop, make, Kind.PARALLEL)

    def every(self, rows: int, columns: int, make: Callable[[Var, Var], Block]) -> Stmt:
        """Something for each element of a matrix."""
        return self.parallel(
            0, rows, lambda i: (self.parallel(0, columns, lambda j: make(i, j)),)
        )

    def _loop(self, start: Expr | int, stop: Expr | int, make: Make, kind: Kind) -> Stmt:
        axis = Var(INDEX, f"{kind[0]}{next(self._numbers)}")
        return Loop(axis.name, _index(start), _index(stop), make(axis), kind)

    # Values

    def number(self, value: float) -> Expr:
        return const(value, self.dtype)

    @property
    def epsilon(self) -> float:
        """The distance from 1 to the next number."""
        return 2.0**-23 if self.dtype == f32 else 2.0**-52

    def named(self, value: Expr) -> tuple[Let, Var]:
        """A name for a value, and the statement that binds it."""
        name = Var(value.dtype, f"n{next(self._numbers)}")
        return Let(name.name, value), name

    def joined(
        self,
        combiner: str,
        extents: Sequence[Expr | int],
        values: Callable[..., tuple[Expr, ...]],
        *,
        start: Expr | int = 0,
    ) -> tuple[Block, tuple[Expr, ...]]:
        """The states `values` of all indices of an array joined, and what reads the results; the
        last index begins at `start`."""
        axes = [Var(INDEX, f"s{next(self._numbers)}") for _ in extents]
        states = values(*axes)
        totals = [self.register(state.dtype) for state in states]
        targets = tuple(Ref(total.name, ()) for total in totals)
        identities = COMBINERS[combiner].identity
        starts = tuple(
            Store(target, const(identity(total.dtype), total.dtype))
            for target, total, identity in zip(targets, totals, identities, strict=True)
        )
        block: Block = (Accumulate(combiner, targets, states),)
        for number, (axis, extent) in enumerate(reversed(list(zip(axes, extents, strict=True)))):
            block = (Loop(axis.name, _index(0 if number else start), _index(extent), block),)
        return (*starts, *block), tuple(Load(total.dtype, total.name, ()) for total in totals)

    def total(
        self, extent: Expr | int, value: Callable[[Var], Expr], *, start: Expr | int = 0
    ) -> tuple[Block, Expr]:
        """The sum of some values, and what reads it."""
        block, (result,) = self.joined("sum", (extent,), lambda i: (value(i),), start=start)
        return block, result

    def scales(self, largest: Expr) -> tuple[Block, Expr, Expr]:
        """Powers of two by which elements, the largest of this magnitude, are to be multiplied on
        their way in and out, so that no sum of their squares overflows, or vanishes."""
        far, down, up = (40, -90, 80) if self.dtype == f32 else (400, -700, 600)

        def chosen(large: float, small: float) -> tuple[Let, Var]:
            near = select(largest < self.number(2.0**-far), self.number(small), self.number(1))
            return self.named(select(largest > self.number(2.0**far), self.number(large), near))

        let_in, inward = chosen(2.0**down, 2.0**up)
        let_out, outward = chosen(2.0**-down, 2.0**-up)
        return (let_in, let_out), inward, outward


def at(buffer: Buffer, *indices: Expr | int) -> Load:
    """An element of one matrix."""
    return element(buffer, *map(_index, indices))


def put(buffer: Buffer, *indices: Expr | int) -> Callable[[Expr], Stmt]:
    """A store to an element of one matrix; of a register, without indices."""
    if buffer.space is Space.REGISTER:
        return lambda value: Store(Ref(buffer.name, ()), value)
    return lambda value: Store(place(buffer, *map(_index, indices)), value)


def held(register: Buffer) -> Load:
    """What a register holds."""
    return Load(register.dtype, register.name, ())


def minus(total: Expr, left: Expr, right: Expr) -> Expr:
    """`total - left * right`, rounded once where the machine can."""
    return apply("fma", -left, right, total)


def plus(total: Expr, left: Expr, right: Expr) -> Expr:
    """`total + left * right`, rounded once where the machine can."""
    return apply("fma", left, right, total)


def sqrt(value: Expr) -> Expr:
    return apply("sqrt", value)


def magnitude(value: Expr) -> Expr:
    return apply("abs", value)


def _index(value: Expr | int) -> Expr:
    return value if isinstance(value, Expr) else index(value)
