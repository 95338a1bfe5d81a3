"""Products and convolutions: what cuBLAS, cuDNN and their like compute."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F

from ...errors import UnsupportedError, check
from ...ir import Op, Value
from ...ops.base.factors import PLAIN
from ...ops.base.promote import product_type
from ...ops.products.matmul import Matmul
from ...ops.windows.conv import Conv
from ...ops.windows.conv_gradient import ConvWeightGradient
from ...ops.windows.conv_transpose import ConvTranspose
from ...ops.windows.windows import spatial_of
from ...sizes import static
from ...types import DTYPES
from .arrays import TORCH_TYPES
from .layouts import channels_first, in_layout, padded
from .site import Call, Tensor, with_op

_CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_TRANSPOSED = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


def _matmul(op: Matmul, lhs: Tensor, rhs: Tensor) -> Tensor:
    return torch.matmul(*_multiplied(op.factors, op.lhs, op.rhs, lhs, rhs))


def _multiplied(
    factors: str, first: Value, second: Value, *operands: Tensor
) -> tuple[Tensor, ...]:
    """Factors as they are rounded, and in the type of their product, where bytes of two kinds are
    multiplied."""
    if factors != PLAIN:
        return tuple(_rounded(factors, operand) for operand in operands)
    if first.dtype == second.dtype:
        return operands
    return tuple(operand.to(TORCH_TYPES[product_type(first, second)]) for operand in operands)


def _rounded(factors: str, x: Tensor) -> Tensor:
    """`x` in f32 with the bits of another type; of TF32 ten after the first, halves away from 0."""
    if factors != "tf32":
        return x.to(TORCH_TYPES[DTYPES[factors]]).to(x.dtype)
    near = (x.view(torch.int32) + (1 << 12)) & -(1 << 13)
    return torch.where(torch.isfinite(x), near.view(x.dtype), x)


def convolved(op: Conv, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """The convolution, with a bias for each of its channels."""
    x, weight = _multiplied(op.factors, op.x, op.weight, x, weight)
    rank = op.x.rank - 2
    check(rank in _CONV, f"conv over {rank} axes", UnsupportedError)
    x, padding = padded(channels_first(x, op.layout), op.padding)
    y = _CONV[rank](x, weight, bias, op.strides, padding, op.dilations, op.groups)
    return in_layout(y, op.layout)


def _conv_transpose(op: ConvTranspose, x: Tensor, weight: Tensor) -> Tensor:
    """Whole, then cut, where the two ends of an axis are cut differently."""
    rank = op.x.rank - 2
    check(rank in _TRANSPOSED, f"conv_transpose over {rank} axes", UnsupportedError)
    check(op.x.dtype.is_float, f"conv_transpose of {op.x.dtype}", UnsupportedError)
    least = [min(pair) for pair in op.padding]
    fits = all(
        extra < max(stride, dilation)
        for extra, stride, dilation in zip(op.output_padding, op.strides, op.dilations, strict=True)
    )
    check(fits, f"conv_transpose with output padding {op.output_padding}", UnsupportedError)
    y = _TRANSPOSED[rank](
        channels_first(x, op.layout), weight, None, op.strides, least, op.output_padding,
        op.groups, op.dilations,
    )  # fmt: skip
    sizes = static(spatial_of(op.infer().shape, op.layout))
    for axis, (extent, (low, high)) in enumerate(zip(sizes, op.padding, strict=True), start=2):
        if low != high:
            y = torch.narrow(y, axis, low - min(low, high), extent)
    return in_layout(y, op.layout)


def _conv_weight_gradient(op: ConvWeightGradient, x: Tensor, dy: Tensor) -> Tensor:
    rank = op.x.rank - 2
    x, padding = padded(channels_first(x, op.layout), op.padding)
    shape = op.infer().static_shape
    found = torch.ops.aten.convolution_backward(
        channels_first(dy, op.layout), x, x.new_empty(shape), None, op.strides, padding,
        op.dilations, False, [0] * rank, op.groups, [False, True, False],
    )  # fmt: skip
    return found[1]


CALLS: Mapping[type[Op], Call] = {
    Matmul: with_op(_matmul),
    Conv: with_op(convolved),
    ConvTranspose: with_op(_conv_transpose),
    ConvWeightGradient: with_op(_conv_weight_gradient),
}
