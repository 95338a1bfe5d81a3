"""A sample: an operation with values for its operands. Every derived test runs on every sample."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np

from mlir_lite.ir import Op, Value, parameter
from mlir_lite.types import Array, DType, TensorType, dtype_of

# Per operand field: its array, an array for each of a tuple, or None where it is absent.
Argument: TypeAlias = Array | tuple[Array, ...] | None


@dataclass(frozen=True)
class Sample:
    """`build` makes the operation of values for `arguments`; `smooth` allows finite differences.

    Where several results are right (a vector of either sign), `form` makes one of them all.
    """

    comment: str
    build: Callable[..., Op]
    arguments: tuple[Argument, ...]
    smooth: bool = False
    form: Callable[[tuple[Array, ...]], tuple[Array, ...]] = lambda results: results

    @cached_property
    def op(self) -> Op:
        """The operation on parameters, which are named as its operands."""
        return self.build(*(_values(f"p{k}", given) for k, given in enumerate(self.arguments)))

    @property
    def arrays(self) -> tuple[Array, ...]:
        """All arrays in the order of `op.operands`."""
        found: list[Array] = []
        for argument in self.arguments:
            if isinstance(argument, tuple):
                found.extend(argument)
            elif argument is not None:
                found.append(argument)
        return tuple(found)

    def __str__(self) -> str:
        return f"{self.op.name}: {self.comment}"


def _values(name: str, argument: Argument) -> Value | tuple[Value, ...] | None:
    if argument is None:
        return None
    if isinstance(argument, tuple):
        return tuple(value_like(f"{name}_{k}", array) for k, array in enumerate(argument))
    return value_like(name, argument)


def value_like(name: str, array: Array) -> Value:
    """A parameter with the type of an array."""
    return parameter(name, TensorType(tuple(array.shape), dtype_of(array)))


def normal(shape: Sequence[int], dtype: DType, seed: int = 0) -> Array:
    """Random numbers: of floats normal ones, of integers small ones of both signs if there are."""
    random = np.random.default_rng(seed)
    if dtype.is_float:
        return np.asarray(random.standard_normal(shape)).astype(dtype.numpy)
    if dtype.kind == "b":
        return np.asarray(random.integers(0, 2, shape)).astype(dtype.numpy)
    return np.asarray(random.integers(-9 if dtype.kind == "i" else 0, 10, shape)).astype(
        dtype.numpy
    )


def special(dtype: DType) -> Array:
    """What goes wrong first: of floats NaN, ±0, ±inf, the limits; of integers the limits."""
    if dtype.kind == "b":
        return np.array([False, True])
    if dtype.is_integer:
        limits = np.iinfo(dtype.numpy)
        low = -1 if dtype.kind == "i" else 3
        return np.array([limits.min, limits.max, 0, 1, low, 2, 7], dtype.numpy)
    values = [np.nan, 0.0, -0.0, np.inf, -np.inf, 1, -1, 0.5, -0.5, 1.5, 2.5, 6e4, -6e4, 1e-7]
    return np.array(values, np.float64).astype(dtype.numpy)


def special_pairs(dtype: DType) -> tuple[Array, Array]:
    """Each special value with each."""
    values = special(dtype)
    return np.repeat(values, len(values)), np.tile(values, len(values))
