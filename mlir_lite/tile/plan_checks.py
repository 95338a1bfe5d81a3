"""The verifier's checks of a program: calls, views, and the memory plan, judged from the steps'
reads and writes alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import dataclass
from itertools import combinations

from ..errors import VerifyError
from ..memory import ALIGNMENT
from .access_checks import AccessChecks
from .in_place import is_elementwise
from .nodes import Accumulate, Buffer, Kernel
from .program import CallStep, Program, Role, Slot, View

STATUS = "status"  # the slot of the status word: read by the caller after every step


def live_bytes(program: Program, *, in_place: bool = True) -> list[int]:
    """For each step the bytes of the arena that no plan can do without.

    They are those of the slots live then, from their first use to their last, each rounded up to
    the alignment; with `in_place` without those of the results that can take the place of an
    operand used last. The offsets that a plan has given do not count.
    """
    lives = _lives(program)
    sizes = {
        slot.name: -(-slot.type.nbytes // ALIGNMENT) * ALIGNMENT
        for slot in program.slots
        if _in_arena(slot) and slot.name in lives
    }
    totals: list[int] = []
    for number, step in enumerate(program.steps):
        alive = [name for name in sizes if lives[name][0] <= number <= lives[name][1]]
        total = sum(sizes[name] for name in alive)
        if in_place:
            ends = {name for name in alive if lives[name][1] == number}
            starts = {name for name in alive if lives[name][0] == number}
            total -= sum(sizes[name] for name in _in_place(program, step, ends, starts))
        totals.append(total)
    return totals


def _in_place(program: Program, step: CallStep, ends: Set[str], starts: Set[str]) -> set[str]:
    """Which of the slots that start in a step may lie where one that ends in it lay."""
    kernel = program.kernel(step.kernel)
    bound: dict[str, list[Buffer]] = {}
    for param, view in zip(kernel.params, step.args, strict=True):
        bound.setdefault(view.slot, []).append(param)
    return {
        result
        for result in starts
        if any(
            all(is_elementwise(kernel, read, bound[result][0]) for read in bound[operand])
            for operand in ends - starts
        )
    }


def verify_program(program: Program) -> None:
    """Raise `VerifyError`, naming the step, where a program's calls or its memory plan are wrong.

    The kernels themselves are `verify_kernel`'s to check.
    """
    checks = _ProgramChecks(program)
    checks.check_slots()
    for number, step in enumerate(program.steps):
        checks.check_call(number, step)
    checks.check_results()
    checks.check_overlaps()


def _lives(program: Program) -> dict[str, tuple[int, int]]:
    """The first and the last step that uses each slot."""
    lives: dict[str, tuple[int, int]] = {}
    for number, step in enumerate(program.steps):
        for view in step.args:
            first, _ = lives.get(view.slot, (number, number))
            lives[view.slot] = (first, number)
    if STATUS in lives:
        lives[STATUS] = (0, len(program.steps) - 1)
    return lives


@dataclass(frozen=True, slots=True)
class _Argument:
    """A kernel's parameter and the bytes of the slot that it is bound to."""

    param: Buffer
    slot: Slot
    start: int
    stop: int
    writes: bool
    reads: bool

    @property
    def place(self) -> int:
        """The first byte, in the slot's own memory or in the arena."""
        return (self.slot.offset or 0) + self.start

    def meets(self, other: _Argument) -> bool:
        """Do the two share memory?"""
        both_in_arena = self.slot.role == other.slot.role == Role.ARENA
        if self.slot.memory != other.slot.memory and not both_in_arena:
            return False
        mine = self.place + self.stop - self.start
        theirs = other.place + other.stop - other.start
        return self.place < theirs and other.place < mine


