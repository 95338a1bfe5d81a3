"""Every order in which threads can take their steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeAlias, TypeVar

from .text_machine import Fault, Machine, Memory, Thread

T = TypeVar("T")
State: TypeAlias = tuple[int, ...]  # the numbers of the memory and of each thread


@dataclass
class _Numbered(Generic[T]):
    """What was met so far, each with its number."""

    every: list[T] = field(default_factory=list)
    numbers: dict[T, int] = field(default_factory=dict)

    def number(self, one: T) -> int:
        found = self.numbers.setdefault(one, len(self.every))
        if found == len(self.every):
            self.every.append(one)
        return found


def explore(machine: Machine, threads: Sequence[Thread], memory: Memory) -> int:
    """Let the threads take their steps in every order there is; gives the number of states.

    `Fault`, with the steps that led there, where a function beside the text raises it, and where
    threads come to a state from which they cannot all end any more.
    """
    return _Search(machine, threads, memory).run()


class _Search:
    def __init__(self, machine: Machine, threads: Sequence[Thread], memory: Memory) -> None:
        self.machine = machine
        self.memories, self.threads = _Numbered[Memory](), _Numbered[Thread]()
        self.ended = self.threads.number(())
        self.states = _Numbered[State]()
        start = self.memories.number(memory), *map(self.threads.number, threads)
        self.states.number(start)
        self.came = [(0, 0)]  # for each state one before it, and who took the step
        self.before: list[list[int]] = [[]]  # all states before each
        self.steps: dict[tuple[int, int, int], tuple[int, int] | None] = {}

    def run(self) -> int:
        for at, state in enumerate(self.states.every):  # which grows
            for who in range(1, len(state)):
                went = self.step(at, who, state[who], state[0])
                if went is not None:
                    after = self.states.number((went[1], *state[1:who], went[0], *state[who + 1 :]))
                    if after == len(self.came):
                        self.came.append((at, who))
                        self.before.append([])
                    self.before[after].append(at)
        self.check_ends()
        return len(self.came)

    def step(self, at: int, who: int, thread: int, memory: int) -> tuple[int, int] | None:
        """The numbers of thread and memory after a step; None where the thread takes none."""
        if thread == self.ended:
            return None
        key = who, thread, memory
        if key not in self.steps:
            there, words = self.threads.every[thread], self.memories.every[memory]
            try:
                went = self.machine.step(who, there, words)
            except Fault as fault:
                raise Fault(f"{fault}, after\n{self.story(at, who)}") from None
            self.steps[key] = went and (
                self.threads.number(went[0]), self.memories.number(went[1])
            )
        return self.steps[key]

    def check_ends(self) -> None:
        ended = {
            at for at, state in enumerate(self.states.every) if set(state[1:]) == {self.ended}
        }
        fresh = list(ended)
        while fresh:
            new = set(self.before[fresh.pop()]) - ended
            ended |= new
            fresh += new
        if len(ended) < len(self.came):
            lost = next(at for at in range(len(self.came)) if at not in ended)
            raise Fault(f"threads that can never end, after\n{self.story(lost)}")

    def story(self, at: int, *last: int) -> str:
        """The steps that led to a state, and the one that `last` was to take."""
        steps = [(at, who) for who in last]
        while at:
            steps.append(self.came[at])
            at = self.came[at][0]
        return "\n".join(
            f"thread {who}: {self.machine.shown(self.threads.every[self.states.every[at][who]])}"
            for at, who in reversed(steps)
        )
