"""Sums of columns: blocks have pieces of the rows, and read neighbouring columns at once."""

from __future__ import annotations

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Function, Value, bf16, f32
from mlir_lite.ir import run_reference
from mlir_lite.tile.checks.verify import verify_kernel, verify_program
from mlir_lite.tile.interpreter import run_program
from mlir_lite.types import Array

from ..compiled import Compiled, all_orders, card, planned
from ..shim import needs_shim


@ml.function(f32[400, 300])
def means(x: Value) -> Value:
    return ml.mean(x, axis=0)


@ml.function(f32[130, 37], f32[130, 1])
def odd(x: Value, y: Value) -> Value:
    return ml.sum(x * y, axis=0)


@ml.function(bf16[200, 136])
def narrow(x: Value) -> Value:
    return ml.max(ml.cast(x, dtype=f32), axis=0)


@ml.function(f32[100, 44])
def places(x: Value) -> Value:
    return ml.argmax(x, axis=0)


@ml.function(f32[3, 70, 20])
def batched(x: Value) -> Value:
    return ml.sum(ml.exp(x), axis=1)


CASES = (means, odd, narrow, places, batched)
WIDE = {means: "load_f32x4", narrow: "load_bf16x4", places: "load_f32x2", batched: "load_f32x4"}
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
        # Sums of hundreds of terms about one.
        np.testing.assert_allclose(result, wanted, rtol=1e-5, atol=2e-5)


@each_case
def test_schedules_compute_the_reference(fn: Function) -> None:
    program, constants = planned(fn, card(threads=64, multiprocessors=4))
    assert f"call @{WIDE.get(fn, '')}" in str(program) or fn not in WIDE
    assert len(program.calls) == 2
    for kernel in program.kernels:
        verify_kernel(kernel)
    verify_program(program)
    arrays = arrays_for(fn)
    check(run_program(program, arrays, constants), fn, arrays)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Compiled]:
    folder = tmp_path_factory.mktemp("columns")
    return Compiled.together(CASES, folder, target=card(), watched=True)


@needs_shim
@each_case
def test_source_computes_the_reference(fn: Function, sources: dict[str, Compiled]) -> None:
    arrays, compiled = arrays_for(fn), sources[fn.name]
    check(all_orders(compiled, arrays), fn, arrays)
    counts = compiled.device.counts()
    assert counts.passes == counts.least_passes
    # Rows of odd lengths begin within a sector.
    assert counts.sectors <= counts.least_sectors * (1.6 if fn is odd else 1.1)
