"""Runs a program's parts on a device: launches one by one, or a graph of them; branches and loops
that ask for data.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

import numpy as np

from ....ir import ConstantData
from ....tile.program import Program, Role, View
from ....types import Array
from ...base import fault_error
from ..source.source import CudaSource
from .device import Device, Launch, Memory, Stream
from .segments import Choice, Part, Repeated, Segment, Turns, While, most_words, parts_of

MOST_GRAPHS = 64  # that an executable keeps
_WORD = np.dtype(np.int64)

_Key: TypeAlias = tuple[object, ...]


@dataclass(frozen=True)
class Loaded:
    """A program on a device: its kernels and constants. Those who run it share it."""

    device: Device
    source: CudaSource
    kernels: Mapping[str, object]
    constants: Mapping[str, Memory]  # by slot; equal ones once

    @staticmethod
    def on(
        device: Device, source: CudaSource, constants: Mapping[str, ConstantData]
    ) -> Loaded:
        """Make the machine code, load it, and copy the constants one after the other."""
        device.enter()
        kernels = device.load(device.build(source), source.kernels)
        stream = device.stream()
        by_key: dict[object, Memory] = {}
        found: dict[str, Memory] = {}
        for slot in source.program.slots:
            if slot.role is Role.CONSTANT:
                data = constants[slot.name]
                if data.key() not in by_key:
                    array = data.array().astype(slot.type.dtype.numpy, copy=False)
                    memory = by_key[data.key()] = Memory(stream, slot.type.nbytes)
                    stream.upload(memory.address, np.ascontiguousarray(array))
                found[slot.name] = by_key[data.key()]
        stream.synchronise()
        return Loaded(device, source, kernels, found)

    @property
    def program(self) -> Program:
        return self.source.program


@dataclass
class Graphs:
    """The graphs met last. What is met for the first time has none yet: capturing launches pays
    only if they come again."""

    most: int = MOST_GRAPHS
    _found: OrderedDict[_Key, object | None] = field(default_factory=OrderedDict)

    def of(self, key: _Key, make: Callable[[], object]) -> object | None:
        if key not in self._found:
            self._found[key] = None
            if len(self._found) > self.most:
                self._found.popitem(last=False)
            return None
        self._found.move_to_end(key)
        if self._found[key] is None:
            self._found[key] = make()
        return self._found[key]


@dataclass(frozen=True)
class _Site:
    """Where a run takes place: a stream, and the addresses of parameters and results."""

    stream: Stream
    outside: Mapping[str, int]
    inside: Mapping[str, int]  # constants, and what lies in the arena

    @cached_property
    def addresses(self) -> Mapping[str, int]:
        return {**self.inside, **self.outside}


class Runner:
    """Runs a program in an arena of its own, one run at a time.

    Every launch that may report a fault has a status word of its own, so that of several faults
    the first is told, though the host looks only after a segment.
    """

    def __init__(self, loaded: Loaded, stream: Stream, graphs: Graphs | None = None) -> None:
        self._loaded = loaded
        self._slots = {slot.name: slot for slot in loaded.program.slots}
        self._parts = parts_of(loaded.program)
        self._graphs = Graphs() if graphs is None else graphs
        memory = loaded.program.memory
        self._arena = Memory(stream, memory.arena_bytes if memory else 0)
        self._words = np.zeros(most_words(self._parts), _WORD)
        self._status = Memory(stream, self._words.nbytes)
        stream.upload(self._status.address, self._words)
        self._inside = {name: memory.address for name, memory in loaded.constants.items()}
        for slot in loaded.program.slots:
            if slot.role is Role.ARENA:
                self._inside[slot.name] = self._arena.address + (slot.offset or 0)

    def run(self, stream: Stream, outside: Mapping[str, int]) -> None:
        """Put a run into a stream, parameters and results at these addresses. Waits only where
        data decides what comes next, or may be a fault: that is a `RunError`."""
        self._run(self._parts, _Site(stream, outside, self._inside), {})

    def _run(self, parts: Sequence[Part], site: _Site, turns: Turns) -> None:
        for part in parts:
            match part:
                case Segment():
                    self._segment(part, site, turns)
                case Repeated(name=name, count=count, body=body):
                    for turn in range(count):
                        self._run(body, site, {**turns, name: turn})
                case Choice():
                    holds = self._holds(part.condition, site, turns)
                    self._run(part.then if holds else part.otherwise, site, turns)
                case While():
                    self._while(part, site, turns)

    def _segment(self, segment: Segment, site: _Site, turns: Turns) -> None:
        graph = None
        if segment.fits_graph:
            graph = self._graphs.of(
                (segment, *site.outside.values()),
                lambda: self._loaded.device.graph(tuple(self._launches(segment, site, turns))),
            )
        if graph is not None:
            site.stream.replay(graph)
        else:
            for launch in self._launches(segment, site, turns):
                self.start(site.stream, launch)
        if segment.words:
            self._check_words(self._words[: segment.words], site.stream)

    def start(self, stream: Stream, launch: Launch) -> None:
        """Put a launch that is in no graph into a stream."""
        stream.launch(launch)

    def _launches(self, segment: Segment, site: _Site, turns: Turns) -> Iterator[Launch]:
        word = self._status.address
        for call, inner in segment.calls(turns):
            addresses = []
            for view in call.args:
                if self._slots[view.slot].role is Role.STATUS:
                    addresses.append(word)
                    word += _WORD.itemsize
                else:
                    addresses.append(self._address(view, site, inner))
            yield Launch(self._loaded.kernels[call.kernel], tuple(addresses))

    def _address(self, view: View, site: _Site, turns: Turns) -> int:
        slot = self._slots[view.slot]
        return site.addresses[slot.memory] + view.start(turns) * slot.type.dtype.bytes

    def _check_words(self, words: Array, stream: Stream) -> None:
        """`RunError` for the first fault that these status words tell."""
        stream.download(self._status.address, words)
        told = words[words != 0]
        if told.size:
            number = int(told[0])
            words[:] = 0
            stream.upload(self._status.address, words)
            raise fault_error(self._loaded.program.faults, number)

    def _while(self, part: While, site: _Site, turns: Turns) -> None:
        count = 0
        self._run(part.test, site, turns)
        while self._holds(part.condition, site, turns):
            if count == part.limit:
                raise fault_error(self._loaded.program.faults, part.fault)
            self._run(part.turn, site, turns)
            count += 1

    def _holds(self, condition: View, site: _Site, turns: Turns) -> bool:
        """What a condition says, after all that is in the stream."""
        value = np.empty(1, np.bool_)
        site.stream.download(self._address(condition, site, turns), value)
        return bool(value[0])
