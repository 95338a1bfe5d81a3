"""Arrays of ours, lent to other libraries by DLPack: they come back at any time, from anywhere."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from mlir_lite.backends.cuda.card.device_array import DeviceArray
from mlir_lite.backends.cuda.card.dlpack import Exporter, read_tensor
from mlir_lite.types import Array

from ..foreign import TorchOnCard
from ..shim_card import ShimCard

CPU = (1, 0)  # so that NumPy and torch take what the card lends


def lent(array: Array, place: tuple[int, int] = CPU) -> tuple[ShimCard, DeviceArray]:
    shim = ShimCard(dlpack=place)
    shim.enter()
    return shim, DeviceArray.upload(array, shim, shim.stream())


DTYPES = (
    np.float32, np.float64, np.float16, np.int8, np.uint8, np.int16, np.int32, np.int64, np.bool_,
)  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("versioned", [True, False])
def test_numpy_takes_what_is_lent(dtype: type[np.generic], versioned: bool) -> None:
    array = np.arange(6).reshape(3, 2).astype(dtype)
    _, ours = lent(array)
    if not versioned:
        ours.__dlpack__(max_version=(0, 8))  # and drops it unused
    taken = np.from_dlpack(ours)
    np.testing.assert_array_equal(taken, array)
    assert taken.ctypes.data == ours.facts.address


@pytest.mark.slow  # to load torch
def test_torch_takes_what_is_lent() -> None:
    torch = pytest.importorskip("torch")
    array = np.arange(6).reshape(3, 2).astype(ml_dtypes.bfloat16)
    _, ours = lent(array)
    taken = torch.from_dlpack(ours)
    assert taken.dtype == torch.bfloat16
    assert taken.data_ptr() == ours.facts.address
    np.testing.assert_array_equal(taken.float().numpy(), array.astype(np.float32))
    again = read_tensor(TorchOnCard(taken), "x", 7)
    assert again.facts.dtype == array.dtype
    assert again.facts.address == ours.facts.address


CONSUMERS: dict[str, Callable[[DeviceArray], object]] = {
    "numpy": np.from_dlpack,
    "unused": lambda array: array.__dlpack__(),
    "unused, versioned": lambda array: array.__dlpack__(max_version=(1, 0)),
}


@pytest.mark.parametrize("take", CONSUMERS.values(), ids=CONSUMERS)
def test_memory_lives_as_long_as_its_consumer(take: Callable[[DeviceArray], object]) -> None:
    shim, ours = lent(np.ones(5, np.float32))
    taken = take(ours)
    del ours
    gc.collect()
    assert len(shim.sizes) == 1
    del taken
    gc.collect()
    assert not shim.sizes


def test_giving_back_loses_no_exception_on_its_way() -> None:
    shim, ours = lent(np.ones(5, np.float32), (2, 0))
    # NumPy drops the capsule when it has made the error.
    with pytest.raises((BufferError, RuntimeError), match="Unsupported device"):
        np.from_dlpack(ours)
    del ours
    gc.collect()
    assert not shim.sizes


def test_another_thread_may_give_back() -> None:
    shim, ours = lent(np.ones(5, np.float32))
    held = [np.from_dlpack(ours)]
    del ours
    thread = threading.Thread(target=held.clear)
    thread.start()
    thread.join()
    assert not shim.sizes


def test_a_copy_is_another_array() -> None:
    _, ours = lent(np.ones(5, np.float32))
    taken = read_tensor(_With(ours, copy=True), "x", -1)
    assert taken.facts.address != ours.facts.address


class _With:
    """An array asked with more arguments."""

    def __init__(self, array: DeviceArray, **arguments: Any) -> None:  # of any kind
        self.array, self.arguments = array, arguments

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.array.__dlpack_device__()

    def __dlpack__(self, *, stream: int | None = None, max_version: Any = None) -> object:
        return self.array.__dlpack__(stream=stream, max_version=max_version, **self.arguments)


def test_the_host_gets_a_copy_if_it_asks() -> None:
    _, ours = lent(np.ones(5, np.float32), (2, 0))
    other: Exporter = _With(ours, dl_device=(1, 0))
    tensor = read_tensor(other, "x", -1)
    assert tensor.device == (1, 0)
    assert tensor.facts.address != ours.facts.address
    with pytest.raises(BufferError, match="not on device"):
        ours.__dlpack__(dl_device=(1, 0), copy=False)
    with pytest.raises(BufferError, match="not on device"):
        ours.__dlpack__(dl_device=(2, 1))


def test_a_consumers_stream_waits_and_is_waited_for() -> None:
    """The producer's stream does nothing by itself, and neither does the consumer's."""
    shim = ShimCard(late=True)
    shim.enter()
    ours = DeviceArray.upload(np.full(5, 3.0, np.float32), shim, shim.stream())
    capsule = ours.__dlpack__(stream=40)
    found = np.zeros(5, np.float32)
    consumer = shim.foreign_stream(40)
    consumer.download(ours.facts.address, found)
    np.testing.assert_array_equal(found, 3.0)
    # Work of the consumer is under way when the array goes: its memory must wait.
    other = consumer.allocate(20)
    consumer.copy(other, ours.facts.address, 20)
    address = ours.facts.address
    del capsule, ours
    gc.collect()
    again = DeviceArray.upload(np.zeros(5, np.float32), shim, shim.streams[1000])
    assert again.facts.address == address
    again.numpy()
    consumer.download(other, found)
    np.testing.assert_array_equal(found, 3.0)


def test_no_stream_is_the_default_stream() -> None:
    shim, ours = lent(np.ones(5, np.float32), (2, 0))
    ours.__dlpack__()
    assert 1 in shim.streams
    ours.__dlpack__(stream=-1)
    assert set(shim.streams) == {1, 1000}
