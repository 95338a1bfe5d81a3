"""Sorting, and the largest elements."""

from __future__ import annotations

from collections.abc import Mapping

from .... import ops
from ....errors import UnsupportedError, check
from ....ir import Value
from ....ops.shapes.slice import slice_axis
from ....sizes import product
from ....types import i32, i64
from ..promote import Operand, converted, result_type
from .typed import Reader, Typed


def sort(x: Value, dim: int = -1, descending: bool = False) -> tuple[Value, Value]:
    """In order, and where each element was; equal ones stay in order."""
    if x.rank == 0:
        return x, ops.zeros((), i64)
    order = ops.argsort(x, dim, descending=descending)
    return ops.gather_elements(x, order, dim), order


def sort_stable(
    x: Value, *, stable: bool | None = None, dim: int = -1, descending: bool = False
) -> tuple[Value, Value]:
    """The same with its parameters by name."""
    return sort(x, dim, descending)


def kth(x: Value, k: int, dim: int = -1, keepdim: bool = False) -> tuple[Value, Value]:
    """The k-th smallest along an axis, and where it is."""
    if x.rank == 0:
        return sort(x)
    found = (slice_axis(part, dim, k - 1, 1) for part in sort(x, dim))
    values, places = (part if keepdim else ops.squeeze(part, dim) for part in found)
    return values, places


def median(
    x: Value, dim: int | None = None, keepdim: bool = False
) -> Value | tuple[Value, Value]:
    """The middle one of the ordered, of two the smaller; along an axis also where it is."""
    if dim is None:
        return median(ops.reshape(x, (product(x.shape),)), 0)[0]
    extent = x.shape[dim] if x.rank else 1
    check(isinstance(extent, int), f"the middle one of {extent}", UnsupportedError)
    assert isinstance(extent, int)
    return kth(x, (extent + 1) // 2, dim, keepdim)


def bucketize(
    x: Operand, bounds: Value, *, out_int32: bool = False, right: bool = False
) -> Value:
    """How many of the ordered bounds are below each element, or with `right` not above it."""
    return searchsorted(bounds, x, out_int32=out_int32, right=right)


def searchsorted(
    bounds: Value,
    x: Operand,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Value | None = None,
) -> Value:
    """The same; the bounds of each row may be others."""
    bounds = bounds if sorter is None else ops.gather_elements(bounds, sorter, -1)
    dtype = result_type(x, bounds)
    wide, own = converted(x, dtype), converted(bounds, dtype)
    row = own if own.rank == 1 else ops.expand_dims(own, -2)
    below = ops.less_equal if right or side == "right" else ops.less
    hits = below(row, ops.expand_dims(wide, -1))
    return ops.sum(ops.cast(hits, i32 if out_int32 else i64), -1)


def topk(
    x: Value, k: int, dim: int = -1, largest: bool = True, _sorted: bool = True
) -> tuple[Value, Value]:
    """The k largest or smallest, and where they are."""
    if x.rank == 0:
        return x, ops.zeros((), i64)
    return ops.topk(x, k, dim, largest=largest)


READERS: Mapping[str, Reader | Typed] = {
    "aten.bucketize": bucketize,
    "aten.kthvalue": kth,
    "aten.median": median,
    "aten.searchsorted": searchsorted,
    "aten.sort": sort,
    "aten.sort.stable": sort_stable,
    "aten.topk": topk,
}
