"""The Program: what runs. Kernels called one after the other on views of buffers, in loops and
branches where the model has them.

A buffer is a parameter, a result, a constant, or a stretch of the one static arena.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from typing import TypeAlias

from ..location import UNKNOWN, Location
from ..types import TensorType
from .nodes import Kernel


class Role(StrEnum):
    """What a slot is for a caller of the program."""

    PARAMETER = "parameter"
    RESULT = "result"
    CONSTANT = "constant"
    ARENA = "arena"
    STATUS = "status"  # the one i64 that kernels report faults of the data through


@dataclass(frozen=True, slots=True)
class Slot:
    """A buffer of the program. `offset` is its place in the arena, in bytes (ARENA only); `donor`
    is the parameter whose array a result overwrites and becomes (RESULT only)."""

    name: str
    type: TensorType
    role: Role
    offset: int | None = None
    donor: str | None = None

    @property
    def memory(self) -> str:
        """The slot whose memory this is."""
        return self.donor or self.name


@dataclass(frozen=True, slots=True)
class View:
    """A slot as a kernel sees it, from `offset` elements on; the kernel's own parameter says the
    shape and the layout. Each turn of the loop named in `strides` moves it by so many elements."""

    slot: str
    offset: int = 0
    strides: tuple[tuple[str, int], ...] = ()

    def start(self, turns: Mapping[str, int]) -> int:
        """The first element, in these turns of the loops around."""
        return self.offset + sum(turns[loop] * stride for loop, stride in self.strides)


@dataclass(frozen=True, slots=True)
class CallStep:
    """Call a kernel; `args` in the order of its parameters.

    In odd turns of the loop around it the pieces of an `alternating` call that are dealt to threads
    run from the last to the first: what the turn before read last is nearest still.
    """

    kernel: str
    args: tuple[View, ...]
    location: Location = UNKNOWN
    label: str = ""  # the operations it stands for, for people
    alternating: bool = False


@dataclass(frozen=True, slots=True)
class LoopStep:
    """Run `body` `count` times, at least once; `name` is the turn, from 0 on, in its views."""

    name: str
    count: int
    body: tuple[Step, ...]
    location: Location = UNKNOWN


@dataclass(frozen=True, slots=True)
class WhileStep:
    """Run `test`, then `body` if `condition` is true then, over and over.

    If it is still true after `limit` turns, the status becomes `fault` and the program ends.
    """

    test: tuple[Step, ...]
    condition: View
    body: tuple[Step, ...]
    limit: int | None = None
    fault: int = 0
    location: Location = UNKNOWN


@dataclass(frozen=True, slots=True)
class IfStep:
    """Run one of two lists of steps."""

    condition: View
    then: tuple[Step, ...]
    otherwise: tuple[Step, ...]
    location: Location = UNKNOWN


Step: TypeAlias = CallStep | LoopStep | WhileStep | IfStep


@dataclass(frozen=True, slots=True)
class Fault:
    """What a status word means: the message and the user's line."""

    message: str
    location: Location


@dataclass(frozen=True)
class Memory:
    """The memory plan's figures, in bytes."""

    arena_bytes: int
    lower_bound_bytes: int
    without_reuse_bytes: int = 0  # the arena, had no result taken its operand's place
    total_bytes: int = 0  # all intermediates, side by side
    proof: str = ""
    peak: tuple[str, ...] = ()

    @property
    def ratio(self) -> float:
        """Arena over lower bound; 1 is a plan that no other can beat."""
        return self.arena_bytes / self.lower_bound_bytes if self.lower_bound_bytes else 1.0


@dataclass(frozen=True)
class Program:
    """Kernels, slots and steps. `faults` maps status words (1, 2, …) to their meaning; a kernel
    that can fault has a last output parameter `status: i64[1]` bound to the slot "status"."""

    name: str
    kernels: tuple[Kernel, ...]
    slots: tuple[Slot, ...]
    steps: tuple[Step, ...]
    params: tuple[str, ...]
    results: tuple[str, ...]
    faults: Mapping[int, Fault] = field(default_factory=dict)
    memory: Memory | None = None

    def slot(self, name: str) -> Slot:
        return self._by_name[name]

    def kernel(self, name: str) -> Kernel:
        return self._kernels[name]

    @cached_property
    def calls(self) -> tuple[CallStep, ...]:
        """All calls in the order of the text: a call's number is its place here."""
        return tuple(calls_of(self.steps))

    @cached_property
    def _by_name(self) -> Mapping[str, Slot]:
        return {slot.name: slot for slot in self.slots}

    @cached_property
    def _kernels(self) -> Mapping[str, Kernel]:
        return {kernel.name: kernel for kernel in self.kernels}

    def __str__(self) -> str:
        from .printer import print_program

        return print_program(self)


def calls_of(steps: tuple[Step, ...]) -> Iterator[CallStep]:
    """The calls in steps and in what they hold, in the order of the text."""
    for step in steps:
        match step:
            case CallStep():
                yield step
            case _:
                for block in blocks_of(step):
                    yield from calls_of(block)


def blocks_of(step: Step) -> tuple[tuple[Step, ...], ...]:
    """The lists of steps that a step holds, in the order of the text."""
    match step:
        case LoopStep(body=body):
            return (body,)
        case WhileStep(test=test, body=body):
            return test, body
        case IfStep(then=then, otherwise=otherwise):
            return then, otherwise
    return ()


def views_of(step: Step) -> Iterator[View]:
    """All views that a step and what it holds read or write."""
    match step:
        case CallStep(args=args):
            yield from args
        case WhileStep(condition=condition) | IfStep(condition=condition):
            yield condition
    for block in blocks_of(step):
        for inner in block:
            yield from views_of(inner)


def with_steps(program: Program, steps: tuple[Step, ...], kernels: Iterable[Kernel]) -> Program:
    """The program with other steps, and those of these kernels that they call."""
    used = {call.kernel for call in calls_of(steps)}
    left = tuple(kernel for kernel in kernels if kernel.name in used)
    return replace(program, kernels=left, steps=steps)


def with_views(steps: tuple[Step, ...], change: Callable[[View], View]) -> tuple[Step, ...]:
    """The steps on other views."""
    return tuple(_with_views(step, change) for step in steps)


def _with_views(step: Step, change: Callable[[View], View]) -> Step:
    match step:
        case CallStep(args=args):
            return replace(step, args=tuple(map(change, args)))
        case LoopStep(body=body):
            return replace(step, body=with_views(body, change))
        case WhileStep():
            test, body = with_views(step.test, change), with_views(step.body, change)
            return replace(step, test=test, condition=change(step.condition), body=body)
        case IfStep():
            then, otherwise = with_views(step.then, change), with_views(step.otherwise, change)
            condition = change(step.condition)
            return replace(step, condition=condition, then=then, otherwise=otherwise)
