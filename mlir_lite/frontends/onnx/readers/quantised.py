"""Readers of the quantised operators, written with others: `real = (integer - zero) * scale`."""

from __future__ import annotations

import numpy as np

from .... import ops
from ....errors import UnsupportedError, check
from ....ir import Value
from ....sizes import Size
from ....types import DType, f32, i32, u8
from ..call import Call, Results
from ..sizes import normal_axis
from ..weights import element_type
from .nn import convolution


def _along(x: Value, parameter: Value, axis: int) -> Value:
    """A scale or zero point, one number or one per index of an axis, shaped to broadcast."""
    if parameter.rank == 0 or parameter.shape == (1,):
        return ops.reshape(parameter, ())
    check(parameter.rank == 1, "scales per block", UnsupportedError)
    shape: list[Size] = [1] * x.rank
    shape[normal_axis(axis, x.rank)] = parameter.shape[0]
    return ops.reshape(parameter, shape)


def dequantize_linear(call: Call) -> Results:
    """`(x - zero) scale`, with one scale or one for each index of an axis."""
    x, scale = call.value(0), call.value(1)
    check(call.int_("block_size", 0) == 0, "scales per block", UnsupportedError)
    axis = call.int_("axis", 1)
    whole = _centred(x, call.optional(2), axis)
    return ops.multiply(ops.cast(whole, scale.dtype), _along(x, scale, axis))


def _centred(x: Value, zero: Value | None, axis: int) -> Value:
    """`x - zero` in 32 bits, where it does not overflow."""
    wide = ops.cast(x, i32)
    return wide if zero is None else ops.subtract(wide, _along(x, ops.cast(zero, i32), axis))


def quantize_linear(call: Call) -> Results:
    """`x / scale + zero`, rounded to even and saturated, in the type of the zero point."""
    x, scale, zero = call.value(0), call.value(1), call.optional(2)
    check(call.int_("block_size", 0) == 0, "scales per block", UnsupportedError)
    named = call.int_("output_dtype", 0)
    dtype = element_type(named, "the result") if named else u8 if zero is None else zero.dtype
    axis = call.int_("axis", 1)
    scaled = ops.divide(ops.cast(x, f32), _along(x, ops.cast(scale, f32), axis))
    offset = None if zero is None else _along(x, ops.cast(zero, f32), axis)
    return _rounded_into(scaled, offset, dtype)


def _rounded_into(scaled: Value, zero: Value | None, dtype: DType) -> Value:
    """Rounded to the nearest even, moved by the zero point, and saturated."""
    check(dtype.is_integer, f"a quantised tensor of {dtype}", UnsupportedError)
    whole = ops.round(scaled)
    moved = whole if zero is None else ops.add(whole, zero)
    limits = np.iinfo(dtype.numpy)
    return ops.cast(ops.clip(moved, float(limits.min), float(limits.max)), dtype)


def dynamic_quantize_linear(call: Call) -> Results:
    """To u8 by the range of the data, which is made to hold zero."""
    x = call.value(0)
    low = ops.minimum(ops.min(x), 0.0)
    high = ops.maximum(ops.max(x), 0.0)
    span = ops.subtract(high, low)
    # Of zeros alone any scale will do; that of onnxruntime is 1.
    scale = ops.where(ops.equal(span, 0), 1.0, ops.divide(span, 255.0))
    zero = ops.clip(ops.round(ops.divide(ops.negative(low), scale)), 0.0, 255.0)
    return _rounded_into(ops.divide(x, scale), zero, u8), scale, ops.cast(zero, u8)


def matmul_integer(call: Call) -> Results:
    """The product of integers less their zero points, in i32."""
    a, b = call.value(0), call.value(1)
    left = _centred(a, call.optional(2), a.rank - 2)
    return ops.matmul(left, _centred(b, call.optional(3), b.rank - 1))


def conv_integer(call: Call) -> Results:
    """The convolution of integers less their zero points, in i32."""
    x = _centred(call.value(0), call.optional(2), 1)
    weight = _centred(call.value(1), call.optional(3), 0)
    return convolution(call, x, weight, None)


def qlinear_matmul(call: Call) -> Results:
    """Operands and scales in turn: a, a's scale and zero, b, its scale and zero, y's."""
    a, b = call.value(0), call.value(3)
    rows, columns = a.rank - 2, b.rank - 1
    product = ops.matmul(_centred(a, call.value(2), rows), _centred(b, call.value(5), columns))
    factor = ops.multiply(_along(a, call.value(1), rows), _along(b, call.value(4), columns))
    return _requantised(call, product, factor)


def _requantised(call: Call, whole: Value, factor: Value) -> Value:
    """An integer result times the operands' scales, by the scale and zero point of the result."""
    zero, scale = call.value(7), ops.cast(call.value(6), f32)
    real = ops.multiply(ops.cast(whole, f32), ops.cast(factor, f32))
    scaled = ops.divide(real, _along(whole, scale, whole.rank - 2))
    return _rounded_into(scaled, _along(whole, ops.cast(zero, f32), whole.rank - 2), zero.dtype)


def qlinear_conv(call: Call) -> Results:
    """Operands and scales in turn: x, x's scale and zero, w, its scale and zero, y's, the bias."""
    x, weight = call.value(0), call.value(3)
    whole = convolution(
        call,
        _centred(x, call.value(2), 1),
        _centred(weight, call.value(5), 0),
        call.optional(8),
    )
    factor = ops.multiply(_along(x, call.value(1), 1), _along(whole, call.value(4), 1))
    return _requantised(call, whole, factor)