class _ProgramChecks:
    """`verify_program`'s checks; steps are given in order."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.slots = {slot.name: slot for slot in program.slots}
        self.kernels = {kernel.name: kernel for kernel in program.kernels}
        self.in_out = {kernel.name: frozenset(_read_first(kernel)) for kernel in program.kernels}
        self.written = {  # the bytes of each slot that hold something
            slot.name: [(0, slot.type.nbytes)]
            for slot in program.slots
            if slot.role in (Role.PARAMETER, Role.CONSTANT) or slot.name == STATUS
        }
        self.overwritten: dict[str, str] = {}  # parameters, by the results that took their place

    def fail(self, message: str, number: int | None = None) -> VerifyError:
        where = f"program '{self.program.name}'"
        if number is not None:
            where += f", step {number} ('{self.program.steps[number].kernel}')"
        return VerifyError(f"{where}: {message}")

    def check_slots(self) -> None:
        if len(self.slots) != len(self.program.slots):
            raise self.fail("two slots have one name")
        if len(self.kernels) != len(self.program.kernels):
            raise self.fail("two kernels have one name")
        for names, role in (
            (self.program.params, Role.PARAMETER),
            (self.program.results, Role.RESULT),
        ):
            for name in names:
                if name not in self.slots or self.slots[name].role != role:
                    raise self.fail(f"'{name}' is no slot of role {role}")
        given = [slot.name for slot in self.program.slots if slot.role == Role.PARAMETER]
        if sorted(given) != sorted(self.program.params):
            raise self.fail("its parameters are not its slots of role parameter")
        for slot in self.program.slots:
            self.check_place(slot)
            self.check_donor(slot)

    def check_place(self, slot: Slot) -> None:
        if slot.role != Role.ARENA:
            if slot.offset is not None:
                raise self.fail(f"'{slot.name}' is not in the arena, but has an offset")
            return
        if slot.offset is None or slot.offset < 0 or slot.offset % ALIGNMENT:
            raise self.fail(f"'{slot.name}' lies at {slot.offset}: no multiple of {ALIGNMENT}")
        memory = self.program.memory
        if memory is not None and slot.offset + slot.type.nbytes > memory.arena_bytes:
            raise self.fail(f"'{slot.name}' ends beyond the arena's {memory.arena_bytes} bytes")

    def check_donor(self, slot: Slot) -> None:
        if slot.donor is None:
            return
        donor = self.slots.get(slot.donor)
        fits = donor is not None and (donor.role, donor.type) == (Role.PARAMETER, slot.type)
        if slot.role != Role.RESULT or not fits:
            raise self.fail(f"'{slot.name}' cannot lie in '{slot.donor}'")
        if [other.donor for other in self.program.slots].count(slot.donor) > 1:
            raise self.fail(f"two results lie in '{slot.donor}'")

    def check_call(self, number: int, step: CallStep) -> None:
        kernel = self.kernels.get(step.kernel)
        if kernel is None:
            raise self.fail("there is no such kernel", number)
        if len(step.args) != len(kernel.params):
            have, wanted = len(step.args), len(kernel.params)
            raise self.fail(f"{have} views for {wanted} parameters", number)
        arguments = [
            self.argument(number, param, view, kernel)
            for param, view in zip(kernel.params, step.args, strict=True)
        ]
        for argument in arguments:
            if argument.reads and not self.is_written(argument):
                raise self.fail(
                    f"'{argument.param.name}' reads '{argument.slot.name}' before it is written",
                    number,
                )
            if argument.reads and argument.slot.name in self.overwritten:
                taker = self.overwritten[argument.slot.name]
                raise self.fail(
                    f"'{argument.param.name}' reads '{argument.slot.name}' after the result "
                    f"'{taker}' has overwritten it",
                    number,
                )
        for one, other in combinations(arguments, 2):
            self.check_pair(number, kernel, one, other)
        for argument in arguments:
            if argument.writes:
                piece = (argument.start, argument.stop)
                self.written.setdefault(argument.slot.name, []).append(piece)
                if argument.slot.donor is not None:
                    self.overwritten[argument.slot.donor] = argument.slot.name

    def argument(self, number: int, param: Buffer, view: View, kernel: Kernel) -> _Argument:
        slot = self.slots.get(view.slot)
        if slot is None:
            raise self.fail(f"there is no slot '{view.slot}'", number)
        if slot.type.dtype != param.dtype:
            raise self.fail(
                f"'{param.name}' of {param.dtype} is bound to '{slot.name}' of {slot.type}", number
            )
        start = view.offset * param.dtype.bytes
        stop = start + param.elements * param.dtype.bytes
        if view.offset < 0 or stop > slot.type.nbytes:
            raise self.fail(f"'{param.name}' reaches beyond the slot '{slot.name}'", number)
        writes = param.name in kernel.outputs
        if writes and slot.role in (Role.PARAMETER, Role.CONSTANT):
            raise self.fail(f"'{param.name}' writes the {slot.role} '{slot.name}'", number)
        reads = not writes or param.name in self.in_out[kernel.name]
        return _Argument(param, slot, start, stop, writes, reads)

    def is_written(self, argument: _Argument) -> bool:
        reached = argument.start
        for start, stop in sorted(self.written.get(argument.slot.name, [])):
            if start <= reached:
                reached = max(reached, stop)
        return reached >= argument.stop

    def check_pair(self, number: int, kernel: Kernel, one: _Argument, other: _Argument) -> None:
        """Memory that a call both reads and writes is read and written element by element."""
        if not (one.writes or other.writes) or not one.meets(other):
            return
        read, written = (other, one) if one.writes else (one, other)
        if read.writes:
            raise self.fail(
                f"the outputs '{one.param.name}' and '{other.param.name}' overlap", number
            )
        if read.place != written.place or not is_elementwise(kernel, read.param, written.param):
            raise self.fail(
                f"'{written.param.name}' overwrites what '{read.param.name}' still reads", number
            )

    def check_results(self) -> None:
        for name in self.program.results:
            slot = self.slots[name]
            if slot.donor is not None and name not in self.written:
                continue  # it is what the parameter was
            whole = Buffer(name, slot.type.dtype, slot.type.static_shape)
            if not self.is_written(_Argument(whole, slot, 0, slot.type.nbytes, False, True)):
                raise self.fail(f"the result '{name}' is not wholly written")

    def check_overlaps(self) -> None:
        """Slots that share bytes of the arena are not live at the same time."""
        lives = _lives(self.program)
        arena = [slot for slot in self.program.slots if slot.name in lives and _in_arena(slot)]
        for one, other in combinations(sorted(arena, key=lambda slot: lives[slot.name]), 2):
            first, second = one.offset or 0, other.offset or 0
            if first >= second + other.type.nbytes or second >= first + one.type.nbytes:
                continue
            # In a step that both meet in, `check_pair` has judged the call itself.
            end, begin = lives[one.name][1], lives[other.name][0]
            if end > begin:
                raise self.fail(
                    f"'{one.name}' and '{other.name}' overlap in the arena while both are live",
                    begin,
                )


def _in_arena(slot: Slot) -> bool:
    return slot.role == Role.ARENA


def _read_first(kernel: Kernel) -> Iterator[str]:
    """The outputs whose given contents count: the kernel's text reads them before it writes."""
    seen: set[str] = set()
    checks = AccessChecks(kernel)
    for site in checks.sites(checks.body):
        access = site.access
        if access.buffer in seen:
            continue
        seen.add(access.buffer)
        joins = isinstance(access.stmt, Accumulate)
        if access.buffer in kernel.outputs and (joins or not access.writes):
            yield access.buffer
