"""constant-fold: operations on constants become constants.

Small ones are computed at once. For larger ones the *operation* is recorded and evaluated when the
program is built, one at a time, so that a dump costs nothing and no weight is held twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from ..ir import (
    INLINE_BYTES,
    Constant,
    ConstantData,
    Function,
    Node,
    Op,
    Value,
    results_of,
    users_of,
)
from ..ir.builder import Builder
from ..ops.broadcast import Broadcast
from ..ops.constant import constant
from ..ops.group import Group
from ..ops.index import Gather
from ..ops.table import TABLE
from ..types import Array

MOST_GROWTH = 4  # a result larger than its operands by more is not stored; Winograd's filters are 4


@dataclass(frozen=True, eq=False)
class Computed:
    """Data that an operation on constants gives; computed anew at every read."""

    op: Op
    position: int

    def read(self) -> Array:
        values = {value: _array(value) for value in self.op.operands}
        with np.errstate(all="ignore"):
            results = results_of(self.op.reference(*self.op.arguments(values)))
        return np.ascontiguousarray(results[self.position])


def data_of(value: Value) -> ConstantData:
    """The data of a constant value."""
    assert isinstance(value.op, Constant)
    return value.op.value


def _is_constant(value: Value) -> bool:
    """A constant, or one that is only repeated (which is not stored, but may be computed with)."""
    match value.op:
        case Constant():
            return True
        case Broadcast(x=x):
            return _is_constant(x)
    return False


def _array(value: Value) -> Array:
    if isinstance(value.op, Broadcast):
        return np.asarray(value.op.reference(_array(value.op.x)))
    return data_of(value).array()


def constant_fold(fn: Function) -> Function:
    """Evaluate, or record, what depends on constants only; do not store what is only repeated."""
    builder = Builder(TABLE)
    values: dict[Value, Value] = dict(zip(fn.params, fn.params, strict=True))
    looked_up = _looked_up(fn)
    with builder.active():
        for node in fn.nodes:
            op = node.op.map_operands(values.__getitem__)
            keep = any(result in looked_up for result in node.results)
            with builder.at(node.location):
                results = _folded(op, node, keep) or builder.emit(op)
            values.update(zip(node.results, results, strict=True))
    kept = [values[result] for result in fn.results]
    return builder.finish(fn.name, fn.params, kept, static=fn.static)


def _looked_up(fn: Function) -> set[Value]:
    """Values of which only gathered elements are used: computing those is less than all."""
    users = users_of(fn)
    found: set[Value] = set()
    for node in reversed(fn.nodes):
        for value in node.results:
            used = users.get(value, ())
            if used and value not in fn.results and all(
                (isinstance(user.op, Gather) and user.op.x is value)
                or all(result in found for result in user.results)
                for user in used
            ):
                found.add(value)
    return found


def _folded(op: Op, node: Node, looked_up: bool) -> tuple[Value, ...] | None:
    """The results as constants; None where they cannot or should not be."""
    if not op.pure or isinstance(op, (Constant, Group)):
        return None
    if not all(_is_constant(value) for value in op.operands):
        return None
    types = [result.type for result in node.results]
    if not all(type_.is_static for type_ in types):
        return None
    small = all(type_.nbytes <= INLINE_BYTES for type_ in types)
    elements = sum(prod(type_.static_shape) for type_ in types)
    grows = elements > MOST_GROWTH * sum(prod(value.type.static_shape) for value in op.operands)
    if not small and (isinstance(op, Broadcast) or grows or looked_up):
        return None
    name = _name(op)
    data = [ConstantData(type_, Computed(op, place), name) for place, type_ in enumerate(types)]
    if small:
        data = [
            ConstantData.of(np.asarray(entry.array()).astype(entry.type.dtype.numpy), entry.name)
            for entry in data
        ]
    return tuple(constant(entry) for entry in data)


def _name(op: Op) -> str:
    """The name of the largest constant it is made of, so that a dump tells weights apart."""
    data = [data_of(value) for value in op.operands if isinstance(value.op, Constant)]
    large = sorted(data, key=lambda entry: -entry.type.nbytes)
    return next((entry.name for entry in large if entry.name), "")
