"""conv-to-gemm: a channels-last convolution with 1×1 filters is a matrix product.

conv(x, w[o, c, 1, 1])  ->  matmul(x, w[c, o]) over all pixels
"""

from __future__ import annotations

from ..ir import Function, Value, rewrite, rewrite_all
from ..ops.conv import Conv
from ..ops.matmul import matmul
from ..ops.shape import reshape, transpose
from ..ops.table import TABLE


@rewrite(Conv)
def pointwise_conv_to_matmul(op: Conv) -> Value | None:
    """conv(x, w) of 1×1 filters, unit strides, no padding, one group  ->  matmul(x, wᵀ)"""
    out, inner, *kernel = op.weight.shape
    plain = all(extent == 1 for extent in (*kernel, *op.strides, op.groups))
    padded = any(low or high for low, high in op.padding)
    if op.layout != "nhwc" or not plain or padded:
        return None
    return matmul(op.x, transpose(reshape(op.weight, (out, inner)), (1, 0)))


def conv_to_gemm(fn: Function) -> Function:
    """Turn pointwise convolutions into matrix products."""
    return rewrite_all(fn, [pointwise_conv_to_matmul], TABLE, fuel=1)
