"""How long each step of a program takes inside whole calls, and what it could take at best."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from ..backends.llvm.ceilings import Ceilings
from ..location import UNKNOWN
from ..tile.program import CallStep, Program
from ..types import Array
from .counting import StepWork, footprint, step_works

_SECONDS = 0.1  # at least: so long a stretch tells the rate of the machine's counter to 1e-4
_TINY = 1e-12  # seconds: no division by the 0 of a step without work


@dataclass(frozen=True)
class StepTimes:
    """Seconds of whole calls and of their steps.

    `call` and `steps` (one for each step) are means over the faster half of the calls: medians of
    the steps would not add up to that of the call. `starts` and `durations` are those of the
    slowest call of that half, from its first step on.
    """

    calls: int
    call: float
    steps: Array
    starts: Array
    durations: Array

    @property
    def inside(self) -> float:
        """The steps together."""
        return float(self.steps.sum())


class Timed(Protocol):
    """What is timed: a `CpuExecutable` compiled as such."""

    def __call__(self, *arrays: object) -> object: ...

    def step_ticks(self) -> Array:
        """The machine's counter at the start of the last call and after each of its steps."""


def time_steps(executable: Timed, arrays: Sequence[Array], repeat: int) -> StepTimes:
    """Call it at least `repeat` times, and long enough to know the rate of the counter."""
    executable(*arrays)
    executable(*arrays)  # the caches are warm as in any later call
    ticks: list[Array] = []
    calls: list[float] = []
    begin = time.perf_counter()
    while len(calls) < repeat or time.perf_counter() - begin < _SECONDS:
        start = time.perf_counter()
        executable(*arrays)
        end = time.perf_counter()
        calls.append(end - start)
        ticks.append(executable.step_ticks())
    # From the first call's first step to the last call's last.
    every = np.array(ticks)
    seconds_a_tick = (end - begin) / float(every[-1, -1] - every[0, 0])
    durations = np.diff(every, axis=1) * seconds_a_tick
    half = np.argsort(calls)[: (len(calls) + 1) // 2]
    shown = half[-1]
    return StepTimes(
        len(calls),
        float(np.mean(np.array(calls)[half])),
        durations[half].mean(axis=0),
        (every[shown, :-1] - every[shown, 0]) * seconds_a_tick,
        durations[shown],
    )


@dataclass(frozen=True)
class Line:
    """One line of a profile: a step, or all steps of one kernel, which ran `count` times.

    The machine needs at least `compute_seconds` for the arithmetic and `data_seconds` for the
    bytes, most of which lie in `place`.
    """

    kernel: str
    label: str
    source: str
    count: int
    seconds: float
    operations: int
    bytes: int
    compute_seconds: float
    data_seconds: float
    place: str

    @property
    def gflops(self) -> float:
        """Operations a nanosecond."""
        return self.operations / max(self.seconds, _TINY) / 1e9

    @property
    def gigabytes(self) -> float:
        """Bytes a nanosecond."""
        return self.bytes / max(self.seconds, _TINY) / 1e9

    @property
    def bound(self) -> str:
        """What takes longest at best: "compute", or the place that the data come from."""
        return "compute" if self.compute_seconds >= self.data_seconds else self.place

    @property
    def limit_seconds(self) -> float:
        """What it would take at the ceiling that bounds it."""
        return max(self.compute_seconds, self.data_seconds)

    @property
    def share(self) -> float:
        """Of that ceiling: 1 is as fast as the machine can."""
        return self.limit_seconds / max(self.seconds, _TINY)


def step_lines(program: Program, seconds: Sequence[float], ceilings: Ceilings) -> list[Line]:
    """A line a step, in their order.

    Intermediates come from the nearest cache that holds the step's data. What lies outside of
    the arena, as weights do, comes from memory if one call touches more than the last cache holds.
    """
    cold = footprint(program) > ceilings.l3_bytes
    works = step_works(program)
    return [
        _line(step, float(took), work, ceilings, cold=cold)
        for step, took, work in zip(program.calls, seconds, works, strict=True)
    ]


def _line(
    step: CallStep, seconds: float, work: StepWork, ceilings: Ceilings, *, cold: bool
) -> Line:
    place, rate = ceilings.bandwidth(work.bytes_at_once)
    from_memory = work.bytes - work.arena_bytes if cold else 0
    warm_seconds = (work.bytes - from_memory) / rate
    cold_seconds = from_memory / ceilings.memory
    return Line(
        step.kernel,
        step.label,
        "" if step.location == UNKNOWN else str(step.location),
        work.turns,
        seconds,
        work.operations,
        work.bytes,
        ceilings.seconds(work.operations, work.narrow),
        warm_seconds + cold_seconds,
        "memory" if cold_seconds > warm_seconds else place,
    )


def kernel_lines(steps: Sequence[Line]) -> list[Line]:
    """The lines of a kernel's steps as one, with the source of the slowest; the slowest kernel
    first."""
    groups: dict[str, list[Line]] = {}
    for line in steps:
        groups.setdefault(line.kernel, []).append(line)
    return sorted(map(_together, groups.values()), key=lambda line: -line.seconds)


def _together(lines: Sequence[Line]) -> Line:
    slowest = max(lines, key=lambda line: line.seconds)
    return replace(
        slowest,
        count=sum(line.count for line in lines),
        seconds=sum(line.seconds for line in lines),
        operations=sum(line.operations for line in lines),
        bytes=sum(line.bytes for line in lines),
        compute_seconds=sum(line.compute_seconds for line in lines),
        data_seconds=sum(line.data_seconds for line in lines),
    )
