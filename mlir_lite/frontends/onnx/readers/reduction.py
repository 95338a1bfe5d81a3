"""Readers of reductions, searches and running sums."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from .... import ops
from ....errors import ParseError, check
from ....ir import Axes, Value
from ....sizes import Size, product
from ....types import bool_, i64
from ..call import Call, Reader, Results
from ..sizes import Sizes, maximum, minimum, normal_axis, number
from .math import cast_to
from .shape import axes_of


class Reduction(Protocol):
    """A function over axes, as `sum`."""

    def __call__(self, x: Value, axis: Axes = None, *, keepdims: bool = False) -> Value: ...


def reduction(
    function: Reduction,
    *,
    since: int = 18,
    of_bools: Reduction | None = None,
    fold: Callable[[Size, Size], Size | None] | None = None,
) -> Reader:
    """The reader of a reduction whose axes are an operand from version `since` on.

    `fold` joins two known integers, for products and the like of a shape.
    """

    def read(call: Call) -> Results:
        x = call.operand(0)
        rank = len(x.shape)
        given = axes_of(call, since=since)
        axes: tuple[int, ...] = tuple(normal_axis(axis, rank) for axis in given or ())
        if not axes and not call.int_("noop_with_empty_axes", 0):
            axes = tuple(range(rank))
        keepdims = bool(call.int_("keepdims", 1))
        if fold is not None and isinstance(x, Sizes) and axes == (0,) == tuple(range(rank)):
            known = _folded(x, fold, keepdims)
            if known is not None:
                return known
        value = call.value(0)
        if of_bools is not None and value.dtype == bool_:
            return of_bools(value, axes, keepdims=keepdims)
        return function(value, axes, keepdims=keepdims)

    return read


def _folded(x: Sizes, fold: Callable[[Size, Size], Size | None], keepdims: bool) -> Sizes | None:
    """The elements of a known vector joined; None where that depends on the sizes."""
    entries = x.flat()
    if not entries:
        return None
    total: Size | None = entries[0]
    for entry in entries[1:]:
        total = None if total is None else fold(total, entry)
    if total is None:
        return None
    return Sizes.of([total], x.dtype) if keepdims else Sizes.scalar(total, x.dtype)


def sum_of_squares(x: Value, axis: Axes = None, *, keepdims: bool = False) -> Value:
    """ReduceSumSquare."""
    return ops.sum(ops.square(x), axis, keepdims=keepdims)


def log_sum(x: Value, axis: Axes = None, *, keepdims: bool = False) -> Value:
    """ReduceLogSum: -inf of a sum of 0."""
    return ops.log(ops.sum(x, axis, keepdims=keepdims))


SUM = reduction(ops.sum, since=13, fold=lambda a, b: a + b)
MAX = reduction(ops.max, of_bools=ops.any, fold=maximum)
MIN = reduction(ops.min, of_bools=ops.all, fold=minimum)
PROD = reduction(ops.prod, fold=lambda a, b: a * b)


def argmax(call: Call) -> Results:
    """Where the largest element along an axis is, in i64."""
    axis, keepdims, last = _searched(call)
    return cast_to(ops.argmax(call.value(0), axis, keepdims=keepdims, select_last_index=last), i64)


def argmin(call: Call) -> Results:
    """Where the smallest element along an axis is, in i64."""
    axis, keepdims, last = _searched(call)
    return cast_to(ops.argmin(call.value(0), axis, keepdims=keepdims, select_last_index=last), i64)


def _searched(call: Call) -> tuple[int, bool, bool]:
    axis = normal_axis(call.int_("axis", 0), len(call.shape(0)))
    return axis, bool(call.int_("keepdims", 1)), bool(call.int_("select_last_index", 0))


class Running(Protocol):
    """A running total, as `cumsum`."""

    def __call__(
        self, x: Value, axis: int, *, exclusive: bool = False, reverse: bool = False
    ) -> Value: ...


def running(function: Running) -> Reader:
    """The reader of a running total along an axis."""

    def read(call: Call) -> Results:
        axis = normal_axis(number(call.integer(1), "the axis"), len(call.shape(0)))
        exclusive, reverse = bool(call.int_("exclusive", 0)), bool(call.int_("reverse", 0))
        return function(call.value(0), axis, exclusive=exclusive, reverse=reverse)

    return read


# Softmax and its kin: until version 11 over all axes from `axis` on, since 13 over one.


def along_axis(function: Callable[[Value, int], Value]) -> Reader:
    """The reader of a function over one axis."""

    def read(call: Call) -> Results:
        x = call.value(0)
        if call.version >= 13:
            return function(x, normal_axis(call.int_("axis", -1), x.rank))
        axis = normal_axis(call.int_("axis", 1), x.rank) if x.rank > 1 else 0
        if axis == x.rank - 1:
            return function(x, axis)
        outer, inner = product(x.shape[:axis]), product(x.shape[axis:])
        return ops.reshape(function(ops.reshape(x, (outer, inner)), 1), x.shape)

    return read


def _hardmax(x: Value, axis: int) -> Value:
    """One at the first of the largest elements, zero elsewhere."""
    size = x.shape[axis]
    check(x.rank > 0, "hardmax of a scalar", ParseError)
    places = ops.reshape(
        ops.iota(size), tuple(size if place == axis else 1 for place in range(x.rank))
    )
    return ops.cast(ops.equal(places, ops.argmax(x, axis, keepdims=True)), x.dtype)


SOFTMAX = along_axis(ops.softmax)
LOG_SOFTMAX = along_axis(ops.log_softmax)
HARDMAX = along_axis(_hardmax)
