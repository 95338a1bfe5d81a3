"""Checks of the data that an operation's operands must fulfil, or of what its results say: kernels
that run before it, or after it.

    for i0: if indices[i0] >= 5 or indices[i0] < -5: status[0] = 1
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import TypeAlias

from ...expr import INDEX, Expr, Var, index, loads_of
from ...ir import Constant, Op, Value
from ...sizes import Shape, static
from ...tile.evaluate import evaluate
from ...tile.frame import Frame, Storage
from ...tile.nodes import Block, Buffer, If, Kernel, Ref, Store
from ...tile.tree import loops_over, tidy
from ...types import Array
from .bodies import Recorded

LOOKED_AT_BYTES = 1 << 28  # of constants, while compiling
STRETCH = 1 << 16  # places that are looked at together
STATUS = "status"  # the parameter that kernels with data-dependent faults write 1 into


def check_kernel(op: Op, name: str, status: int) -> tuple[Kernel, str] | None:
    """A kernel that writes `status` where the operands' data is a fault of the operation, and what
    the fault is; None for an operation without faults. Its parameters are `fault_operands`."""
    fault = _recorded_fault(op)
    if fault is None:
        return None
    return _checking(fault, name, fault_operands(op), op.operands, op.fault_shape, status)


def failure_kernel(
    op: Op, results: Sequence[Value], name: str, status: int
) -> tuple[Kernel, str] | None:
    """As `check_kernel`, of an operation's results; its parameters are `failure_results`."""
    failure = _recorded_failure(op, results)
    if failure is None:
        return None
    read = failure_results(op, results)
    return _checking(failure, name, read, results, results[-1].shape, status)


def is_faultless(op: Op, places: Mapping[Value, Value]) -> bool:
    """Whether the operands that decide about faults, which lie at these places, are constants, not
    too large to be looked at while compiling, and no fault."""
    data = {}
    for operand, value in places.items():
        if not isinstance(value.op, Constant):
            return False
        data[operand] = value.op.value
    if sum(entry.type.nbytes for entry in data.values()) > LOOKED_AT_BYTES:
        return False
    return not has_fault(op, {operand: entry.array() for operand, entry in data.items()})


def has_fault(op: Op, data: Mapping[Value, Array]) -> bool:
    """Whether the data of `fault_operands` are a fault of the operation."""
    fault = _recorded_fault(op)
    if fault is None:
        return False
    at, condition, _ = fault
    places = list(dict.fromkeys(op.operands))
    memory = {}
    for value, array in data.items():
        name = f"x{places.index(value)}"
        buffer = Buffer(name, value.dtype, value.type.static_shape)
        memory[name] = Storage.of(buffer, array.reshape(-1))
    extents = static(op.fault_shape)
    stretch = max(1, STRETCH // prod(extents[1:]))
    first, *others = extents or (1,)
    for start in range(0, first, stretch):
        frame = Frame(op.name, {}, memory)
        for axis, extent in zip(reversed(at[1:]), reversed(others), strict=True):
            frame = frame.expanded(axis.name, 0, extent)
        for axis in at[:1]:
            frame = frame.expanded(axis.name, start, min(start + stretch, first))
        if evaluate(condition, frame).any():
            return True
    return False


_Recorded: TypeAlias = tuple[tuple[Var, ...], Expr, str]  # axes, condition, message


def _checking(
    found: _Recorded,
    name: str,
    read: Sequence[Value],
    values: Sequence[Value],
    shape: Shape,
    status: int,
) -> tuple[Kernel, str]:
    """A kernel that asks a condition on `values`, of which it reads some, over a shape."""
    at, condition, message = found
    block: Block = (If(condition, (Store(Ref(STATUS, (index(0),)), index(status)),)),)
    block = loops_over(zip((axis.name for axis in at), static(shape), strict=True), block)
    places = list(dict.fromkeys(values))
    params = [
        Buffer(f"x{places.index(value)}", value.dtype, value.type.static_shape) for value in read
    ]
    kernel = Kernel(name, (*params, Buffer(STATUS, INDEX, (1,))), (STATUS,), block)
    return tidy(kernel), message


def fault_operands(op: Op) -> tuple[Value, ...]:
    """The operands whose data an operation's faults depend on."""
    fault = _recorded_fault(op)
    if fault is None:
        return ()
    return _read(fault[1], op.operands)


def failure_results(op: Op, results: Sequence[Value]) -> tuple[Value, ...]:
    """The results that an operation's failures depend on."""
    failure = _recorded_failure(op, results)
    return () if failure is None else _read(failure[1], results)


def _read(condition: Expr, values: Sequence[Value]) -> tuple[Value, ...]:
    """Those of the values that a condition reads."""
    read = {load.buffer for load in loads_of(condition)}
    places = enumerate(dict.fromkeys(values))
    return tuple(value for place, value in places if f"x{place}" in read)


def _recorded_failure(op: Op, results: Sequence[Value]) -> _Recorded | None:
    """The axes, the condition and the message of what an operation may find wrong."""
    if not type(op).has("failure") or 0 in results[-1].shape:
        return None
    stand_ins = [Recorded(f"x{place}", value.type) for place, value in enumerate(results)]
    at = tuple(Var(INDEX, f"i{axis}") for axis in range(results[-1].rank))
    found = op.failure(at, *stand_ins)
    return None if found is None else (at, *found)


def _recorded_fault(op: Op) -> _Recorded | None:
    """The axes, the condition and the message of an operation's fault."""
    if not type(op).has("fault") or 0 in op.fault_shape:
        return None
    stand_ins = {
        value: Recorded(f"x{place}", value.type)
        for place, value in enumerate(dict.fromkeys(op.operands))
    }
    at = tuple(Var(INDEX, f"i{axis}") for axis in range(len(op.fault_shape)))
    found = op.fault(at, *op.arguments(stand_ins))
    return None if found is None else (at, *found)
