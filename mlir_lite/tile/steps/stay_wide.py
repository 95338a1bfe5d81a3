"""A step by which numbers that are made bytes only to be wide again stay what they are: what is
quantised, and read by nothing but what comes next."""

from __future__ import annotations

from ...expr import Apply, Cast, Const, Expr, apply, const, select
from ...types import f32, i32, u8
from ..nodes import Kernel
from ..traverse import rewrite_block

_MOST_MOVED = 1 << 16  # by this much bytes are moved exactly in f32


def stay_wide(kernel: Kernel) -> Kernel:
    """Saturate whole numbers without making them bytes, in kernels that have bytes in memory, too.
    It is exact, of NaN as well, but for the sign of zero: what was rounded to -0 stays that.

    y[i] = f32(i32(u8(round(x[i]) + 9.0)) - 9) * 0.5
      ->  y[i] = min(select(round(x[i]) > -9.0, round(x[i]), -9.0), 246.0) * 0.5
    """
    if not any(buffer.dtype == u8 for buffer in (*kernel.params, *kernel.locals)):
        return kernel
    return kernel.with_body(rewrite_block(kernel.body, _wide))


def _wide(expr: Expr) -> Expr | None:
    """f32(i32(u8(v + a)) - b)  ->  saturated(v) + (a - b)"""
    if not isinstance(expr, Cast) or expr.dtype != f32:
        return None
    byte, moved = _moved(expr.value)
    match byte:
        case Cast(value=Cast(value=value, dtype=narrow), dtype=wide) if (
            (narrow, wide, value.dtype) == (u8, i32, f32)
        ):
            whole, zero = _moved(value)
        case _:
            return None
    match whole:
        case Apply(function="round") if zero.is_integer() and moved.is_integer():
            kept = _saturated(whole, 0.0 - zero, 255.0 - zero)
            return kept + const(zero + moved, f32) if zero + moved else kept
    return None


def _moved(expr: Expr) -> tuple[Expr, float]:
    """A value and the number added to it; itself and 0 where that is none, or too large."""
    match expr:
        case Apply(function="add", args=(value, Const(value=by))) if abs(by) <= _MOST_MOVED:
            return value, float(by)
        case Apply(function="sub", args=(value, Const(value=by))) if abs(by) <= _MOST_MOVED:
            return value, -float(by)
    return expr, 0.0


def _saturated(value: Expr, least: float, most: float) -> Expr:
    """A number within limits; of NaN, as of what becomes a byte 0, the lower one."""
    low = const(least, f32)
    return apply("min", select(apply("gt", value, low), value, low), const(most, f32))
