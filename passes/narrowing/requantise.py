"""From one quantised tensor to the next: what `integer-products` does beside the products.

    round((f32(p) * a + b) / s)  ->  round(f32(p) * (a / s) + b / s)
    max_pool((q - z) * s)        ->  (max_pool(q) - z) * s
"""

from __future__ import annotations

from dataclasses import replace

from ...ir import Value, rewrite
from ...ops.base.cast import Cast, cast
from ...ops.base.constant import scalar_constant
from ...ops.base.elements import emit
from ...ops.elementwise.activation import Relu, relu
from ...ops.elementwise.arithmetic import Add, Divide, Multiply
from ...ops.elementwise.select import Clip, clip
from ...ops.elementwise.unary import Round
from ...ops.windows.pool import MaxPool
from ...types import f32
from .quantised import depends_on_constants, dequantised, known, unrepeated


@rewrite(Round)
def divide_before_scaling(op: Round) -> Value | None:
    """round((f32(p) * a + b) / s)  ->  round(f32(p) * (a / s) + b / s), of constants a, b, s > 0

    Rounds the scale instead of each product: another integer comes out only where the quotient is
    within a few of its last places of the middle between two.
    """
    match op.x.op:
        case Divide(lhs=real, rhs=scale) if scale.dtype == f32:
            number = _number(scale)
            if number is None or not number > 0:
                return None
            quotient = _divided(real, number)
            return None if quotient is None else emit(Round(quotient))
    return None


@rewrite(MaxPool)
def pool_of_quantised(op: MaxPool) -> Value | None:
    """max_pool((q - z) * s)  ->  (max_pool(q) - z) * s, of one z and one s > 0

    Exact, as both the difference and its product with `s` grow with `q`.
    """
    x = dequantised(op.x)
    if x is None or x.scale is None or not x.is_uniform:
        return None
    scale = _number(x.scale)
    if scale is None or not scale > 0:
        return None
    pooled = replace(x, whole=emit(replace(op, x=x.whole)))
    return cast(pooled.centred, f32) * x.scale


def _divided(real: Value, divisor: float) -> Value | None:
    """Scaled integers, sums and limits of them, with scales divided by a number; None for others,
    which are as cheap to divide themselves."""
    if depends_on_constants(real):
        return unrepeated(real) / scalar_constant(divisor, f32)
    match real.op:
        case Multiply(lhs=Value(op=Cast(x=whole)) as lhs, rhs=factor) | Multiply(
            lhs=factor, rhs=Value(op=Cast(x=whole)) as lhs
        ) if whole.dtype.is_integer and depends_on_constants(factor):
            return lhs * (unrepeated(factor) / scalar_constant(divisor, f32))
        case Add(lhs=lhs, rhs=rhs):
            left, right = _divided(lhs, divisor), _divided(rhs, divisor)
            return None if left is None or right is None else left + right
        case Relu(x=x):
            inner = _divided(x, divisor)
            return None if inner is None else relu(inner)
        case Clip(x=x, minimum=low, maximum=high):
            inner = _divided(x, divisor)
            if inner is None:
                return None
            limits = (None if limit is None else limit / divisor for limit in (low, high))
            return clip(inner, *limits)
    return None


def _number(parameter: Value) -> float | None:
    """The one number that a scale is known to be."""
    array = known(unrepeated(parameter))
    return None if array is None or array.size != 1 else float(array.item())
