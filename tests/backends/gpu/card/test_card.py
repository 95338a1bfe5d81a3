"""The part that talks to `cuda.core`, against stand-ins that have the names and parameters of the
package that is installed, and nothing else."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from unittest.mock import create_autospec

import numpy as np
import pytest

from mlir_lite import RunError, UnsupportedError
from mlir_lite.backends.cuda.card.device import Launch
from mlir_lite.backends.cuda.source.kernels import CudaKernel

from ..examples import BY_NAME
from ..source.test_source import source_of

core = pytest.importorskip("cuda.core")
driver = pytest.importorskip("cuda.bindings.driver")
card = pytest.importorskip("mlir_lite.backends.cuda.card.card")

# Mocks have attributes of any type.
Mock = Any

KERNEL = CudaKernel("k_kernel", "", (3, 2, 1), (64, 1, 1), ())
SUCCESS = (driver.CUresult.CUDA_SUCCESS,)


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Mock:
    """A card's stand-in, in place of all of `cuda.core` that needs a driver."""
    found = create_autospec(core.Device, instance=True)
    found.name, found.compute_capability = "H100", SimpleNamespace(major=9, minor=0)
    found.properties = SimpleNamespace(multiprocessor_count=132)
    found.allocate.return_value = create_autospec(core.Buffer, instance=True, handle=4096)
    stream = create_autospec(core.Stream, instance=True, handle=77)
    stream.record.return_value = create_autospec(core.Event, instance=True)
    found.create_stream.return_value = stream
    builder = create_autospec(core.graph.GraphBuilder, instance=True)
    builder.end_building.return_value = builder
    builder.complete.return_value = create_autospec(core.graph.Graph, instance=True)
    found.create_graph_builder.return_value = builder
    monkeypatch.setattr(core, "Device", create_autospec(core.Device, return_value=found))
    monkeypatch.setattr(core, "launch", create_autospec(core.launch))
    code = create_autospec(core.ObjectCode)
    code.from_cubin.return_value = create_autospec(core.ObjectCode, instance=True)
    monkeypatch.setattr(core, "ObjectCode", code)
    for name in (
        "cuMemcpyHtoDAsync", "cuMemcpyDtoHAsync", "cuMemcpyDtoDAsync", "cuStreamSynchronize",
    ):  # fmt: skip
        monkeypatch.setattr(
            driver, name, create_autospec(getattr(driver, name), return_value=SUCCESS)
        )
    return found


@pytest.mark.usefixtures("device")
def test_a_card_is_asked_what_it_is() -> None:
    first = card.Card.numbered(0)
    assert (first.name, first.capability, first.architecture) == ("H100", 90, "sm_90a")
    assert first.dlpack == (2, 0)


def test_memory_is_made_and_given_back_in_a_stream(device: Mock) -> None:
    stream = card.Card.numbered(0).stream()
    assert stream.handle == 77
    address = stream.allocate(100)
    assert address == 4096
    device.allocate.assert_called_once_with(100, stream=device.create_stream.return_value)
    stream.release(address)
    device.allocate.return_value.close.assert_called_once_with(device.create_stream.return_value)


def test_memory_that_is_not_there_is_a_run_error(device: Mock) -> None:
    device.allocate.side_effect = RuntimeError("CUDA_ERROR_OUT_OF_MEMORY")
    with pytest.raises(RunError, match="H100 gives no 100 bytes: CUDA_ERROR_OUT_OF_MEMORY"):
        card.Card.numbered(0).stream().allocate(100)


@pytest.mark.usefixtures("device")
def test_copies_are_those_of_the_driver() -> None:
    stream = card.Card.numbered(0).stream()
    array = np.zeros((3, 5), np.float32)
    stream.upload(4096, array)
    driver.cuMemcpyHtoDAsync.assert_called_once_with(4096, array.ctypes.data, 60, 77)
    driver.cuStreamSynchronize.assert_not_called()
    stream.download(4096, array)
    driver.cuMemcpyDtoHAsync.assert_called_once_with(array.ctypes.data, 4096, 60, 77)
    driver.cuStreamSynchronize.assert_called_once_with(77)
    stream.copy(8192, 4096, 60)
    driver.cuMemcpyDtoDAsync.assert_called_once_with(8192, 4096, 60, 77)
    driver.cuStreamSynchronize.return_value = (driver.CUresult.CUDA_ERROR_ILLEGAL_ADDRESS,)
    with pytest.raises(RunError, match="the card's driver reports CUDA_ERROR_ILLEGAL_ADDRESS"):
        stream.synchronise()


def test_kernels_are_launched_alone_and_in_graphs(device: Mock) -> None:
    first = card.Card.numbered(0)
    stream, made = first.stream(), device.create_stream.return_value
    kernels = first.load(b"cubin", {"k": KERNEL})
    core.ObjectCode.from_cubin.return_value.get_kernel.assert_called_once_with("k_kernel")
    launch = Launch(kernels["k"], (4096, 8192))
    stream.launch(launch)
    config = core.LaunchConfig(grid=(3, 2, 1), block=(64, 1, 1))
    kernel = core.ObjectCode.from_cubin.return_value.get_kernel.return_value
    core.launch.assert_called_once_with(made, config, kernel, 4096, 8192)
    graph = first.graph([launch, launch])
    builder = device.create_graph_builder.return_value
    assert [name for name, *_ in builder.method_calls] == [
        "begin_building", "end_building", "complete", "close",
    ]  # fmt: skip
    assert core.launch.call_args_list[1:] == [((builder, config, kernel, 4096, 8192),)] * 2
    stream.replay(graph)
    graph.launch.assert_called_once_with(made)


def test_events_tell_time_and_order(device: Mock) -> None:
    first = card.Card.numbered(0)
    stream, made = first.stream(), device.create_stream.return_value
    start, end = stream.record(timed=True), stream.record(timed=True)
    assert made.record.call_args.kwargs == {"options": core.EventOptions(timing_enabled=True)}
    end.event.__sub__ = lambda self, other: 2.5
    assert end.seconds_since(start) == 0.0025
    end.event.sync.assert_called_once_with()
    stream.wait(start)
    made.wait.assert_called_once_with(start.event)
    end.event.is_done = False
    assert not end.is_done()


@pytest.mark.usefixtures("device")
def test_streams_of_others_are_known_by_their_handles(monkeypatch: pytest.MonkeyPatch) -> None:
    known = create_autospec(core.Stream)
    monkeypatch.setattr(core, "Stream", known)
    first = card.Card.numbered(0)
    assert first.foreign_stream(0).handle == first.foreign_stream(1).handle == 1
    assert first.foreign_stream(2).handle == 2
    first.foreign_stream(500)
    known.from_handle.assert_called_once_with(500)


@pytest.mark.usefixtures("device")
def test_code_for_later_cards_is_refused() -> None:
    source = source_of(BY_NAME["halved"], "sm_100")
    words = r"@halved is made for cuda:sm_100 and later cards; here is H100, sm_90: compile it for"
    with pytest.raises(UnsupportedError, match=words):
        card.Card.numbered(0).build(source)


@pytest.mark.usefixtures("device")
def test_code_is_compiled_for_the_card_that_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = create_autospec(card.kept_binary)
    monkeypatch.setattr(card, "kept_binary", compiled)
    source = source_of(BY_NAME["halved"], "sm_80")
    first = card.Card.numbered(0)
    assert first.build(source) is compiled.return_value.code
    text, architecture = compiled.call_args.args
    assert architecture == "sm_90a"
    assert "__global__" in text and "//" not in text
    assert len(text.splitlines()) == len(source.device.splitlines())
