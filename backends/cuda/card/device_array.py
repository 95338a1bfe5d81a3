"""Arrays in a card's memory: what calls give that were given such arrays."""

from __future__ import annotations

import contextlib
from functools import cached_property
from math import prod
from typing import Any

import numpy as np

from ....errors import RunError
from ....types import Array
from ...arrays import Facts, contiguous_strides
from . import dlpack
from .device import Device, Event, Memory, Stream

_LEGACY_STREAM = 1  # what DLPack means where no stream is named


class DeviceArray:
    """An array of contiguous elements in the memory of a card.

    `.numpy()` copies it to the host; `torch.from_dlpack(array)` and the like take it as it is. It
    may be computed still: whoever reads it, in any of these ways, does so afterwards.
    """

    def __init__(
        self, device: Device, memory: Memory, shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> None:
        self.device = device
        self.shape, self.dtype = shape, dtype
        self._memory = memory
        self._ready: Event = memory.stream.record()

    @staticmethod
    def upload(array: Array, device: Device, stream: Stream) -> DeviceArray:
        """A copy of a NumPy array."""
        memory = Memory(stream, array.nbytes)
        stream.upload(memory.address, np.ascontiguousarray(array))
        return DeviceArray(device, memory, array.shape, array.dtype)

    @property
    def ndim(self) -> int:
        """The number of its axes."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return prod(self.shape) * self.dtype.itemsize

    @cached_property
    def facts(self) -> Facts:
        strides = contiguous_strides(self.shape, self.dtype.itemsize)
        return Facts(self.dtype, self.shape, strides, self._memory.address, True)

    def __repr__(self) -> str:
        return f"DeviceArray(shape={self.shape}, dtype={self.dtype}, on {self.device.name})"

    def numpy(self) -> Array:
        """A copy on the host, once it is computed."""
        self.device.enter()
        result = np.empty(self.shape, self.dtype)
        stream = self._memory.stream
        stream.wait(self._ready)
        stream.download(self._memory.address, result)
        return result

    # Order among streams

    @property
    def ready(self) -> Event:
        """Where it is computed."""
        return self._ready

    def after_use(self, event: Event, stream: Stream, *, written: bool) -> None:
        """Note that the array is read, or written, up to a place in a stream."""
        if written:
            self._ready = event
        self._memory.used_until(event, stream)

    # DLPack

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.device.dlpack

    def __dlpack__(
        self,
        *,
        stream: int | None = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:  # a capsule: until Python 3.13 its type had no name
        """A capsule for a consumer in `stream` (None is the legacy default stream; -1 says that
        the consumer looks after the order)."""
        self.device.enter()
        if dl_device not in (None, self.device.dlpack):
            if dl_device != (dlpack.CPU, 0) or copy is False:
                raise BufferError(f"the array is on {self.device.name}, not on device {dl_device}")
            return self.numpy().__dlpack__()
        if copy:
            return self._copied().__dlpack__(stream=stream, max_version=max_version)
        consumer = None
        if stream != -1 and self.device.dlpack[0] != dlpack.CPU:
            consumer = self.device.foreign_stream(_LEGACY_STREAM if stream is None else stream)
            consumer.wait(self._ready)
        versioned = max_version is not None and max_version[0] >= 1
        loan = _Loan(self, consumer)
        return dlpack.capsule_of(self.facts, self.device.dlpack, loan, versioned=versioned)

    def _copied(self) -> DeviceArray:
        stream = self._memory.stream
        memory = Memory(stream, self.nbytes)
        stream.wait(self._ready)
        stream.copy(memory.address, self._memory.address, self.nbytes)
        return DeviceArray(self.device, memory, self.shape, self.dtype)


class _Loan:
    """An array that a consumer has. When it gives it back, its stream may still be at work."""

    def __init__(self, array: DeviceArray, consumer: Stream | None) -> None:
        self._array, self._consumer = array, consumer

    def __del__(self) -> None:
        if self._consumer is not None:
            with contextlib.suppress(RunError):  # the stream may be gone, and then it is done
                self._array.device.enter()
                event = self._consumer.record()
                self._array.after_use(event, self._consumer, written=False)
