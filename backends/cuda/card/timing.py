"""Times by a card's own clock: of whole runs, and of each kernel alone, from memory.

What a run reads again and again would come from the card's cache, as it does not in a program that
does something else in between. So runs take turns on several sets of arrays, together larger than
the cache, and before each kernel that is timed alone the cache is filled with something else.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ....tile.program import Role
from ....types import Array
from .device import Device, Event, Launch, Memory, Stream
from .runner import Graphs, Loaded, Runner

MOST_SETS = 24  # of arrays: each has its own graph
_TIMES_CACHE = 3  # so much larger than the cache all sets are together
_COPY_BYTES = 256 << 20
RUNS = 4  # of every set in one sample, so that starting the clock costs little


def set_count(size: int, cache: int) -> int:
    """How many sets of arrays, of `size` bytes each, are larger than the cache together."""
    return min(MOST_SETS, max(1, -(-_TIMES_CACHE * cache // max(1, size))))


class Runs:
    """Whole runs on the card, on sets of arrays that take turns; `cache` is the bytes of its last
    cache. Several can be sampled in turn."""

    def __init__(self, loaded: Loaded, arrays: Sequence[Array], cache: int) -> None:
        self._device = loaded.device
        self._device.enter()
        self._stream = loaded.device.stream()
        self._runner = Runner(loaded, self._stream)
        size = sum(slot.type.nbytes for slot in loaded.program.slots if slot.role in _OUTSIDE)
        count = set_count(size, cache)
        self._sets = [_Arrays.of(loaded, arrays, self._stream) for _ in range(count)]
        for _ in range(2):  # launched, and captured
            self._once()

    def _once(self) -> None:
        for places in self._sets:
            self._runner.run(self._stream, places.addresses)

    def sample(self) -> float:
        """Seconds of a run."""
        self._device.enter()
        start = self._stream.record(timed=True)
        for _ in range(RUNS):
            self._once()
        taken = self._stream.record(timed=True).seconds_since(start)
        return taken / (len(self._sets) * RUNS)


def run_seconds(loaded: Loaded, arrays: Sequence[Array], cache: int, repeat: int) -> list[float]:
    """Seconds of a run on the card, a sample each; `cache` is the bytes of its last cache."""
    runs = Runs(loaded, arrays, cache)
    return [runs.sample() for _ in range(repeat)]


def kernel_seconds(
    loaded: Loaded, arrays: Sequence[Array], cache: int, repeat: int
) -> Mapping[str, float]:
    """Seconds that all launches of each kernel take in a run, each alone and from memory."""
    loaded.device.enter()
    stream = loaded.device.stream()
    runner = _Timed(loaded, stream, cache)
    places = _Arrays.of(loaded, arrays, stream)
    runs: list[Mapping[str, float]] = []
    for _ in range(repeat + 1):
        runner.run(stream, places.addresses)
        runs.append(runner.taken(stream))
    warm = runs[1:]
    return {name: statistics.median(run.get(name, 0.0) for run in warm) for name in warm[0]}


def copy_bandwidth(device: Device, repeat: int = 10) -> float:
    """Bytes a second read and written by the card's own copies."""
    device.enter()
    stream = device.stream()
    half = _COPY_BYTES // 2
    memory = Memory(stream, 2 * half)
    best = float("inf")
    for _ in range(repeat):
        start = stream.record(timed=True)
        stream.copy(memory.address + half, memory.address, half)
        best = min(best, stream.record(timed=True).seconds_since(start))
    return 2 * half / best


_OUTSIDE = (Role.PARAMETER, Role.RESULT)


@dataclass(frozen=True)
class _Arrays:
    """Parameters and results on the card."""

    memory: Mapping[str, Memory]

    @staticmethod
    def of(loaded: Loaded, arrays: Sequence[Array], stream: Stream) -> _Arrays:
        program = loaded.program
        names = [
            *program.params, *(n for n in program.results if program.slot(n).donor is None),
        ]  # fmt: skip
        found = {name: Memory(stream, program.slot(name).type.nbytes) for name in names}
        for name, array in zip(program.params, arrays, strict=True):
            stream.upload(found[name].address, np.ascontiguousarray(array))
        return _Arrays(found)

    @property
    def addresses(self) -> Mapping[str, int]:
        return {name: memory.address for name, memory in self.memory.items()}


class _Timed(Runner):
    """Notes when each kernel starts and ends, and fills the cache before it."""

    def __init__(self, loaded: Loaded, stream: Stream, cache: int) -> None:
        super().__init__(loaded, stream, Graphs(most=0))
        self._names = {id(kernel): name for name, kernel in loaded.kernels.items()}
        self._filler, self._cache = Memory(stream, 2 * cache), cache
        self._noted: list[tuple[str, Event, Event]] = []

    def start(self, stream: Stream, launch: Launch) -> None:
        stream.copy(self._filler.address + self._cache, self._filler.address, self._cache)
        start = stream.record(timed=True)
        stream.launch(launch)
        name = self._names[id(launch.kernel)]
        self._noted.append((name, start, stream.record(timed=True)))

    def taken(self, stream: Stream) -> Mapping[str, float]:
        """Seconds by kernel since the last call, without those of the clock itself."""
        idle = min(_idle(stream))
        seconds: dict[str, float] = defaultdict(float)
        for name, start, end in self._noted:
            seconds[name] += max(0.0, end.seconds_since(start) - idle)
        self._noted.clear()
        return seconds


def _idle(stream: Stream) -> Iterator[float]:
    """What the clock says where nothing was done."""
    for _ in range(5):
        start = stream.record(timed=True)
        yield stream.record(timed=True).seconds_since(start)
