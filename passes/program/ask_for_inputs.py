"""Pads of what a program is given ask for it ahead: its caller may have written it long ago.

    call @pad(%x, %pad)   ->   call @pad_asking(%x, %pad)

A kernel by itself is scheduled for what the kernel before it has left in a cache. Rows that are
read a little apart from the lines that they lie in arrive late from memory: an image's pad takes
half as long where it asks for them. From a cache it would take a tenth longer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ...expr import Apply, Cast, Const, Expr, Load
from ...target import Target
from ...text import fresh_name
from ...tile.nodes import Accumulate, Kernel, Store
from ...tile.program import CallStep, Program, Role, Step, with_steps
from ...tile.steps.prefetch import prefetch_streams
from ...tile.traverse import walk
from ..schedule.cost.memory import STREAM_AHEAD


def ask_for_inputs(program: Program, target: Target) -> tuple[Program, Mapping[str, str]]:
    """The program with such kernels, and for each that is new the one it is of."""
    kernels = {kernel.name: kernel for kernel in program.kernels}
    names, variants = set(kernels), dict[str, str]()
    far = {
        slot.name
        for slot in program.slots
        if slot.role is Role.PARAMETER and slot.type.nbytes > target.l2_bytes // 2
    }

    def asking(step: Step) -> Step:
        if not isinstance(step, CallStep) or step.args[0].slot not in far:
            return step
        kernel = kernels[step.kernel]
        changed = prefetch_streams(kernel, STREAM_AHEAD) if _pads(kernel) else kernel
        if changed == kernel:
            return step
        if step.kernel not in variants:
            variants[step.kernel] = fresh_name(f"{step.kernel}_asking", names)
            kernels[variants[step.kernel]] = replace(changed, name=variants[step.kernel])
        return replace(step, kernel=variants[step.kernel])

    if target.gpu is not None:
        return program, {}
    steps = tuple(map(asking, program.steps))
    made = with_steps(program, steps, kernels.values())
    return (made if variants else program), {new: old for old, new in variants.items()}


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
