"""Layers without parameters: activations, dropout, flattening."""

from __future__ import annotations

from ...ir import Value
from ...ops import dropout, flatten, gelu, relu, sigmoid, silu, softmax, tanh
from .module import Module


class ReLU(Module):
    """`max(x, 0)`."""

    def forward(self, x: Value) -> Value:
        return relu(x)


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
