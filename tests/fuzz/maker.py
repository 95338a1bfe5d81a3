"""What random programs are made with: values with the arrays they are for one set of inputs.

Every step of a program is computed as soon as it is emitted, so that programs stay in the range of
their types, and a step may ask whether its operand is exact: `floor` of what is rounded is not
decided by the meaning of the program.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import prod
from random import Random

import numpy as np

import mlir_lite as ml
from mlir_lite import Function, Value
from mlir_lite.ir import Builder, Node, parameter, results_of
from mlir_lite.ops.base.promote import as_value
from mlir_lite.ops.table import TABLE
from mlir_lite.types import Array, DType, TensorType, bf16, bool_, f16, f32, f64, i8, i32, i64, u8

# Ones, primes, what fills vectors and tiles, and one more or less than that.
SIZES = (1, 1, 2, 3, 4, 5, 7, 8, 9, 13, 15, 16, 17, 31, 32, 33, 63, 64, 65)
MOST_ELEMENTS = 1 << 14
# What finite results stay below, so that the next steps do too.
LARGEST = {f64: 1e4, f32: 1e4, f16: 60.0, bf16: 60.0}
SPECIAL = (np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45, -1e-40, 1e37, -1e37, 1.0, -1.0, 2.5, -0.5)

Made = Value | tuple[Value, ...] | None
Step = Callable[["Maker"], Made]


@dataclass
class Maker:
    """A program under construction; `special` gives it NaN, infinities, -0 and denormals. A
    `smooth` one is of f32 and f64, and away from what functions of whole numbers jump at."""

    random: Random
    special: bool = False
    smooth: bool = False
    builder: Builder = field(default_factory=lambda: Builder(TABLE, locate=True))
    params: list[Value] = field(default_factory=list)
    values: list[Value] = field(default_factory=list)
    arrays: dict[Value, Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.numbers = np.random.default_rng(self.random.randrange(1 << 32))

    # Chances

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def size(self, most: int = 65) -> int:
        return self.random.choice([size for size in SIZES if size <= most])

    def shape(self, low: int = 0, high: int = 4, empty: float = 0.02) -> tuple[int, ...]:
        """A shape of so many axes that has not too many elements; now and then an empty one."""
        rank = self.random.randint(low, high)
        while True:
            found = tuple(self.size() for _ in range(rank))
            if prod(found) <= MOST_ELEMENTS:
                break
        if found and self.chance(empty):
            at = self.random.randrange(rank)
            found = (*found[:at], 0, *found[at + 1 :])
        return found

    def float_type(self) -> DType:
        weights = (12, 3, 0, 0) if self.smooth else (12, 3, 1, 1)
        return self.random.choices((f32, f64, f16, bf16), weights)[0]

    # Values

    def fresh(
        self,
        shape: Sequence[int],
        dtype: DType,
        *,
        low: float = -3,
        high: float = 3,
        constant: float = 0.4,
    ) -> Value:
        """A new parameter or, with the chance `constant`, a constant. Integers are in the range;
        floats are multiples of a quarter in it half of the time, so that they are exact."""
        array = self.array(tuple(shape), dtype, low, high)
        if self.chance(constant):
            with self.builder.active():
                value = as_value(array)
        else:
            value = parameter(f"p{len(self.params)}", TensorType(tuple(shape), dtype))
            self.params.append(value)
        self.arrays[value] = array
        return value

    def array(self, shape: tuple[int, ...], dtype: DType, low: float, high: float) -> Array:
        if dtype == bool_:
            return np.asarray(self.numbers.integers(0, 2, shape), np.bool_)
        if dtype.is_integer:
            floor = max(low, 0) if dtype.kind == "u" else low
            return np.asarray(self.numbers.integers(int(floor), int(high) + 1, shape)).astype(
                dtype.numpy
            )
        if self.smooth:
            found = self.numbers.uniform(low, high, shape)
        elif self.chance(0.5):
            found = self.numbers.integers(int(np.ceil(4 * low)), int(4 * high) + 1, shape) / 4
        else:
            found = np.clip(self.numbers.standard_normal(shape), low, high)
        made = np.asarray(found).astype(dtype.numpy)
        if self.special and low < 0:
            picked = self.numbers.choice(SPECIAL, shape)
            with np.errstate(all="ignore"):
                odd = np.asarray(picked).astype(dtype.numpy)
            made = np.where(self.numbers.random(shape) < 0.2, odd, made)
        return np.asarray(made, order="C")

    def pick(
        self,
        kinds: str = "f",
        low: int = 0,
        high: int = 5,
        *,
        exact: bool = False,
        filled: bool = False,
        where: Callable[[Value], bool] = lambda value: True,
    ) -> Value:
        """A value of the kinds and rank, more often a late one; a new one where there is none."""
        fitting = [
            value
            for value in self.values
            if value.dtype.kind in kinds
            and low <= value.rank <= high
            and (not filled or 0 not in value.shape)
            and (not exact or self.is_exact(value))
            and where(value)
        ]
        if fitting and not self.chance(0.1):
            return self.random.choice(fitting[-4:] if self.chance(0.7) else fitting)
        for _ in range(100):
            shape = self.shape(low, min(high, max(low, 4)), 0 if filled else 0.02)
            value = self.fresh(shape, self.type_of(kinds))
            if where(value) and (not exact or self.is_exact(value)):
                return value
        raise AssertionError("no value fits")

    def type_of(self, kinds: str) -> DType:
        kind = self.random.choice(kinds)
        types = {"i": (i64, i32, i8), "u": (u8,), "b": (bool_,)}
        return self.float_type() if kind == "f" else self.random.choice(types[kind])

    def is_exact(self, value: Value) -> bool:
        """Whether no order of summation and no rounding between could have given another array."""
        if not value.dtype.is_float:
            return True
        array = self.arrays[value].astype(np.float64)
        if self.special:
            return value.node is None or value.node.op.name == "constant"
        narrow = value.dtype.bits == 16
        unit, most = (1 / 8, 8.0) if narrow else (1 / 64, 512.0)
        return bool(np.all(np.abs(array) <= most) and np.all(array / unit % 1 == 0))

    def same(self, x: Value, *, exact: bool = False) -> Value:
        """Another value of the type of `x`, or one that broadcasts to it."""
        same = [
            value
            for value in self.values
            if value.type == x.type and (not exact or self.is_exact(value))
        ]
        if same and self.chance(0.6):
            return self.random.choice(same)
        shape = tuple(1 if self.chance(0.3) else size for size in x.type.static_shape)
        while shape and self.chance(0.2):
            shape = shape[1:]
        while True:
            value = self.fresh(shape, x.dtype)
            if not exact or self.is_exact(value):
                return value

    def positive(self, x: Value) -> Value:
        """The absolute value of `x` and half: for logarithms, roots and divisors."""
        with self.builder.active():
            return ml.absolute(x) + 0.5

    def axis(self, x: Value) -> int:
        """An axis, counted from either end."""
        return self.random.randrange(-x.rank, x.rank)

    def axes(self, x: Value) -> int | tuple[int, ...] | None:
        """Axes to reduce: all, one or several."""
        if self.chance(0.2) or x.rank == 0:
            return None
        if self.chance(0.5):
            return self.axis(x)
        count = self.random.randint(1, x.rank)
        return tuple(self.random.sample(range(x.rank), count))

    # Steps

    def step(self, step: Step) -> bool:
        """Do a step; whether it gave a value that later ones may take."""
        with self.builder.active():
            made = step(self)
        if made is None:
            return False
        results = made if isinstance(made, tuple) else (made,)
        self.compute(results)
        kept = [value for value in results if self._is_tame(value)]
        self.values += kept
        return bool(kept)

    def compute(self, results: Sequence[Value]) -> None:
        """The arrays of these values, and of what they are made of."""
        with np.errstate(all="ignore"):
            for node in self.builder.finish("so_far", self.params, results).nodes:
                if any(result not in self.arrays for result in node.results):
                    self._compute(node)

    def _compute(self, node: Node) -> None:
        found = results_of(node.op.reference(*node.op.arguments(self.arrays)))
        self.arrays.update(zip(node.results, map(np.asarray, found), strict=True))

    def _is_tame(self, value: Value) -> bool:
        array = self.arrays[value]
        if array.size > MOST_ELEMENTS:
            return False
        if not value.dtype.is_float or self.special:
            return True
        largest = np.max(np.abs(array.astype(np.float64)), initial=0)
        return bool(largest <= LARGEST[value.dtype])

    def function(self, name: str) -> Function:
        """The function of what nothing else uses."""
        used = {operand for value in self.values if value.op for operand in value.op.operands}
        ends = [value for value in self.values if value not in used and value.node is not None]
        results = list(dict.fromkeys(ends[-6:])) or self.values[-1:]
        made = self.builder.finish(name, self.params, results)
        needed = {operand for node in made.nodes for operand in node.op.operands} | set(results)
        params = [param for param in self.params if param in needed]
        return self.builder.finish(name, params, results)
