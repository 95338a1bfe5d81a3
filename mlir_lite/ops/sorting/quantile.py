"""Places in the order of elements: quantiles and the median."""

from __future__ import annotations

import math

from ...errors import check
from ...ir import Axes, Operand, Value
from ...sizes import product
from ..base.axes import normal_axes
from ..base.promote import as_value, check_kind
from ..elementwise.compare import isnan
from ..elementwise.select import where
from ..shapes.shape import reshape, transpose
from .sort import sort


def quantile(x: Operand, q: float, axis: Axes = None, *, keepdims: bool = False) -> Value:
    """The element that a share `q` of the elements over axes lies below, by default of all.

    Between two elements it is interpolated, as in NumPy. NaN where an element is NaN. Floats alone,
    of axes of known sizes.
    """
    value = as_value(x)
    check_kind(value, "f")
    check(0 <= q <= 1, f"a quantile is from 0 to 1, not {q}")
    axes = normal_axes(axis, value.rank)
    kept = [place for place in range(value.rank) if place not in axes]
    count = product(value.shape[place] for place in axes)
    check(isinstance(count, int), f"a quantile of {count} elements, a number known later only")
    assert isinstance(count, int)
    check(count > 0, "there is no quantile of no elements")
    rows = reshape(
        transpose(value, (*kept, *axes)), (*(value.shape[place] for place in kept), count)
    )
    ordered = sort(rows, -1)
    place = q * (count - 1)
    below = math.floor(place)
    found, part = ordered[..., below], place - below
    if part > 0:
        found = found * (1 - part) + ordered[..., below + 1] * part
    found = where(isnan(ordered[..., -1]), math.nan, found)
    if not keepdims:
        return found
    return reshape(found, [1 if at in axes else size for at, size in enumerate(value.shape)])


def median(x: Operand, axis: Axes = None, *, keepdims: bool = False) -> Value:
    """The middle element over axes, by default of all; of an even number the mean of the two."""
    return quantile(x, 0.5, axis, keepdims=keepdims)
