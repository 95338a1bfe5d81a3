"""Pads of a program's large inputs ask for these ahead; those of what it computes do not."""

from __future__ import annotations

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Function, Value, bf16, f32
from mlir_lite.backends.llvm.backend import cpu_target
from mlir_lite.passes.lowering.lower import lower
from mlir_lite.passes.pipelines import cpu_pipeline

TARGET = cpu_target("cpu:avx512", 1)[0]
ROWS = 400  # of 512: more than half of the second cache


def padded(x: Value) -> Value:
    return ml.pad(x, ((1, 1), (2, 1)))


def prefetches(fn: Function) -> list[bool]:
    """Whether each pad in order asks ahead."""
    for step in cpu_pipeline(TARGET):
        fn = step.run(fn)
    program = lower(fn, TARGET).program
    return [
        "call @prefetch" in str(program.kernel(call.kernel))
        for call in program.calls
        if call.label.endswith("pad")
    ]


@pytest.mark.parametrize(("rows", "asks"), [(ROWS, True), (50, False)])
def test_the_pad_of_a_large_input_asks_for_it(rows: int, asks: bool) -> None:
    assert prefetches(ml.function(f32[rows, 512])(padded)) == [asks]


def test_the_pad_of_a_converted_input_asks_for_it() -> None:
    assert prefetches(ml.function(f32[ROWS, 512])(lambda x: padded(ml.cast(x, bf16)))) == [True]


def test_the_pad_of_what_was_computed_does_not() -> None:
    fn = ml.function(f32[ROWS, 512], f32[512, 512])(lambda x, w: padded(x @ w))
    assert prefetches(fn) == [False]


def test_the_elements_are_those_of_the_input() -> None:
    x = np.random.default_rng(0).standard_normal((ROWS, 512)).astype(np.float32)
    run = ml.compile(ml.function(f32[ROWS, 512])(padded))
    np.testing.assert_array_equal(run(x), np.pad(x, ((1, 1), (2, 1))))
