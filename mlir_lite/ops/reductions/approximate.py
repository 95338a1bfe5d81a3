"""Numbers that are nearly equal, and those that are no numbers."""

from __future__ import annotations

import ml_dtypes

from ...ir import Operand, Value
from ..base.constant import fitting
from ..base.promote import as_value, check_kind, promote
from ..elementwise.arithmetic import subtract
from ..elementwise.compare import bitwise_and, bitwise_or, equal, isfinite, isnan, less_equal
from ..elementwise.select import where
from ..elementwise.unary import absolute
from .reduce import all as all_


def isclose(
    x: Operand, y: Operand, *, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Value:
    """Whether `|x - y| <= atol + rtol * |y|`, as in NumPy, of floats.

    An infinity is close to itself alone; NaN to nothing, or with `equal_nan` to NaN.
    """
    left, right = promote(x, y)
    check_kind(left, "f")
    near = less_equal(absolute(subtract(left, right)), absolute(right) * rtol + atol)
    near = bitwise_or(bitwise_and(near, isfinite(right)), equal(left, right))
    return near | (isnan(left) & isnan(right)) if equal_nan else near


def allclose(
    x: Operand, y: Operand, *, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Value:
    """Whether all elements are close: see `isclose`."""
    return all_(isclose(x, y, rtol=rtol, atol=atol, equal_nan=equal_nan))


def nan_to_num(
    x: Operand, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None
) -> Value:
    """`x` with numbers for NaN and the infinities: by default 0 and the largest finite ones."""
    value = as_value(x)
    if not value.dtype.is_float:
        return value
    top = float(ml_dtypes.finfo(value.dtype.numpy).max)
    upper = top if posinf is None else fitting(posinf, value.dtype)
    lower = -top if neginf is None else fitting(neginf, value.dtype)
    found = where(isnan(value), nan, value)
    return where(value > top, upper, where(value < -top, lower, found))
