"""A step by which functions whose results are rounded to bf16 at once are computed no more
precisely than that asks for."""

from __future__ import annotations

from collections.abc import Mapping

from ...expr import Apply, Cast, Expr, apply, cast
from ...types import bf16, f32
from ..nodes import Kernel
from ..traverse import rewrite_block

# Each with one that takes less time and errs by a sixteenth of bf16's last place at most.
NEAR: Mapping[str, str] = {"gelu": "gelu_bf16"}


def round_once(kernel: Kernel) -> Kernel:
    """Such functions by name: `NEAR` in place of those that are as precise as f32.

    y[i] = bf16(flush(gelu(x[i])))   ->   y[i] = bf16(flush(gelu_bf16(x[i])))
    """
    if not any(buffer.dtype == bf16 for buffer in (*kernel.params, *kernel.locals)):
        return kernel
    return kernel.with_body(rewrite_block(kernel.body, _nearly))


def _nearly(expr: Expr) -> Expr | None:
    """bf16(f(x))  ->  bf16(f_bf16(x)), also where subnormal numbers are flushed between"""
    if not isinstance(expr, Cast) or expr.dtype != bf16:
        return None
    match expr.value:
        case Apply(function="flush", args=(precise,)):
            near = _near(precise)
            return None if near is None else cast(apply("flush", near), bf16)
        case precise:
            near = _near(precise)
            return None if near is None else cast(near, bf16)


def _near(precise: Expr) -> Expr | None:
    match precise:
        case Apply(function=name, args=args, dtype=dtype) if name in NEAR and dtype == f32:
            return apply(NEAR[name], *args)
    return None
