"""Conversion between element types: the only way from one to another."""

from __future__ import annotations

from ...expr import Expr, cast_array
from ...expr import cast as cast_expr
from ...ir import Element, Op, Operand, Value, op
from ...types import Array, DType, TensorType
from .body import Indices
from .elements import Gradients, emit
from .promote import as_value


@op
class Cast(Op):
    """Convert each element: float to integer truncates, saturates and sends NaN to 0.

    To bool is `x != 0`; wider to narrower integers wrap around.
    """

    x: Value
    dtype: DType

    def infer(self) -> TensorType:
        return self.x.type.with_dtype(self.dtype)

    def reference(self, x: Array) -> Array:
        return cast_array(x, self.dtype)

    def body(self, at: Indices, x: Element) -> Expr:
        return cast_expr(x[at], self.dtype)

    def gradient(self, y: Value, dy: Value) -> Gradients:
        differentiable = self.x.dtype.is_float and self.dtype.is_float
        return (cast(dy, self.x.dtype) if differentiable else None,)

    def permuted(self, perm: tuple[int, ...]) -> Op | None:
        return self


def cast(x: Operand, dtype: DType) -> Value:
    """`x` converted to another element type; `x` itself where it has that type."""
    value = as_value(x)
    return value if value.dtype == dtype else emit(Cast(value, dtype))


OPS: tuple[type[Op], ...] = (Cast,)
