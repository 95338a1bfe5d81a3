"""What a card does for an executable: memory, machine code, launches in the order of streams.

`card.py` has NVIDIA's; anything else that copies memory and runs kernels will do.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ....types import Array
from ..source.kernels import CudaKernel
from ..source.source import CudaSource


class Event(Protocol):
    """A place in a stream: all that was put in before it."""

    def is_done(self) -> bool:
        """Whether the device has come there."""

    def synchronise(self) -> None:
        """Wait until it has."""

    def seconds_since(self, earlier: Event) -> float:
        """The time from another place to this one, both recorded with `timed`."""


@dataclass(frozen=True)
class Launch:
    """A kernel as `Device.load` gives it, on these addresses."""

    kernel: object
    arguments: tuple[int, ...]


class Stream(Protocol):
    """A queue of work for the device, done in the order in which it is put in.

    Memory is known by its address. Only `download` and `synchronise` wait.
    """

    @property
    def handle(self) -> int:
        """The number by which other libraries know the stream."""

    def allocate(self, count: int) -> int:
        """The address of so many fresh bytes, for use in this stream and what waits for it."""

    def release(self, address: int) -> None:
        """Give memory back once what was put in before is done."""

    def upload(self, address: int, array: Array) -> None:
        """Copy a contiguous array to the device. It may change afterwards."""

    def download(self, address: int, array: Array) -> None:
        """Fill a contiguous array from the device, and wait until that is done."""

    def copy(self, to: int, source: int, count: int) -> None:
        """Copy so many bytes within the device."""

    def launch(self, launch: Launch) -> None:
        """Run a kernel."""

    def replay(self, graph: object) -> None:
        """Run all launches of a graph, one after the other."""

    def record(self, *, timed: bool = False) -> Event:
        """The place that the stream has come to."""

    def wait(self, event: Event) -> None:
        """Let what is put in from now on wait for a place in another stream."""

    def synchronise(self) -> None:
        """Wait until all is done."""


class Device(Protocol):
    """A card, and the compiler of its machine code."""

    @property
    def name(self) -> str:
        """What its maker calls it."""

    @property
    def number(self) -> int:
        """Its number among the cards of this process."""

    @property
    def capability(self) -> int:
        """What it can do: 90 is 9.0."""

    @property
    def dlpack(self) -> tuple[int, int]:
        """What DLPack calls it: a kind of device and a number."""

    def enter(self) -> None:
        """Make it the one that this thread works on."""

    def build(self, source: CudaSource) -> bytes:
        """The machine code of a source's kernels. `UnsupportedError` where it is none for this
        device."""

    def load(self, code: bytes, kernels: Mapping[str, CudaKernel]) -> Mapping[str, object]:
        """The kernels of `build`'s code, ready to be launched, by the same names."""

    def graph(self, launches: Sequence[Launch]) -> object:
        """Launches that `Stream.replay` starts at once."""

    def stream(self) -> Stream:
        """A stream of its own, which waits for no other."""

    def foreign_stream(self, handle: int) -> Stream:
        """A stream that another library made, and that lives as long as it is used."""


class Memory:
    """Bytes of a device, given back with their last user.

    They are made in a stream, and given back in it. Who uses them in other streams says so by
    `used_until`, so that they are not given to someone else before.
    """

    def __init__(self, stream: Stream, count: int) -> None:
        self.stream = stream
        self.address = stream.allocate(max(1, count))
        self._uses: dict[int, Event] = {}  # in other streams, by their handles
        # At the interpreter's end the driver gives everything back.
        finalizer = weakref.finalize(self, _release, stream, self.address, self._uses)
        finalizer.atexit = False

    def used_until(self, event: Event, stream: Stream) -> None:
        """Note that work in a stream, up to this place in it, uses the memory."""
        if stream is not self.stream:
            self._uses[stream.handle] = event


def _release(stream: Stream, address: int, uses: Mapping[int, Event]) -> None:
    for event in uses.values():
        stream.wait(event)
    stream.release(address)
