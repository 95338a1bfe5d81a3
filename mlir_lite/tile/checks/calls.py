"""The verifier's checks of calls: views inside of their slots, nothing read before it is
written or after it is overwritten, through loops and branches.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import TypeAlias

from ...errors import VerifyError
from ...types import bool_
from ..analyses.accesses import Accesses
from ..analyses.in_place import is_elementwise
from ..nodes import Accumulate, Buffer, Kernel
from ..program import (
    CallStep,
    IfStep,
    LoopStep,
    Program,
    Role,
    Slot,
    Step,
    View,
    WhileStep,
    calls_of,
)
from .intervals import common, merged, swept
from .slots import program_error

Turns: TypeAlias = Mapping[str, int]  # of the loops around, by name

STATUS = "status"  # the slot of the status word: read by the caller after every step


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


class CallChecks:
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
        self.counts: dict[str, int] = {}  # of the loops met
        self.overwritten: dict[str, str] = {}  # parameters, by the results that took their place

    def fail(self, message: str, number: int | None = None) -> VerifyError:
        return program_error(self.program, message, number)

    def check_steps(self, steps: tuple[Step, ...], number: int, turns: Turns) -> None:
        """Check steps of which the first call has this number, in these turns of the loops."""
        for step in steps:
            match step:
                case CallStep():
                    self.check_call(number, step, turns)
                case LoopStep():
                    self.check_loop(number, step, turns)
                case WhileStep():
                    self.check_while(number, step, turns)
                case IfStep():
                    self.check_if(number, step, turns)
            number += sum(1 for _ in calls_of((step,)))

    def check_loop(self, number: int, step: LoopStep, turns: Turns) -> None:
        """The first turns and the last stand for all; each turn writes what its views say."""
        if step.count < 1 or step.name in turns:
            raise self.fail(f"the loop '{step.name}' turns {step.count} times", number)
        for turn in sorted({0, 1, step.count - 1} & set(range(step.count))):
            if turn > 1:  # of the turns between nothing else is known
                self.note_turns(step, turn, turns)
            self.check_steps(step.body, number, {**turns, step.name: turn})
        self.note_turns(step, step.count, turns)

    def note_turns(self, step: LoopStep, count: int, turns: Turns) -> None:
        """Remember what the first `count` turns of a loop write, where any does."""
        self.counts[step.name] = count
        for call in calls_of(step.body):
            kernel = self.kernels[call.kernel]
            for param, view in zip(kernel.params, call.args, strict=True):
                if param.name in kernel.outputs and view.slot in self.written:
                    self.note(view, param, turns)

    def check_while(self, number: int, step: WhileStep, turns: Turns) -> None:
        self.check_steps(step.test, number, turns)
        number += sum(1 for _ in calls_of(step.test))
        self.check_condition(step.condition, number - 1, turns)
        if step.limit is not None and step.fault not in self.program.faults:
            raise self.fail(f"a loop's fault {step.fault} has no meaning", number)
        before = self.snapshot()
        for _ in range(2):
            self.check_steps(step.body, number, turns)
        self.written = before  # the body may never run

    def check_if(self, number: int, step: IfStep, turns: Turns) -> None:
        self.check_condition(step.condition, number, turns)
        before, overwritten = self.snapshot(), dict(self.overwritten)
        self.check_steps(step.then, number, turns)
        one, self.written = self.written, before
        also, self.overwritten = self.overwritten, overwritten
        self.check_steps(step.otherwise, number + sum(1 for _ in calls_of(step.then)), turns)
        self.written = {
            name: common(one.get(name, []), pieces) for name, pieces in self.written.items()
        }
        self.overwritten |= also

    def snapshot(self) -> dict[str, list[tuple[int, int]]]:
        return {name: list(pieces) for name, pieces in self.written.items()}

    def check_condition(self, view: View, number: int, turns: Turns) -> None:
        flag = Buffer("condition", bool_, ())
        place = self.place(number, flag, view, turns, writes=False, reads=True)
        if not self.holds_something(place):
            raise self.fail(f"a condition reads '{view.slot}' before it is written", number)

    def note(self, view: View, param: Buffer, turns: Turns) -> None:
        """Remember that this is written, in all turns of the loops that `turns` does not know."""
        bytes_ = param.dtype.bytes
        known = {loop: turns.get(loop, 0) for loop, _ in view.strides}
        start = view.start(known) * bytes_
        moves = [
            (self.counts[loop], stride * bytes_)
            for loop, stride in view.strides
            if loop not in turns
        ]
        pieces = self.written.setdefault(view.slot, [])
        pieces += swept((start, start + param.elements * bytes_), moves)
        if moves:
            pieces[:] = merged(pieces)

    def check_call(self, number: int, step: CallStep, turns: Turns) -> None:
        kernel = self.kernels.get(step.kernel)
        if kernel is None:
            raise self.fail("there is no such kernel", number)
        if step.alternating and not turns:
            raise self.fail("an alternating call stands in no loop", number)
        if len(step.args) != len(kernel.params):
            have, wanted = len(step.args), len(kernel.params)
            raise self.fail(f"{have} views for {wanted} parameters", number)
        arguments = [
            self.argument(number, param, view, kernel, turns)
            for param, view in zip(kernel.params, step.args, strict=True)
        ]
        for argument in arguments:
            if argument.reads and not self.holds_something(argument):
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
        for argument, view in zip(arguments, step.args, strict=True):
            if argument.writes:
                self.note(view, argument.param, turns)
                if argument.slot.donor is not None:
                    self.overwritten[argument.slot.donor] = argument.slot.name

    def argument(
        self, number: int, param: Buffer, view: View, kernel: Kernel, turns: Turns
    ) -> _Argument:
        writes = param.name in kernel.outputs
        reads = not writes or param.name in self.in_out[kernel.name]
        return self.place(number, param, view, turns, writes=writes, reads=reads)

    def place(
        self, number: int, param: Buffer, view: View, turns: Turns, *, writes: bool, reads: bool
    ) -> _Argument:
        """The bytes of a view in these turns, which must lie in its slot."""
        unknown = [loop for loop, _ in view.strides if loop not in turns]
        if unknown:
            raise self.fail(f"there is no loop '{unknown[0]}' around", number)
        slot = self.slots.get(view.slot)
        if slot is None:
            raise self.fail(f"there is no slot '{view.slot}'", number)
        if slot.type.dtype != param.dtype:
            raise self.fail(
                f"'{param.name}' of {param.dtype} is bound to '{slot.name}' of {slot.type}", number
            )
        start = view.start(turns) * param.dtype.bytes
        stop = start + param.elements * param.dtype.bytes
        if start < 0 or stop > slot.type.nbytes:
            raise self.fail(f"'{param.name}' reaches beyond the slot '{slot.name}'", number)
        if param.alignment and start % param.alignment:
            raise self.fail(
                f"'{param.name}' lies at byte {start} of '{slot.name}': no multiple of "
                f"{param.alignment}",
                number,
            )
        if writes and slot.role in (Role.PARAMETER, Role.CONSTANT):
            raise self.fail(f"'{param.name}' writes the {slot.role} '{slot.name}'", number)
        return _Argument(param, slot, start, stop, writes, reads)

    def holds_something(self, argument: _Argument) -> bool:
        """Whether a read finds what was written, or the parameter that the slot lies in."""
        return argument.slot.donor is not None or self.is_written(argument)

    def is_written(self, argument: _Argument) -> bool:
        pieces = merged(self.written.get(argument.slot.name, []))
        whole = argument.start >= argument.stop
        return whole or any(a <= argument.start and argument.stop <= b for a, b in pieces)

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


def _read_first(kernel: Kernel) -> Iterator[str]:
    """The outputs whose given contents count: the kernel's text reads them before it writes."""
    seen: set[str] = set()
    accesses = Accesses(kernel)
    for site in accesses.sites(accesses.body):
        access = site.access
        if access.buffer in seen:
            continue
        seen.add(access.buffer)
        joins = isinstance(access.stmt, Accumulate)
        if access.buffer in kernel.outputs and (joins or not access.writes):
            yield access.buffer
