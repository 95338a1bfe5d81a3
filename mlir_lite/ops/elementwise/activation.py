"""Activation functions of neural networks, element by element."""

from __future__ import annotations

import numpy as np

from ...expr import Expr, apply, const, select
from ...ir import Op, Operand, Value, constructor, op
from ...types import Array
from ..base.elements import Binary, Gradients, Unary, UnaryFunction, binary, unary
from .select import clip, where
from .unary import absolute, negative, square


@op
class Sigmoid(UnaryFunction):
    """`1 / (1 + exp(-x))`, without overflow."""

    function = "sigmoid"

    def gradient(self, y: Value, dy: Value) -> Gradients:
        return (dy * y * (1.0 - y),)


@op
class Relu(Unary):
    """`max(x, 0)`; NaN stays."""

    domain = "fiu"

    def scalar(self, x: Expr) -> Expr:
        return apply("max", x, const(0, x.dtype))

    def evaluate(self, x: Array) -> Array:
        return np.asarray(np.maximum(x, x.dtype.type(0)))

    def gradient(self, y: Value, dy: Value) -> Gradients:
        return (where(y > 0, dy, 0),)


@op
class LeakyRelu(Unary):
    """`x` from 0 on, `alpha * x` below."""

    alpha: float = 0.01

    def scalar(self, x: Expr) -> Expr:
        return select(x >= 0, x, x * self.alpha)

    def evaluate(self, x: Array) -> Array:
        return np.where(x >= 0, x, x * self.alpha)

    def gradient(self, y: Value, dy: Value) -> Gradients:
        return (where(self.x >= 0, dy, dy * self.alpha),)


@op
class Prelu(Binary):
    """`lhs` from 0 on, `lhs * rhs` below."""

    domain = "f"

    def scalar(self, lhs: Expr, rhs: Expr) -> Expr:
        return select(lhs >= 0, lhs, lhs * rhs)

    def evaluate(self, lhs: Array, rhs: Array) -> Array:
        return np.where(lhs >= 0, lhs, lhs * rhs)

    def gradient(self, y: Value, dy: Value) -> Gradients:
        above = self.lhs >= 0
        return where(above, dy, dy * self.rhs), where(above, 0, dy * self.lhs)


@op
class ThresholdedRelu(Unary):
    """`x` above `alpha`, else 0; of NaN: 0, as in ONNX."""

    alpha: float = 1.0

    def scalar(self, x: Expr) -> Expr:
        return select(x > self.alpha, x, const(0, x.dtype))

    def evaluate(self, x: Array) -> Array:
        return np.where(x > self.alpha, x, x.dtype.type(0))

    def gradient(self, y: Value, dy: Value) -> Gradients:
        return (where(self.x > self.alpha, dy, 0),)


@op
class Elu(Unary):
    """`x` above 0, `alpha * (exp(x) - 1)` below (Clevert, Unterthiner, Hochreiter 2016)."""

    alpha: float = 1.0

    def scalar(self, x: Expr) -> Expr:
        return select(x > 0, x, apply("expm1", x) * self.alpha)

    def evaluate(self, x: Array) -> Array:
        return np.where(x > 0, x, np.expm1(x) * self.alpha)

    def gradient(self, y: Value, dy: Value) -> Gradients:
        return (where(self.x > 0, dy, dy * (y + self.alpha)),)


@op
class Selu(Unary):
    """`gamma * elu(x, alpha)`, self-normalising (Klambauer et al. 2017)."""

    alpha: float = 1.6732632423543772
    gamma: float = 1.0507009873554805

    def scalar(self, x: Expr) -> Expr:
        return select(x > 0, x, apply("expm1", x) * self.alpha) * self.gamma

    def evaluate(self, x: Array) -> Array:
        return np.asarray(np.where(x > 0, x, np.expm1(x) * self.alpha) * self.gamma)

    def gradient(self, y: Value, dy: Value) -> Gradients:
        return (where(self.x > 0, dy * self.gamma, dy * (y + self.alpha * self.gamma)),)


