"""Choices, element by element: `where` and `clip`."""

from __future__ import annotations

import numpy as np

from ...errors import check
from ...expr import Expr, apply, const, select
from ...ir import Op, Operand, Scalar, Value, op
from ...types import Array, TensorType
from ..base.broadcast import shape_text
from ..base.constant import fitting
from ..base.elements import Elementwise, Gradients, Unary, emit
from ..base.promote import as_value, as_values, broadcast_together, check_alike, check_kind
from .compare import equal


@op
class Where(Elementwise):
    """`then` where the condition is true, else `otherwise`."""

    condition: Value
    then: Value
    otherwise: Value

    def infer(self) -> TensorType:
        check_kind(self.condition, "b")
        check_alike(self.then, self.otherwise)
        shapes = f"the shapes {shape_text(self.condition.shape)} and {shape_text(self.then.shape)}"
        check(self.condition.shape == self.then.shape, f"{shapes} do not broadcast")
        return self.then.type

    def scalar(self, condition: Expr, then: Expr, otherwise: Expr) -> Expr:
        return select(condition, then, otherwise)

    def evaluate(self, condition: Array, then: Array, otherwise: Array) -> Array:
        return np.where(condition, then, otherwise)

    def gradient(self, y: Value, dy: Value) -> Gradients:
        return None, where(self.condition, dy, 0), where(self.condition, 0, dy)


@op
class Clip(Unary):
    """`x` moved into [minimum, maximum], where a limit is given; NaN stays.

    Where the limits cross, the result is `maximum`, as in NumPy.
    """

    minimum: int | float | None = None
    maximum: int | float | None = None
    domain = "fiu"

    def scalar(self, x: Expr) -> Expr:
        if self.minimum is not None:
            x = apply("max", x, const(self.minimum, x.dtype))
        if self.maximum is not None:
            x = apply("min", x, const(self.maximum, x.dtype))
        return x

    def evaluate(self, x: Array) -> Array:
        if self.minimum is None and self.maximum is None:
            return x
        return np.asarray(np.clip(x, self.minimum, self.maximum))

    def gradient(self, y: Value, dy: Value) -> Gradients:
        return (where(equal(self.x, y), dy, 0),)


def where(condition: Operand, then: Operand, otherwise: Operand) -> Value:
    """`then` where the condition is true, else `otherwise`, with broadcasting."""
    values = broadcast_together(as_value(condition), *as_values(then, otherwise))
    return emit(Where(*values))


def clip(x: Operand, minimum: Scalar | None = None, maximum: Scalar | None = None) -> Value:
    """`x` moved into [minimum, maximum]; a limit of None does not limit."""
    value = as_value(x)
    low = None if minimum is None else fitting(minimum, value.dtype)
    high = None if maximum is None else fitting(maximum, value.dtype)
    return emit(Clip(value, low, high))


OPS: tuple[type[Op], ...] = (Where, Clip)
