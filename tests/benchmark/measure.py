"""Times a case on every engine, each in a process of its own, while the others stand still."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial

from mlir_lite.backends.llvm.ceilings import Ceilings
from mlir_lite.cli.runners import Apart, Call, Runner, in_turn, relative_error
from mlir_lite.types import Array

from .cases import Case
from .engines import ENGINES, OURS, make_call


@dataclass(frozen=True)
class Timing:
    """Seconds a call, and the error against float64; or why there are none."""

    seconds: float = 0.0
    error: float = 0.0
    failure: str = ""


# What products of a group are made of, where the machine has it.
_DOTS = {"bf16": "vpdpbf16ps", "int8": "vpdpbusd"}


@dataclass(frozen=True)
class Row:
    """A case on all engines that take it, with so many threads."""

    name: str
    group: str
    threads: int
    flops: int
    bytes: int
    timings: dict[str, Timing] = field(default_factory=dict)

    @property
    def ours(self) -> Timing | None:
        return self._good.get(OURS)

    @property
    def best_rival(self) -> str | None:
        """The fastest of the others."""
        rivals = [name for name in self._good if name != OURS]
        return min(rivals, key=lambda name: self._good[name].seconds, default=None)

    @property
    def ratio(self) -> float | None:
        """The best rival's time over ours: above 1 we are faster."""
        if self.ours is None or self.best_rival is None:
            return None
        return self._good[self.best_rival].seconds / self.ours.seconds

    def share(self, ceilings: Ceilings) -> float | None:
        """What the machine would take at best, over our time."""
        if self.ours is None:
            return None
        _, bandwidth = ceilings.bandwidth(self.bytes)
        narrow = {_DOTS[self.group]: self.flops} if self.group in _DOTS else {}
        limit = max(ceilings.seconds(self.flops, narrow), self.bytes / bandwidth)
        return limit / self.ours.seconds

    @property
    def _good(self) -> dict[str, Timing]:
        return {name: timing for name, timing in self.timings.items() if not timing.failure}


def measure(
    case: Case, engines: Sequence[str], threads: int, *, repeat: int, passes: int
) -> Row:
    """One row. Of several passes over all engines the better median counts; each median is of
    `repeat` rounds."""
    row = Row(case.name, case.group, threads, case.flops, case.bytes)
    runners: dict[str, Runner] = {}
    errors: dict[str, float] = {}
    with ExitStack() as ended:
        for name in engines:
            if not ENGINES[name].takes(case):
                continue
            try:
                runner = Apart(name, partial(make_call, name, case, threads), processors(threads))
                ended.callback(runner.close)
                errors[name] = case.error(runner.results())
                runners[name] = runner
            except Exception as error:  # an engine that cannot run a case does not end the others
                row.timings[name] = Timing(failure=f"{type(error).__name__}: {error}")
        medians: dict[str, list[float]] = {name: [] for name in runners}
        for _ in range(passes):
            for name, seconds in median_seconds(runners, repeat).items():
                medians[name].append(seconds)
    row.timings.update(
        {name: Timing(min(found), errors[name]) for name, found in medians.items()}
    )
    return row


def measure_apart(
    makes: Mapping[str, Callable[[], Call]], wanted: Sequence[Array], threads: int, repeat: int
) -> dict[str, Timing]:
    """Calls by name, each in a process of its own, and compared with the results of float64."""
    runners: dict[str, Runner] = {}
    with ExitStack() as ended:
        for name, make in makes.items():
            runners[name] = runner = Apart(name, make, processors(threads))
            ended.callback(runner.close)
        errors = {name: relative_error(each.results(), wanted) for name, each in runners.items()}
        seconds = median_seconds(runners, repeat)
    return {name: Timing(seconds[name], errors[name]) for name in makes}


def median_seconds(runners: Mapping[str, Runner], repeat: int) -> dict[str, float]:
    """Seconds a call of each, the median of rounds in turn."""
    return {name: statistics.median(times) for name, times in in_turn(runners, repeat).items()}


def processors(threads: int) -> tuple[int, ...]:
    """The last so many processors this process may use: the first often have other work, too."""
    if not hasattr(os, "sched_getaffinity"):
        return ()
    return tuple(sorted(os.sched_getaffinity(0))[-threads:])
