"""Operators that give a tensor as it is, or in another element type."""

from __future__ import annotations

from collections.abc import Mapping

from .... import ops
from ....ir import Value
from ....types import DType, TensorType
from ..promote import Operand, converted
from .typed import Reader, Typed


def convert(x: Value, dtype: DType | None = None, *_: object, **named: object) -> Value:
    """The elements in another type; where memory holds them is not said here."""
    asked = named.get("dtype", dtype)
    return ops.cast(x, asked) if isinstance(asked, DType) else x


def same(x: Value, *_: object, **__: object) -> Value:
    """The operand itself."""
    return x


def copy(wanted: TensorType, _x: Value, source: Value, _non_blocking: bool = False) -> Value:
    """The source in the place of the operand, in its type and shape."""
    return ops.broadcast(ops.cast(source, wanted.dtype), wanted.shape)


def fill(wanted: TensorType, _x: Value, value: Operand) -> Value:
    """One number in every place."""
    return ops.broadcast(converted(value, wanted.dtype), wanted.shape)


READERS: Mapping[str, Reader | Typed] = {
    "aten._local_scalar_dense": same,
    "aten._to_copy": convert,
    "aten.alias": same,
    "aten.clone": same,
    "aten.copy": Typed(copy),
    "aten.detach": same,
    "aten.fill": Typed(fill),
    "aten.lift_fresh_copy": same,
    "aten.type_as": lambda x, other: ops.cast(x, other.dtype),
    "prims.convert_element_type": convert,
    "prims.device_put": same,
}
