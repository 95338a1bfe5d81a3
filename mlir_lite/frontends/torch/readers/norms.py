"""Normalisations."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from .... import ops
from ....errors import UnsupportedError, check
from ....ir import Value
from ....ops.base.body import computing_type
from ....sizes import Size
from ....types import TensorType
from ..promote import converted
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
    wanted: Sequence[TensorType],
    x: Value,
    shape: Sequence[Size],
    weight: Value | None,
    bias: Value | None,
    eps: float,
) -> tuple[Value, ...]:
    """The same, and for the gradient the mean and `1 / sqrt(variance + eps)`."""
    axes = tuple(range(x.rank - len(shape), x.rank))
    wide = ops.cast(x, computing_type(x.dtype))
    y = layer_norm(x, shape, weight, bias, eps)
    mean, spread = ops.mean(wide, axes, keepdims=True), ops.var(wide, axes, keepdims=True)
    return _in_types(wanted, y, mean, ops.rsqrt(spread + eps))


def _in_types(wanted: Sequence[TensorType], *results: Value) -> tuple[Value, ...]:
    """Results in torch's types, which has statistics of halves in f32, or as halves too."""
    return tuple(
        ops.cast(result, type_.dtype) for result, type_ in zip(results, wanted, strict=True)
    )


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
    eps: float,
) -> Value:
    """By running statistics."""
    scale = ops.ones(mean.shape, mean.dtype) if weight is None else weight
    offset = ops.zeros(mean.shape, mean.dtype) if bias is None else bias
    parts = (ops.cast(part, x.dtype) for part in (scale, offset, mean, variance))
    return ops.batch_norm(x, *parts, epsilon=eps)


def native_batch_norm(
    wanted: Sequence[TensorType],
    x: Value,
    weight: Value | None,
    bias: Value | None,
    mean: Value,
    variance: Value,
    _momentum: float,
    eps: float,
) -> tuple[Value, ...]:
    """By running statistics; torch gives two empty tensors beside."""
    empty = ops.zeros((0,), x.dtype)
    return _in_types(wanted, batch_norm(x, weight, bias, mean, variance, eps), empty, empty)


def batch_norm_functional(
    wanted: Sequence[TensorType],
    x: Value,
    weight: Value | None,
    bias: Value | None,
    mean: Value,
    variance: Value,
    training: bool,
    momentum: float,
    eps: float,
) -> tuple[Value, ...]:
    """In training by the batch's own statistics; then, for the gradient, the mean and
    `1 / sqrt(variance + eps)`, and what becomes of the running statistics.

    The running variance counts one element less than there are, which makes it unbiased.
    """
    if not training:
        made = native_batch_norm(wanted[:3], x, weight, bias, mean, variance, momentum, eps)
        return *made, mean, variance
    wide = ops.cast(x, computing_type(x.dtype))
    channels = (x.shape[1],)
    scale = ops.ones(channels, wide.dtype) if weight is None else ops.cast(weight, wide.dtype)
    offset = ops.zeros(channels, wide.dtype) if bias is None else ops.cast(bias, wide.dtype)
    y, own_mean, own_variance = ops.batch_norm_training(wide, scale, offset, epsilon=eps)
    count = converted(math.prod((x.shape[0], *x.shape[2:])), wide.dtype)
    unbiased = own_variance * (count / (count - 1))
    running = (
        ops.cast(old, wide.dtype) * (1 - momentum) + new * momentum
        for old, new in ((mean, own_mean), (variance, unbiased))
    )
    return _in_types(wanted, y, own_mean, ops.rsqrt(own_variance + eps), *running)


def batch_norm_alone(
    wanted: Sequence[TensorType],
    x: Value,
    weight: Value | None,
    bias: Value | None,
    _training: bool,
    momentum: float,
    eps: float,
) -> tuple[Value, ...]:
    """By the batch's own statistics, without running ones, as instance norms have it."""
    channels = (x.shape[1],)
    none = ops.zeros(channels, x.dtype), ops.ones(channels, x.dtype)
    types = (*wanted, *(value.type for value in none))
    return batch_norm_functional(types, x, weight, bias, *none, True, momentum, eps)[:3]


def native_group_norm(
    wanted: Sequence[TensorType],
    x: Value,
    weight: Value | None,
    bias: Value | None,
    batch: Size,
    channels: Size,
    places: Size,
    groups: int,
    eps: float,
) -> tuple[Value, ...]:
    """Over groups of channels, and for the gradient each one's mean and `1 / sqrt(variance + eps)`.

    Beside half-width floats the weight and the bias may be wider.
    """
    wide = ops.cast(x, computing_type(x.dtype))
    grouped = ops.reshape(wide, (batch, groups, channels // groups * places))
    spread = ops.rsqrt(ops.var(grouped, -1) + eps)
    scale = None if weight is None else ops.cast(weight, wide.dtype)
    offset = None if bias is None else ops.cast(bias, wide.dtype)
    y = group_norm(wide, groups, scale, offset, eps)
    return _in_types(wanted, y, ops.mean(grouped, -1), spread)


def instance_norm(
    x: Value,
    weight: Value | None,
    bias: Value | None,
    mean: Value | None,
    variance: Value | None,
    use_input_stats: bool,
    _momentum: float,
    eps: float,
    _cudnn: bool = True,
) -> Value:
    """Over each channel of each image, or by running statistics."""
    if use_input_stats:
        return ops.instance_norm(x, weight, bias, epsilon=eps)
    check(mean is not None and variance is not None, "it has no statistics", UnsupportedError)
    assert mean is not None and variance is not None
    return batch_norm(x, weight, bias, mean, variance, eps)


READERS: Mapping[str, Reader | Typed] = {
    "aten._fused_rms_norm": lambda x, shape, weight, eps: (rms_norm(x, shape, weight, eps),),
    "aten._native_batch_norm_legit.no_stats": Typed(batch_norm_alone),
    "aten._native_batch_norm_legit_functional": Typed(batch_norm_functional),
    "aten._native_batch_norm_legit_no_training": Typed(native_batch_norm),
    "aten.group_norm": group_norm,
    "aten.instance_norm": instance_norm,
    "aten.layer_norm": layer_norm,
    "aten.native_group_norm": Typed(native_group_norm),
    "aten.native_layer_norm": Typed(native_layer_norm),
    "aten.rms_norm": rms_norm,
}
