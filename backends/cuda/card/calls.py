"""Calls: arrays checked at the border and brought to the card, results left there or brought back.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ...arrays import ArraySpec, Facts, check_overlap, specs_of, wrong_count
from ...results import allocators
from .device import Event, Memory, Stream
from .device_array import DeviceArray
from .given import Border, Given, stream_handle
from .runner import Loaded, Runner

_Held: TypeAlias = deque[tuple[Event, tuple[Given, ...]]]


def _wait_for(held: _Held) -> None:
    """Let arrays go once what reads them is done."""
    for event, _ in held:
        event.synchronise()
    held.clear()


@dataclass(frozen=True)
class _Call:
    """What a call works on: arrays given for parameters, and for results those of `out` or of
    donors; None for a result that is made."""

    stream: Stream
    inputs: tuple[Given, ...]
    outputs: tuple[Given | None, ...]

    @property
    def stays_on_card(self) -> bool:
        """Whether results are left on the card: where an array that was given is there."""
        return any(given.is_on_card for given in (*self.inputs, *filter(None, self.outputs)))


class Caller:
    """Calls of a program, one at a time, in an arena of its own.

    A call works in the caller's own stream, or in one that it is given, after the call before.
    """

    def __init__(self, loaded: Loaded) -> None:
        loaded.device.enter()
        self.loaded = loaded
        self.stream = loaded.device.stream()
        self._runner = Runner(loaded, self.stream)
        self._parameters, self._results = specs_of(loaded.program)
        self._border = Border(loaded.device, loaded.source.alignments)
        self._allocators = allocators(self._results)
        self._staging: dict[str, Memory] = {}  # where arrays of the host lie on the card
        self._last = self.stream.record()
        # Arrays that work still to be done reads: their memory must not go to others.
        self._held: _Held = deque()
        weakref.finalize(self, _wait_for, self._held).atexit = False

    def __call__(
        self, arrays: Sequence[object], out: Sequence[object] | None, stream: object
    ) -> tuple[object, ...]:
        """The results, in the order of the program's."""
        device = self.loaded.device
        device.enter()
        lane = self.stream
        if stream is not None:
            lane = device.foreign_stream(stream_handle(stream))
        lane.wait(self._last)
        self._border.reached = self._last
        call = self._checked(arrays, out, lane)
        results = [
            self._made(place, call) if given is None else given
            for place, given in enumerate(call.outputs)
        ]
        try:
            self._run(call, results)
        finally:
            self._finish(call, results)
        return tuple(given.value for given in results)

    def _checked(
        self, arrays: Sequence[object], out: Sequence[object] | None, lane: Stream
    ) -> _Call:
        """What was given, or an `InputError`."""
        if len(arrays) != len(self._parameters):
            raise wrong_count(len(arrays), self._parameters, "arrays")
        fresh = [spec for spec in self._results if spec.donor is None]
        if out is not None and len(out) != len(fresh):
            raise wrong_count(len(out), fresh, "arrays in out")
        inputs = tuple(
            self._border.input(array, spec, lane)
            for array, spec in zip(arrays, self._parameters, strict=True)
        )
        remaining = iter(out or ())
        outputs: list[Given | None] = []
        for spec in self._results:
            if spec.donor is None and out is None:
                outputs.append(None)
            elif spec.donor is None:
                outputs.append(self._border.output(next(remaining), spec, lane))
            else:
                own = self._parameters[spec.donor]
                outputs.append(self._border.donor(inputs[spec.donor], own))
        return _Call(lane, inputs, tuple(outputs))

    def _made(self, place: int, call: _Call) -> Given:
        """A new array for a result."""
        spec = self._results[place]
        if not call.stays_on_card:
            array = self._allocators[place]()
            return Given(array, Facts.of(array), array)
        memory = Memory(self.stream, spec.type.nbytes)
        shape, dtype = spec.type.static_shape, spec.type.dtype.numpy
        result = DeviceArray(self.loaded.device, memory, shape, dtype)
        return Given(result, result.facts)

    def _run(self, call: _Call, results: Sequence[Given]) -> None:
        known = [given.facts for given in call.inputs], [given.facts for given in results]
        check_overlap(*known, (self._parameters, self._results))
        stream = call.stream
        outside: dict[str, int] = {}
        for given, spec in zip(call.inputs, self._parameters, strict=True):
            outside[spec.name] = self._address(given, spec)
        for given, spec in zip(results, self._results, strict=True):
            if spec.donor is None:
                outside[spec.name] = self._address(given, spec)
        if stream is not self.stream:
            stream.wait(self.stream.record())  # where the memory was made
        for given, spec in zip(call.inputs, self._parameters, strict=True):
            if given.host is not None:
                stream.upload(outside[spec.name], given.host)
        self._runner.run(stream, outside)
        for given, spec in zip(results, self._results, strict=True):
            if given.host is not None:
                own = spec if spec.donor is None else self._parameters[spec.donor]
                stream.download(outside[own.name], given.host)

    def _address(self, given: Given, spec: ArraySpec) -> int:
        """Where on the card an array is, or is brought to."""
        if given.is_on_card:
            return given.facts.address
        if spec.name not in self._staging:
            self._staging[spec.name] = Memory(self.stream, spec.type.nbytes)
        return self._staging[spec.name].address

    def _finish(self, call: _Call, results: Sequence[Given]) -> None:
        """Note up to where the call uses the arena and the arrays."""
        self._last = event = call.stream.record()
        for given in call.inputs:
            given.after_use(event, call.stream, written=False)
        for given in results:
            given.after_use(event, call.stream, written=True)
        while self._held and self._held[0][0].is_done():
            self._held.popleft()
        on_card = tuple(given for given in (*call.inputs, *results) if given.is_on_card)
        if on_card:
            self._held.append((event, on_card))
