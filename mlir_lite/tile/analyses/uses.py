"""Where a program uses its slots, and how long each is in use, through loops and branches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from ..program import CallStep, IfStep, LoopStep, Program, Step, View, WhileStep, calls_of


@dataclass(frozen=True, slots=True)
class Span:
    """The calls of a loop, from the first to the last, and how often it turns: once if that is
    not known."""

    first: int
    last: int
    turns: int


@dataclass(frozen=True, slots=True)
class Use:
    """A use of a view at a call, by its number, in the loops around it from the outermost on.

    What a condition reads counts as read at the call before it. `call` is then None.
    """

    view: View
    number: int
    loops: tuple[Span, ...]
    call: CallStep | None


def uses_of(program: Program) -> tuple[Use, ...]:
    """All uses of views, in the order of the text."""
    return tuple(_uses(program.steps, 0, ()))


def _uses(steps: tuple[Step, ...], number: int, loops: tuple[Span, ...]) -> Iterator[Use]:
    """The uses in steps of which the first call has this number."""
    for step in steps:
        count = sum(1 for _ in calls_of((step,)))
        match step:
            case CallStep(args=args):
                yield from (Use(view, number, loops, step) for view in args)
            case LoopStep(count=turns, body=body):
                span = Span(number, number + count - 1, turns)
                yield from _uses(body, number, (*loops, span))
            case WhileStep(test=test, condition=condition, body=body):
                inner = (*loops, Span(number, number + count - 1, 1))
                tested = number + sum(1 for _ in calls_of(test))
                yield from _uses(test, number, inner)
                yield Use(condition, tested - 1, inner, None)
                yield from _uses(body, tested, inner)
            case IfStep(condition=condition, then=then, otherwise=otherwise):
                yield Use(condition, number - 1, loops, None)
                yield from _uses(then, number, loops)
                other = number + sum(1 for _ in calls_of(then))
                yield from _uses(otherwise, other, loops)
        number += count


@dataclass(frozen=True, slots=True)
class Life:
    """The calls from `first` to `last` through which a slot is in use.

    What a loop uses and something outside of it too lives through all of the loop's turns; `home`
    is the innermost loop that all of its uses lie in.
    """

    first: int
    last: int
    home: Span | None


def innermost_loops(uses: tuple[Use, ...]) -> dict[int, Span | None]:
    """The loop right around each call that uses anything."""
    return {use.number: use.loops[-1] if use.loops else None for use in uses if use.call}


def turns_of(program: Program) -> tuple[int, ...]:
    """How often each call runs in one run of the program, loops of unknown length turning once."""
    turns = [1] * len(program.calls)
    for use in uses_of(program):
        if use.call is not None:
            turns[use.number] = prod(span.turns for span in use.loops)
    return tuple(turns)


def lives_of(uses: tuple[Use, ...]) -> dict[str, Life]:
    """The life of every slot that is used, in the order of the first uses."""
    found: dict[str, list[Use]] = {}
    for use in uses:
        found.setdefault(use.view.slot, []).append(use)
    return {slot: _life(group) for slot, group in found.items()}


def _life(uses: list[Use]) -> Life:
    depth = min(len(use.loops) for use in uses)
    shared = uses[0].loops[:depth]
    for use in uses:
        while use.loops[: len(shared)] != shared:
            shared = shared[:-1]
    spans = [
        use.loops[len(shared)] if len(use.loops) > len(shared) else Span(use.number, use.number, 1)
        for use in uses
    ]
    first, last = min(span.first for span in spans), max(span.last for span in spans)
    return Life(first, last, shared[-1] if shared else None)
