"""What has an order on cards: updates at places that are data, and running totals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Function, Value, f32, i32, i64
from mlir_lite.ir import run_reference
from mlir_lite.tile.checks.verify import verify_kernel
from mlir_lite.tile.interpreter import run_program
from mlir_lite.types import Array

from ..compiled import Compiled, all_orders, card, planned
from ..shim import needs_shim


@ml.function(f32[11, 5], i64[70], f32[70, 5])
def rows_added(x: Value, at: Value, u: Value) -> Value:
    """As the gradient of an embedding: many updates of few rows."""
    return ml.scatter_nd(x, ml.reshape(at, (70, 1)), u, reduction="add")


@ml.function(f32[37], i64[150], f32[150])
def histogram(x: Value, at: Value, u: Value) -> Value:
    return ml.scatter_nd(x, ml.reshape(at, (150, 1)), u, reduction="add")


@ml.function(f32[5, 4, 3], i64[9, 8, 2], f32[9, 8, 3])
def last_wins(x: Value, at: Value, u: Value) -> Value:
    """Tuples of indices; of updates of one place the last one stays."""
    return ml.scatter_nd(x, at, u)


@ml.function(f32[3, 20], i64[3, 66], f32[3, 66])
def along_rows(x: Value, at: Value, u: Value) -> Value:
    return ml.scatter_elements(x, at, u, axis=1, reduction="max")


@ml.function(f32[20, 3], i64[66, 3], f32[66, 3])
def along_columns(x: Value, at: Value, u: Value) -> Value:
    return ml.scatter_elements(x, at, u, axis=0, reduction="add")


SCATTERS = (rows_added, histogram, last_wins, along_rows, along_columns)


@ml.function(f32[2, 300], i32[70])
def totals(x: Value, n: Value) -> tuple[Value, ...]:
    return (
        ml.cumsum(x, 1),
        ml.cumsum(x, 1, exclusive=True),
        ml.cumsum(x, 1, reverse=True),
        ml.cumprod(x, 1, exclusive=True, reverse=True),
        ml.cumsum(ml.transpose(x, perm=(1, 0)) * 2.0, 0),
        ml.cumsum(n, 0),
    )


@ml.function(f32[2, 130])
def product_of_all(x: Value) -> Value:
    return ml.sum(ml.cumprod(x, 1))


@ml.function(f32[1100])
def long_totals(x: Value) -> Value:
    """More elements than the threads of a block have at once."""
    return ml.cumsum(x, 0)


RUNNING = (totals, ml.grad(product_of_all), long_totals)


def arrays_for(fn: Function) -> list[Array]:
    """Indices that many updates share, from both ends; numbers whose products stay near one."""
    random = np.random.default_rng(0)
    found: list[Array] = []
    for param in fn.params:
        shape = param.type.static_shape
        if param.dtype.is_integer:
            found.append(random.integers(-3, 3, shape).astype(param.dtype.numpy))
        else:
            numbers = 1 + 0.1 * random.standard_normal(shape)
            found.append(numbers.astype(np.float32))
    return found


def check(found: tuple[Array, ...], fn: Function, arrays: list[Array]) -> None:
    wide = [array.astype(np.float64) if array.dtype.kind == "f" else array for array in arrays]
    for result, exact in zip(found, run_reference(fn, wide), strict=True):
        # Sums and products of 300 numbers near one, in another order.
        np.testing.assert_allclose(result, exact, rtol=1e-5)


@pytest.mark.parametrize("fn", SCATTERS, ids=lambda fn: fn.name)
def test_blocks_own_places(fn: Function) -> None:
    program, constants = planned(fn, card(threads=32, multiprocessors=1))
    assert any("mine" in kernel.buffers for kernel in program.kernels)
    for kernel in program.kernels:
        verify_kernel(kernel)
    arrays = arrays_for(fn)
    check(run_program(program, arrays, constants), fn, arrays)


@pytest.mark.parametrize("fn", RUNNING, ids=lambda fn: fn.name)
def test_threads_join_running_totals(fn: Function) -> None:
    program, constants = planned(fn, card(threads=32))
    kept = [kernel for kernel in program.kernels if "carry" in kernel.buffers]
    assert len(kept) == {totals: 6, long_totals: 1}.get(fn, 2)
    for kernel in program.kernels:
        verify_kernel(kernel)
    arrays = arrays_for(fn)
    check(run_program(program, arrays, constants), fn, arrays)


@needs_shim
@pytest.mark.parametrize("fn", (*SCATTERS, *RUNNING), ids=lambda fn: fn.name)
def test_source_computes_them(fn: Function, tmp_path: Path) -> None:
    arrays = arrays_for(fn)
    compiled = Compiled.of(fn, tmp_path, target=card(threads=64, multiprocessors=1), watched=True)
    for order in ("ascending", "shuffled"):
        check(compiled(*arrays, order=order), fn, arrays)


@needs_shim
@pytest.mark.slow
def test_many_updates_and_long_rows(tmp_path: Path) -> None:
    @ml.function(f32[300, 70], i64[5000], f32[5000, 70], f32[100003])
    def long(x: Value, at: Value, u: Value, row: Value) -> tuple[Value, Value]:
        added = ml.scatter_nd(x, ml.reshape(at, (5000, 1)), u, reduction="add")
        return added, ml.cumsum(row * row, 0)

    arrays = arrays_for(long)
    check(all_orders(Compiled.of(long, tmp_path), arrays), long, arrays)
