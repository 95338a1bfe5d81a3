"""The bases of operations that compute each element by itself, and of their functions.

A scalar function of the table makes an operation in two lines:

    @op
    class Exp(UnaryFunction):
        "e to the power x."
        function = "exp"
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, TypeAlias, TypeVar

import numpy as np

from ...expr import FUNCTIONS, Expr, apply, cast
from ...ir import Element, Op, Operand, Value, current_builder, op
from ...types import Array, TensorType, bool_, dtype_of
from .body import Indices, computing_type
from .promote import as_value, check_alike, check_kind, promote

Gradients: TypeAlias = tuple[Value | None, ...]
F = TypeVar("F", bound=Callable[..., Value])


class Elementwise(Op):
    """An operation on tensors of one shape, element by element.

    `scalar` says what it computes of the elements, `evaluate` the same in NumPy. Half-width
    floats are computed in f32 and rounded once.
    """

    # One parameter per operand.

    def scalar(self, *elements: Any, **_: Any) -> Expr:
        """The result of the operands' elements, as an expression."""
        raise NotImplementedError(f"{self.name} has no scalar meaning")

    def evaluate(self, *arrays: Any, **_: Any) -> Any:
        """The result of whole arrays in NumPy."""
        raise NotImplementedError(f"{self.name} has no reference")

    def infer(self) -> TensorType:
        raise NotImplementedError(f"{self.name} has no type rule")

    def body(self, at: Indices, *operands: Element) -> Expr:
        elements = [x[at] for x in operands]
        wide = [cast(element, computing_type(element.dtype)) for element in elements]
        return cast(self.scalar(*wide), self.infer().dtype)

    def reference(self, *operands: Array) -> Array:
        wide = [x.astype(computing_type(dtype_of(x)).numpy, copy=False) for x in operands]
        with np.errstate(all="ignore"):
            return np.asarray(self.evaluate(*wide)).astype(self.infer().dtype.numpy, copy=False)

    def permuted(self, perm: tuple[int, ...]) -> Op | None:
        return self


@op
class Unary(Elementwise):
    """An elementwise operation on one tensor; the result has its type."""

    x: Value
    domain: ClassVar[str] = "f"  # the kinds of element types it takes, see `DType.kind`

    def infer(self) -> TensorType:
        check_kind(self.x, self.domain)
        return self.x.type


@op
class UnaryFunction(Unary):
    """A scalar function of the table applied to each element."""

    function: ClassVar[str]

    def infer(self) -> TensorType:
        type_ = super().infer()
        return type_.with_dtype(bool_) if FUNCTIONS[self.function].gives_bool else type_

    def scalar(self, x: Expr) -> Expr:
        return apply(self.function, x)

    def evaluate(self, x: Array) -> Array:
        return np.asarray(FUNCTIONS[self.function].evaluate(x))


@op
class Binary(Elementwise):
    """An elementwise operation on two tensors of one type; the result has that type."""

    lhs: Value
    rhs: Value
    domain: ClassVar[str] = "fiu"

    def infer(self) -> TensorType:
        check_alike(self.lhs, self.rhs)
        check_kind(self.lhs, self.domain)
        return self.lhs.type


@op
class BinaryFunction(Binary):
    """A scalar function of the table applied to each pair of elements."""

    function: ClassVar[str]

    def infer(self) -> TensorType:
        type_ = super().infer()
        return type_.with_dtype(bool_) if FUNCTIONS[self.function].gives_bool else type_

    def scalar(self, lhs: Expr, rhs: Expr) -> Expr:
        return apply(self.function, lhs, rhs)

    def evaluate(self, lhs: Array, rhs: Array) -> Array:
        return np.asarray(FUNCTIONS[self.function].evaluate(lhs, rhs))


def emit(operation: Op) -> Value:
    """The one result of an operation emitted into the current Builder."""
    return current_builder().emit(operation)[0]


def emit_all(operation: Op) -> tuple[Value, ...]:
    """All results of an operation emitted into the current Builder."""
    return current_builder().emit(operation)


def unary(cls: Callable[[Value], Op]) -> Callable[[Operand], Value]:
    """The function of a unary operation; it takes arrays and numbers too."""

    def function(x: Operand) -> Value:
        return emit(cls(as_value(x)))

    return _documented(function, cls)


def binary(cls: Callable[[Value, Value], Op]) -> Callable[[Operand, Operand], Value]:
    """The function of a binary operation, with promotion of numbers and broadcasting."""

    def function(lhs: Operand, rhs: Operand) -> Value:
        return emit(cls(*promote(lhs, rhs)))

    return _documented(function, cls)


def _documented(function: F, cls: object) -> F:
    function.__doc__ = cls.__doc__
    function.__name__ = function.__qualname__ = getattr(cls, "name", function.__name__)
    return function
