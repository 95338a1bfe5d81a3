"""Readers of normalisations."""

from __future__ import annotations

from .... import ops
from ....errors import ParseError, UnsupportedError, check
from ....ir import Value
from ....sizes import Size
from ....types import f32
from ..call import Call, Results
from ..sizes import normal_axis, number


def batch_normalization(call: Call) -> Results:
    """With given statistics; in training mode with those of the batch, which are results too."""
    x, *rest = (call.value(position) for position in range(5))
    scale, bias, mean, variance = (ops.cast(entry, x.dtype) for entry in rest)
    epsilon = call.float_("epsilon", 1e-5)
    training = call.version >= 14 and call.int_("training_mode", 0) == 1
    check(call.int_("spatial", 1) == 1, "statistics per element (spatial=0)", UnsupportedError)
    if not training:
        check(not call.wants(1), "training mode of an old version", UnsupportedError)
        return ops.batch_norm(x, scale, bias, mean, variance, axis=1, epsilon=epsilon)
    axes = (0, *range(2, x.rank))
    own_mean, own_variance = ops.mean(x, axes), ops.var(x, axes)
    y = ops.batch_norm(x, scale, bias, own_mean, own_variance, axis=1, epsilon=epsilon)
    momentum = call.float_("momentum", 0.9)
    return y, _moved(mean, own_mean, momentum), _moved(variance, own_variance, momentum)


def _moved(running: Value, own: Value, momentum: float) -> Value:
    return ops.add(ops.multiply(running, momentum), ops.multiply(own, 1 - momentum))


def layer_normalization(call: Call) -> Results:
    """The statistics, if wanted, are those of the type that `stash_type` names."""
    x = call.value(0)
    axis = normal_axis(call.int_("axis", -1), x.rank)
    epsilon = call.float_("epsilon", 1e-5)
    scale, bias = (_of_shape(call.optional(position), x.shape[axis:]) for position in (1, 2))
    y = ops.layer_norm(x, scale, bias, axis=axis, epsilon=epsilon)
    if not (call.wants(1) or call.wants(2)):
        return y
    wide = ops.cast(x, f32) if call.int_("stash_type", 1) == 1 else x
    axes = tuple(range(axis, x.rank))
    variance = ops.var(wide, axes, keepdims=True)
    return y, ops.mean(wide, axes, keepdims=True), ops.rsqrt(ops.add(variance, epsilon))


def _of_shape(value: Value | None, shape: tuple[Size, ...]) -> Value | None:
    """The operation takes scale and bias of the normalised shape; ONNX lets them broadcast."""
    return None if value is None else ops.broadcast(value, shape)


def rms_normalization(call: Call) -> Results:
    """Divided by the root of the mean square over the axes from `axis` on, times a scale."""
    x, scale = call.value(0), call.value(1)
    axis = normal_axis(call.int_("axis", -1), x.rank)
    return ops.rms_norm(x, scale, axis=axis, epsilon=call.float_("epsilon", 1e-5))


def group_normalization(call: Call) -> Results:
    """Until version 18 scale and bias are per group, since 21 per channel."""
    x, scale, bias = (call.value(position) for position in range(3))
    groups = call.int_("num_groups")
    epsilon = call.float_("epsilon", 1e-5)
    check(groups > 0 and x.rank >= 2, f"{groups} groups", ParseError)
    if call.version < 21:
        each = number(x.shape[1], "the number of channels") // groups
        scale, bias = ops.repeat(scale, each, 0), ops.repeat(bias, each, 0)
    return ops.group_norm(x, groups, scale, bias, epsilon=epsilon)


def instance_normalization(call: Call) -> Results:
    """Normalisation of each channel of each image."""
    x, scale, bias = (call.value(position) for position in range(3))
    return ops.instance_norm(x, scale, bias, epsilon=call.float_("epsilon", 1e-5))


def lrn(call: Call) -> Results:
    """Division by a power of what neighbouring channels hold."""
    return ops.local_response_norm(
        call.value(0),
        call.int_("size"),
        alpha=call.float_("alpha", 1e-4),
        beta=call.float_("beta", 0.75),
        bias=call.float_("bias", 1.0),
    )


def mean_variance_normalization(call: Call) -> Results:
    """Less the mean, divided by the deviation, over axes 0, 2 and 3 unless others are given."""
    x = call.value(0)
    axes = call.ints("axes") or (0, 2, 3)
    centred = ops.subtract(x, ops.mean(x, axes, keepdims=True))
    deviation = ops.sqrt(ops.var(x, axes, keepdims=True))
    # The constant is part of the operator's definition.
    return ops.divide(centred, ops.add(deviation, 1e-9))


def lp_normalization(call: Call) -> Results:
    """Divide by the norm along an axis; where that is zero the result is zero."""
    x, p = call.value(0), call.int_("p", 2)
    axis = normal_axis(call.int_("axis", -1), x.rank)
    check(p in (1, 2), f"the norm with p={p}", UnsupportedError)
    norm = (ops.norm_l1 if p == 1 else ops.norm_l2)(x, axis, keepdims=True)
    return ops.where(ops.equal(norm, 0), 0.0, ops.divide(x, norm))
