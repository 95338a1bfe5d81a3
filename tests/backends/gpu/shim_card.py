"""The CPU as a whole card: streams, events, graphs and memory, above kernels run from their text.

What is put into a stream is done at once, or, of a card that is `late`, only when somebody waits
for it: so an order that nobody asked for shows in the results.
"""

from __future__ import annotations

import ctypes
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path

import numpy as np

from mlir_lite.backends.cuda.card.device import Event, Launch
from mlir_lite.backends.cuda.source.kernels import CudaKernel
from mlir_lite.backends.cuda.source.source import CudaSource
from mlir_lite.types import Array

from .shim import ShimDevice, build, unit_text

CUDA = 2  # DLPack's name for a card


@dataclass(frozen=True)
class ShimEvent:
    stream: ShimStream
    place: int  # how much was put into the stream before

    def is_done(self) -> bool:
        return self.stream.done >= self.place

    def synchronise(self) -> None:
        self.stream.until(self.place)

    def seconds_since(self, earlier: Event) -> float:
        assert isinstance(earlier, ShimEvent)
        self.synchronise()
        return self.stream.reached[self.place] - earlier.stream.reached[earlier.place]


@dataclass(eq=False, repr=False)
class ShimStream:
    card: ShimCard
    handle: int
    queue: deque[Callable[[], object]] = field(default_factory=deque)
    put: int = 0
    done: int = 0
    reached: dict[int, float] = field(default_factory=dict)  # when each place was come to
    free: dict[int, list[int]] = field(default_factory=dict)  # memory given back, by its size

    def _put(self, work: Callable[[], object]) -> None:
        with self.card.lock:
            self.queue.append(work)
            self.put += 1
            if not self.card.late:
                self.until(self.put)

    def until(self, place: int) -> None:
        """Do what was put in up to a place."""
        with self.card.lock:
            while self.done < place:
                # Counted first: memory may be collected in between, whose release comes here too.
                turn = self.done = self.done + 1
                self.queue.popleft()()
                self.reached[turn] = time.perf_counter()

    def allocate(self, count: int) -> int:
        self.card.check_entered()
        with self.card.lock:
            again = self.free.get(count)
            address = again.pop() if again else self.card.device.allocate(count)
            self.card.sizes[address] = count
        self._put(lambda: self.card.spoil(address, count))
        return address

    def release(self, address: int) -> None:
        with self.card.lock:
            count = self.card.sizes.pop(address)
            # Whoever asks next, in this order, may have it.
            self.free.setdefault(count, []).append(address)
        self._put(lambda: self.card.spoil(address, count))

    def upload(self, address: int, array: Array) -> None:
        assert array.flags.c_contiguous
        kept = array.copy()
        self._put(lambda: self.card.device.upload(address, kept))

    def download(self, address: int, array: Array) -> None:
        assert array.flags.c_contiguous
        self._put(lambda: self.card.device.download(address, array))
        self.synchronise()

    def copy(self, to: int, source: int, count: int) -> None:
        def work() -> None:
            held = np.empty(count, np.uint8)
            self.card.device.download(source, held)
            self.card.device.upload(to, held)

        self._put(work)

    def launch(self, launch: Launch) -> None:
        self.card.launched += 1
        self._put(partial(self.card.run, launch))

    def replay(self, graph: object) -> None:
        assert isinstance(graph, tuple)
        self.card.replayed += 1
        for launch in graph:
            self._put(partial(self.card.run, launch))

    def record(self, *, timed: bool = False) -> ShimEvent:
        self.card.check_entered()
        self._put(lambda: None)
        return ShimEvent(self, self.put)

    def wait(self, event: Event) -> None:
        assert isinstance(event, ShimEvent)
        self._put(lambda: event.stream.until(event.place))

    def synchronise(self) -> None:
        self.until(self.put)


@dataclass(repr=False)
class ShimCard:
    """A card whose machine code g++ makes, or whose kernels are in the `library` given."""

    library: ctypes.CDLL | None = None
    device: ShimDevice = field(default_factory=lambda: ShimDevice(ctypes.CDLL(None)))
    late: bool = False
    dlpack: tuple[int, int] = (CUDA, 0)
    name: str = "a CPU in a card's place"
    number: int = 0
    capability: int = 90
    lock: threading.RLock = field(default_factory=threading.RLock)
    sizes: dict[int, int] = field(default_factory=dict)  # of memory in use
    streams: dict[int, ShimStream] = field(default_factory=dict)
    entered: set[int] = field(default_factory=set)  # threads that work on the card
    built: int = 0
    launched: int = 0  # kernels, one by one
    graphs: int = 0
    replayed: int = 0

    def enter(self) -> None:
        self.entered.add(threading.get_ident())

    def check_entered(self) -> None:
        assert threading.get_ident() in self.entered, "this thread has not entered the card"

    def build(self, source: CudaSource) -> bytes:
        if self.library is not None:
            return b""
        self.built += 1
        return _built(unit_text(list(source.kernels.values())))

    def load(self, code: bytes, kernels: Mapping[str, CudaKernel]) -> Mapping[str, ShimKernel]:
        library = self.library
        if library is None:
            with tempfile.NamedTemporaryFile(suffix=".so") as file:
                file.write(code)
                file.flush()
                library = ctypes.CDLL(file.name)
        device = replace(self.device, library=library)
        return {name: ShimKernel(device, kernel) for name, kernel in kernels.items()}

    def run(self, launch: Launch) -> None:
        assert isinstance(launch.kernel, ShimKernel)
        launch.kernel.device.launch(launch.kernel.kernel, launch.arguments)

    def graph(self, launches: Sequence[Launch]) -> tuple[Launch, ...]:
        self.check_entered()
        self.graphs += 1
        return tuple(launches)

    def stream(self) -> ShimStream:
        self.check_entered()
        return self.foreign_stream(1000 + len(self.streams))

    def foreign_stream(self, handle: int) -> ShimStream:
        with self.lock:
            return self.streams.setdefault(handle, ShimStream(self, handle))

    def spoil(self, address: int, count: int) -> None:
        """What nobody has written, or has no right to read any more, is NaN."""
        ctypes.memset(address, 0xFF, count)


@dataclass(frozen=True)
class ShimKernel:
    device: ShimDevice
    kernel: CudaKernel


@cache
def _built(text: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        build(text, Path(folder), "kernels")
        return (Path(folder) / "kernels.so").read_bytes()
