"""Checks of the data that an operation's operands must fulfil: kernels that run before it.

    for i0: if indices[i0] >= 5 or indices[i0] < -5: status[0] = 1
"""

from __future__ import annotations

from ..expr import INDEX, Expr, Var, index, loads_of
from ..ir import Op, Value
from ..tile.nodes import Block, Buffer, If, Kernel, Loop, Ref, Store
from ..tile.tree import tidy
from ..types import static
from .bodies import Recorded

STATUS = "status"  # the parameter that kernels with data-dependent faults write 1 into


def check_kernel(op: Op, name: str, status: int) -> tuple[Kernel, str] | None:
    """A kernel that writes `status` where the operands' data is a fault of the operation, and what
    the fault is; None for an operation without faults. Its parameters are `fault_operands`."""
    fault = _recorded_fault(op)
    if fault is None:
        return None
    at, condition, message = fault
    block: Block = (If(condition, (Store(Ref(STATUS, (index(0),)), index(status)),)),)
    for axis, extent in zip(reversed(at), reversed(static(op.fault_shape)), strict=True):
        block = (Loop(axis.name, index(0), index(extent), block),)
    operands = list(dict.fromkeys(op.operands))
    params = [
        Buffer(f"x{operands.index(value)}", value.dtype, value.type.static_shape)
        for value in fault_operands(op)
    ]
    kernel = Kernel(name, (*params, Buffer(STATUS, INDEX, (1,))), (STATUS,), block)
    return tidy(kernel), message


def fault_operands(op: Op) -> tuple[Value, ...]:
    """The operands whose data an operation's faults depend on."""
    fault = _recorded_fault(op)
    if fault is None:
        return ()
    read = {load.buffer for load in loads_of(fault[1])}
    operands = list(dict.fromkeys(op.operands))
    return tuple(value for place, value in enumerate(operands) if f"x{place}" in read)


def _recorded_fault(op: Op) -> tuple[tuple[Var, ...], Expr, str] | None:
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
