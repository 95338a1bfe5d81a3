"""Arrays on the card: order among streams, memory that comes and goes, results where they are asked
for. The card is a CPU that does what is in a stream only when somebody waits for it."""

from __future__ import annotations

import gc

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import InputError, Value, f32
from mlir_lite.ir import run_reference

from ..examples import BY_NAME, arrays_for
from ..on_shim import close, executable_on, uploaded
from ..shim import needs_shim
from ..shim_card import ShimCard, ShimStream

pytestmark = needs_shim


@pytest.fixture
def shim() -> ShimCard:
    return ShimCard(late=True)



def test_arrays_on_the_card_give_arrays_on_the_card(shim: ShimCard) -> None:
    fn = BY_NAME["linear"]
    run = executable_on(shim, fn)
    x, w, b = arrays_for(fn)
    result = run(x, uploaded(shim, w), b)
    assert (result.shape, result.dtype, result.ndim) == ((33, 20), np.float32, 2)
    close(result.numpy(), np.maximum(x @ w + b, 0))


def test_work_of_one_executable_waits_for_another(shim: ShimCard) -> None:
    fn = BY_NAME["linear"]
    first, second = executable_on(shim, fn), executable_on(shim, BY_NAME["halved"])
    x, w, b = arrays_for(fn)
    product = first(uploaded(shim, x), w, b)

    @ml.function(f32[33, 20])
    def doubled(y: Value) -> Value:
        return y * 2.0

    second = executable_on(shim, doubled)
    close(second(product).numpy(), 2 * np.maximum(x @ w + b, 0))


def test_memory_goes_to_others_only_when_all_are_done_with_it(shim: ShimCard) -> None:
    """A result is dropped while another stream has still to read it."""
    @ml.function(f32[50])
    def plus(x: Value) -> Value:
        return x + 1.0

    make, use = executable_on(shim, plus), executable_on(shim, plus)
    x = uploaded(shim, np.zeros(50, np.float32))
    used = []
    for _ in range(3):
        made = make(x)
        used.append(use(made))
        del made
        gc.collect()
        make(x)
    for result in used:
        np.testing.assert_array_equal(result.numpy(), np.full(50, 2.0))


def test_memory_of_results_is_given_back(shim: ShimCard) -> None:
    run = executable_on(shim, BY_NAME["linear"])
    arrays = [uploaded(shim, array) for array in arrays_for(BY_NAME["linear"])]
    for _ in range(2):
        run(*arrays).numpy()
    count = len(shim.sizes)
    kept = [run(*arrays) for _ in range(3)]
    assert len(shim.sizes) == count + 2  # and the third takes the place of what is done
    for result in kept:
        result.numpy()
    del kept, result
    for _ in range(2):
        run(*arrays).numpy()
    assert len(shim.sizes) == count


def test_results_go_where_out_says(shim: ShimCard) -> None:
    fn = BY_NAME["linear"]
    run = executable_on(shim, fn)
    arrays = arrays_for(fn)
    expected = run(*arrays)
    place = np.empty((33, 20), np.float32)
    assert run(*arrays, out=place) is place
    np.testing.assert_array_equal(place, expected)
    on_card = uploaded(shim, np.zeros((33, 20), np.float32))
    for _ in range(2):
        assert run(*arrays, out=[on_card]) is on_card
        np.testing.assert_array_equal(on_card.numpy(), expected)
    with pytest.raises(InputError, match=r"expected 1 arrays in out \('.*'\), got 2"):
        run(*arrays, out=(place, place))


def test_a_stream_of_ones_own(shim: ShimCard) -> None:
    fn = BY_NAME["linear"]
    run = executable_on(shim, fn)
    x, w, b = (uploaded(shim, array) for array in arrays_for(fn))
    stream = shim.foreign_stream(7)
    before = stream.put
    result = run(x, w, b, stream=7)
    assert stream.put > before
    assert stream.done < stream.put, "the call waited"
    stream.synchronise()  # before the other, in which the result's memory was made
    close(result.numpy(), np.maximum(x.numpy() @ w.numpy() + b.numpy(), 0))


def in_turn(*streams: ShimStream) -> None:
    """Do what is in streams, one thing each at a time."""
    while any(stream.done < stream.put for stream in streams):
        for stream in streams:
            stream.until(min(stream.done + 1, stream.put))


def test_calls_in_several_streams_use_the_arena_one_after_the_other(shim: ShimCard) -> None:
    @ml.function(f32[20, 30], f32[30, 30])
    def twice(x: Value, w: Value) -> Value:
        return ml.tanh(x @ w) @ w

    run = executable_on(shim, twice)
    assert run.memory.arena_bytes > 0
    random = np.random.default_rng(0)
    w = random.standard_normal((30, 30)).astype(np.float32)
    there = uploaded(shim, w)
    inputs = [random.standard_normal((20, 30)).astype(np.float32) for _ in range(4)]
    results = [run(x, there, stream=at) for x, at in zip(inputs, (7, 8, 7, None), strict=True)]
    in_turn(shim.streams[7], shim.streams[8])
    for x, result in zip(inputs, results, strict=True):
        close(result.numpy(), run_reference(twice, [x, w])[0])


def test_a_stream_is_known_in_several_ways(shim: ShimCard) -> None:
    run = executable_on(shim, BY_NAME["halved"])
    x = np.ones(8, np.float32)

    class Own:
        def __cuda_stream__(self) -> tuple[int, int]:
            return 0, 21

    class Torch:
        cuda_stream = 22

    for stream in (20, Own(), Torch()):
        run(x, stream=stream)
    assert {20, 21, 22} <= set(shim.streams)
    with pytest.raises(InputError, match="a stream is its handle, or has __cuda_stream__; got a s"):
        run(x, stream="fast")
