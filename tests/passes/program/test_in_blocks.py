"""Products whose rows a loop takes, too many for the caches, are computed a block at a time."""

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
from mlir_lite.passes.program.in_blocks import BLOCK_ROWS
from mlir_lite.target import Target
from mlir_lite.tile.checks.verify import verify_program
from mlir_lite.tile.interpreter import run_program
from mlir_lite.tile.parser import parse_program
from mlir_lite.tile.program import CallStep, LoopStep, Program
from mlir_lite.types import Array

INPUTS, HIDDEN, BATCH = 12, 16, 32
TURNS = BLOCK_ROWS // BATCH
# Some ten thousand elements go through memory.
TARGET = replace(cpu_target("cpu:avx512", 1)[0], l3_bytes=64 << 10)

Layer = Callable[[], nn.LSTM | nn.GRU | nn.RNN]


class Outputs(nn.Module):
    layer: nn.LSTM | nn.GRU | nn.RNN

    def forward(self, x: Value) -> Value:
        return self.layer.forward(x)[0]


def recurrent(layer: Layer, steps: int) -> Function:
    net = Outputs(layer())
    return ml.function(net, f32[steps, BATCH, INPUTS]).bind(net.init(seed=0))


def lstm() -> nn.LSTM:
    return nn.LSTM(INPUTS, HIDDEN)


def lowered(fn: Function, target: Target = TARGET) -> Lowered:
    for step in cpu_pipeline(target):
        fn = step.run(fn)
    return lower(fn, target)


def blocks(program: Program) -> list[LoopStep]:
    """The loops over blocks."""
    return [
        step
        for step in program.steps
        if isinstance(step, LoopStep) and any(isinstance(part, LoopStep) for part in step.body)
    ]


def test_each_block_of_turns_has_its_rows_in_the_same_memory() -> None:
    program = lowered(recurrent(lstm, 5 * TURNS)).program
    (loop,) = blocks(program)
    product, inner = loop.body
    assert isinstance(product, CallStep) and isinstance(inner, LoopStep)
    assert (loop.count, inner.count) == (4, TURNS)
    rows = product.args[-1]
    assert not rows.strides  # the others of the product move on, or are the same for all blocks
    assert program.slot(rows.slot).type.static_shape == (BLOCK_ROWS, 4 * HIDDEN)
    assert parse_program(str(program)) == program


@pytest.mark.parametrize(
    "layer, steps, loops",
    [
        (lstm, 4 * TURNS, 1),
        (lstm, 4 * TURNS + 3, 1),  # what is left over is in the first block
        (lambda: nn.LSTM(INPUTS, HIDDEN, bidirectional=True), 3 * TURNS + 1, 2),  # backwards, too
        (lambda: nn.LSTM(INPUTS, HIDDEN, num_layers=2), 3 * TURNS, 2),
        (lambda: nn.GRU(INPUTS, HIDDEN), 3 * TURNS, 1),
        (lambda: nn.RNN(INPUTS, HIDDEN), 5 * TURNS + 2, 1),
    ],
)
def test_results_are_those_of_the_references(layer: Layer, steps: int, loops: int) -> None:
    fn = recurrent(layer, steps)
    found = lowered(fn)
    assert len(blocks(found.program)) == loops
    program = plan_memory(found)
    verify_program(program)
    x = np.random.default_rng(0).standard_normal((steps, BATCH, INPUTS)).astype("f4")
    constants = {name: data.array() for name, data in found.constants.items()}
    (got,) = run_program(program, (x,), constants)
    # Some forty steps of sums of 16 products, in f32.
    np.testing.assert_allclose(got, ml.evaluate(fn, x), rtol=1e-4, atol=1e-6)


def test_the_bits_are_those_of_the_product_at_once() -> None:
    fn = recurrent(lstm, 4 * TURNS + 3)
    x = np.random.default_rng(1).standard_normal((4 * TURNS + 3, BATCH, INPUTS)).astype("f4")
    results: list[Array] = []
    for target in (TARGET, replace(TARGET, l3_bytes=32 << 20)):
        found = lowered(fn, target)
        constants = {name: data.array() for name, data in found.constants.items()}
        results += run_program(plan_memory(found), (x,), constants)
    cut, whole = results
    np.testing.assert_array_equal(cut, whole)


@pytest.mark.parametrize(
    "steps, target",
    [
        (5 * TURNS, replace(TARGET, l3_bytes=32 << 20)),  # all stays in the last cache
        (2 * TURNS - 1, TARGET),  # there are no two blocks
    ],
)
def test_others_are_computed_at_once(steps: int, target: Target) -> None:
    assert not blocks(lowered(recurrent(lstm, steps), target).program)
