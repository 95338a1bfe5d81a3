"""From what a user writes to operands that fit: numbers, arrays, broadcasting.

A number takes the element type of the arrays it meets; arrays are never converted.
"""

from __future__ import annotations

import numpy as np

from ...errors import TypeRuleError, check
from ...ir import Operand, Value, current_builder, is_scalar
from ...sizes import Dim
from ...types import DType, bool_, dtype_of, f32, i8, i32, i64, u8
from .broadcast import broadcast, common_shape, shape_text
from .constant import scalar_constant
from .extent import extent


def as_value(operand: Operand, dtype: DType | None = None) -> Value:
    """The value of a number or a size (of type `dtype`; else bool, i64 or f32) or of an array."""
    if isinstance(operand, Value):
        return operand
    if isinstance(operand, np.ndarray):
        builder = current_builder()
        return builder.table.lift(builder.captured(operand))
    if isinstance(operand, Dim):
        return extent(operand, dtype or i64)
    if is_scalar(operand):
        return scalar_constant(operand, dtype or _own_type(operand))
    advice = "; write .to_dense()" if hasattr(operand, "to_dense") else ""
    raise TypeRuleError(f"expected a tensor, an array or a number, got {operand!r}{advice}")


def like(operand: Operand, x: Value) -> Value:
    """The operand as a value; a number takes the element type of `x`."""
    return as_value(operand, x.dtype)


def as_values(*operands: Operand) -> tuple[Value, ...]:
    """The operands as values; numbers take the element type of the first tensor or array."""
    found = next((operand for operand in operands if not _is_number(operand)), None)
    if isinstance(found, Value):
        dtype = found.dtype
    elif isinstance(found, np.ndarray):
        dtype = dtype_of(found)
    else:
        own = [_own_type(operand) for operand in operands if _is_number(operand)]
        dtype = next((kind for kind in (f32, i64) if kind in own), bool_)
    return tuple(as_value(operand, dtype) for operand in operands)


def broadcast_together(*values: Value) -> tuple[Value, ...]:
    """The values brought to their common shape.

    Values without one stay as they are: the operation's type rule then says so, with the user's
    line.
    """
    shape = common_shape(*(value.shape for value in values))
    if shape is None:
        return values
    return tuple(broadcast(value, shape) for value in values)


def promote(*operands: Operand) -> tuple[Value, ...]:
    """Values of one shape: numbers typed after the arrays, then NumPy's broadcasting."""
    return broadcast_together(*as_values(*operands))


def check_alike(*values: Value) -> None:
    """The type rule of operands that must agree in shape and element type."""
    check_same_dtype(*values)
    shapes = [value.shape for value in values]
    if all(shape == shapes[0] for shape in shapes):
        return
    text = " and ".join(map(shape_text, shapes))
    check(False, f"the shapes {text} do not broadcast")


def check_same_dtype(*values: Value) -> None:
    """The type rule of operands that must agree in element type."""
    if all(value.dtype == values[0].dtype for value in values):
        return
    types = list(dict.fromkeys(value.dtype for value in values))
    text = " and ".join(map(str, types))
    widest = max(types, key=lambda dtype: ("buif".index(dtype.kind), dtype.bits))
    check(
        False,
        f"the element types {text} differ, and none is converted silently; "
        f"write x.astype(ml.{widest})",
    )


def product_type(lhs: Value, rhs: Value) -> DType:
    """What products of two operands are summed in and give: i32 of u8 by i8, which is what
    quantised models multiply and machines have instructions for; else the type both have."""
    if (lhs.dtype, rhs.dtype) == (u8, i8):
        return i32
    check_same_dtype(lhs, rhs)
    return lhs.dtype


_KINDS = {"f": "floats", "i": "integers", "u": "unsigned integers", "b": "bools"}


def check_kind(value: Value, kinds: str) -> None:
    """The type rule of an operand whose element type must be of one of the `DType.kind`s."""
    if value.dtype.kind in kinds:
        return
    wanted = " or ".join(_KINDS[kind] for kind in kinds if kind != "u")
    advice = {"f": "f32", "i": "i64", "b": "bool_"}[kinds[0]]
    check(False, f"takes {wanted}, not {value.dtype}; write x.astype(ml.{advice})")


def _is_number(operand: Operand) -> bool:
    """Whether it takes the element type of the arrays it meets."""
    return is_scalar(operand) or isinstance(operand, Dim)


def _own_type(number: object) -> DType:
    """The element type of a number that meets no array."""
    if isinstance(number, (bool, np.bool_)):
        return bool_
    return i64 if isinstance(number, (int, np.integer, Dim)) else f32
