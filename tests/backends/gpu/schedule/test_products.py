"""Sums of products by tiles: the schedules in the interpreter, and their source on the CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Function, Value, bf16, f16, f32, f64
from mlir_lite.expr import index
from mlir_lite.ir import run_reference
from mlir_lite.passes.schedule.gpu.products.warp_tiles import swizzled
from mlir_lite.tile.checks.verify import verify_kernel
from mlir_lite.tile.evaluate import evaluate
from mlir_lite.tile.frame import Frame
from mlir_lite.tile.interpreter import run_program
from mlir_lite.types import Array

from ..compiled import Compiled, all_orders, card, planned
from ..shim import needs_shim


@ml.function(f32[19, 21], f32[21, 37], f32[37])
def linear(x: Value, w: Value, b: Value) -> Value:
    return ml.relu(x @ w + b)


@ml.function(f32[2, 17, 12], f32[2, 12, 36])
def batched(x: Value, y: Value) -> Value:
    return x @ y


@ml.function(f32[17, 12], f32[40, 12])
def right_turned(x: Value, w: Value) -> Value:
    return x @ ml.transpose(w, perm=(1, 0))


@ml.function(f32[12, 20], f32[12, 33])
def left_turned(x: Value, w: Value) -> Value:
    return ml.transpose(x, perm=(1, 0)) @ w


@ml.function(f32[18, 9], f32[9, 34])
def prologue(x: Value, w: Value) -> Value:
    return ml.exp(x) @ w


@ml.function(f32[2, 3, 5, 7], f32[9, 3, 3, 3], f32[9])
def convolution(x: Value, w: Value, b: Value) -> Value:
    return ml.relu(ml.conv2d(x, w, b, padding=1))


@ml.function(f32[1, 12, 5, 6], f32[24, 4, 3, 3])
def grouped(x: Value, w: Value) -> Value:
    return ml.relu(ml.conv2d(x, w, padding=1, groups=3))


@ml.function(f32[2, 9, 5, 7], f32[17, 9, 1, 1])
def pointwise(x: Value, w: Value) -> Value:
    return ml.conv2d(x, w)


@ml.function(bf16[40, 64], bf16[64, 40])
def narrow(x: Value, w: Value) -> Value:
    return ml.relu(x @ w)


@ml.function(f16[33, 37], f16[37, 21])
def narrow_odd(x: Value, w: Value) -> Value:
    return x @ w


@ml.function(bf16[2, 64, 40], bf16[2, 24, 64])
def narrow_turned(x: Value, w: Value) -> Value:
    return ml.transpose(x, perm=(0, 2, 1)) @ ml.transpose(w, perm=(0, 2, 1))


@ml.function(f32[40, 50], f32[50, 24])
def narrowed(x: Value, w: Value) -> Value:
    return ml.cast(x, dtype=bf16) @ ml.cast(w, dtype=bf16)


@ml.function(bf16[2, 8, 5, 7], bf16[24, 8, 3, 3])
def narrow_convolution(x: Value, w: Value) -> Value:
    return ml.conv2d(x, w, padding=1)


@ml.function(f16[20, 2000], f16[2000, 24])
def narrow_long_sums(x: Value, w: Value) -> Value:
    return x @ w


@ml.function(f64[17, 16], f64[16, 16])
def double(x: Value, y: Value) -> Value:
    return x @ y


@ml.function(f32[3, 1100], f32[1100, 33], f32[33])
def long_sums(x: Value, w: Value, b: Value) -> Value:
    return ml.tanh(x @ w + b)


@ml.function(f32[150, 100], f32[100, 72])
def deep(x: Value, w: Value) -> Value:
    return x @ w


@ml.function(bf16[150, 232], bf16[232, 136])
def narrow_deep(x: Value, w: Value) -> Value:
    return x @ w


CASES = (
    linear,
    batched,
    right_turned,
    left_turned,
    prologue,
    convolution,
    grouped,
    pointwise,
    double,
    narrow,
    narrow_odd,
    narrow_turned,
    narrowed,
    narrow_convolution,
    narrow_long_sums,
    long_sums,
    deep,
    narrow_deep,
)
each_case = pytest.mark.parametrize("fn", CASES, ids=lambda fn: fn.name)


def arrays_for(fn: Function) -> list[Array]:
    random = np.random.default_rng(0)
    return [
        random.standard_normal(param.type.static_shape).astype(param.dtype.numpy)
        for param in fn.params
    ]


def exact(fn: Function, arrays: list[Array]) -> tuple[Array, ...]:
    return run_reference(fn, [array.astype(np.float64) for array in arrays])


def check(found: tuple[Array, ...], fn: Function, arrays: list[Array]) -> None:
    for result, wanted in zip(found, exact(fn, arrays), strict=True):
        # Sums of up to a thousand products of about one in another order; a narrow result is
        # rounded, one step further at most.
        narrow = {"bfloat16": 2.0**-7, "float16": 2.0**-9}
        step = narrow.get(str(result.dtype), 1e-5)
        found_, wanted_ = result.astype(np.float64), wanted.astype(np.float64)
        np.testing.assert_allclose(found_, wanted_, rtol=step, atol=3e-5)


# Threads go one by one there.
@pytest.mark.parametrize("fn", [right_turned, narrow_turned], ids=lambda fn: fn.name)
def test_turned_operands_are_read_where_they_lie(fn: Function) -> None:
    assert [call.label for call in planned(fn, card())[0].calls] == ["transpose matmul"]


short = [fn for fn in CASES if "long" not in fn.name and "deep" not in fn.name]


@pytest.mark.parametrize("fn", short, ids=lambda fn: fn.name)
def test_schedules_compute_the_reference(fn: Function) -> None:
    program, constants = planned(fn, card(threads=32))
    assert any("sums" in kernel.buffers for kernel in program.kernels)
    for kernel in program.kernels:
        verify_kernel(kernel)
    arrays = arrays_for(fn)
    check(run_program(program, arrays, constants), fn, arrays)


@needs_shim
@each_case
@pytest.mark.parametrize("threads", [32, 256])
def test_source_computes_the_reference(fn: Function, threads: int, tmp_path: Path) -> None:
    arrays = arrays_for(fn)
    compiled = Compiled.of(fn, tmp_path, target=card(threads=threads))
    check(all_orders(compiled, arrays), fn, arrays)


@ml.function(f32[64, 40], f32[40, 256])
def wide(x: Value, w: Value) -> Value:
    return x @ w


@ml.function(bf16[128, 96], bf16[96, 64])
def narrow_wide(x: Value, w: Value) -> Value:
    return x @ w


@needs_shim
@pytest.mark.parametrize("fn", [wide, narrow_wide, double], ids=lambda fn: fn.name)
@pytest.mark.parametrize("multiprocessors", [1, 2, 132])
def test_every_element_of_a_tile_is_brought(
    fn: Function, multiprocessors: int, tmp_path: Path
) -> None:
    target = card(multiprocessors=multiprocessors)
    arrays = arrays_for(fn)
    compiled = Compiled.of(fn, tmp_path, target=target, watched=True)
    check(all_orders(compiled, arrays), fn, arrays)


@ml.function(bf16[130, 96], bf16[96, 144], bf16[144], bf16[130, 144])
def residual(x: Value, w: Value, b: Value, more: Value) -> Value:
    return ml.relu(x @ w + b) + more


@ml.function(f32[130, 96], f32[96, 144], f32[144], f32[130, 144])
def residual_f32(x: Value, w: Value, b: Value, more: Value) -> Value:
    return ml.relu(x @ w + b) + more


@needs_shim
@pytest.mark.parametrize(
    ("fn", "name", "factors", "instruction"),
    [
        (residual, "sm_80", "f32", "mma_bf16("),
        (residual, "sm_90", "f32", "wgmma_"),
        (residual_f32, "sm_80", "bf16", "mma_bf16("),
        (residual_f32, "sm_80", "tf32", "mma_tf32("),
    ],
)
def test_memory_is_read_and_written_in_whole_sectors(
    fn: Function, name: str, factors: str, instruction: str, tmp_path: Path
) -> None:
    target = card(name, multiprocessors=1, factors=factors)
    compiled = Compiled.of(fn, tmp_path, target=target, watched=True)
    assert instruction in str(compiled.source) and "quad_runs<" in str(compiled.source)
    arrays = arrays_for(fn)
    found = all_orders(compiled, arrays)
    if factors == "f32":
        check(found, fn, arrays)
    counts = compiled.device.counts()
    assert counts.sectors == counts.least_sectors


@pytest.mark.parametrize("columns", [16, 32, 64, 128])
def test_eight_rows_of_a_swizzled_tile_lie_in_all_banks(columns: int) -> None:
    layout = swizzled((1, 16, columns), bf16)
    for first in (0, 8):
        for chunk in range(0, columns, 8):
            banks = set()
            for row in range(first, first + 8):
                place = layout.apply((index(0), index(row), index(chunk)))
                at = [int(evaluate(part, Frame("", {}, {}))) for part in place]
                banks.add((at[1] * columns + at[2]) * bf16.bytes // 16 % 8)
            assert len(banks) == 8
