"""integer-products: products of quantised operands by constants are products of their integers.

A quantised tensor is `(whole - zero) * scale` with `whole` of u8 or i8. Scales move behind a
product, and the zero points out of it, so that what remains multiplies u8 by i8:

    matmul((a - za) * sa, (b - zb) * sb)  ->  (matmul(a, b) - za * Σ(b - zb) - zb * Σa) * (sa * sb)

Integers that are multiplied as they are (no scales) become the same without the last factor. All
of that is exact: i32 wraps around alike in both forms. With scales the new form rounds less often.
"""

from __future__ import annotations

from dataclasses import replace

from ...ir import Function, Value, rewrite, rewrite_all
from ...ops.base.cast import cast
from ...ops.base.elements import emit
from ...ops.products.matmul import Matmul, matmul
from ...ops.reductions.reduce import sum as sum_
from ...ops.shapes.creation import ones
from ...ops.shapes.shape import reshape
from ...ops.shapes.slice import pad
from ...ops.table import TABLE
from ...ops.windows.conv import Conv
from ...sizes import Size
from ...target import Target
from ...types import f32, i8, i32, u8
from ..layouts.narrow_products import summed_together
from .quantised import Quantised, centred, depends_on_constants, dequantised, known
from .requantise import divide_before_scaling, pool_of_quantised


@rewrite(Matmul)
def matmul_of_quantised(op: Matmul) -> Value | None:
    """matmul((a - za) * sa, (b - zb) * sb)  ->  (a @ b - za * Σ(b - zb) - zb * Σa) * (sa * sb)"""
    operands = _operands(op.lhs, op.rhs)
    if operands is None:
        return None
    a, b = operands
    if a.varies_along(-1) or b.varies_along(-2):
        return None
    left, right = a.of_u8(), b.of_i8()
    total = matmul(left.whole, right.whole)
    if right.zero is not None:
        total = total - right.zero * sum_(cast(left.whole, i32), -1, keepdims=True)
    if left.zero is not None:
        total = total - left.zero * sum_(right.centred, -2, keepdims=True)
    return _rescaled(total, a.scale, b.scale)


@rewrite(Conv)
def conv_of_quantised(op: Conv) -> Value | None:
    """conv((x - zx) * sx, (w - zw) * sw)  ->  the same of the integers, padded with zx"""
    operands = _operands(op.x, op.weight)
    if operands is None:
        return None
    x, weight = operands
    if not x.is_uniform or any(map(weight.varies_along, range(1, op.weight.rank))):
        return None
    left, right = x.of_u8(), weight.of_i8()
    depthwise = (op.groups, 1) == op.weight.shape[:2]
    if op.groups != 1 and not (depthwise and right.zero is None):
        return None
    total = _integer_conv(op, left, right)
    scale = None if weight.scale is None else _per_channel(op, weight.scale)
    return _rescaled(total, x.scale, scale)


PATTERNS = (matmul_of_quantised, conv_of_quantised, pool_of_quantised, divide_before_scaling)


def integer_products(fn: Function, *, target: Target) -> Function:
    """Rewrite where the target sums products of u8 by i8 at once; elsewhere floats are faster."""
    if summed_together(u8, i8, i32, target) is None:
        return fn
    return rewrite_all(fn, PATTERNS, TABLE, fuel=1)


def _operands(left: Value, right: Value) -> tuple[Quantised, Quantised] | None:
    """Two operands as quantised tensors, the right one known when the program is built."""
    find = {f32: dequantised, i32: centred}.get(left.dtype)
    if find is None or not depends_on_constants(right):
        return None
    a, b = find(left), find(right)
    return None if a is None or b is None else (a, b)


def _rescaled(total: Value, first: Value | None, second: Value | None) -> Value:
    """Integers as what they stand for, by the scales of the operands."""
    if first is None or second is None:
        return total
    return cast(total, f32) * (first * second)


def _integer_conv(op: Conv, x: Quantised, weight: Quantised) -> Value:
    """The convolution of u8 by i8 in i32, its operands' zero points taken out of it."""
    plain = replace(op, x=x.whole, weight=weight.whole)
    if x.zero is not None:
        plain = replace(plain, x=_padded(op, x.whole, x.zero), padding=((0, 0),) * len(op.padding))
    total = emit(plain)
    axes = tuple(range(1, op.weight.rank))
    if weight.zero is not None:
        one = ones((1, *op.weight.shape[1:]), i8)
        total = total - _per_channel(op, weight.zero) * emit(replace(plain, weight=one))
    if x.zero is not None:
        sums = sum_(weight.centred, axes, keepdims=True)
        total = total - reshape(x.zero, (1,) * op.x.rank) * _per_channel(op, sums)
    return total


def _padded(op: Conv, whole: Value, zero: Value) -> Value:
    """The integers with the zero point, which stands for 0, around them."""
    first = 1 if op.layout == "nhwc" else 2
    widths: list[tuple[Size, Size]] = [(0, 0)] * op.x.rank
    widths[first : first + len(op.padding)] = op.padding
    number = known(zero)
    if number is not None:
        return pad(whole, widths, value=number.item())
    # Padding has a number that is known now: so it is of what is moved by the zero point.
    narrow = cast(zero, u8)
    return pad(whole - narrow, widths) + narrow


def _per_channel(op: Conv, parameter: Value) -> Value:
    """`(out, 1, ..)`, one number a filter, in the place of the result's channels."""
    rest = (1,) * (op.x.rank - 2)
    channels: Size = parameter.shape[0]
    return reshape(parameter, (1, *rest, channels) if op.layout == "nhwc" else (1, channels, *rest))
