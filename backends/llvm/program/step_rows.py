"""The steps of a Program as the flat table of rows that `@ml_body` runs through.

    call    a task `a` times on `b` arguments from number `c` of the list on; backwards in odd
            turns of the loop whose turns are counted at place `turns`, if there is one; its `share`
            says how soon to ask whether the call is to end
    begin   a loop: its turns, counted at place `a`, are 0
    turn    of that loop: one more; back to row `c` while fewer than `b`
    branch  to row `a` unless the one argument at `c` (`b` is 1) points to true
    jump    to row `a`
    limit   one more turn, counted at `a`; after `b` of them the status is `c` and all ends

An argument is a pointer found at an index of one of four tables of pointers (arguments, the arena,
constants, the status), moved by an offset in bytes and, for each loop around, by a stride a turn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

from ....errors import VerifyError
from ....tile.program import CallStep, IfStep, LoopStep, Program, Role, Step, View, WhileStep
from ..kernels.kernel import KernelText

# Reading a clock takes as long as a small call. After `SHARES` calls, or as many pieces of memory
# that calls had to do with, it is little.
SHARES = 64
_PIECE = 1 << 14  # bytes
# From so many shares on, 0.3 ms at least, a call is asked within, too: it may take seconds.
LONG = 1024


class Kind(Enum):
    """What a row does."""

    CALL = 0
    BEGIN = 1
    TURN = 2
    BRANCH = 3
    JUMP = 4
    LIMIT = 5


@dataclass(frozen=True)
class Row:
    """A row: its kind by number, the task of a call, and what the kind says of the numbers."""

    kind: int
    task: str = ""
    a: int = 0
    b: int = 0
    c: int = 0
    turns: int = -1
    share: int = 0


@dataclass(frozen=True)
class Table:
    """All rows, and the numbers of their arguments, `width` for each: table, index, offset, and a
    stride for each of `depth` loops."""

    rows: tuple[Row, ...]
    arguments: tuple[int, ...]
    depth: int
    call_rows: tuple[int, ...]

    @property
    def width(self) -> int:
        return 3 + self.depth

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks, each once."""
        return tuple(dict.fromkeys(row.task for row in self.rows if row.task))

    @property
    def most_arguments(self) -> int:
        """Of any row."""
        gathers = (Kind.CALL.value, Kind.BRANCH.value)
        return max((row.b for row in self.rows if row.kind in gathers), default=0)


def table_of(
    program: Program, kernels: Mapping[str, KernelText], common_offset: int, thread_offset: int
) -> Table:
    """The table of a program; kernels find their own memory at these offsets in the arena."""
    maker = _Maker(program, kernels, common_offset, thread_offset, _depth(program.steps))
    maker.add(program.steps, ())
    return Table(tuple(maker.rows), tuple(maker.arguments), maker.depth, tuple(maker.call_rows))


def _depth(steps: tuple[Step, ...]) -> int:
    """How many loops stand in one another at most."""
    deepest = 0
    for step in steps:
        match step:
            case LoopStep(body=body):
                deepest = max(deepest, 1 + _depth(body))
            case WhileStep(test=test, body=body):
                deepest = max(deepest, 1 + _depth(test), 1 + _depth(body))
            case IfStep(then=then, otherwise=otherwise):
                deepest = max(deepest, _depth(then), _depth(otherwise))
    return deepest


