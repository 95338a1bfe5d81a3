"""Comparisons and logic, element by element."""

from __future__ import annotations

import numpy as np

from ...expr import Expr, apply, const
from ...ir import Op, op
from ...types import Array, TensorType, bool_
from ..base.elements import BinaryFunction, Unary, UnaryFunction, binary, unary


@op
class Equal(BinaryFunction):
    """`lhs == rhs`; false with NaN."""

    function = "eq"
    domain = "fiub"


@op
class NotEqual(BinaryFunction):
    """`lhs != rhs`; true with NaN."""

    function = "ne"
    domain = "fiub"


@op
class Less(BinaryFunction):
    """`lhs < rhs`; false with NaN."""

    function = "lt"


@op
class LessEqual(BinaryFunction):
    """`lhs <= rhs`; false with NaN."""

    function = "le"


@op
class Greater(BinaryFunction):
    """`lhs > rhs`; false with NaN."""

    function = "gt"


@op
class GreaterEqual(BinaryFunction):
    """`lhs >= rhs`; false with NaN."""

    function = "ge"


@op
class Isnan(UnaryFunction):
    """Whether an element is NaN."""

    function = "isnan"


@op
class Isinf(UnaryFunction):
    """Whether an element is infinite."""

    function = "isinf"


@op
class Isfinite(Unary):
    """Whether an element is neither infinite nor NaN."""

    def infer(self) -> TensorType:
        return super().infer().with_dtype(bool_)

    def scalar(self, x: Expr) -> Expr:
        return apply("lt", apply("abs", x), const(np.inf, x.dtype))

    def evaluate(self, x: Array) -> Array:
        return np.asarray(np.isfinite(x))


@op
class LogicalNot(UnaryFunction):
    """True where `x` is false."""

    function = "not"
    domain = "b"


@op
class LogicalAnd(BinaryFunction):
    """True where both are."""

    function = "and"
    domain = "b"


@op
class LogicalOr(BinaryFunction):
    """True where either is."""

    function = "or"
    domain = "b"


@op
class LogicalXor(BinaryFunction):
    """True where exactly one is."""

    function = "xor"
    domain = "b"


@op
class BitwiseNot(UnaryFunction):
    """Every bit inverted; of a bool its negation."""

    function = "not"
    domain = "iub"


@op
class BitwiseAnd(BinaryFunction):
    """And, bit by bit."""

    function = "and"
    domain = "iub"


@op
class BitwiseOr(BinaryFunction):
    """Or, bit by bit."""

    function = "or"
    domain = "iub"


@op
class BitwiseXor(BinaryFunction):
    """Exclusive or, bit by bit."""

    function = "xor"
    domain = "iub"


@op
class LeftShift(BinaryFunction):
    """`lhs` times 2 to the power `rhs`; the amount is at least 0 and below the width."""

    function = "shl"
    domain = "iu"


@op
class RightShift(BinaryFunction):
    """Bits moved down, signed integers keep the sign; the amount is below the width."""

    function = "shr"
    domain = "iu"


equal = binary(Equal)
not_equal = binary(NotEqual)
less = binary(Less)
less_equal = binary(LessEqual)
greater = binary(Greater)
greater_equal = binary(GreaterEqual)
isnan = unary(Isnan)
isinf = unary(Isinf)
isfinite = unary(Isfinite)
logical_not = unary(LogicalNot)
logical_and = binary(LogicalAnd)
logical_or = binary(LogicalOr)
logical_xor = binary(LogicalXor)
bitwise_not = unary(BitwiseNot)
bitwise_and = binary(BitwiseAnd)
bitwise_or = binary(BitwiseOr)
bitwise_xor = binary(BitwiseXor)
left_shift = binary(LeftShift)
right_shift = binary(RightShift)

OPS: tuple[type[Op], ...] = (
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Isnan,
    Isinf,
    Isfinite,
    LogicalNot,
    LogicalAnd,
    LogicalOr,
    LogicalXor,
    BitwiseNot,
    BitwiseAnd,
    BitwiseOr,
    BitwiseXor,
    LeftShift,
    RightShift,
)
