"""Normalisations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .... import ops
from ....errors import UnsupportedError, check
from ....ir import Value
from ....ops.base.body import computing_type
from ....sizes import Size
from .typed import Reader, Typed


def layer_norm(
    x: Value,
    shape: Sequence[Size],
    weight: Value | None = None,
    bias: Value | None = None,
    eps: float = 1e-5,
    _cudnn: bool = True,
) -> Value:
    """Over the last axes, which have this shape."""
    return ops.layer_norm(x, weight, bias, axis=-len(shape), epsilon=eps)


def native_layer_norm(
    x: Value, shape: Sequence[Size], weight: Value | None, bias: Value | None, eps: float
) -> tuple[Value, Value, Value]:
    """The same, and for the gradient the mean and `1 / sqrt(variance + eps)`, in f32 of halves."""
    axes = tuple(range(x.rank - len(shape), x.rank))
    wide = ops.cast(x, computing_type(x.dtype))
    spread = ops.rsqrt(ops.var(wide, axes, keepdims=True) + eps)
    return layer_norm(x, shape, weight, bias, eps), ops.mean(wide, axes, keepdims=True), spread


def rms_norm(
    x: Value, shape: Sequence[Size], weight: Value | None = None, eps: float | None = None
) -> Value:
    """Over the last axes; by default `eps` is that of the element type."""
    least = float(np.finfo(x.dtype.numpy).eps) if eps is None and x.dtype.bits > 16 else eps
    check(least is not None, f"the default eps of {x.dtype}", UnsupportedError)
    assert least is not None
    return ops.rms_norm(x, weight, axis=-len(shape), epsilon=least)


def group_norm(
    x: Value,
    groups: int,
    weight: Value | None = None,
    bias: Value | None = None,
    eps: float = 1e-5,
    _cudnn: bool = True,
) -> Value:
    """Over groups of channels."""
    return ops.group_norm(x, groups, weight, bias, epsilon=eps)


def batch_norm(
    x: Value,
    weight: Value | None,
    bias: Value | None,
    mean: Value,
    variance: Value,
    _momentum: float,
    eps: float,
) -> tuple[Value, ...]:
    """By running statistics; torch gives two empty tensors beside."""
    scale = ops.ones(mean.shape, mean.dtype) if weight is None else weight
    offset = ops.zeros(mean.shape, mean.dtype) if bias is None else bias
    y = ops.batch_norm(x, *(ops.cast(part, x.dtype) for part in (scale, offset, mean, variance)),
                       epsilon=eps)
    return (y,)


def instance_norm(
    x: Value,
    weight: Value | None,
    bias: Value | None,
    mean: Value | None,
    variance: Value | None,
    use_input_stats: bool,
    momentum: float,
    eps: float,
    _cudnn: bool = True,
) -> Value:
    """Over each channel of each image, or by running statistics."""
    if use_input_stats:
        return ops.instance_norm(x, weight, bias, epsilon=eps)
    check(mean is not None and variance is not None, "it has no statistics", UnsupportedError)
    assert mean is not None and variance is not None
    return batch_norm(x, weight, bias, mean, variance, momentum, eps)[0]


READERS: Mapping[str, Reader | Typed] = {
    "aten._fused_rms_norm": lambda x, shape, weight, eps: (rms_norm(x, shape, weight, eps),),
    "aten._native_batch_norm_legit_no_training": batch_norm,
    "aten.group_norm": group_norm,
    "aten.instance_norm": instance_norm,
    "aten.layer_norm": layer_norm,
    "aten.native_group_norm": lambda x, weight, bias, n, c, hw, groups, eps: (
        group_norm(x, groups, weight, bias, eps),
    ),
    "aten.native_layer_norm": native_layer_norm,
    "aten.rms_norm": rms_norm,
}
