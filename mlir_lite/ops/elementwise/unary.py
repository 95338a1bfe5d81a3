"""Mathematical functions of one tensor, element by element, with NumPy's names."""

from __future__ import annotations

import math

import numpy as np

from ...expr import Expr, apply, const
from ...ir import Op, Value, op
from ...types import Array
from ..base.elements import Gradients, Unary, UnaryFunction, unary


@op
class StepFunction(UnaryFunction):
    """A function that is constant between its steps: its gradient is 0 wherever there is one."""

    def gradient(self, y: Value, dy: Value) -> Gradients:
        return (None,)


@op
class Negative(UnaryFunction):
    """`-x`; integers wrap around."""

    function = "neg"
    domain = "fiu"

    def gradient(self, y: Value, dy: Value) -> Gradients:
        return (-dy,)


@op
class Absolute(UnaryFunction):
    """The magnitude; of the least integer: itself."""

    function = "abs"
    domain = "fiu"

    def gradient(self, y: Value, dy: Value) -> Gradients:
        return (dy * sign(self.x),)


@op
class Sign(StepFunction):
    """-1, 0 or 1; NaN of NaN."""

    function = "sign"
    domain = "fiu"


@op
class Round(StepFunction):
    """The nearest integer, halves to even."""

    function = "round"


@op
class Flush(UnaryFunction):
    """`x`; a zero of its sign where it is subnormal: below 2**-126, of f64 below 2**-1022.

    Machines do so when they multiply bf16, and round f32 to bf16 faster so.
    """

    function = "flush"

    def gradient(self, y: Value, dy: Value) -> Gradients:
        return (dy,)


@op
class Floor(StepFunction):
    """The largest integer not above."""

    function = "floor"


@op
class Ceil(StepFunction):
    """The smallest integer not below."""

    function = "ceil"


@op
class Trunc(StepFunction):
    """The integer part."""

    function = "trunc"


@op
class Sqrt(UnaryFunction):
    """The square root; NaN below zero; of -0: -0."""

    function = "sqrt"

    def gradient(self, y: Value, dy: Value) -> Gradients:
        return (dy / (y * 2.0),)


@op
class Rsqrt(Unary):
    """`1 / sqrt(x)`; of ±0: ±inf; NaN below zero."""

    def scalar(self, x: Expr) -> Expr:
        return const(1, x.dtype) / apply("sqrt", x)

    def evaluate(self, x: Array) -> Array:
        return np.asarray(1 / np.sqrt(x))

    def gradient(self, y: Value, dy: Value) -> Gradients:
        return (dy * y * y * y * -0.5,)


@op
class Reciprocal(Unary):
    """`1 / x`; of ±0: ±inf."""

    def scalar(self, x: Expr) -> Expr:
        return const(1, x.dtype) / x

    def evaluate(self, x: Array) -> Array:
        return np.asarray(np.reciprocal(x))

    def gradient(self, y: Value, dy: Value) -> Gradients:
        return (-dy * y * y,)


@op
class Square(Unary):
    """`x * x`; integers wrap around."""

    domain = "fiu"

    def scalar(self, x: Expr) -> Expr:
        return x * x

    def evaluate(self, x: Array) -> Array:
        return np.asarray(np.square(x))

    def gradient(self, y: Value, dy: Value) -> Gradients:
        return (dy * self.x * 2.0,)


@op
class Exp(UnaryFunction):
    """e to the power x; overflows to inf, underflows to 0."""

    function = "exp"

    def gradient(self, y: Value, dy: Value) -> Gradients:
        return (dy * y,)


@op
class Exp2(UnaryFunction):
    """2 to the power x."""

    function = "exp2"

    def gradient(self, y: Value, dy: Value) -> Gradients:
        return (dy * y * math.log(2),)


@op
class Expm1(UnaryFunction):
    """`exp(x) - 1`, accurate near 0."""

    function = "expm1"

    def gradient(self, y: Value, dy: Value) -> Gradients:
        return (dy * (y + 1.0),)


@op
class Log(UnaryFunction):
    """The natural logarithm; of 0: -inf; NaN below zero."""

    function = "log"

    def gradient(self, y: Value, dy: Value) -> Gradients:
        return (dy / self.x,)


@op
class Log1p(UnaryFunction):
    """`log(1 + x)`, accurate near 0."""

    function = "log1p"

    def gradient(self, y: Value, dy: Value) -> Gradients:
        return (dy / (self.x + 1.0),)


@op
class Log2(UnaryFunction):
    """The logarithm to base 2."""

    function = "log2"

    def gradient(self, y: Value, dy: Value) -> Gradients:
        return (dy / (self.x * math.log(2)),)


@op
class Log10(UnaryFunction):
    """The logarithm to base 10."""

    function = "log10"

    def gradient(self, y: Value, dy: Value) -> Gradients:
        return (dy / (self.x * math.log(10)),)


@op
class Erf(UnaryFunction):
    """The error function."""

    function = "erf"

    def gradient(self, y: Value, dy: Value) -> Gradients:
        return (dy * exp(-self.x * self.x) * (2 / math.sqrt(math.pi)),)


negative = unary(Negative)
absolute = unary(Absolute)
sign = unary(Sign)
round = unary(Round)
flush = unary(Flush)
floor = unary(Floor)
ceil = unary(Ceil)
trunc = unary(Trunc)
sqrt = unary(Sqrt)
rsqrt = unary(Rsqrt)
reciprocal = unary(Reciprocal)
square = unary(Square)
exp = unary(Exp)
exp2 = unary(Exp2)
expm1 = unary(Expm1)
log = unary(Log)
log1p = unary(Log1p)
log2 = unary(Log2)
log10 = unary(Log10)
erf = unary(Erf)

OPS: tuple[type[Op], ...] = (
    Negative,
    Absolute,
    Sign,
    Round,
    Flush,
    Floor,
    Ceil,
    Trunc,
    Sqrt,
    Rsqrt,
    Reciprocal,
    Square,
    Exp,
    Exp2,
    Expm1,
    Log,
    Log1p,
    Log2,
    Log10,
    Erf,
)
