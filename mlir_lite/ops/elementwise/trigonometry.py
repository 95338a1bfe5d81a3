"""Circular and hyperbolic functions and their inverses, with NumPy's names."""

from __future__ import annotations

from ...ir import Op, Value, op
from ..base.elements import Gradients, UnaryFunction, unary
from .unary import rsqrt


@op
class Sin(UnaryFunction):
    """The sine; NaN of ±inf."""

    function = "sin"

    def gradient(self, y: Value, dy: Value) -> Gradients:
        return (dy * cos(self.x),)


@op
class Cos(UnaryFunction):
    """The cosine; NaN of ±inf."""

    function = "cos"

    def gradient(self, y: Value, dy: Value) -> Gradients:
        return (-dy * sin(self.x),)


@op
class Tan(UnaryFunction):
    """The tangent; NaN of ±inf."""

    function = "tan"

    def gradient(self, y: Value, dy: Value) -> Gradients:
        return (dy * (y * y + 1.0),)


@op
class Arcsin(UnaryFunction):
    """The arc sine; NaN outside [-1, 1]."""

    function = "asin"

    def gradient(self, y: Value, dy: Value) -> Gradients:
        return (dy * rsqrt(1.0 - self.x * self.x),)


@op
class Arccos(UnaryFunction):
    """The arc cosine; NaN outside [-1, 1]."""

    function = "acos"

    def gradient(self, y: Value, dy: Value) -> Gradients:
        return (-dy * rsqrt(1.0 - self.x * self.x),)


@op
class Arctan(UnaryFunction):
    """The arc tangent."""

    function = "atan"

    def gradient(self, y: Value, dy: Value) -> Gradients:
        return (dy / (self.x * self.x + 1.0),)


@op
class Sinh(UnaryFunction):
    """The hyperbolic sine."""

    function = "sinh"

    def gradient(self, y: Value, dy: Value) -> Gradients:
        return (dy * cosh(self.x),)


@op
class Cosh(UnaryFunction):
    """The hyperbolic cosine."""

    function = "cosh"

    def gradient(self, y: Value, dy: Value) -> Gradients:
        return (dy * sinh(self.x),)


@op
class Tanh(UnaryFunction):
    """The hyperbolic tangent; of -0: -0."""

    function = "tanh"

    def gradient(self, y: Value, dy: Value) -> Gradients:
        return (dy * (1.0 - y * y),)


@op
class Arcsinh(UnaryFunction):
    """The inverse hyperbolic sine."""

    function = "asinh"

    def gradient(self, y: Value, dy: Value) -> Gradients:
        return (dy * rsqrt(self.x * self.x + 1.0),)


@op
class Arccosh(UnaryFunction):
    """The inverse hyperbolic cosine; NaN below 1."""

    function = "acosh"

    def gradient(self, y: Value, dy: Value) -> Gradients:
        return (dy * rsqrt(self.x * self.x - 1.0),)


@op
class Arctanh(UnaryFunction):
    """The inverse hyperbolic tangent; of ±1: ±inf."""

    function = "atanh"

    def gradient(self, y: Value, dy: Value) -> Gradients:
        return (dy / (1.0 - self.x * self.x),)


sin = unary(Sin)
cos = unary(Cos)
tan = unary(Tan)
arcsin = unary(Arcsin)
arccos = unary(Arccos)
arctan = unary(Arctan)
sinh = unary(Sinh)
cosh = unary(Cosh)
tanh = unary(Tanh)
arcsinh = unary(Arcsinh)
arccosh = unary(Arccosh)
arctanh = unary(Arctanh)

OPS: tuple[type[Op], ...] = (
    Sin,
    Cos,
    Tan,
    Arcsin,
    Arccos,
    Arctan,
    Sinh,
    Cosh,
    Tanh,
    Arcsinh,
    Arccosh,
    Arctanh,
)
