"""Activation functions that multiply `x` by a gate between 0 and 1, which depends on it."""

from __future__ import annotations

import math

import numpy as np

from ...errors import check
from ...expr import FUNCTIONS, Expr, apply
from ...ir import Op, Value, constructor, op
from ...types import Array, TensorType
from ..base.elements import Gradients, Unary, unary
from .activation import limited, sigmoid, softplus, softplus_of
from .select import where
from .trigonometry import tanh
from .unary import erf, exp, square


@op
class Silu(Unary):
    """`x * sigmoid(x)`, also called swish; NaN of -inf."""

    def scalar(self, x: Expr) -> Expr:
        return x * apply("sigmoid", x)

    def evaluate(self, x: Array) -> Array:
        return np.asarray(x / (1 + np.exp(-x)))

    def gradient(self, y: Value, dy: Value) -> Gradients:
        gate = sigmoid(self.x)
        return (dy * (gate + y * (1.0 - gate)),)


@op
class QuickGelu(Unary):
    """`x * sigmoid(alpha * x)`, a fast stand-in for gelu; NaN of -inf."""

    alpha: float = 1.702

    def scalar(self, x: Expr) -> Expr:
        return x * apply("sigmoid", x * self.alpha)

    def evaluate(self, x: Array) -> Array:
        return np.asarray(x / (1 + np.exp(-x * self.alpha)))

    def gradient(self, y: Value, dy: Value) -> Gradients:
        gate = sigmoid(self.x * self.alpha)
        return (dy * (gate + y * self.alpha * (1.0 - gate)),)


TANH_SCALE = math.sqrt(2 / math.pi)
TANH_CUBIC = 0.044715


@op
class Gelu(Unary):
    """`x * Φ(x)`, Φ the normal distribution (Hendrycks, Gimpel 2016).

    `approximate` is "none" (0 of -inf) or "tanh" (the paper's formula, NaN of -inf).
    """

    approximate: str = "none"

    def infer(self) -> TensorType:
        known = self.approximate in ("none", "tanh")
        check(known, f"approximate is 'none' or 'tanh', not '{self.approximate}'")
        return super().infer()

    def scalar(self, x: Expr) -> Expr:
        if self.approximate == "none":
            return apply("gelu", x)
        # 0.5 * (tanh(v) + 1) = sigmoid(2 v), which is quicker and does not cancel.
        return x * apply("sigmoid", (x + x * x * x * TANH_CUBIC) * (2 * TANH_SCALE))

    def evaluate(self, x: Array) -> Array:
        if self.approximate == "none":
            return np.asarray(FUNCTIONS["gelu"].evaluate(x))
        return np.asarray(0.5 * x * (1 + np.tanh(TANH_SCALE * (x + TANH_CUBIC * x**3))))

    def gradient(self, y: Value, dy: Value) -> Gradients:
        x = self.x
        if self.approximate == "none":
            density = exp(square(x) * -0.5) * (1 / math.sqrt(2 * math.pi))
            return (dy * (erf(x * math.sqrt(0.5)) * 0.5 + 0.5 + x * density),)
        bent = tanh((x + x * square(x) * TANH_CUBIC) * TANH_SCALE)
        slope = (square(x) * (3 * TANH_CUBIC) + 1.0) * TANH_SCALE
        return (dy * 0.5 * (bent + 1.0 + x * (1.0 - square(bent)) * slope),)


@op
class Mish(Unary):
    """`x * tanh(softplus(x))` (Misra 2020); NaN of -inf."""

    def scalar(self, x: Expr) -> Expr:
        return x * apply("tanh", softplus_of(x))

    def evaluate(self, x: Array) -> Array:
        return np.asarray(x * np.tanh(np.logaddexp(x, x.dtype.type(0))))

    def gradient(self, y: Value, dy: Value) -> Gradients:
        slope = tanh(softplus(self.x))
        return (dy * (slope + self.x * sigmoid(self.x) * (1.0 - square(slope))),)


@op
class HardSwish(Unary):
    """`x * clip(x / 6 + 1/2, 0, 1)` (Howard et al. 2019); NaN of -inf."""

    def scalar(self, x: Expr) -> Expr:
        return x * limited(x / 6 + 0.5)

    def evaluate(self, x: Array) -> Array:
        return np.asarray(x * np.clip(x / 6 + 0.5, 0, 1))

    def gradient(self, y: Value, dy: Value) -> Gradients:
        slope = where(self.x > 3, 1.0, self.x / 3.0 + 0.5)
        return (where(self.x < -3, 0, dy * slope),)


silu = unary(Silu)
quick_gelu = constructor(QuickGelu)
gelu = constructor(Gelu)
mish = unary(Mish)
hard_swish = unary(HardSwish)

OPS: tuple[type[Op], ...] = (Silu, QuickGelu, Gelu, Mish, HardSwish)
