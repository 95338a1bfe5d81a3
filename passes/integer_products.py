"""integer-products: products of quantised operands by constants are products of their integers.

A quantised tensor is `(whole - zero) * scale` with `whole` of u8 or i8. Scales move behind a
product, and the zero points out of it, so that what remains multiplies u8 by i8:

    matmul((a - za) * sa, (b - zb) * sb)  ->  (matmul(a, b) - za * Σ(b - zb) - zb * Σa) * (sa * sb)

Integers that are multiplied as they are (no scales) become the same without the last factor. All
of that is exact: i32 wraps around alike in both forms. With scales the new form rounds less often.
"""

from __future__ import annotations

from dataclasses import replace

from ..ir import Function, Value, rewrite, rewrite_all
from ..ops.cast import cast
from ..ops.conv import Conv
from ..ops.creation import ones
from ..ops.elementwise import emit
from ..ops.matmul import Matmul, matmul
from ..ops.reduce import sum as sum_
from ..ops.shape import reshape
from ..ops.slice import pad
from ..ops.table import TABLE
from ..target import Target
from ..types import Size, f32, i8, i32, u8
from .quantised import Quantised, centred, depends_on_constants, dequantised, known


def integer_products(fn: Function, *, target: Target) -> Function:
    """Rewrite where the target sums products of u8 by i8 at once; elsewhere floats are faster."""
    if not target.has_dots(u8, i8):
        return fn
    return rewrite_all(fn, [matmul_of_quantised, conv_of_quantised], TABLE, fuel=1)


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
    if op.groups == 1:
        total = _integer_conv(op, x.of_u8(), weight.of_i8())
    elif x.scale is not None and (op.groups, 1) == op.weight.shape[:2]:
        # A filter for each channel: its sums are too short for several products at once.
        total = emit(replace(op, x=x.centred, weight=weight.centred))
    else:
        return None
    scale = None if weight.scale is None else _per_channel(op, weight.scale)
    return _rescaled(total, x.scale, scale)


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
    padded = _padded(op, x)
    plain = replace(op, x=padded, weight=weight.whole, padding=((0, 0),) * len(op.padding))
    total = emit(plain)
    axes = tuple(range(1, op.weight.rank))
    if weight.zero is not None:
        one = ones((1, *op.weight.shape[1:]), i8)
        total = total - _per_channel(op, weight.zero) * emit(replace(plain, weight=one))
    if x.zero is not None:
        sums = sum_(weight.centred, axes, keepdims=True)
        total = total - reshape(x.zero, (1,) * op.x.rank) * _per_channel(op, sums)
    return total


def _padded(op: Conv, x: Quantised) -> Value:
    """The integers with the zero point, which stands for 0, around them."""
    first = 1 if op.layout == "nhwc" else 2
    widths: list[tuple[Size, Size]] = [(0, 0)] * op.x.rank
    widths[first : first + len(op.padding)] = op.padding
    if x.zero is None:
        return pad(x.whole, widths)
    number = known(x.zero)
    if number is not None and 0 <= number.item() <= 255:
        return pad(x.whole, widths, value=number.item())
    # Only zeros can be padded with that are known now: so pad what is moved by the zero point.
    zero = cast(x.zero, u8)
    return pad(x.whole - zero, widths) + zero


def _per_channel(op: Conv, parameter: Value) -> Value:
    """`(out, 1, ..)`, one number a filter, in the place of the result's channels."""
    rest = (1,) * (op.x.rank - 2)
    channels: Size = parameter.shape[0]
    return reshape(parameter, (1, *rest, channels) if op.layout == "nhwc" else (1, channels, *rest))
