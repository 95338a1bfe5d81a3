"""Constants that are made by operations on others: recorded, and computed when they are read."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from ...ir import Constant, ConstantData, Op, Value, results_of
from ...ir.op import attribute_key
from ...ops.base.broadcast import Broadcast
from ...types import Array


@dataclass(frozen=True, eq=False)
class Computed:
    """Data that an operation on constants gives; computed anew at every read."""

    op: Op
    position: int

    def read(self) -> Array:
        return computed(self.op)[self.position]

    def origin(self) -> Hashable:
        return _origin(self.op), self.position


def _origin(op: Op) -> Hashable:
    """Equal for equal operations on constants made of the same."""
    if isinstance(op, Constant):
        return op.value.source.origin()
    attributes = tuple(attribute_key(getattr(op, name)) for name in op.attribute_fields)
    operands = op.arguments({value: _origin(_op_of(value)) for value in op.operands})
    return op.name, attributes, tuple(operands)


def _op_of(value: Value) -> Op:
    assert value.op is not None  # a constant, or made of some
    return value.op


def computed(op: Op) -> Sequence[Array]:
    """The results of an operation on constants."""
    values = {value: array_of(value) for value in op.operands}
    with np.errstate(all="ignore"):
        return results_of(op.reference(*op.arguments(values)))


def data_of(value: Value) -> ConstantData:
    """The data of a constant value."""
    assert isinstance(value.op, Constant)
    return value.op.value


def array_of(value: Value) -> Array:
    """The elements of a constant, or of one that is repeated."""
    if isinstance(value.op, Broadcast):
        return np.asarray(value.op.reference(array_of(value.op.x)))
    return data_of(value).array()
