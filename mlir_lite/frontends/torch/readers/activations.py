"""Activations of networks."""

from __future__ import annotations

from collections.abc import Mapping

from .... import ops
from ....errors import UnsupportedError, check
from ....ir import Value
from ..promote import together
from .typed import Reader, Typed


def elu(x: Value, alpha: float = 1, scale: float = 1, input_scale: float = 1) -> Value:
    """`scale * x` above 0, `scale * alpha * (exp(input_scale * x) - 1)` below."""
    if scale == input_scale == 1:
        return ops.elu(x, float(alpha))
    scaled = x if input_scale == 1 else together(ops.multiply, x, input_scale)
    below = together(ops.multiply, ops.expm1(scaled), alpha)
    return together(ops.multiply, ops.where(x > 0, x, below), scale)


def gelu(x: Value, *, approximate: str = "none") -> Value:
    """`x * Φ(x)`, exact or by a tanh."""
    return ops.gelu(x, approximate)


def softplus(x: Value, beta: float = 1, threshold: float = 20) -> Value:
    """`log(1 + exp(beta * x)) / beta`, above the threshold `x`."""
    scaled = x if beta == 1 else together(ops.multiply, x, beta)
    smooth = ops.softplus(scaled)
    smooth = smooth if beta == 1 else together(ops.divide, smooth, beta)
    return ops.where(scaled > float(threshold), x, smooth)


def threshold(x: Value, limit: float, value: float) -> Value:
    """`x` above the limit, elsewhere the value; NaN stays."""
    return ops.where(x <= limit, value, x)


def prelu(x: Value, weight: Value) -> Value:
    """`x` from 0 on, `weight * x` below; a weight for each channel, the second axis."""
    if weight.rank == 1 and x.rank > 1:
        weight = ops.reshape(weight, (weight.shape[0], *(1,) * (x.rank - 2)))
    return ops.prelu(x, weight)


def rrelu(
    x: Value, _noise: Value, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False,
    _generator: object = None,
) -> tuple[Value, ...]:
    """Outside of training the mean of the slopes that training draws."""
    check(not training, "it draws random numbers; call model.eval() first", UnsupportedError)
    return (ops.leaky_relu(x, (lower + upper) / 2),)


READERS: Mapping[str, Reader | Typed] = {
    "aten.celu": lambda x, alpha=1.0: ops.celu(x, float(alpha)),
    "aten.elu": elu,
    "aten.gelu": gelu,
    "aten.hardsigmoid": lambda x: ops.hard_sigmoid(x),
    "aten.hardswish": ops.hard_swish,
    "aten.hardtanh": lambda x, low=-1, high=1: ops.clip(x, low, high),
    "aten.leaky_relu": lambda x, slope=0.01: ops.leaky_relu(x, float(slope)),
    "aten.log_sigmoid": ops.log_sigmoid,
    "aten.mish": ops.mish,
    "aten.prelu": prelu,
    "aten.relu": ops.relu,
    "aten.relu6": ops.relu6,
    "aten.rrelu_with_noise_functional": rrelu,
    "aten.selu": lambda x: ops.selu(x),
    "aten.sigmoid": lambda x: ops.sigmoid(x),
    "aten.silu": ops.silu,
    "aten.softplus": softplus,
    "aten.threshold": threshold,
}
