"""Products by warpgroups: schedules in the interpreter, and their source on the CPU. Cards of one
multiprocessor take large tiles for small shapes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Function, Value, bf16, f16, f32
from mlir_lite.ir import run_reference
from mlir_lite.target import Target
from mlir_lite.tile.checks.verify import verify_kernel
from mlir_lite.tile.interpreter import run_program
from mlir_lite.tile.nodes import (
    Kernel,
)
from mlir_lite.tile.parser import parse_kernel
from mlir_lite.types import Array

from ..compiled import Compiled, all_orders, card, planned
from ..shim import needs_shim


def one() -> Target:
    return card(multiprocessors=1)


@ml.function(bf16[70, 136], bf16[136, 72], f32[72])
def linear(x: Value, w: Value, b: Value) -> Value:
    return ml.relu(ml.cast(x @ w, dtype=f32) + b)


@ml.function(f16[2, 70, 72], f16[2, 72, 136])
def batched(x: Value, y: Value) -> Value:
    return x @ y


@ml.function(bf16[200, 136], bf16[200, 264])
def left_turned(x: Value, w: Value) -> Value:
    return ml.transpose(x, perm=(1, 0)) @ w


@ml.function(bf16[3, 45, 72], bf16[72, 264])
def shared_weights(x: Value, w: Value) -> Value:
    return x @ w


CASES = (linear, batched, left_turned, shared_weights)
each_case = pytest.mark.parametrize("fn", CASES, ids=lambda fn: fn.name)


def arrays_for(fn: Function) -> list[Array]:
    random = np.random.default_rng(0)
    return [
        random.standard_normal(param.type.static_shape).astype(param.dtype.numpy)
        for param in fn.params
    ]


def check(found: tuple[Array, ...], fn: Function, arrays: list[Array]) -> None:
    exact = run_reference(fn, [array.astype(np.float64) for array in arrays])
    for result, wanted in zip(found, exact, strict=True):
        # Products are rounded once to the narrow type and sums with them once more, by 2**-9 or
        # 2**-12 of what they are, which is 60 at most.
        step = 2.0**-8 if fn.params[0].dtype == bf16 else 2.0**-11
        error = np.abs(result.astype(np.float64) - wanted)
        assert error.max() <= 2 * step * max(1.0, np.abs(wanted).max())


def kernel_of(fn: Function) -> Kernel:
    """The one kernel of a function, which is by warpgroups."""
    (kernel,) = planned(fn, one())[0].kernels
    assert "call @wgmma" in str(kernel)
    return kernel


@each_case
def test_schedules_compute_the_reference(fn: Function) -> None:
    program, constants = planned(fn, one())
    verify_kernel(kernel_of(fn))
    assert parse_kernel(str(kernel_of(fn))) == kernel_of(fn)
    arrays = arrays_for(fn)
    check(run_program(program, arrays, constants), fn, arrays)


@needs_shim
@each_case
def test_source_computes_the_reference(fn: Function, tmp_path: Path) -> None:
    arrays = arrays_for(fn)
    check(all_orders(Compiled.of(fn, tmp_path, target=one()), arrays), fn, arrays)


@ml.function(bf16[8, 1000, 1024], bf16[8, 1024, 1008])
def large_batch(x: Value, w: Value) -> Value:
    return x @ w


@ml.function(bf16[2048, 4096], bf16[4096, 512])
def large_in_parts(x: Value, w: Value) -> Value:
    return x @ w


@pytest.mark.parametrize("fn", [large_batch, large_in_parts], ids=lambda fn: fn.name)
def test_kernels_of_any_size_are_proved_free_of_races(fn: Function) -> None:
    first, *_ = planned(fn, card())[0].kernels
    assert "call @wgmma" in str(first)
    verify_kernel(first)


@ml.function(bf16[700, 520], bf16[520, 392], bf16[392], bf16[700, 392])
def layer(x: Value, w: Value, b: Value, more: Value) -> Value:
    return ml.gelu(x @ w + b) + more


@ml.function(f16[2, 260, 1032], f16[2, 1032, 392])
def deep_batch(x: Value, w: Value) -> Value:
    return x @ w


@needs_shim
@pytest.mark.slow
@pytest.mark.parametrize("fn", [layer, deep_batch], ids=lambda fn: fn.name)
@pytest.mark.parametrize("multiprocessors", [1, 2, 5])
def test_blocks_share_out_larger_products(
    fn: Function, multiprocessors: int, tmp_path: Path
) -> None:
    arrays = arrays_for(fn)
    compiled = Compiled.of(fn, tmp_path, target=card(multiprocessors=multiprocessors))
    assert "wgmma" in str(compiled.source)
    check(all_orders(compiled, arrays), fn, arrays)
