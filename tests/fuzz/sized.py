"""Random programs of named sizes, that can be written for numbers too: a program is a list of
calls that look at their operands' shapes alone, whether these are names or numbers.

The truth of a program of names is the same list of calls on numbers, so that neither the sizes'
arithmetic nor what puts numbers in the place of names is trusted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from random import Random
from typing import TypeAlias

import numpy as np

from mlir_lite import Function, Value
from mlir_lite.ir import Builder, parameter
from mlir_lite.ops.table import TABLE
from mlir_lite.sizes import Dim, Shape, Size, substitute
from mlir_lite.types import Array, DType, TensorType, bool_, f32, f64, i32, i64

N, M = Dim.named("n"), Dim.named("m")
SIZES: tuple[Size, ...] = (N, N, N, M, M, 1, 2, 3, 8, 16, N + 1, 2 * N, M + 3, 4 * M, N * M)
LARGEST = {"n": 17, "m": 64}
MOST = 1 << 17  # elements of a value where the names are these
Results: TypeAlias = Value | tuple[Value, ...]


@dataclass(frozen=True)
class Input:
    """A parameter; whole numbers are from 0 to before `below`."""

    type: TensorType
    below: Size = 4


@dataclass(frozen=True)
class Call:
    """A function of values that came before, by their places."""

    function: Callable[..., Results]
    operands: tuple[int, ...]
    types: tuple[TensorType, ...]  # of what it gives


@dataclass(frozen=True)
class Sized:
    """A program of named sizes: what it takes and calls, in order. All values that no call takes
    are results."""

    name: str
    entries: tuple[Input | Call, ...]

    def written(self, sizes: Mapping[str, int] | None = None) -> Function:
        """The function of names or, with `sizes`, traced for these numbers."""
        builder = Builder(TABLE, locate=True)
        values: list[Value] = []
        params: list[Value] = []
        with builder.active():
            for entry in self.entries:
                if isinstance(entry, Input):
                    type_ = entry.type.substitute(sizes or {})
                    params.append(parameter(f"p{len(params)}", type_))
                    values.append(params[-1])
                else:
                    values += _several(entry.function(*(values[at] for at in entry.operands)))
        taken = {at for entry in self.entries if isinstance(entry, Call) for at in entry.operands}
        ends = [value for at, value in enumerate(values) if at not in taken]
        return builder.finish(self.name, params, [end for end in ends if end.node] or values[-1:])

    def arrays(self, sizes: Mapping[str, int], seed: int = 0) -> tuple[Array, ...]:
        """Arrays for the parameters: floats in -2..2, at half of the seeds in steps of 1/4."""
        numbers = np.random.default_rng(seed)
        inputs = [entry for entry in self.entries if isinstance(entry, Input)]
        return tuple(_array(numbers, entry, sizes, seed % 2 == 0) for entry in inputs)


def _several(made: Results) -> tuple[Value, ...]:
    return made if isinstance(made, tuple) else (made,)


def _array(
    numbers: np.random.Generator, entry: Input, sizes: Mapping[str, int], exact: bool
) -> Array:
    type_ = entry.type.substitute(sizes)
    if not type_.dtype.is_float:
        below = 2 if type_.dtype == bool_ else substitute(entry.below, sizes)
        assert isinstance(below, int)
        return numbers.integers(0, max(below, 1), type_.static_shape).astype(type_.dtype.numpy)
    if exact:
        return (numbers.integers(-8, 9, type_.static_shape) / 4).astype(type_.dtype.numpy)
    return numbers.uniform(-2, 2, type_.static_shape).astype(type_.dtype.numpy)


@dataclass
class Writer:
    """A program under construction: chances, and the values of names so far."""

    random: Random
    builder: Builder = field(default_factory=lambda: Builder(TABLE))
    entries: list[Input | Call] = field(default_factory=list)
    values: list[Value] = field(default_factory=list)

    def __post_init__(self) -> None:
        # Shapes that decide both names.
        self.fresh((N, M))

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def size(self) -> Size:
        return self.random.choice(SIZES)

    def shape(self, low: int, high: int) -> Shape:
        """Few elements where the names are some tens."""
        rank = self.random.randint(low, high)
        large, small = SIZES[:10], (1, 2, 3)
        return tuple(self.random.choice(large if at < 2 else small) for at in range(rank))[::-1]

    def fresh(self, shape: Sequence[Size], dtype: DType = f32, below: Size = 4) -> int:
        """The place of a new parameter."""
        type_ = TensorType(tuple(shape), dtype)
        self.entries.append(Input(type_, below))
        self.values.append(parameter(f"v{len(self.values)}", type_))
        return len(self.values) - 1

    def pick(
        self,
        kinds: str = "f",
        low: int = 0,
        high: int = 4,
        where: Callable[[Value], bool] = lambda value: True,
    ) -> int:
        """The place of a value of the kinds and rank, more often a late one, or of a new one."""
        fitting = [
            at
            for at, value in enumerate(self.values)
            if value.dtype.kind in kinds and low <= value.rank <= high and where(value)
        ]
        if fitting and not self.chance(0.1):
            return self.random.choice(fitting[-4:] if self.chance(0.7) else fitting)
        dtype = {"f": self.random.choice((f32, f32, f64)), "i": i64, "b": bool_}[kinds[0]]
        return self.fresh(self.shape(low, min(high, max(low, 3))), dtype)

    def indices(self, shape: Sequence[Size], below: Size) -> int:
        return self.fresh(shape, self.random.choice((i64, i32)), below)

    def like(self, at: int) -> int:
        """Another value of the type, or one that broadcasts to it."""
        type_ = self.values[at].type
        same = [place for place, value in enumerate(self.values) if value.type == type_]
        if self.chance(0.5):
            return self.random.choice(same)
        shape = [1 if self.chance(0.3) else size for size in type_.shape]
        while shape and self.chance(0.2):
            shape = shape[1:]
        return self.fresh(shape, type_.dtype)

    def call(self, function: Callable[..., Results], *operands: int) -> None:
        """Call a function of values at these places, if what it gives is not too large."""
        with self.builder.active():
            made = _several(function(*(self.values[at] for at in operands)))
        if any(prod(value.type.substitute(LARGEST).static_shape) > MOST for value in made):
            return
        self.entries.append(Call(function, operands, tuple(value.type for value in made)))
        self.values += made


def smaller(program: Sized, fails: Callable[[Sized], bool]) -> Sized:
    """The smallest program found that still fails, by leaving out its end, or by parameters in the
    place of what a call gives."""
    for at in range(2, len(program.entries)):
        shorter = replace(program, entries=program.entries[:at])
        if fails(shorter):
            program = shorter
            break
    for at in reversed(range(len(program.entries))):
        entry = program.entries[at]
        if isinstance(entry, Input):
            continue
        given = [Input(type_) for type_ in entry.types]
        other = replace(
            program, entries=(*program.entries[:at], *given, *program.entries[at + 1 :])
        )
        if fails(other):
            program = other
    return program
