"""Matrix products by tiles: any shape, order of axes, batch, epilogue, and convolutions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Function, Value, f32, f64
from mlir_lite.ir import run_reference
from mlir_lite.passes.schedule.gpu.tiling import TILES, Tile
from mlir_lite.tile.interpreter import run_program
from mlir_lite.tile.nodes import Kind, Loop, walk
from mlir_lite.tile.program import Program
from mlir_lite.tile.verify import verify_kernel
from mlir_lite.types import Array

from .compiled import Compiled, all_orders, card, planned
from .shim import needs_shim


@ml.function(f32[130, 37], f32[37, 70], f32[70])
def linear(x: Value, w: Value, b: Value) -> Value:
    return ml.relu(x @ w + b)


@ml.function(f32[2, 17, 17], f32[2, 18, 17])
def by_transpose(x: Value, y: Value) -> Value:
    return x @ ml.transpose(y, perm=(0, 2, 1))


@ml.function(f32[19, 17], f32[19, 16])
def of_transpose(x: Value, y: Value) -> Value:
    return ml.transpose(x, perm=(1, 0)) @ y


@ml.function(f32[1, 2, 5, 5], f32[18, 2, 3, 3], f32[18])
def conv(x: Value, w: Value, b: Value) -> Value:
    return ml.relu(ml.conv2d(x, w, b, padding=1))


@ml.function(f64[17, 16], f64[16, 16])
def double(x: Value, y: Value) -> Value:
    return x @ y


FUNCTIONS = (linear, by_transpose, of_transpose, conv, double)
each = pytest.mark.parametrize("fn", FUNCTIONS, ids=lambda fn: fn.name)


def arrays_for(fn: Function) -> list[Array]:
    random = np.random.default_rng(0)
    return [
        random.standard_normal(param.type.static_shape).astype(param.dtype.numpy)
        for param in fn.params
    ]


def check(fn: Function, arrays: list[Array], results: tuple[Array, ...]) -> None:
    """Against float64: each sum rounds as often as it has terms, 37 at most."""
    (exact,) = run_reference(fn, [array.astype(np.float64) for array in arrays])
    eps = float(np.finfo(results[0].dtype).eps)
    assert np.abs(results[0] - exact).max() <= 8 * eps * np.abs(exact).max()


def is_tiled(program: Program) -> bool:
    """Whether a kernel has sums of its own in an unrolled tile."""
    return any(
        "sums" in (local.name for local in kernel.locals)
        and any(isinstance(stmt, Loop) and stmt.kind is Kind.UNROLL for stmt in walk(kernel.body))
        for kernel in program.kernels
    )


@each
def test_tiles_compute_the_product(fn: Function) -> None:
    program, constants = planned(fn, card(threads=64))
    arrays = arrays_for(fn)
    assert is_tiled(program)
    for kernel in program.kernels:
        verify_kernel(kernel)
    if fn is not linear:  # many blocks of many threads, one by one: the text is run instead
        check(fn, arrays, run_program(program, arrays, constants))


@needs_shim
@each
def test_source_computes_the_product(fn: Function, tmp_path: Path) -> None:
    arrays = arrays_for(fn)
    check(fn, arrays, all_orders(Compiled.of(fn, tmp_path), arrays))


@needs_shim
@pytest.mark.parametrize(("multiprocessors", "tile"), list(zip((1, 4, 10, 99), TILES, strict=True)))
def test_every_tile_computes_the_product(
    multiprocessors: int, tile: Tile, tmp_path: Path
) -> None:
    arrays = arrays_for(linear)
    target = card(multiprocessors=multiprocessors)
    compiled = Compiled.of(linear, tmp_path, target=target)
    (kernel,) = compiled.source.kernels.values()
    assert kernel.block[0] == tile.threads
    check(linear, arrays, all_orders(compiled, arrays))


def test_small_products_have_no_tiles() -> None:
    @ml.function(f32[5, 40], f32[40, 40])
    def flat(x: Value, y: Value) -> Value:
        return x @ y

    assert not is_tiled(planned(flat, card())[0])
