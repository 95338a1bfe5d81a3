"""Products whose rows a loop takes are computed in it, beside what waits for its weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Function, Value, f32, nn
from mlir_lite.backends.llvm.backend import cpu_target
from mlir_lite.passes.lowering.lower import Lowered, lower
from mlir_lite.passes.memory.plan_memory import plan_memory
from mlir_lite.passes.pipelines import cpu_pipeline
from mlir_lite.passes.schedule.cost.model import PANELS
from mlir_lite.target import Target
from mlir_lite.tile.checks.verify import verify_program
from mlir_lite.tile.interpreter import run_program
from mlir_lite.tile.nodes import Loop
from mlir_lite.tile.parser import parse_program
from mlir_lite.tile.program import CallStep, LoopStep, Program
from mlir_lite.tile.tree import extent_of

HIDDEN = 64
# Caches so small that weights of some 64 KiB leave the second, and are read again from the last.
# The second caches of two threads hold the weights of these loops, that of one does not.
TARGET = replace(cpu_target("cpu:avx512", 1)[0], l2_bytes=64 << 10, parallel_cycles=1)
LARGER = replace(TARGET, l2_bytes=128 << 10)

Layer = Callable[[], nn.LSTM | nn.GRU | nn.RNN]


class Outputs(nn.Module):
    layer: nn.LSTM | nn.GRU | nn.RNN

    def forward(self, x: Value) -> Value:
        return self.layer.forward(x)[0]


def recurrent(layer: Layer, steps: int, batch: int = 1, inputs: int = 24) -> Function:
    net = Outputs(layer())
    return ml.function(net, f32[steps, batch, inputs]).bind(net.init(seed=0))


def lstm() -> nn.LSTM:
    return nn.LSTM(24, HIDDEN)


def lowered(fn: Function, target: Target = TARGET) -> Lowered:
    for step in cpu_pipeline(target):
        fn = step.run(fn)
    return lower(fn, target)


def beside(program: Program) -> list[str]:
    """The kernels that do two things at once."""
    return [kernel.name for kernel in program.kernels if "_beside" in kernel.name]


def test_the_rows_of_the_next_turns_are_computed_in_the_loop() -> None:
    program = lowered(recurrent(lstm, 32)).program
    calls = [step for step in program.steps if isinstance(step, CallStep)]
    block, last = (step for step in program.steps if isinstance(step, LoopStep))
    (turn,) = block.body
    assert isinstance(turn, LoopStep)
    assert any(call.kernel.endswith("_first") for call in calls)
    # One turn before the loop, whose state is no row yet; what is left over runs at the end.
    assert 1 + block.count * turn.count + last.count == 32
    assert last.count == turn.count + 31 % turn.count
    assert len(beside(program)) == 1
    assert beside(program)[0] in {step.kernel for step in turn.body if isinstance(step, CallStep)}
    assert parse_program(str(program)) == program


@pytest.mark.parametrize(
    "layer, steps, batch, target",
    [
        (lstm, 16, 1, TARGET),
        (lstm, 19, 1, TARGET),  # what is left over is computed first
        (lstm, 23, 2, TARGET),
        (lambda: nn.LSTM(24, HIDDEN, bidirectional=True), 21, 1, TARGET),  # one loop goes backwards
        (lambda: nn.LSTM(24, HIDDEN, num_layers=2), 16, 1, TARGET),
        (lambda: nn.GRU(24, 128), 18, 1, LARGER),
        (lambda: nn.RNN(24, 256), 17, 1, LARGER),
    ],
)
def test_results_are_those_of_the_references(
    layer: Layer, steps: int, batch: int, target: Target
) -> None:
    fn = recurrent(layer, steps, batch)
    found = lowered(fn, target)
    assert beside(found.program)
    program = plan_memory(found)
    verify_program(program)
    x = np.random.default_rng(0).standard_normal((steps, batch, 24)).astype("f4")
    constants = {name: data.array() for name, data in found.constants.items()}
    (got,) = run_program(program, (x,), constants)
    # Some twenty steps of sums of 64 products, in f32.
    np.testing.assert_allclose(got, ml.evaluate(fn, x), rtol=1e-4, atol=1e-6)


def test_weights_of_half_the_second_cache_are_waited_for_too() -> None:
    target = replace(TARGET, l2_bytes=128 << 10)  # twice the weights
    assert not beside(lowered(recurrent(lstm, 32), target).program)
    assert beside(lowered(recurrent(lstm, 32), replace(target, l2_bytes=100 << 10)).program)


def test_shares_are_tiles_enough_for_threads() -> None:
    program = lowered(recurrent(lambda: nn.RNN(24, 256), 32), LARGER).program
    (both,) = (kernel for kernel in program.kernels if "_beside" in kernel.name)
    (loop,) = both.body
    assert isinstance(loop, Loop) and extent_of(loop) >= PANELS


def test_two_directions_are_two_loops_with_their_products() -> None:
    fn = recurrent(lambda: nn.LSTM(24, HIDDEN, bidirectional=True), 32)
    program = lowered(fn).program
    assert sum("_beside" in call.kernel for call in program.calls) == 2


@pytest.mark.parametrize(
    "target",
    [
        replace(TARGET, l2_bytes=1 << 20),  # the weights stay in the second cache
        replace(TARGET, peak_flops=1e9),  # the loop computes all the time already
        replace(TARGET, l2_bytes=8 << 10),  # the way is full, with what two threads read
    ],
)
def test_what_does_not_wait_stays_as_it_is(target: Target) -> None:
    assert not beside(lowered(recurrent(lstm, 32), target).program)


@pytest.mark.parametrize("steps, batch", [(3, 1), (32, 16)])
def test_too_few_turns_or_too_many_rows_do(steps: int, batch: int) -> None:
    assert not beside(lowered(recurrent(lstm, steps, batch)).program)


def test_rows_that_something_else_reads_are_computed_at_once() -> None:
    random = np.random.default_rng(0)
    weights = {
        "w": random.standard_normal((24, 256)).astype("f4"),
        "u": random.standard_normal((128, 256)).astype("f4"),
    }

    def loop(x: Value, w: Value, u: Value) -> tuple[Value, Value]:
        def step(h: Value, row: Value) -> tuple[Value, Value]:
            gates = ml.tanh(row + h @ u)
            new = gates[:, :128] + gates[:, 128:]
            return new, new

        rows = ml.reshape(ml.reshape(x, (32, 24)) @ w, (32, 1, 256))
        _, states = ml.scan(step, ml.zeros((1, 128)), rows)
        assert isinstance(states, Value)
        return states, rows

    @ml.function(f32[32, 1, 24], f32[24, 256], f32[128, 256])
    def alone(x: Value, w: Value, u: Value) -> Value:
        return loop(x, w, u)[0]

    @ml.function(f32[32, 1, 24], f32[24, 256], f32[128, 256])
    def read(x: Value, w: Value, u: Value) -> Value:
        states, rows = loop(x, w, u)
        return states + ml.sum(rows)

    assert beside(lowered(alone.bind(weights)).program)
    assert not beside(lowered(read.bind(weights)).program)
