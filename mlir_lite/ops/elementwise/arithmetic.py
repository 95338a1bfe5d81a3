"""Arithmetic on two tensors, element by element. Integers wrap around."""

from __future__ import annotations

from ...errors import check
from ...ir import Op, Value, op
from ...types import TensorType
from ..base.elements import BinaryFunction, Gradients, binary
from .select import where
from .unary import floor, log, trunc


@op
class Add(BinaryFunction):
    """The sum; of bools: or."""

    function = "add"
    domain = "fiub"

    def gradient(self, y: Value, dy: Value) -> Gradients:
        return dy, dy


@op
class Subtract(BinaryFunction):
    """The difference."""

    function = "sub"

    def gradient(self, y: Value, dy: Value) -> Gradients:
        return dy, -dy


@op
class Multiply(BinaryFunction):
    """The product, element by element; of bools: and."""

    function = "mul"
    domain = "fiub"

    def gradient(self, y: Value, dy: Value) -> Gradients:
        return dy * self.rhs, dy * self.lhs


@op
class Divide(BinaryFunction):
    """The quotient of floats; x/0 is ±inf, 0/0 is NaN."""

    function = "div"
    domain = "f"

    def infer(self) -> TensorType:
        check(
            not self.lhs.dtype.is_integer,
            f"the quotient of {self.lhs.dtype} is not one; "
            "use // to round down, or x.astype(ml.f32) before",
        )
        return super().infer()

    def gradient(self, y: Value, dy: Value) -> Gradients:
        return dy / self.rhs, -dy * y / self.rhs


@op
class FloorDivide(BinaryFunction):
    """The quotient rounded down; of integers by zero: 0."""

    function = "floordiv"

    def gradient(self, y: Value, dy: Value) -> Gradients:
        return None, None


@op
class Mod(BinaryFunction):
    """The remainder with the divisor's sign; of integers by zero: 0."""

    function = "mod"

    def gradient(self, y: Value, dy: Value) -> Gradients:
        return dy, -dy * floor(self.lhs / self.rhs)


@op
class TruncatedDivide(BinaryFunction):
    """The integer quotient rounded towards zero; by zero: 0."""

    function = "truncdiv"
    domain = "iu"


@op
class TruncatedMod(BinaryFunction):
    """The remainder with the dividend's sign (C's fmod); of integers by zero: 0."""

    function = "truncmod"

    def gradient(self, y: Value, dy: Value) -> Gradients:
        return dy, -dy * trunc(self.lhs / self.rhs)


@op
class Power(BinaryFunction):
    """`lhs` to the power `rhs`, as in IEEE 754; an integer to a negative power: 0."""

    function = "pow"

    def gradient(self, y: Value, dy: Value) -> Gradients:
        # At base 0 the logarithm is infinite, while the power does not change with the exponent.
        logarithm = log(where(self.lhs > 0, self.lhs, 1))
        return dy * self.rhs * power(self.lhs, self.rhs - 1), dy * y * logarithm


@op
class Minimum(BinaryFunction):
    """The smaller of two; NaN where either is."""

    function = "min"

    def gradient(self, y: Value, dy: Value) -> Gradients:
        first = self.lhs <= self.rhs
        return where(first, dy, 0), where(first, 0, dy)


@op
class Maximum(BinaryFunction):
    """The larger of two; NaN where either is."""

    function = "max"

    def gradient(self, y: Value, dy: Value) -> Gradients:
        first = self.lhs >= self.rhs
        return where(first, dy, 0), where(first, 0, dy)


@op
class Arctan2(BinaryFunction):
    """The angle of the point (rhs, lhs), in (-pi, pi]."""

    function = "atan2"
    domain = "f"

    def gradient(self, y: Value, dy: Value) -> Gradients:
        squared = self.lhs * self.lhs + self.rhs * self.rhs
        return dy * self.rhs / squared, -dy * self.lhs / squared


add = binary(Add)
subtract = binary(Subtract)
multiply = binary(Multiply)
divide = binary(Divide)
floor_divide = binary(FloorDivide)
mod = binary(Mod)
truncated_divide = binary(TruncatedDivide)
truncated_mod = binary(TruncatedMod)
power = binary(Power)
minimum = binary(Minimum)
maximum = binary(Maximum)
arctan2 = binary(Arctan2)

OPS: tuple[type[Op], ...] = (
    Add,
    Subtract,
    Multiply,
    Divide,
    FloorDivide,
    Mod,
    TruncatedDivide,
    TruncatedMod,
    Power,
    Minimum,
    Maximum,
    Arctan2,
)
