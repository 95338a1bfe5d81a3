"""Calls of executables on a card: results, memory, graphs, faults. In the card's place is a CPU,
which does what is in a stream only when somebody waits for it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import RunError, Value, f32, i64, nn, train
from mlir_lite.backends.cuda.executable import CudaExecutable
from mlir_lite.demo.assets import load
from mlir_lite.demo.model import digits
from mlir_lite.dsl import specialise
from mlir_lite.ir import run_reference
from mlir_lite.types import Array

from ..examples import BY_NAME, arrays_for
from ..on_shim import close, executable_on, uploaded
from ..shim import needs_shim
from ..shim_card import ShimCard

pytestmark = needs_shim


@pytest.fixture
def shim() -> ShimCard:
    return ShimCard(late=True)



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
