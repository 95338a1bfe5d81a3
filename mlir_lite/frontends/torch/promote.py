"""PyTorch's promotion of element types, written out: the program has the casts.

Of tensors with axes, tensors without and Python's numbers, the later ones change the type of the
earlier only by being of a higher kind (bool < integer < float), as `torch.result_type` has it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TypeAlias

import torch

from ... import ops
from ...exporters.torch.arrays import TORCH_TYPES
from ...ir import Value
from ...ops.base.promote import as_value, broadcast_together
from ...sizes import Dim
from ...types import DType, bool_, f32, i64
from .shapes import element_type


@dataclass(frozen=True, eq=False)
class Ratio:
    """A float that torch makes of sizes, in f64: a number, which widens no tensor."""

    value: Value


Number: TypeAlias = bool | int | float | Dim | Ratio
Operand: TypeAlias = Value | Number

_KINDS = "buif"  # of a `DType`, unsigned integers beside the others


def default_float() -> DType:
    """What integers become where only floats will do."""
    return element_type(torch.get_default_dtype())


def floating(x: Value) -> Value:
    """The operand as floats."""
    return x if x.dtype.is_float else ops.cast(x, default_float())


def summed(x: Value, dtype: DType | None) -> Value:
    """The operand of a sum or a product: in the type asked for, integers and bools as i64."""
    own = x.dtype if x.dtype.is_float else i64
    return ops.cast(x, dtype or own)


def result_type(*operands: Operand) -> DType:
    """The type in which torch computes with these operands."""
    tensors = [operand for operand in operands if isinstance(operand, Value)]
    groups = (
        [value.dtype for value in tensors if value.rank > 0],
        [value.dtype for value in tensors if value.rank == 0],
        [_number_type(operand) for operand in operands if not isinstance(operand, Value)],
    )
    found = [reduce(_wider, group) for group in groups if group]
    return reduce(lambda first, second: first if _kind(second) <= _kind(first) else second, found)


def _number_type(number: Number) -> DType:
    if isinstance(number, bool):
        return bool_
    return default_float() if isinstance(number, (float, Ratio)) else i64


def _kind(dtype: DType) -> int:
    return {"b": 0, "u": 1, "i": 1, "f": 2}[dtype.kind]


def _wider(first: DType, second: DType) -> DType:
    return element_type(torch.promote_types(TORCH_TYPES[first], TORCH_TYPES[second]))


def converted(operand: Operand, dtype: DType) -> Value:
    """The operand as a tensor of this type."""
    operand = operand.value if isinstance(operand, Ratio) else operand
    return ops.cast(operand, dtype) if isinstance(operand, Value) else as_value(operand, dtype)


def promoted(*operands: Operand) -> tuple[Value, ...]:
    """The operands in the type that torch computes in, and of one shape."""
    dtype = result_type(*operands)
    return broadcast_together(*(converted(operand, dtype) for operand in operands))


def together(function: Callable[..., Value], *operands: Operand) -> Value:
    """What a function of operands of one type gives of promoted ones.

    A number beside half-width floats is not rounded to them: the function is computed in f32.
    """
    dtype = result_type(*operands)
    exact = all(isinstance(operand, (Value, int)) for operand in operands)
    if exact or not dtype.is_float or dtype.bits > 16:
        return function(*promoted(*operands))
    wide = [converted(operand, f32) for operand in operands]
    result = function(*broadcast_together(*wide))
    return ops.cast(result, dtype) if result.dtype == f32 else result


def joined(values: Sequence[Value]) -> list[Value]:
    """Tensors in one type, their shapes as they are."""
    dtype = result_type(*values)
    return [ops.cast(value, dtype) for value in values]
