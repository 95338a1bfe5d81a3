"""Activations, dropout, flattening: layers without parameters, PReLU apart."""

from __future__ import annotations

from collections.abc import Mapping

from ...errors import check
from ...ir import Value
from ...ops import (
    dropout,
    elu,
    flatten,
    gelu,
    hard_sigmoid,
    hard_swish,
    leaky_relu,
    log_softmax,
    mish,
    prelu,
    relu,
    relu6,
    reshape,
    selu,
    sigmoid,
    silu,
    softmax,
    softplus,
    tanh,
)
from ...types import DType, f32
from .initialisers import filled
from .module import Module, Parameter


class Identity(Module):
    """`x` as it is: in the place of a layer that is left out."""

    def forward(self, x: Value) -> Value:
        return x


class ReLU(Module):
    """`max(x, 0)`."""

    def forward(self, x: Value) -> Value:
        return relu(x)


class ReLU6(Module):
    """`min(max(x, 0), 6)`."""

    def forward(self, x: Value) -> Value:
        return relu6(x)


class LeakyReLU(Module):
    """`x`, where it is below 0 times `negative_slope`."""

    negative_slope: float = 0.01

    def forward(self, x: Value) -> Value:
        return leaky_relu(x, self.negative_slope)


class PReLU(Module):
    """As LeakyReLU with a slope that is learnt, `weight`: one, or one for each channel, axis 1."""

    num_parameters: int = 1
    init_slope: float = 0.25
    dtype: DType = f32

    def own_parameters(self) -> Mapping[str, Parameter]:
        return {"weight": Parameter(self.dtype[self.num_parameters], filled(self.init_slope))}

    def forward(self, x: Value) -> Value:
        slope = self.own("weight")
        if self.num_parameters > 1:
            fits = x.rank > 1 and x.shape[1] == self.num_parameters
            check(fits, f"PReLU of {self.num_parameters} channels takes these, got {x.type}")
            slope = reshape(slope, (self.num_parameters, *(1,) * (x.rank - 2)))
        return prelu(x, slope)


class ELU(Module):
    """`x`, below 0 `alpha * (exp(x) - 1)`."""

    alpha: float = 1.0

    def forward(self, x: Value) -> Value:
        return elu(x, self.alpha)


class SELU(Module):
    """ELU scaled so that mean and variance stay (Klambauer et al., 2017)."""

    def forward(self, x: Value) -> Value:
        return selu(x)


class Softplus(Module):
    """`log(1 + exp(x))`."""

    def forward(self, x: Value) -> Value:
        return softplus(x)


class Mish(Module):
    """`x * tanh(softplus(x))`."""

    def forward(self, x: Value) -> Value:
        return mish(x)


class Hardswish(Module):
    """`x * hard_sigmoid(x)`, of slope 1/6."""

    def forward(self, x: Value) -> Value:
        return hard_swish(x)


class Hardsigmoid(Module):
    """`x / 6 + 1/2` within 0 and 1."""

    def forward(self, x: Value) -> Value:
        return hard_sigmoid(x, 1 / 6)


class GELU(Module):
    """`x * Φ(x)`; `approximate` is "none" or "tanh"."""

    approximate: str = "none"

    def forward(self, x: Value) -> Value:
        return gelu(x, approximate=self.approximate)


class SiLU(Module):
    """`x * sigmoid(x)`."""

    def forward(self, x: Value) -> Value:
        return silu(x)


class Sigmoid(Module):
    """`1 / (1 + exp(-x))`."""

    def forward(self, x: Value) -> Value:
        return sigmoid(x)


class Tanh(Module):
    """The hyperbolic tangent."""

    def forward(self, x: Value) -> Value:
        return tanh(x)


class Softmax(Module):
    """`exp(x) / sum(exp(x))` along an axis."""

    axis: int = -1

    def forward(self, x: Value) -> Value:
        return softmax(x, axis=self.axis)


class LogSoftmax(Module):
    """The logarithm of the softmax along an axis."""

    axis: int = -1

    def forward(self, x: Value) -> Value:
        return log_softmax(x, axis=self.axis)


class Dropout(Module):
    """Sets elements to 0 with probability `p` in training and scales the others, so that the mean
    stays (Srivastava et al., 2014); the identity in inference."""

    p: float = 0.5

    def forward(self, x: Value) -> Value:
        if not self.training or self.p == 0:
            return x
        seed, stream = self.draw()
        return dropout(x, self.p, seed, stream=stream)


class Flatten(Module):
    """The axes from `start` on made one."""

    start: int = 1

    def forward(self, x: Value) -> Value:
        return flatten(x, self.start)
