"""Calls of executables on a card: results, memory, graphs, faults. In the card's place is a CPU,
which does what is in a stream only when somebody waits for it."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import InputError, RunError, Value, f32, i64, nn, train
from mlir_lite.backends.cuda.device_array import DeviceArray
from mlir_lite.backends.cuda.executable import CudaExecutable
from mlir_lite.demo.assets import load
from mlir_lite.demo.model import digits
from mlir_lite.dsl import specialise
from mlir_lite.ir import run_reference
from mlir_lite.types import Array

from .examples import BY_NAME, arrays_for
from .on_shim import executable_on
from .shim import needs_shim
from .shim_card import ShimCard, ShimStream

pytestmark = needs_shim


@pytest.fixture
def shim() -> ShimCard:
    return ShimCard(late=True)


def uploaded(shim: ShimCard, array: Array) -> DeviceArray:
    shim.enter()
    return DeviceArray.upload(array, shim, shim.stream())


def on_host(results: object) -> list[Array]:
    """The results of a call, brought to the host."""
    every = results if isinstance(results, tuple) else (results,)
    found = []
    for result in every:
        assert isinstance(result, DeviceArray)
        found.append(result.numpy())
    return found


def close(found: Array, wanted: Array) -> None:
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)  # sums in another order


def test_digits_are_read_by_one_graph_a_call(shim: ShimCard) -> None:
    images = load().images[:9]
    fn = specialise(digits(), {"batch": len(images)})
    run = executable_on(shim, fn)
    first, second, third = run(images), run(images), run(images)
    (expected,) = run_reference(fn, [images])
    for found in (first, second, third):
        close(found, expected)
    # What came once is launched kernel by kernel, what came again is a graph.
    assert (shim.launched, shim.graphs, shim.replayed) == (len(run.program.calls), 1, 2)
    assert shim.built == 1


def test_calls_use_one_arena(shim: ShimCard) -> None:
    run = executable_on(shim, BY_NAME["linear"])
    x, w, b = arrays_for(BY_NAME["linear"])
    first = run(x, w, b)
    memory = dict(shim.sizes)
    kept = first.copy()
    assert run(-x, w, b) is not first
    assert shim.sizes == memory
    np.testing.assert_array_equal(first, kept)


def message(run: object, *arrays: Array) -> str:
    assert callable(run)
    with pytest.raises(RunError) as told:
        run(*arrays)
    return str(told.value)


class Net(nn.Module):
    """Two layers."""

    first: nn.Linear = nn.Linear(5, 8)
    second: nn.Linear = nn.Linear(8, 3)

    def forward(self, x: Value) -> Value:
        return self.second(ml.tanh(self.first(x)))


STEP = train.step(
    Net(), ml.cross_entropy, train.SGD(0.1, momentum=0.9), inputs=f32[4, 5], targets=i64[4]
)


def batches(count: int) -> Iterator[tuple[Array, Array]]:
    random = np.random.default_rng(3)
    for _ in range(count):
        yield random.standard_normal((4, 5)).astype(np.float32), random.integers(0, 3, 4)


def test_steps_of_training_overwrite_the_state_on_the_card(shim: ShimCard) -> None:
    run = executable_on(shim, STEP.function)
    start = list(STEP.initial(Net().init(1)).values())
    state = [uploaded(shim, array) for array in start]
    wanted = start
    for batch in batches(4):
        *new, loss = run(*state, *batch)
        assert all(map(lambda one, other: one is other, new, state))
        *wanted, known = run_reference(STEP.function, [*wanted, *batch])
        close(loss.numpy(), known)
    for found, known in zip(state, wanted, strict=True):
        close(found.numpy(), known)
    assert shim.graphs > 0


def test_steps_of_training_overwrite_arrays_of_the_host(shim: ShimCard) -> None:
    run = executable_on(shim, STEP.function)
    state = list(STEP.initial(Net().init(1)).values())
    batch = next(batches(1))
    *wanted, loss = run_reference(STEP.function, [*(array.copy() for array in state), *batch])
    *new, found = run(*state, *batch)
    assert all(map(lambda one, other: one is other, new, state))
    close(found, loss)
    for one, known in zip(state, wanted, strict=True):
        close(one, known)


def test_a_recurrent_layer_is_one_graph(shim: ShimCard) -> None:
    layer = nn.LSTM(3, 6)
    fn = ml.function(layer, f32[5, 2, 3])
    weights = layer.init(0)
    x = np.random.default_rng(0).standard_normal((5, 2, 3)).astype(np.float32)
    bound = fn.bind(weights)
    run = executable_on(shim, bound)
    expected = run_reference(bound, [x])
    for _ in range(2):
        for found, wanted in zip(run(x), expected, strict=True):
            close(found, wanted)
    assert (shim.graphs, shim.replayed) == (1, 1)


def test_a_loop_asks_the_card_whether_to_go_on(shim: ShimCard) -> None:
    fn = BY_NAME["halved"]
    run = executable_on(shim, fn)
    for scale in (100.0, 0.5, 100.0):
        x = np.linspace(0.1, scale, 8).astype(np.float32)
        close(run(x), run_reference(fn, [x])[0])
    assert shim.replayed > 3  # the turns, after the first


def test_a_loop_that_turns_once_too_often_is_the_error_of_the_cpu(shim: ShimCard) -> None:
    fn = BY_NAME["halved"]
    run = executable_on(shim, fn)
    x = np.full(8, 2.0**20, np.float32)  # halved twenty times it is 1
    np.testing.assert_array_equal(run(x), np.ones(8))
    assert message(run, 2 * x) == message(ml.compile(fn), 2 * x)


def test_a_branch_in_a_loop_sees_the_rows_of_its_turn(shim: ShimCard) -> None:
    @ml.function(f32[6, 4])
    def walked(x: Value) -> Value:
        def step(total: Value, row: Value) -> tuple[Value, Value]:
            new = ml.cond(ml.sum(row) > 0.0, lambda t, r: t + r, lambda t, r: t - r, total, row)
            return new, new * 2.0

        every: Value
        _, every = ml.scan(step, x[0] * 0.0, x)
        return every

    x = np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32)
    run = executable_on(shim, walked)
    for _ in range(3):
        close(run(x), run_reference(walked, [x])[0])


@ml.function(f32[6], f32[6])
def chosen(x: Value, y: Value) -> Value:
    result: Value = ml.cond(
        ml.sum(x) > 0.0, lambda a, b: a * b + 1.0, lambda a, b: a - b, x, y
    )
    return result


def test_a_branch_is_taken_by_the_data(shim: ShimCard) -> None:
    run = executable_on(shim, chosen)
    x, y = np.arange(6, dtype=np.float32), np.full(6, 2.0, np.float32)
    for _ in range(3):
        np.testing.assert_array_equal(run(x, y), x * y + 1)
        np.testing.assert_array_equal(run(-x, y), -x - y)


@ml.function(f32[4, 3], i64[2], i64[2])
def picked_twice(x: Value, first: Value, second: Value) -> Value:
    one = ml.gather(x, first, axis=0)
    other = ml.gather(x, second, axis=1)
    return ml.sum(one) + ml.sum(other)


def test_the_first_of_several_faults_is_told_as_on_the_cpu(shim: ShimCard) -> None:
    run, cpu = executable_on(shim, picked_twice), ml.compile(picked_twice)
    x = np.ones((4, 3), np.float32)
    right, wrong = np.array([0, 1]), np.array([0, 9])
    for indices in ((wrong, right), (right, wrong), (wrong, wrong)):
        for _ in range(2):  # kernel by kernel, and as a graph
            assert message(run, x, *indices) == message(cpu, x, *indices)
    assert message(run, x, wrong, wrong) != message(run, x, right, wrong)
    assert run(x, right, right) == 14.0


def test_a_fault_in_a_loop_is_found(shim: ShimCard) -> None:
    @ml.function(f32[4], i64[5])
    def walked(x: Value, at: Value) -> Value:
        def step(total: Value, place: Value) -> tuple[Value, Value]:
            new = total + ml.gather(x, place, axis=0)
            return new, new

        last: Value
        last, _ = ml.scan(step, ml.sum(x) * 0.0, at)
        return last

    run, cpu = executable_on(shim, walked), ml.compile(walked)
    x = np.arange(4, dtype=np.float32)
    assert run(x, np.array([0, 1, 2, 3, 3])) == 9.0
    at = np.array([0, 1, 2, 3, 4])
    assert message(run, x, at) == message(cpu, x, at)


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


def test_a_cpu_has_no_stream() -> None:
    run = ml.compile(BY_NAME["halved"])
    with pytest.raises(InputError, match="stream= is for cards; this is compiled for a CPU"):
        run(np.ones(8, np.float32), stream=7)


WRONG = {
    "dtype": lambda x: x.astype(np.float64),
    "shape": lambda x: x[:-1],
    "turned": lambda x: np.ascontiguousarray(x.T),
    "strides": lambda x: np.repeat(x, 2, 1)[:, ::2],
    "kind": lambda x: x.tolist()[0][0],
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_arrays_that_do_not_fit_are_the_errors_of_the_cpu(shim: ShimCard, wrong: object) -> None:
    fn = BY_NAME["linear"]
    x, w, b = arrays_for(fn)
    assert callable(wrong)
    told = []
    for run in (executable_on(shim, fn), ml.compile(fn)):
        with pytest.raises(InputError) as error:
            run(wrong(x), w, b)
        told.append(str(error.value))
    assert told[0] == told[1]


def test_what_is_given_away_must_be_an_array_that_can_be_written(shim: ShimCard) -> None:
    @ml.function(f32[8])
    def doubled(x: Value) -> Value:
        return x * 2.0

    run = executable_on(shim, doubled.donating({"x": 0}))
    fixed = np.ones(8, np.float32)
    fixed.flags.writeable = False
    with pytest.raises(InputError, match=r"'x': .* got a read-only one; fix: x\.copy\(\)"):
        run(fixed)
    with pytest.raises(InputError, match="'x' is written to, so it must be a NumPy array; got"):
        run(fixed.data)
    right = np.ones(8, np.float32)
    assert run(right) is right
    np.testing.assert_array_equal(right, 2.0)


def test_counts_and_names_are_checked(shim: ShimCard) -> None:
    run = executable_on(shim, BY_NAME["linear"])
    x, w, b = arrays_for(BY_NAME["linear"])
    close(run(x, b=b, w=w), np.maximum(x @ w + b, 0))
    with pytest.raises(InputError, match=r"expected 3 arrays \('x', 'w', 'b'\), got 2"):
        run(x, w)
    with pytest.raises(InputError, match="no parameter v"):
        run(x, w, v=b)


def test_results_must_not_lie_in_what_is_read(shim: ShimCard) -> None:
    @ml.function(f32[8])
    def negated(x: Value) -> Value:
        return -x

    run = executable_on(shim, negated)
    x = np.ones(8, np.float32)
    with pytest.raises(InputError, match="overlaps 'x' in memory"):
        run(x, out=x)
    there = uploaded(shim, x)
    with pytest.raises(InputError, match="overlaps 'x' in memory"):
        run(there, out=there)


def test_an_array_of_another_card_is_refused(shim: ShimCard) -> None:
    run = executable_on(shim, BY_NAME["halved"])
    there = uploaded(ShimCard(dlpack=(2, 1)), np.ones(8, np.float32))
    with pytest.raises(InputError, match=r"'x' is on DLPack's device \(2, 1\), this executable on"):
        run(there)


def test_a_program_without_kernels_gives_its_parameter_back(shim: ShimCard) -> None:
    @ml.function(f32[4, 2])
    def turned(x: Value) -> Value:
        return ml.reshape(x, shape=(8,))

    x = np.arange(8, dtype=np.float32).reshape(4, 2)
    np.testing.assert_array_equal(executable_on(shim, turned)(x), x.reshape(8))


def called(run: CudaExecutable, x: Array) -> Array:
    found = x
    for _ in range(3):
        found = run(x)
    return found


@pytest.mark.parametrize("clones", [True, False])
def test_callers_in_parallel_get_their_own_results(clones: bool) -> None:
    shim = ShimCard()
    fn = BY_NAME["softmax"]
    run = executable_on(shim, fn)
    random = np.random.default_rng(0)
    inputs = [random.standard_normal((40, 300)).astype(np.float32) for _ in range(4)]
    runs = [run.clone() if clones else run for _ in inputs]
    with ThreadPoolExecutor(4) as threads:
        results = list(threads.map(called, runs, inputs))
    for x, found in zip(inputs, results, strict=True):
        close(found, run_reference(fn, [x])[0])
    assert shim.built == 1


def test_clones_share_weights(shim: ShimCard) -> None:
    fn = BY_NAME["linear"]
    x, w, b = arrays_for(fn)
    run = executable_on(shim, fn.bind({"w": w, "b": b}))
    run(x)
    sizes = sorted(shim.sizes.values())
    copy = run.clone()
    np.testing.assert_array_equal(copy(x), run(x))
    added = list(shim.sizes.values())
    for size in sizes:
        added.remove(size)
    assert w.nbytes in sizes and w.nbytes not in added
