"""donate: results written into the memory of the parameters that are given away for them.

That is free where the last step that reads the parameter comes before the result is written (the
step that does so is moved behind it if it can be), or is that step, element by element. Otherwise
the result is computed apart and copied in at the end, when nobody needs the parameter any more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from ...text import fresh_name
from ...tile.analyses.in_place import InPlace
from ...tile.nodes import Kernel
from ...tile.program import (
    CallStep,
    Program,
    Role,
    Slot,
    Step,
    View,
    calls_of,
    views_of,
    with_views,
)
from ...types import TensorType


def donate(
    program: Program, donated: Mapping[str, str], copy_kernel: Callable[[TensorType], Kernel]
) -> Program:
    """The program with each result (by name) in its parameter's memory.

    `donated` maps parameters to results; `copy_kernel` makes the kernel that copies a type's
    arrays.
    """
    for param, result in donated.items():
        program = _postponed(_without_self_copy(program, param, result), param, result)
        if _is_free(program, param, result):
            program = _marked(program, param, result)
        else:
            program = _copied_in(program, param, result, copy_kernel)
    return program


def _uses(program: Program, slot: str) -> list[int]:
    """The steps that read or write a slot."""
    return [
        number
        for number, step in enumerate(program.steps)
        if any(view.slot == slot for view in views_of(step))
    ]


def _is_free(program: Program, param: str, result: str) -> bool:
    """Whether nothing reads the parameter after the result is written into its memory."""
    reads, writes = _uses(program, param), _uses(program, result)
    if not reads or not writes or reads[-1] < writes[0]:
        return True
    if reads[-1] > writes[0]:
        return False
    step = program.steps[writes[0]]
    if not isinstance(step, CallStep):
        return False
    kernel = program.kernel(step.kernel)
    bound = list(zip(kernel.params, step.args, strict=True))
    read = [buffer for buffer, view in bound if view.slot == param]
    written = [buffer for buffer, view in bound if view.slot == result]
    proofs = InPlace(kernel)
    return all(proofs.is_proven(one, other) for one in read for other in written)


def _without_self_copy(program: Program, param: str, result: str) -> Program:
    """Drop the step that only copies the parameter into the result: it is there already."""
    copies = {
        number
        for number in _uses(program, result)
        if _is_copy(program.steps[number], View(param), View(result))
    }
    steps = tuple(step for number, step in enumerate(program.steps) if number not in copies)
    return replace(program, steps=steps)


def _is_copy(step: Step, source: View, target: View) -> bool:
    if not isinstance(step, CallStep):
        return False
    return step.label.startswith("copy ") and step.args == (source, target)


def _postponed(program: Program, param: str, result: str) -> Program:
    """The step that writes the result moved behind the last that reads the parameter, if it alone
    writes it and nothing in between depends on that."""
    reads, writes = _uses(program, param), _uses(program, result)
    if len(writes) != 1 or not reads or reads[-1] <= writes[0]:
        return program
    at, last = writes[0], reads[-1]
    step, between = program.steps[at], program.steps[at + 1 : last + 1]
    given, made = _memory_of(program, step)
    for other in between:
        reads_other, writes_other = _memory_of(program, other)
        if made & (reads_other | writes_other) or given & writes_other:
            return program
    steps = (*program.steps[:at], *between, step, *program.steps[last + 1 :])
    return replace(program, steps=steps)


def _memory_of(program: Program, step: Step) -> tuple[set[str], set[str]]:
    """The slots whose memory a step reads, and those whose it writes."""
    written = {
        view
        for call in calls_of((step,))
        for param, view in zip(program.kernel(call.kernel).params, call.args, strict=True)
        if param.name in program.kernel(call.kernel).outputs
    }
    read = [view for view in views_of(step) if view not in written]
    memory = {view: program.slot(view.slot).memory for view in (*read, *written)}
    return {memory[view] for view in read}, {memory[view] for view in written}


def _marked(program: Program, param: str, result: str) -> Program:
    slots = tuple(
        replace(slot, donor=param) if slot.name == result else slot for slot in program.slots
    )
    return replace(program, slots=slots)


def _copied_in(
    program: Program, param: str, result: str, copy_kernel: Callable[[TensorType], Kernel]
) -> Program:
    """The result computed in the arena, and a last step that copies it."""
    home = program.slot(result)
    name = fresh_name(f"new_{param}", {slot.name for slot in program.slots})
    apart = Slot(name, home.type, Role.ARENA)
    steps = list(with_views(program.steps, lambda view: _renamed(view, result, apart.name)))
    kernel = copy_kernel(home.type)
    kernels = {known.name: known for known in (*program.kernels, kernel)}
    label = f"copy {home.type.static_shape} into {param}"
    steps.append(CallStep(kernel.name, (View(apart.name), View(result)), label=label))
    changed = replace(
        program,
        kernels=tuple(kernels.values()),
        slots=(*program.slots, apart),
        steps=tuple(steps),
    )
    return _marked(changed, param, result)


def _renamed(view: View, old: str, new: str) -> View:
    return replace(view, slot=new) if view.slot == old else view
