"""constant-fold: operations on constants become constants.

Small ones are computed at once. For larger ones the *operation* is recorded and evaluated when the
program is built, one at a time, so that a dump costs nothing and no weight is held twice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..ir import INLINE_BYTES, ConstantData, Function, Node, Op, Value, results_of
from ..ir.builder import Builder
from ..ops.broadcast import Broadcast
from ..ops.constant import Constant, constant
from ..ops.group import Group
from ..ops.table import TABLE
from ..types import Array


@dataclass(frozen=True, eq=False)
class Computed:
    """Data that an operation on constants gives; computed anew at every read."""

    op: Op
    position: int

    def read(self) -> Array:
        values = {value: data_of(value).array() for value in self.op.operands}
        with np.errstate(all="ignore"):
            results = results_of(self.op.reference(*self.op.arguments(values)))
        return np.ascontiguousarray(results[self.position])


def data_of(value: Value) -> ConstantData:
    """The data of a constant value."""
    assert isinstance(value.op, Constant)
    return value.op.value


def constant_fold(fn: Function) -> Function:
    """Evaluate, or record, what depends on constants only; do not store what is only repeated."""
    builder = Builder(TABLE)
    values: dict[Value, Value] = dict(zip(fn.params, fn.params, strict=True))
    with builder.active():
        for node in fn.nodes:
            op = node.op.map_operands(values.__getitem__)
            with builder.at(node.location):
                results = _folded(op, node) or builder.emit(op)
            values.update(zip(node.results, results, strict=True))
    results = [values[result] for result in fn.results]
    return builder.finish(fn.name, fn.params, results, static=fn.static)


def _folded(op: Op, node: Node) -> tuple[Value, ...] | None:
    """The results as constants; None where they cannot or should not be."""
    constants = [isinstance(value.op, Constant) for value in op.operands]
    if not op.pure or isinstance(op, (Constant, Group)) or not all(constants):
        return None
    types = [result.type for result in node.results]
    if not all(type_.is_static for type_ in types):
        return None
    small = all(type_.nbytes <= INLINE_BYTES for type_ in types)
    grows = sum(type_.nbytes for type_ in types) > 2 * sum(
        value.type.nbytes for value in op.operands
    )
    if not small and (isinstance(op, Broadcast) or grows):
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
    """The name of the first large constant it is made of, so that a dump tells weights apart."""
    named = [data_of(value).name for value in op.operands if data_of(value).name]
    return named[0] if named else ""
