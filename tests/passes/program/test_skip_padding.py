"""Convolutions leave out taps that see the zeros around an image; other padding they see."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Function, Value, f32, i8, u8
from mlir_lite.backends.llvm.backend import cpu_target
from mlir_lite.passes.lowering.lower import lower
from mlir_lite.passes.pipelines import cpu_pipeline
from mlir_lite.tile.analyses.count import work_of
from mlir_lite.types import Array

TARGET = replace(cpu_target("cpu:sapphirerapids", 1)[0], matrix_products=frozenset())
SIZE, CHANNELS, STRIDE = 8, 16, 2  # in steps of two Winograd's algorithm is not for them


def weights(kind: str) -> Array:
    made = np.random.default_rng(0).standard_normal((CHANNELS, CHANNELS, 3, 3)) * 20
    return made.astype(kind)


def floats(value: float = 0.0) -> Function:
    @ml.function(f32[1, CHANNELS, SIZE, SIZE], f32[CHANNELS, CHANNELS, 3, 3])
    def fn(x: Value, w: Value) -> Value:
        around = ml.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), value=value)
        return ml.conv2d(around, w, stride=STRIDE)

    return fn.bind({"w": weights("f4")})


def integers() -> Function:
    @ml.function(u8[1, CHANNELS, SIZE, SIZE], i8[CHANNELS, CHANNELS, 3, 3])
    def fn(x: Value, w: Value) -> Value:
        return ml.conv2d(x, w, padding=1)

    return fn.bind({"w": weights("i1")})


def operations(fn: Function) -> int:
    """Of the kernel that convolves."""
    for step in cpu_pipeline(TARGET):
        fn = step.run(fn)
    program = lower(fn, TARGET).program
    (call,) = (call for call in program.calls if "conv" in call.label)
    return work_of(program.kernel(call.kernel)).operations


def all_taps(stride: int) -> int:
    return 2 * 9 * (SIZE // stride) ** 2 * CHANNELS**2


def test_taps_that_see_zeros_are_left_out() -> None:
    """In steps of two those are the first of the first row, and of the first column."""
    count = SIZE // STRIDE
    seen = (3 * count - 1) ** 2 / (3 * count) ** 2
    assert operations(floats()) == all_taps(STRIDE) * seen


def test_those_of_integers_too() -> None:
    seen = (3 * SIZE - 2) ** 2 / (3 * SIZE) ** 2
    assert operations(integers()) == all_taps(1) * seen


def test_other_numbers_around_are_seen() -> None:
    assert operations(floats(1.0)) == all_taps(STRIDE)


@pytest.mark.parametrize("fn", [floats(), floats(1.0), integers()])
def test_results_are_those_of_the_interpreter(fn: Function) -> None:
    dtype = fn.params[0].type.dtype.numpy
    x = np.random.default_rng(1).integers(0, 9, (1, CHANNELS, SIZE, SIZE)).astype(dtype)
    # Sums of 144 products in f32, relative to the largest; integers are exact.
    want = ml.evaluate(fn, x)
    np.testing.assert_allclose(ml.compile(fn)(x), want, rtol=0, atol=1e-5 * np.abs(want).max())
