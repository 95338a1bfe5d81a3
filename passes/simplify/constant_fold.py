"""constant-fold: operations on constants become constants.

Small results are computed at once, as later passes read them. For larger ones the *operation* is
recorded and evaluated when the program is built, one at a time, so that a dump costs nothing and no
weight is held twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from ...errors import RunError
from ...ir import (
    INLINE_BYTES,
    Constant,
    ConstantData,
    Function,
    Node,
    Op,
    Value,
    users_of,
)
from ...ir.builder import Builder
from ...ops.base.broadcast import Broadcast
from ...ops.base.constant import constant
from ...ops.regions.control import ControlOp
from ...ops.regions.group import Group
from ...ops.shapes.index import Gather
from ...ops.table import TABLE
from ...types import TensorType
from ..lowering.faults import LOOKED_AT_BYTES, fault_operands, has_fault
from .computed import Computed, array_of, computed, data_of

MOST_GROWTH = 4  # a result larger than its operands by more is not stored; Winograd's filters are 4


def _is_constant(value: Value) -> bool:
    """A constant, or one that is only repeated (which is not stored, but may be computed with)."""
    match value.op:
        case Constant():
            return True
        case Broadcast(x=x):
            return _is_constant(x)
    return False


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
                results = _folded(op, node, keep) or builder.again(node, op)
            values.update(zip(node.results, results, strict=True))
    kept = [values[result] for result in fn.results]
    return builder.remade(fn, kept)


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
    if not op.pure or isinstance(op, (Constant, ControlOp, Group)):  # a loop may not end
        return None
    if not all(_is_constant(value) for value in op.operands):
        return None
    types = [result.type for result in node.results]
    if not all(type_.is_static for type_ in types):
        return None
    small = all(type_.nbytes <= INLINE_BYTES for type_ in types)
    elements = sum(prod(type_.static_shape) for type_ in types)
    given = sum(prod(value.type.static_shape) for value in op.operands)
    if isinstance(op, Broadcast) and elements > given:  # repeated anew where it is read
        return None
    if not small and (elements > MOST_GROWTH * given or looked_up):
        return None
    if _may_fault(op):
        return None
    if small or type(op).fallible:
        return _computed_at_once(op, types)
    return _recorded(op, types)


def as_constant(op: Op) -> Value:
    """The result of an operation on constants that has one, and no faults, as a constant."""
    type_ = op.infer()
    assert isinstance(type_, TensorType)
    small = type_.is_static and type_.nbytes <= INLINE_BYTES
    found = _computed_at_once(op, [type_]) if small else _recorded(op, [type_])
    assert found is not None
    return found[0]


def _recorded(op: Op, types: Sequence[TensorType]) -> tuple[Value, ...]:
    """The results as what the operation will give."""
    name = _name(op)
    return tuple(
        constant(ConstantData(type_, Computed(op, place), name))
        for place, type_ in enumerate(types)
    )


def _computed_at_once(op: Op, types: Sequence[TensorType]) -> tuple[Value, ...] | None:
    """The results as data; None where computing them finds a fault, which the run will say."""
    name = _name(op)
    try:
        results = computed(op)
    except RunError:
        return None
    # Copies: a view would keep a large operand's memory.
    arrays = [
        np.array(array, type_.dtype.numpy, order="C")
        for array, type_ in zip(results, types, strict=True)
    ]
    return tuple(constant(ConstantData.of(array, name)) for array in arrays)


def _may_fault(op: Op) -> bool:
    """Whether the constants are a fault of the operation, which is then left to say so when the
    program runs; also where finding out would take reading very large constants."""
    operands = fault_operands(op)
    if sum(value.type.nbytes for value in operands) > LOOKED_AT_BYTES:
        return True
    return has_fault(op, {value: array_of(value) for value in operands})


def _name(op: Op) -> str:
    """The name of the largest constant it is made of, so that a dump tells weights apart."""
    data = [data_of(value) for value in op.operands if isinstance(value.op, Constant)]
    large = sorted(data, key=lambda entry: -entry.type.nbytes)
    return next((entry.name for entry in large if entry.name), "")
