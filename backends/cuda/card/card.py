"""NVIDIA's cards, through `cuda.core` and the driver's own calls: the extra [cuda]."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from cuda import core
from cuda.bindings import driver

from ....errors import RunError, UnsupportedError, check
from ....types import Array
from ..code.cubins import kept_binary
from ..source.kernels import CudaKernel
from ..source.shared_memory import STATIC_BYTES
from ..source.source import CudaSource
from ..source.tensor_maps import PROMOTE_TO_256_BYTES, SWIZZLE_128_BYTES, TensorMap
from . import dlpack
from .device import Device, Event, Launch, Stream

_LEGACY, _PER_THREAD = 1, 2  # handles of the default streams


@dataclass(frozen=True)
class CardKernel:
    """A kernel on the card, and how it is launched."""

    kernel: core.Kernel
    config: core.LaunchConfig
    maps: tuple[TensorMap, ...] = ()


@dataclass(frozen=True)
class CardEvent:
    """An event of the driver."""

    event: core.Event

    def is_done(self) -> bool:
        return bool(self.event.is_done)

    def synchronise(self) -> None:
        self.event.sync()

    def seconds_since(self, earlier: Event) -> float:
        assert isinstance(earlier, CardEvent)
        self.synchronise()
        return float(self.event - earlier.event) / 1e3


@dataclass(frozen=True, eq=False)
class CardStream:
    """A stream of the driver, and the memory that was made in it."""

    card: Card
    stream: core.Stream
    buffers: dict[int, core.Buffer] = field(default_factory=dict)

    @property
    def handle(self) -> int:
        return int(self.stream.handle)

    def allocate(self, count: int) -> int:
        try:
            buffer = self.card.here().allocate(count, stream=self.stream)
        except Exception as error:  # the binding has an error class per version
            raise RunError(f"{self.card.name} gives no {count} bytes: {error}") from error
        address = int(buffer.handle)
        self.buffers[address] = buffer
        return address

    def release(self, address: int) -> None:
        self.buffers.pop(address).close(self.stream)

    def upload(self, address: int, array: Array) -> None:
        # From ordinary memory: the driver has read it all when the call returns.
        if array.nbytes:
            source = array.ctypes.data
            _done(driver.cuMemcpyHtoDAsync(address, source, array.nbytes, self.handle))

    def download(self, address: int, array: Array) -> None:
        if array.nbytes:
            target = array.ctypes.data
            _done(driver.cuMemcpyDtoHAsync(target, address, array.nbytes, self.handle))
        self.synchronise()

    def copy(self, to: int, source: int, count: int) -> None:
        if count:
            _done(driver.cuMemcpyDtoDAsync(to, source, count, self.handle))

    def launch(self, launch: Launch) -> None:
        _launch(self.stream, launch)

    def replay(self, graph: object) -> None:
        assert isinstance(graph, core.graph.Graph)
        graph.launch(self.stream)

    def record(self, *, timed: bool = False) -> CardEvent:
        return CardEvent(self.stream.record(options=core.EventOptions(timing_enabled=timed)))

    def wait(self, event: Event) -> None:
        assert isinstance(event, CardEvent)
        self.stream.wait(event.event)

    def synchronise(self) -> None:
        _done(driver.cuStreamSynchronize(self.handle))


@dataclass(frozen=True)
class Card:
    """A card of this process."""

    number: int
    name: str
    capability: int  # 90 is 9.0
    multiprocessors: int

    @staticmethod
    def numbered(number: int) -> Card:
        device = core.Device(number)
        device.set_current()
        capability = device.compute_capability
        return Card(
            number,
            str(device.name),
            capability.major * 10 + capability.minor,
            int(device.properties.multiprocessor_count),
        )

    def here(self) -> core.Device:
        """The card as this thread has it."""
        device = core.Device(self.number)
        device.set_current()
        return device

    def enter(self) -> None:
        self.here()

    @property
    def dlpack(self) -> tuple[int, int]:
        return dlpack.CUDA, self.number

    @property
    def architecture(self) -> str:
        """For code that is made for this card alone, with what no other has."""
        return f"sm_{self.capability}{'a' if self.capability >= 90 else ''}"

    def build(self, source: CudaSource) -> bytes:
        gpu = source.target.gpu
        assert gpu is not None
        check(
            gpu.capability <= self.capability,
            f"@{source.program.name} is made for {source.target.name} and later cards; here is "
            f"{self.name}, sm_{self.capability}: compile it for 'cuda', the card that is here",
            UnsupportedError,
        )
        check(
            not source.is_specific or gpu.capability == self.capability,
            f"@{source.program.name} uses what only {source.target.name} has; here is {self.name}, "
            f"sm_{self.capability}: compile it for 'cuda', the card that is here",
            UnsupportedError,
        )
        return kept_binary(source.code, self.architecture).code

    def load(self, code: bytes, kernels: Mapping[str, CudaKernel]) -> Mapping[str, CardKernel]:
        module = core.ObjectCode.from_cubin(code)
        return {
            name: self._loaded(module.get_kernel(kernel.name), kernel)
            for name, kernel in kernels.items()
        }

    def _loaded(self, loaded: core.Kernel, kernel: CudaKernel) -> CardKernel:
        asked = kernel.shared_bytes
        if asked > STATIC_BYTES:
            most = driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
            device = driver.CUdevice(self.number)
            _done(driver.cuKernelSetAttribute(most, asked, loaded.handle, device))
        config = core.LaunchConfig(grid=kernel.grid, block=kernel.block, shmem_size=asked)
        return CardKernel(loaded, config, kernel.tensor_maps)

    def graph(self, launches: Sequence[Launch]) -> object:
        builder = self.here().create_graph_builder()
        try:
            builder.begin_building()
            for launch in launches:
                _launch(builder, launch)
            return builder.end_building().complete()
        finally:
            builder.close()

    def stream(self) -> CardStream:
        return CardStream(self, self.here().create_stream())

    def foreign_stream(self, handle: int) -> Stream:
        if handle in (0, _LEGACY):
            return CardStream(self, core.LEGACY_DEFAULT_STREAM)
        if handle == _PER_THREAD:
            return CardStream(self, core.PER_THREAD_DEFAULT_STREAM)
        return CardStream(self, core.Stream.from_handle(handle))


def _launch(stream: core.Stream | core.graph.GraphBuilder, launch: Launch) -> None:
    assert isinstance(launch.kernel, CardKernel)
    kernel, config = launch.kernel.kernel, launch.kernel.config
    if not launch.kernel.maps:
        core.launch(stream, config, kernel, *launch.arguments)
        return
    maps = [encoded(entry, launch.arguments[entry.param]) for entry in launch.kernel.maps]
    # `core.launch` takes no tensor maps that the driver itself has made.
    values = (*launch.arguments, *maps)
    types = (*(ctypes.c_void_p for _ in launch.arguments), *(None for _ in maps))
    queue = stream.stream if isinstance(stream, core.graph.GraphBuilder) else stream
    size = config.shmem_size
    _done(
        driver.cuLaunchKernel(
            kernel.handle, *config.grid, *config.block, size, queue.handle, (values, types), 0
        )
    )


def encoded(entry: TensorMap, address: int) -> driver.CUtensorMap:
    """What the driver makes of a tensor map for an array at this address. `RunError` where it
    cannot."""
    failed, made = driver.cuTensorMapEncodeTiled(
        driver.CUtensorMapDataType(entry.element),
        len(entry.sizes),
        address,
        *([kind(size) for size in sizes] for kind, sizes in (
            (driver.cuuint64_t, entry.sizes),
            (driver.cuuint64_t, entry.strides),
            (driver.cuuint32_t, entry.box),
            (driver.cuuint32_t, entry.steps),
        )),
        driver.CUtensorMapInterleave.CU_TENSOR_MAP_INTERLEAVE_NONE,
        driver.CUtensorMapSwizzle(SWIZZLE_128_BYTES),
        driver.CUtensorMapL2promotion(PROMOTE_TO_256_BYTES),
        driver.CUtensorMapFloatOOBfill.CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE,
    )
    _done((failed,))
    return made


def _done(answer: tuple[Any, ...]) -> None:  # the driver's enumeration first
    """`RunError` where a call of the driver failed."""
    code = answer[0]
    check(int(code) == 0, f"the card's driver reports {getattr(code, 'name', code)}", RunError)


@cache
def first_card() -> Device:
    """The first of the cards that CUDA_VISIBLE_DEVICES leaves to this process."""
    return Card.numbered(0)
