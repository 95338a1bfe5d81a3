"""Kernels in loops do not ask ahead for what the last turn has left in a cache, and begin with it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Function, Value, f32, nn
from mlir_lite.backends.llvm.backend import cpu_target
from mlir_lite.passes.lowering.lower import lower
from mlir_lite.passes.pipelines import cpu_pipeline
from mlir_lite.target import Target
from mlir_lite.tile.parser import parse_program
from mlir_lite.tile.program import LoopStep, Program, calls_of

TARGET = cpu_target("cpu:avx512", 1)[0]


class Outputs(nn.Module):
    layer: nn.LSTM

    def forward(self, x: Value) -> Value:
        return self.layer.forward(x)[0]


def lstm(steps: int) -> Function:
    net = Outputs(nn.LSTM(64, 256))
    return ml.function(net, f32[steps, 1, 64]).bind(net.init(seed=0))


def lowered(fn: Function, l3_bytes: int, given: Target = TARGET) -> Program:
    target = replace(given, l3_bytes=l3_bytes)
    for step in cpu_pipeline(target, strassen="auto"):
        fn = step.run(fn)
    return lower(fn, target).program


def asking(program: Program) -> list[bool]:
    """Whether each kernel that the loop calls asks ahead for weights, its second operand."""
    loops = tuple(step for step in program.steps if isinstance(step, LoopStep))
    names = {call.kernel for call in calls_of(loops)}
    return ["prefetch_f32(x1" in str(kernel) for kernel in program.kernels if kernel.name in names]


def test_weights_that_stay_in_the_cache_are_not_asked_for() -> None:
    assert not any(asking(lowered(lstm(16), 32 << 20)))


def test_weights_that_many_rows_meet_are_asked_for() -> None:
    weight = np.random.default_rng(0).standard_normal((512, 512)).astype("f4") / 32

    def steps(rows: int) -> Function:
        @ml.function(f32[16, rows, 512], f32[512, 512])
        def fn(xs: Value, w: Value) -> Value:
            def step(h: Value, x: Value) -> tuple[Value, Value]:
                return ml.tanh(h @ w + x), h

            _, states = ml.scan(step, ml.zeros((rows, 512)), xs)
            assert isinstance(states, Value)
            return states

        return fn.bind({"w": weight})

    assert any(asking(lowered(steps(33), 32 << 20)))  # odd: not by halves
    assert not any(asking(lowered(steps(8), 32 << 20)))


def test_products_of_halves_ask_in_loops_too() -> None:
    weight = np.random.default_rng(0).standard_normal((512, 1024)).astype("f4") / 32

    @ml.function(f32[16, 64, 1024], f32[512, 1024], f32[1024, 512])
    def steps(xs: Value, w: Value, back: Value) -> Value:
        def step(h: Value, x: Value) -> tuple[Value, Value]:
            return (x + h @ w) @ back, h

        _, states = ml.scan(step, ml.zeros((64, 512)), xs)
        assert isinstance(states, Value)
        return states

    program = lowered(steps.bind({"w": weight, "back": weight.T.copy()}), 32 << 20)
    products = [kernel for kernel in program.kernels if "strassen_matmul" in kernel.name]
    assert products and all("prefetch_f32(panels[n, p, 0" in str(kernel) for kernel in products)


@pytest.mark.parametrize("steps, l3_bytes", [(16, 1 << 20), (2, 32 << 20)])
def test_weights_that_do_not_stay_or_are_read_twice_are(steps: int, l3_bytes: int) -> None:
    assert any(asking(lowered(lstm(steps), l3_bytes)))


def test_results_are_those_of_the_interpreter() -> None:
    fn = lstm(16)
    x = np.random.default_rng(0).standard_normal((16, 1, 64)).astype("f4")
    # Sixteen steps of sums of 256 products, in f32.
    np.testing.assert_allclose(ml.compile(fn)(x), ml.evaluate(fn, x), rtol=1e-4, atol=1e-6)


def alternating(program: Program) -> list[str]:
    return [step.kernel for step in program.calls if step.alternating]


@pytest.mark.parametrize("l2_bytes, found", [(1 << 20, True), (4 << 20, False)])
def test_weights_larger_than_the_second_cache_are_read_back_and_forth(
    l2_bytes: int, found: bool
) -> None:
    program = lowered(lstm(16), 32 << 20, replace(TARGET, l2_bytes=l2_bytes))  # a MiB of weights
    assert bool(alternating(program)) == found
    assert parse_program(str(program)) == program


def test_pieces_of_steps_are_worth_fewer_cycles_than_elsewhere() -> None:
    """Threads are awake between them."""
    busy = replace(TARGET, parallel_cycles=1 << 40, peak_flops=1e9)  # nothing is put beside them
    program = lowered(lstm(16), 32 << 20, busy)
    (loop,) = (step for step in program.steps if isinstance(step, LoopStep))
    dealt = [kernel.name for kernel in program.kernels if "parallel" in str(kernel)]
    assert dealt == alternating(program) and len(loop.body) > 1


@pytest.mark.parametrize("steps", [15, 16])
def test_all_threads_give_the_same_bits(steps: int) -> None:
    fn = lstm(steps)
    assert "alternating" in ml.compile(fn, "cpu:avx512").stages["tile"]
    x = np.random.default_rng(1).standard_normal((steps, 1, 64)).astype("f4")
    alone, *others = (np.array(ml.compile(fn, threads=threads)(x)) for threads in (1, 2, 3))
    assert all(np.array_equal(alone, other) for other in others)
