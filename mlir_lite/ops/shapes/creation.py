"""Tensors from nothing: filled ones, counted ones, identity matrices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...errors import TypeRuleError, check
from ...expr import Expr, cast
from ...ir import ConstantData, Op, Scalar, Value, constructor, op
from ...sizes import Dim, Size, ceil_div, static
from ...types import Array, DType, TensorType, f32, i64
from ..base.body import Indices
from ..base.broadcast import broadcast
from ..base.cast import cast as cast_value
from ..base.constant import constant, scalar_constant
from ..base.extent import extent
from ..elementwise.compare import equal
from .shape import expand_dims


@op
class Iota(Op):
    """The numbers `0, 1, …, size - 1`."""

    size: Size
    dtype: DType = i64

    def infer(self) -> TensorType:
        check(self.dtype.kind != "b", "cannot count in bools")
        return TensorType((self.size,), self.dtype)

    def reference(self) -> Array:
        return np.arange(*static((self.size,))).astype(self.dtype.numpy)

    def body(self, at: Indices) -> Expr:
        return cast(at[0], self.dtype)


iota = constructor(Iota)


def arange(start: Size, stop: Size | None = None, step: int = 1, *, dtype: DType = i64) -> Value:
    """The numbers from `start` to before `stop`, or from 0 to before `start` alone. Where it ends
    may be a named size, that is not below where it starts."""
    first, last = (0, _whole(start)) if stop is None else (_whole(start), _whole(stop))
    if isinstance(first, Dim):
        raise TypeRuleError(f"arange starts at a number, not at the size {first}")
    by = _whole(step)
    if isinstance(by, Dim) or by == 0:
        raise TypeRuleError(f"a step of {by}")
    length = ceil_div(last - first if by > 0 else first - last, abs(by))
    count = iota(max(0, length) if isinstance(length, int) else length, dtype)
    scaled = count if by == 1 else count * by
    return scaled if first == 0 else scaled + first


def linspace(
    start: float, stop: float, num: int, *, endpoint: bool = True, dtype: DType = f32
) -> Value:
    """`num` numbers at equal distances from `start` to `stop`, or to before it without `endpoint`;
    rounded from what NumPy computes in f64."""
    check(dtype.is_float, f"the numbers of linspace are floats, not {dtype}")
    whole = isinstance(num, (int, np.integer)) and num >= 0
    check(whole, f"linspace counts to a number, not to {num!r}; count along a size by ml.arange")
    numbers = np.linspace(start, stop, int(num), endpoint=endpoint)
    return constant(ConstantData.of(numbers.astype(dtype.numpy)))


def _whole(value: Size) -> Size:
    """A number or a named size; an error for what is neither."""
    if isinstance(value, Dim):
        return value
    advice = "of type f32, say, is ml.arange(10, dtype=ml.f32) * 0.1"
    ok = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    check(ok, f"arange counts in whole numbers, not {value!r}; one {advice}")
    return int(value)


def full(shape: Size | Sequence[Size], value: Scalar | Dim, dtype: DType = f32) -> Value:
    """A tensor of one number, which may be a size."""
    sizes = (shape,) if isinstance(shape, (int, np.integer, Dim)) else tuple(shape)
    if isinstance(value, Dim):
        return broadcast(extent(value, dtype), sizes)
    return broadcast(scalar_constant(value, dtype), sizes)


def zeros(shape: Size | Sequence[Size], dtype: DType = f32) -> Value:
    """A tensor of zeros."""
    return full(shape, False, dtype)


def ones(shape: Size | Sequence[Size], dtype: DType = f32) -> Value:
    """A tensor of ones."""
    return full(shape, True, dtype)


def full_like(x: Value, value: Scalar) -> Value:
    """A tensor of one number, with the type of `x`."""
    return full(x.shape, value, x.dtype)


def zeros_like(x: Value) -> Value:
    """Zeros with the type of `x`."""
    return zeros(x.shape, x.dtype)


def ones_like(x: Value) -> Value:
    """Ones with the type of `x`."""
    return ones(x.shape, x.dtype)


def eye(rows: Size, columns: Size | None = None, *, dtype: DType = f32) -> Value:
    """The matrix with ones on its diagonal."""
    across = iota(rows if columns is None else columns)
    return cast_value(equal(expand_dims(iota(rows), 1), across), dtype)


OPS: tuple[type[Op], ...] = (Iota,)
