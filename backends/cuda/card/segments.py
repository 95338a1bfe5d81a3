"""What of a program runs without the host looking at data, and where it looks.

A segment is a list of launches that one graph can hold: calls, and loops of calls unrolled. Between
segments the host asks for the condition of a branch or of a loop.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ....tile.program import (
    CallStep,
    IfStep,
    LoopStep,
    Program,
    Role,
    Step,
    View,
    WhileStep,
    views_of,
)

MOST_LAUNCHES = 1 << 14  # of a graph: each holds memory of the host, and of the card

Turns: TypeAlias = Mapping[str, int]  # of the loops around, by name


@dataclass(frozen=True, eq=False)
class Segment:
    """Steps of calls and of loops of calls.

    `launches` are the kernels that they start, of which `words` may report a fault. `is_fixed`
    says whether each time they are the same ones on the same views.
    """

    steps: tuple[Step, ...]
    launches: int
    words: int
    is_fixed: bool

    @property
    def fits_graph(self) -> bool:
        """Whether a graph of it can be launched again and again."""
        return self.is_fixed and 0 < self.launches <= MOST_LAUNCHES

    def calls(self, turns: Turns) -> Iterator[tuple[CallStep, Turns]]:
        """Every call in the order of running, with the turns of the loops around it."""
        return _unrolled(self.steps, turns)


@dataclass(frozen=True)
class Repeated:
    """Parts that a loop of fixed length runs over and over."""

    name: str
    count: int
    body: tuple[Part, ...]


@dataclass(frozen=True)
class Choice:
    """One of two lists of parts."""

    condition: View
    then: tuple[Part, ...]
    otherwise: tuple[Part, ...]


@dataclass(frozen=True)
class While:
    """`test`, then `turn` (a body, then the test again) as long as the condition holds."""

    test: tuple[Part, ...]
    condition: View
    turn: tuple[Part, ...]
    limit: int | None
    fault: int


Part: TypeAlias = Segment | Repeated | Choice | While


def parts_of(program: Program) -> tuple[Part, ...]:
    """The parts of a program, in order."""
    reporting = frozenset(slot.name for slot in program.slots if slot.role is Role.STATUS)
    return _Cutter(reporting).parts(program.steps)


@dataclass(frozen=True)
class _Cutter:
    reporting: frozenset[str]  # slots that faults are reported through

    def parts(self, steps: Sequence[Step]) -> tuple[Part, ...]:
        found: list[Part] = []
        plain: list[Step] = []
        for step in steps:
            if not _asks(step):
                plain.append(step)
                continue
            if plain:
                found.append(self.segment(tuple(plain)))
                plain.clear()
            found.append(self.asking(step))
        if plain:
            found.append(self.segment(tuple(plain)))
        return tuple(found)

    def asking(self, step: Step) -> Part:
        match step:
            case LoopStep(name=name, count=count, body=body):
                return Repeated(name, count, self.parts(body))
            case IfStep(condition=condition, then=then, otherwise=otherwise):
                return Choice(condition, self.parts(then), self.parts(otherwise))
            case WhileStep(test=test, condition=condition, body=body):
                turn = self.parts((*body, *test))
                return While(self.parts(test), condition, turn, step.limit, step.fault)
        raise AssertionError(step)

    def segment(self, steps: tuple[Step, ...]) -> Segment:
        inner = {loop.name for loop in _loops(steps)}
        read = {name for step in steps for view in views_of(step) for name, _ in view.strides}
        return Segment(steps, _count(steps), _count(steps, self.reporting), read <= inner)


def most_words(parts: Sequence[Part]) -> int:
    """The status words that a segment needs at most."""
    most = 0
    for part in parts:
        match part:
            case Segment(words=words):
                most = max(most, words)
            case Repeated(body=body):
                most = max(most, most_words(body))
            case Choice(then=then, otherwise=otherwise):
                most = max(most, most_words(then), most_words(otherwise))
            case While(test=test, turn=turn):
                most = max(most, most_words(test), most_words(turn))
    return most


def _asks(step: Step) -> bool:
    """Whether the host looks at data in a step."""
    return not isinstance(step, CallStep) and (
        not isinstance(step, LoopStep) or any(map(_asks, step.body))
    )


def _loops(steps: Sequence[Step]) -> Iterator[LoopStep]:
    for step in steps:
        if isinstance(step, LoopStep):
            yield step
            yield from _loops(step.body)


def _count(steps: Sequence[Step], reporting: frozenset[str] | None = None) -> int:
    """The calls of these steps, those of loops in all turns; only those that report, if given."""
    total = 0
    for step in steps:
        if isinstance(step, LoopStep):
            total += step.count * _count(step.body, reporting)
        elif isinstance(step, CallStep):
            total += reporting is None or any(view.slot in reporting for view in step.args)
    return total


def _unrolled(steps: Sequence[Step], turns: Turns) -> Iterator[tuple[CallStep, Turns]]:
    for step in steps:
        if isinstance(step, LoopStep):
            for turn in range(step.count):
                yield from _unrolled(step.body, {**turns, step.name: turn})
        elif isinstance(step, CallStep):
            yield step, turns

