"""Runs kernels and programs in NumPy: what Tile IR means, and the proof that a schedule step
changed nothing.

Loops whose iterations are proven independent run all at once over arrays; the rest iterate. With
`vectorise=False` everything iterates, one scalar at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..errors import InputError, RunError, VerifyError, check
from ..types import Array
from .frame import garbage
from .machine import Completion, Machine, Order, Plan
from .nodes import Kernel
from .program import CallStep, IfStep, LoopStep, Program, Role, Slot, Step, View, WhileStep


def run_kernel(
    kernel: Kernel,
    arrays: Mapping[str, Array],
    *,
    vectorise: bool = True,
    order: Order = "ascending",
    asynchronous: Completion = "late",
    seed: int = 0,
) -> dict[str, Array]:
    """The outputs of a kernel by name; each array has its parameter's `memory_shape`.

    An output that is also given starts with the given contents (in-out), another with garbage;
    the given arrays are not modified. A right kernel gives the same result at any `order` (of
    parallel iterations and threads; `seed` is the shuffle's) and `asynchronous`.
    Accumulations join in program order; the tree of a vector loop may round otherwise.
    `InputError` for arrays that do not fit, `VerifyError` for what the kernel does wrong.
    """
    known = {param.name for param in kernel.params}
    for name in arrays:
        check(name in known, f"kernel '{kernel.name}' has no parameter '{name}'", InputError)
    memory: dict[str, Array] = {}
    for param in kernel.params:
        given = arrays.get(param.name)
        if given is None:
            missing = f"kernel '{kernel.name}' needs the array '{param.name}'"
            check(param.name in kernel.outputs, missing, InputError)
            memory[param.name] = garbage(param.dtype, param.elements)
            continue
        fits = given.shape == param.memory_shape and given.dtype == param.dtype.numpy
        wanted = f"{param.dtype}{list(param.memory_shape)}"
        have = f"{given.dtype}{list(given.shape)}"
        check(fits, f"'{param.name}' of kernel '{kernel.name}' is {wanted}, not {have}", InputError)
        flat = given.reshape(-1)
        memory[param.name] = flat.copy() if param.name in kernel.outputs else flat
    plan = Plan.of(kernel, vectorise=vectorise, aliases={})
    Machine(plan, order, asynchronous, seed).run(memory)
    shapes = {param.name: param.memory_shape for param in kernel.params}
    return {name: memory[name].reshape(shapes[name]) for name in kernel.outputs}


def run_program(
    program: Program,
    params: Sequence[Array],
    constants: Mapping[str, Array],
    *,
    vectorise: bool = True,
) -> tuple[Array, ...]:
    """The program's results, its intermediates in one real arena of bytes.

    The arena starts as NaN, so that a wrong memory plan shows in the numbers. Nothing given is
    modified. `InputError` for arrays that do not fit, `RunError` for a fault the data raise.
    """
    expected = len(program.params)
    message = f"program '{program.name}' takes {expected} parameters, not {len(params)}"
    check(len(params) == expected, message, InputError)
    given = dict(zip(program.params, params, strict=True))
    arena = np.full(_arena_bytes(program), 0xFF, np.uint8)
    memory = {
        slot.name: _slot_bytes(program, slot, given, constants, arena) for slot in program.slots
    }
    memory |= {slot.name: memory[slot.memory] for slot in program.slots}
    if "status" in memory:
        memory["status"][:] = 0
    _ProgramRun(program, memory, vectorise).run(program.steps, {})
    return tuple(
        memory[name].view(program.slot(name).type.dtype.numpy)
        .reshape(program.slot(name).type.static_shape)
        .copy()
        for name in program.results
    )


@dataclass
class _ProgramRun:
    """Runs steps on a program's memory."""

    program: Program
    memory: Mapping[str, Array]
    vectorise: bool
    plans: dict[tuple[str, tuple[tuple[str, str], ...], bool], Plan] = field(default_factory=dict)

    def run(self, steps: Sequence[Step], turns: Mapping[str, int]) -> None:
        """Run steps in these turns of the loops around."""
        for step in steps:
            match step:
                case CallStep():
                    self._call(step, turns)
                case LoopStep():
                    for turn in range(step.count):
                        self.run(step.body, {**turns, step.name: turn})
                case IfStep():
                    holds = self._holds(step.condition, turns)
                    self.run(step.then if holds else step.otherwise, turns)
                case WhileStep():
                    self._while(step, turns)

    def _call(self, step: CallStep, turns: Mapping[str, int]) -> None:
        kernel = self.program.kernel(step.kernel)
        views = _views(self.program, kernel, step, self.memory, turns)
        aliases, exact = _aliases(kernel, views)
        vectorise = self.vectorise and exact
        key = (kernel.name, tuple(sorted(aliases.items())), vectorise)
        if key not in self.plans:
            self.plans[key] = Plan.of(kernel, vectorise=vectorise, aliases=aliases)
        Machine(self.plans[key], "ascending", "late", 0).run(views)
        _raise_fault(self.program, self.memory)

    def _while(self, step: WhileStep, turns: Mapping[str, int]) -> None:
        count = 0
        self.run(step.test, turns)
        while self._holds(step.condition, turns):
            if count == step.limit:
                raise _fault(self.program, step.fault)
            self.run(step.body, turns)
            self.run(step.test, turns)
            count += 1

    def _holds(self, view: View, turns: Mapping[str, int]) -> bool:
        return bool(self.memory[view.slot][view.start(turns)])


def _arena_bytes(program: Program) -> int:
    ends = [
        slot.offset + slot.type.nbytes
        for slot in program.slots
        if slot.role == Role.ARENA and slot.offset is not None
    ]
    needed = max(ends, default=0)
    if program.memory is not None:
        check(
            needed <= program.memory.arena_bytes,
            f"program '{program.name}': slots end at {needed}, its arena has "
            f"{program.memory.arena_bytes} bytes",
            VerifyError,
        )
    return needed


def _slot_bytes(
    program: Program,
    slot: Slot,
    given: Mapping[str, Array],
    constants: Mapping[str, Array],
    arena: Array,
) -> Array:
    """A slot's memory: a stretch of the arena, or bytes of its own."""
    if slot.role == Role.ARENA:
        missing = f"program '{program.name}': slot '{slot.name}' has no place in the arena"
        check(slot.offset is not None, missing, VerifyError)
        assert slot.offset is not None
        return arena[slot.offset : slot.offset + slot.type.nbytes]
    if slot.role in (Role.RESULT, Role.STATUS):
        return np.full(slot.type.nbytes, 0xFF, np.uint8)
    source = given if slot.role == Role.PARAMETER else constants
    check(slot.name in source, f"the {slot.role} '{slot.name}' is not given", InputError)
    array = source[slot.name]
    fits = array.shape == slot.type.static_shape and array.dtype == slot.type.dtype.numpy
    have = f"{array.dtype}{list(array.shape)}"
    check(fits, f"the {slot.role} '{slot.name}' is {slot.type}, not {have}", InputError)
    # A copy: a kernel that writes it by mistake must not change the caller's array.
    return np.array(array, order="C").reshape(-1).view(np.uint8)


def _views(
    program: Program,
    kernel: Kernel,
    step: CallStep,
    memory: Mapping[str, Array],
    turns: Mapping[str, int],
) -> dict[str, Array]:
    """The memory of a kernel's parameters, in their own types."""
    arity = f"kernel '{kernel.name}' takes {len(kernel.params)} views, not {len(step.args)}"
    check(len(step.args) == len(kernel.params), arity, VerifyError)
    views: dict[str, Array] = {}
    for param, view in zip(kernel.params, step.args, strict=True):
        start = view.start(turns) * program.slot(view.slot).type.dtype.bytes
        piece = memory[view.slot][start : start + param.elements * param.dtype.bytes]
        outside = f"kernel '{kernel.name}': '{param.name}' reaches beyond slot '{view.slot}'"
        check(len(piece) == param.elements * param.dtype.bytes, outside, VerifyError)
        views[param.name] = piece.view(param.dtype.numpy)
    return views


def _aliases(kernel: Kernel, views: Mapping[str, Array]) -> tuple[dict[str, str], bool]:
    """Parameters in the same memory by one name; False where memory overlaps in another way.

    Loops run at once see shared memory through this, as loops one by one do by themselves.
    """
    aliases: dict[str, str] = {}
    buffers = kernel.buffers
    for name in kernel.outputs:
        for other, view in views.items():
            if other == name or not np.may_share_memory(views[name], view):
                continue
            mine, theirs = buffers[name], buffers[other]
            same_place = views[name].ctypes.data == view.ctypes.data
            same_type = (mine.shape, mine.dtype) == (theirs.shape, theirs.dtype)
            if not same_place or not same_type or mine.layout or theirs.layout:
                return {}, False
            aliases[other] = aliases.get(name, name)
    return aliases, True


def _raise_fault(program: Program, memory: Mapping[str, Array]) -> None:
    if "status" not in memory:
        return
    status = int(memory["status"].view(np.int64)[0])
    if status:
        raise _fault(program, status)


def _fault(program: Program, status: int) -> Exception:
    fault = program.faults.get(status)
    if fault is None:
        return VerifyError(f"program '{program.name}': the status {status} has no meaning")
    return RunError(f"{fault.location}: {fault.message}")
