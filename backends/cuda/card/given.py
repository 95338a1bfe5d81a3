"""Arrays as a call gets them: on the host, or on the card, ours or another library's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ....errors import InputError, check
from ....types import Array
from ...arrays import ArraySpec, Facts, check_array, plain_array, plain_result
from . import dlpack
from .device import Device, Event, Stream
from .device_array import DeviceArray

_NO_STREAM = -1  # DLPack's word for one who does not read


@dataclass(frozen=True)
class Given:
    """An array that a call reads or writes: `value` as the user has it, and where it is."""

    value: object
    facts: Facts
    host: Array | None = None  # the same memory, of an array on the host
    held: object = None  # what keeps another library's array in place

    @property
    def is_on_card(self) -> bool:
        return self.host is None

    def after_use(self, event: Event, stream: Stream, *, written: bool) -> None:
        if isinstance(self.value, DeviceArray):
            self.value.after_use(event, stream, written=written)


@dataclass
class Border:
    """Where arrays come in. `InputError` where one does not fit."""

    device: Device
    alignments: Mapping[str, int]  # that addresses of arrays must be multiples of
    reached: Event | None = None  # what the stream of the call has waited for last

    def input(self, value: object, spec: ArraySpec, stream: Stream) -> Given:
        """An array that is read in a stream."""
        given = self._on_card(value, spec, stream)
        if given is None:
            array = plain_array(value, spec)
            given = Given(value, Facts.of(array), array)
        return self._checked(given, spec, writeable=False)

    def output(self, value: object, spec: ArraySpec, stream: Stream) -> Given:
        """An array that is written in a stream."""
        given = self._on_card(value, spec, stream)
        if given is None:
            array = plain_result(value, spec)
            given = Given(value, Facts.of(array), array)
        return self._checked(given, spec, writeable=True)

    def donor(self, given: Given, spec: ArraySpec) -> Given:
        """An array that is read, and written too."""
        if not given.is_on_card:
            plain_result(given.value, spec)
        check_array(given.facts, spec, writeable=True)
        return given

    def _checked(self, given: Given, spec: ArraySpec, *, writeable: bool) -> Given:
        check_array(given.facts, spec, writeable=writeable)
        alignment = self.alignments.get(spec.name, 1)
        check(
            not given.is_on_card or given.facts.address % alignment == 0,
            f"'{spec.name}' begins at no multiple of {alignment} bytes, as a slice may: "
            "give a copy of it",
            InputError,
        )
        return given

    def _on_card(self, value: object, spec: ArraySpec, stream: Stream) -> Given | None:
        """An array on the card; None for what is on the host, or nowhere."""
        if isinstance(value, np.ndarray):
            return None
        if isinstance(value, DeviceArray):
            self._check_place(value.__dlpack_device__(), spec)
            if value.ready is not self.reached:  # which arrays of one call have in common
                self.reached = value.ready
                stream.wait(value.ready)
            return Given(value, value.facts)
        if not hasattr(value, "__dlpack__") or not hasattr(value, "__dlpack_device__"):
            return None
        kind, number = value.__dlpack_device__()
        if kind == dlpack.CPU:
            return None
        self._check_place((int(kind), number), spec)
        tensor = dlpack.read_tensor(value, spec.name, stream.handle)
        return Given(value, tensor.facts, held=tensor.capsule)

    def _check_place(self, place: tuple[int, int], spec: ArraySpec) -> None:
        kind, number = place
        own = self.device.dlpack
        check(
            kind in (own[0], dlpack.MANAGED) and number == own[1],
            f"'{spec.name}' is on DLPack's device {place}, this executable on {own}, "
            f"{self.device.name}: move the array there, or to the host",
            InputError,
        )


def stream_handle(stream: object) -> int:
    """The number of a stream: of one that is a number already, of `cuda.core`'s and whatever else
    has `__cuda_stream__`, and of torch's. `InputError` for anything else."""
    if isinstance(stream, int):
        return stream
    if hasattr(stream, "__cuda_stream__"):
        _, handle = stream.__cuda_stream__()
        return int(handle)
    if hasattr(stream, "cuda_stream"):
        return int(stream.cuda_stream)
    kind = type(stream).__name__
    raise InputError(f"a stream is its handle, or has __cuda_stream__; got a {kind}")


def stand_in(value: object) -> Any:  # an array, or what is none
    """For an array on a card one of the host of the same type, which takes no memory; anything
    else as it is."""
    if isinstance(value, DeviceArray):
        return np.broadcast_to(np.zeros((), value.dtype), value.shape)
    if isinstance(value, np.ndarray) or not hasattr(value, "__dlpack_device__"):
        return value
    if value.__dlpack_device__()[0] == dlpack.CPU or not hasattr(value, "__dlpack__"):
        return value
    facts = dlpack.read_tensor(value, type(value).__name__, _NO_STREAM).facts
    return np.broadcast_to(np.zeros((), facts.dtype), facts.shape)
