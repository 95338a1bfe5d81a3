"""Tensors of one number: what simplifications ask of constants."""

from __future__ import annotations

from ...ir import Constant, Value
from ...ops.base.broadcast import Broadcast
from ...ops.shapes.shape import Reshape


def uniform(value: Value) -> int | float | bool | None:
    """The number that every element of a (broadcast) constant is; None if it is no such thing."""
    match value.op:
        case Broadcast(x=x) | Reshape(x=x):
            return uniform(x)
        case Constant() as op:
            return op.number
    return None
