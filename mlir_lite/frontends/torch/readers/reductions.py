"""Operators that reduce axes, and running sums."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from .... import ops
from ....errors import UnsupportedError
from ....ir import Value
from ....types import DType, bool_, u8
from ..promote import default_float, floating, summed, together
from .typed import Reader, Typed

Dims = int | Sequence[int] | None


def axes(dim: Dims) -> int | tuple[int, ...] | None:
    """Axes as ours are: torch's empty list means all."""
    if dim is None or isinstance(dim, int):
        return dim
    return tuple(dim) or None


def total(
    x: Value, dim: Dims = None, keepdim: bool = False, *, dtype: DType | None = None
) -> Value:
    """The sum, of integers and bools as i64."""
    return ops.sum(summed(x, dtype), axes(dim), keepdims=keepdim)


def product(
    x: Value, dim: Dims = None, keepdim: bool = False, *, dtype: DType | None = None
) -> Value:
    """The product, of integers and bools as i64."""
    return ops.prod(summed(x, dtype), axes(dim), keepdims=keepdim)


def mean(x: Value, dim: Dims = None, keepdim: bool = False, *, dtype: DType | None = None) -> Value:
    """The mean."""
    return ops.mean(x if dtype is None else ops.cast(x, dtype), axes(dim), keepdims=keepdim)


def _of_order(function: Callable[..., Value]) -> Reader:
    """The reader of the largest or the smallest, bools among them."""

    def read(x: Value, dim: Dims = None, keepdim: bool = False) -> Value:
        given = ops.cast(x, u8) if x.dtype == bool_ else x
        return ops.cast(function(given, axes(dim), keepdims=keepdim), x.dtype)

    return read


def _with_place(function: Callable[..., Value], place: Callable[..., Value]) -> Reader:
    """The reader of the largest or the smallest along an axis, and where that is."""

    def read(x: Value, dim: int, keepdim: bool = False) -> tuple[Value, Value]:
        if x.rank == 0:
            return x, place(ops.reshape(x, (1,)), 0)
        return _of_order(function)(x, dim, keepdim), place(x, dim, keepdims=keepdim)

    return read


def _extreme(function: Callable[..., Value], place: Callable[..., Value]) -> Reader:
    """`max` and `min`, which are three operators of one name."""

    def read(x: Value, other: Value | int | None = None, keepdim: bool = False) -> object:
        if other is None:
            return _of_order(function)(x)
        if isinstance(other, Value):
            return together(ops.maximum if function is ops.max else ops.minimum, x, other)
        return _with_place(function, place)(x, other, keepdim)

    return read


def _placed(function: Callable[..., Value]) -> Reader:
    """The reader of where the largest or the smallest is."""

    def read(x: Value, dim: int | None = None, keepdim: bool = False) -> Value:
        if x.rank == 0:
            return function(ops.reshape(x, (1,)), 0)
        if dim is None and keepdim:
            return ops.reshape(function(x), (1,) * x.rank)
        return function(x, dim, keepdims=keepdim)

    return read


def _truth(function: Callable[..., Value]) -> Reader:
    """The reader of `any` and `all`, which of bytes are bytes."""

    def read(x: Value, dim: Dims = None, keepdim: bool = False) -> Value:
        found = function(ops.cast(x, bool_), axes(dim), keepdims=keepdim)
        return ops.cast(found, u8) if x.dtype == u8 else found

    return read


def variance(
    x: Value, dim: Dims = None, *, correction: float | None = None, keepdim: bool = False
) -> Value:
    """The variance; `correction` is taken off the count, by default 1."""
    less = 1 if correction is None else correction
    if less != int(less):
        raise UnsupportedError(f"a correction of {less}, which is no integer")
    return ops.var(x, axes(dim), keepdims=keepdim, correction=int(less))


def variance_and_mean(
    x: Value, dim: Dims = None, *, correction: float | None = None, keepdim: bool = False
) -> tuple[Value, Value]:
    """The variance and the mean."""
    spread = variance(x, dim, correction=correction, keepdim=keepdim)
    return spread, ops.mean(x, axes(dim), keepdims=keepdim)


def _running(function: Callable[..., Value]) -> Reader:
    """The reader of a running sum or product."""

    def read(x: Value, dim: int, *, dtype: DType | None = None) -> Value:
        given = summed(x, dtype)
        return given if x.rank == 0 else function(given, dim)

    return read


def norm(
    x: Value,
    order: float = 2,
    dim: Dims = None,
    keepdim: bool = False,
    *,
    dtype: DType | None = None,
) -> Value:
    """The vector norm of an order: 0 counts what is not 0, infinite ones are the extremes."""
    x = x if dtype is None else ops.cast(x, dtype)
    over = axes(dim)
    if order == 2:
        return ops.norm_l2(x, over, keepdims=keepdim)
    size = ops.absolute(x)
    if order == 1:
        return ops.sum(size, over, keepdims=keepdim)
    if order == 0:
        return ops.sum(ops.cast(ops.not_equal(x, 0), x.dtype), over, keepdims=keepdim)
    if math.isinf(order):
        return (ops.max if order > 0 else ops.min)(size, over, keepdims=keepdim)
    return ops.power(ops.sum(ops.power(size, order), over, keepdims=keepdim), 1 / order)


def logsumexp(x: Value, dim: Dims, keepdim: bool = False) -> Value:
    """`log(sum(exp(x)))`."""
    return ops.logsumexp(floating(x), axes(dim), keepdims=keepdim)


def _soft(function: Callable[[Value, int], Value]) -> Reader:
    """The reader of softmax and its logarithm; the last parameter is a type, or whether halves
    give f32."""

    def read(x: Value, dim: int, wide: DType | bool | None = None) -> Value:
        if isinstance(wide, DType):
            x = ops.cast(x, wide)
        elif wide:
            x = ops.cast(x, default_float())
        x = floating(x)
        if x.rank == 0:
            return ops.reshape(function(ops.reshape(x, (1,)), 0), ())
        return function(x, dim)

    return read


def safe_softmax(x: Value, dim: int, dtype: DType | None = None) -> Value:
    """Softmax, and 0 where all along the axis is -inf."""
    x = floating(x if dtype is None else ops.cast(x, dtype))
    seen = ops.greater(ops.max(x, dim, keepdims=True), -math.inf)
    return ops.where(seen, ops.softmax(x, dim), 0)


READERS: Mapping[str, Reader | Typed] = {
    "aten._log_softmax": _soft(ops.log_softmax),
    "aten._safe_softmax": safe_softmax,
    "aten._softmax": _soft(ops.softmax),
    "aten.all": _truth(ops.all),
    "aten.amax": _of_order(ops.max),
    "aten.amin": _of_order(ops.min),
    "aten.any": _truth(ops.any),
    "aten.argmax": _placed(ops.argmax),
    "aten.argmin": _placed(ops.argmin),
    "aten.cumprod": _running(ops.cumprod),
    "aten.cumsum": _running(ops.cumsum),
    "aten.linalg_vector_norm": norm,
    "aten.log_softmax": _soft(ops.log_softmax),
    "aten.logsumexp": logsumexp,
    "aten.max": _extreme(ops.max, ops.argmax),
    "aten.mean": mean,
    "aten.min": _extreme(ops.min, ops.argmin),
    "aten.prod": product,
    "aten.softmax": _soft(ops.softmax),
    "aten.sum": total,
    "aten.var.correction": variance,
    "aten.var_mean.correction": variance_and_mean,
}
