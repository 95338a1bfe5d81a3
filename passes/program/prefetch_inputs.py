"""Pads of what a program is given ask for it ahead: its caller may have written it long ago.

    call @pad(%x, %pad)   ->   call @pad_prefetching(%x, %pad)

A kernel by itself is scheduled for what the kernel before it has left in a cache. Rows that are
read a little apart from the lines that they lie in arrive late from memory: an image's pad takes
half as long where it asks for them. From a cache it would take a tenth longer.
"""

from __future__ import annotations

from ...expr import Apply, Cast, Const, Expr, Load
from ...target import Target
from ...tile.nodes import Accumulate, Kernel, Store
from ...tile.program import CallStep, Program, Role, Step
from ...tile.steps.prefetch import prefetch_streams
from ...tile.traverse import walk
from ..schedule.cost.memory import STREAM_AHEAD
from .variants import Changed, Variants


def prefetch_inputs(program: Program, target: Target) -> Changed:
    """The program with such kernels."""
    variants = Variants.of(program)
    far = {
        slot.name
        for slot in program.slots
        if slot.role is Role.PARAMETER and slot.type.nbytes > target.l2_bytes // 2
    }

    def prefetching(step: Step) -> Step:
        if not isinstance(step, CallStep) or step.args[0].slot not in far:
            return step
        kernel = variants.kernels[step.kernel]
        changed = prefetch_streams(kernel, STREAM_AHEAD) if _pads(kernel) else kernel
        return variants.call(step, changed, "prefetching")

    return variants.program(program, tuple(map(prefetching, program.steps)))


def _pads(kernel: Kernel) -> bool:
    """Whether a kernel copies one input into something larger, of any type of elements."""
    if any(isinstance(stmt, Accumulate) for stmt in walk(kernel.body)):
        return False
    values = [stmt.value for stmt in walk(kernel.body) if isinstance(stmt, Store)]
    copies = all(isinstance(_unguarded(value), (Load, Const)) for value in values)
    around = any(isinstance(value, (Apply, Const)) for value in values)
    return len(kernel.params) == 2 and copies and around


def _unguarded(value: Expr) -> Expr:
    """An element without the condition that it is there, and without its conversion."""
    match value:
        case Apply(function="select", args=(_, element, _)) | Cast(value=element):
            return _unguarded(element)
    return value