@op
class Celu(Unary):
    """`x` above 0, `alpha * (exp(x / alpha) - 1)` below (Barron 2017)."""

    alpha: float = 1.0

    def scalar(self, x: Expr) -> Expr:
        return select(x > 0, x, apply("expm1", x / self.alpha) * self.alpha)

    def evaluate(self, x: Array) -> Array:
        return np.where(x > 0, x, np.expm1(x / self.alpha) * self.alpha)

    def gradient(self, y: Value, dy: Value) -> Gradients:
        return (where(self.x > 0, dy, dy * (y / self.alpha + 1.0)),)


@op
class Softplus(Unary):
    """`log(1 + exp(x))`, without overflow."""

    def scalar(self, x: Expr) -> Expr:
        return softplus_of(x)

    def evaluate(self, x: Array) -> Array:
        return np.asarray(np.logaddexp(x, x.dtype.type(0)))

    def gradient(self, y: Value, dy: Value) -> Gradients:
        return (dy * sigmoid(self.x),)


def softplus_of(x: Expr) -> Expr:
    """`log(1 + exp(x))` as an expression."""
    tail = apply("log1p", apply("exp", -apply("abs", x)))
    return apply("max", x, const(0, x.dtype)) + tail


@op
class Softsign(Unary):
    """`x / (1 + |x|)`; NaN of ±inf."""

    def scalar(self, x: Expr) -> Expr:
        return x / (apply("abs", x) + 1)

    def evaluate(self, x: Array) -> Array:
        return np.asarray(x / (1 + np.abs(x)))

    def gradient(self, y: Value, dy: Value) -> Gradients:
        return (dy / square(absolute(self.x) + 1.0),)


@op
class HardSigmoid(Unary):
    """`clip(alpha * x + beta, 0, 1)`."""

    alpha: float = 1 / 6
    beta: float = 0.5

    def scalar(self, x: Expr) -> Expr:
        return limited(x * self.alpha + self.beta)

    def evaluate(self, x: Array) -> Array:
        return np.asarray(np.clip(x * self.alpha + self.beta, 0, 1))

    def gradient(self, y: Value, dy: Value) -> Gradients:
        return (where((y > 0) & (y < 1), dy * self.alpha, 0),)


def limited(x: Expr) -> Expr:
    """`x` moved into [0, 1]."""
    return apply("min", apply("max", x, const(0, x.dtype)), const(1, x.dtype))


@op
class Shrink(Unary):
    """`x + bias` below `-threshold`, `x - bias` above `threshold`, 0 between.

    Of NaN: 0, as in ONNX.
    """

    threshold: float = 0.5
    bias: float = 0.0

    def scalar(self, x: Expr) -> Expr:
        above = select(x > self.threshold, x - self.bias, const(0, x.dtype))
        return select(x < -self.threshold, x + self.bias, above)

    def evaluate(self, x: Array) -> Array:
        above = np.where(x > self.threshold, x - self.bias, x.dtype.type(0))
        return np.where(x < -self.threshold, x + self.bias, above)

    def gradient(self, y: Value, dy: Value) -> Gradients:
        return (where(absolute(self.x) > self.threshold, dy, 0),)


sigmoid = unary(Sigmoid)
relu = unary(Relu)
leaky_relu = constructor(LeakyRelu)
prelu = binary(Prelu)
thresholded_relu = constructor(ThresholdedRelu)
elu = constructor(Elu)
selu = constructor(Selu)
celu = constructor(Celu)
softplus = unary(Softplus)
softsign = unary(Softsign)
hard_sigmoid = constructor(HardSigmoid)
shrink = constructor(Shrink)


def relu6(x: Operand) -> Value:
    """`x` moved into [0, 6]."""
    return clip(x, 0, 6)


def hardtanh(x: Operand, minimum: float = -1.0, maximum: float = 1.0) -> Value:
    """`x` moved into [minimum, maximum]."""
    return clip(x, minimum, maximum)


def log_sigmoid(x: Operand) -> Value:
    """`log(sigmoid(x))`, finite where sigmoid is 0."""
    return negative(softplus(negative(x)))


OPS: tuple[type[Op], ...] = (
    Sigmoid,
    Relu,
    LeakyRelu,
    Prelu,
    ThresholdedRelu,
    Elu,
    Selu,
    Celu,
    Softplus,
    Softsign,
    HardSigmoid,
    Shrink,
)