@dataclass
class _Maker:
    program: Program
    kernels: Mapping[str, KernelText]
    common_offset: int
    thread_offset: int
    depth: int
    rows: list[Row] = field(default_factory=list)
    arguments: list[int] = field(default_factory=list)
    call_rows: list[int] = field(default_factory=list)

    def add(self, steps: tuple[Step, ...], loops: tuple[str, ...]) -> None:
        """Rows for steps inside of these loops."""
        for step in steps:
            match step:
                case CallStep():
                    self._call(step, loops)
                case LoopStep():
                    self.rows.append(Row(Kind.BEGIN.value, a=len(loops)))
                    first = len(self.rows)
                    self.add(step.body, (*loops, step.name))
                    self.rows.append(Row(Kind.TURN.value, "", len(loops), step.count, first))
                case WhileStep():
                    self._while(step, loops)
                case IfStep():
                    self._if(step, loops)

    def _call(self, step: CallStep, loops: tuple[str, ...]) -> None:
        kernel = self.kernels[step.kernel]
        params = self.program.kernel(step.kernel).params
        share = 1 + sum(param.elements * param.dtype.bytes for param in params) // _PIECE
        for stage in kernel.stages:
            first = len(self.arguments)
            own = [self._argument(view, loops) for view in step.args]
            still = (0,) * self.depth
            own += [(1, 0, self.common_offset, *still)] * bool(kernel.common_bytes)
            own += [(1, 0, self.thread_offset, *still)] * bool(kernel.thread_bytes)
            turns = len(loops) - 1 if step.alternating else -1
            numbers = stage.extent, len(own), first, turns
            self.rows.append(Row(Kind.CALL.value, stage.task, *numbers, share))
            self.arguments += [number for argument in own for number in argument]
        self.call_rows.append(len(self.rows) - sum(self.call_rows))

    def _while(self, step: WhileStep, loops: tuple[str, ...]) -> None:
        inner = (*loops, "")  # a place for its turns, which no view asks for
        if step.limit is not None:
            self.rows.append(Row(Kind.BEGIN.value, a=len(loops)))
        first = len(self.rows)
        self.add(step.test, inner)
        leave = self._branch(step.condition, loops)
        if step.limit is not None:
            self.rows.append(Row(Kind.LIMIT.value, "", len(loops), step.limit, step.fault))
        self.add(step.body, inner)
        self.rows.append(Row(Kind.JUMP.value, a=first))
        self._aim(leave)

    def _if(self, step: IfStep, loops: tuple[str, ...]) -> None:
        otherwise = self._branch(step.condition, loops)
        self.add(step.then, loops)
        leave = len(self.rows)
        self.rows.append(Row(Kind.JUMP.value))
        self._aim(otherwise)
        self.add(step.otherwise, loops)
        self._aim(leave)

    def _branch(self, condition: View, loops: tuple[str, ...]) -> int:
        """A row that leaves if a condition does not hold; where to is yet to be said."""
        self.rows.append(Row(Kind.BRANCH.value, "", 0, 1, len(self.arguments)))
        self.arguments += self._argument(condition, loops)
        return len(self.rows) - 1

    def _aim(self, row: int) -> None:
        """Make a row lead to the next one."""
        self.rows[row] = replace(self.rows[row], a=len(self.rows))

    def _argument(self, view: View, loops: tuple[str, ...]) -> tuple[int, ...]:
        program, slot = self.program, self.program.slot(view.slot)
        bytes_ = slot.type.dtype.bytes
        offset, strides = view.offset * bytes_, dict(view.strides)
        unknown = set(strides) - set(loops)
        if unknown:
            raise VerifyError(f"a view of '{slot.name}' moves with no loop around it: {unknown}")
        moves = tuple(strides.get(loop, 0) * bytes_ for loop in loops)
        moves += (0,) * (self.depth - len(moves))
        match slot.role:
            case Role.PARAMETER:
                return (0, program.params.index(slot.name), offset, *moves)
            case Role.RESULT:
                index = len(program.params) + program.results.index(slot.name)
                return (0, index, offset, *moves)
            case Role.CONSTANT:
                return (2, constant_slots(program).index(slot.name), offset, *moves)
            case Role.STATUS:
                return (3, 0, offset, *moves)
        if slot.offset is None:
            raise VerifyError(f"the slot '{slot.name}' has no place in the arena")
        return (1, 0, slot.offset + offset, *moves)


def constant_slots(program: Program) -> tuple[str, ...]:
    """The constants in the order of the pointers at `State.constants`."""
    return tuple(slot.name for slot in program.slots if slot.role is Role.CONSTANT)
