"""conv-to-gemm: a channels-last convolution with 1×1 filters is a matrix product.

conv(x, w[o, c, 1, 1])  ->  matmul(x, w[c, o]) over all pixels

So is the gradient of these filters, a product that sums over the pixels.
"""

from __future__ import annotations

from math import prod

from ...ir import Function, Value, rewrite, rewrite_all
from ...ops.products.matmul import matmul
from ...ops.shapes.shape import reshape, transpose
from ...ops.table import TABLE
from ...ops.windows.conv import Conv
from ...ops.windows.conv_gradient import ConvWeightGradient
from ...ops.windows.conv_transpose import ConvTranspose


@rewrite(Conv)
def pointwise_conv_to_matmul(op: Conv) -> Value | None:
    """conv(x, w) of 1×1 filters, unit strides, no padding, one group  ->  matmul(x, wᵀ)"""
    out, inner, *kernel = op.weight.shape
    plain = all(extent == 1 for extent in (*kernel, *op.strides, op.groups))
    padded = any(low or high for low, high in op.padding)
    if op.layout != "nhwc" or not plain or padded:
        return None
    return matmul(op.x, transpose(reshape(op.weight, (out, inner)), (1, 0)))


@rewrite(ConvTranspose)
def spreading_conv_to_matmul(op: ConvTranspose) -> Value | None:
    """conv_transpose(x, w) whose filters do not overlap  ->  matmul(x, w), its columns spread out

    Each input pixel gives a block of `kernel` output pixels: (h, w) x (kh, kw) -> (h·kh, w·kw).
    """
    inner, out, *kernel = op.weight.type.static_shape
    apart = list(op.strides) == kernel and set(op.dilations) <= {1} and op.groups == 1
    trimmed = any(op.output_padding) or any(low or high for low, high in op.padding)
    if op.layout != "nhwc" or not apart or trimmed:
        return None
    count = len(kernel)
    columns = transpose(op.weight, (0, *range(2, 2 + count), 1))
    blocks = matmul(op.x, reshape(columns, (inner, prod(kernel) * out)))
    batch, *size = op.x.shape[:-1]
    split = reshape(blocks, (batch, *size, *kernel, out))
    order = [axis for pixel in range(1, 1 + count) for axis in (pixel, pixel + count)]
    spread = transpose(split, (0, *order, 1 + 2 * count))
    return reshape(spread, op.infer().shape)


@rewrite(ConvWeightGradient)
def pointwise_gradient_to_matmul(op: ConvWeightGradient) -> Value | None:
    """conv_weight_gradient(x, dy) of 1×1 filters, unit strides, one group  ->  matmul(dyᵀ, x)"""
    plain = all(extent == 1 for extent in (*op.kernel_size, *op.strides, op.groups))
    padded = any(low or high for low, high in op.padding)
    if op.layout != "nhwc" or not plain or padded:
        return None
    out, inner = op.dy.type.static_shape[-1], op.x.type.static_shape[-1]
    arrived = reshape(op.dy, (op.dy.type.elements // max(1, out), out))
    seen = reshape(op.x, (op.x.type.elements // max(1, inner), inner))
    return reshape(matmul(transpose(arrived, (1, 0)), seen), op.infer().shape)


def conv_to_gemm(fn: Function) -> Function:
    """Turn convolutions that look at one pixel at a time into matrix products."""
    patterns = [
        pointwise_conv_to_matmul, spreading_conv_to_matmul, pointwise_gradient_to_matmul
    ]
    return rewrite_all(fn, patterns, TABLE, fuel=1)
