"""Kernels that move more than they compute: transposes by tiles, several elements a thread."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Function, Value, bf16, f32, f64, i8
from mlir_lite.ir import run_reference
from mlir_lite.tile.checks.verify import verify_kernel
from mlir_lite.tile.interpreter import run_program
from mlir_lite.tile.nodes import Space
from mlir_lite.tile.program import Program
from mlir_lite.types import Array

from ..compiled import Compiled, all_orders, card, planned
from ..shim import needs_shim


@ml.function(f32[3, 33, 70], f32[3, 70, 33])
def turned(x: Value, y: Value) -> Value:
    return ml.transpose(x, perm=(0, 2, 1)) * 2.0 + y


@ml.function(f32[40, 3, 17])
def outermost_last(x: Value) -> Value:
    return ml.transpose(x, perm=(1, 2, 0))


@ml.function(f32[2, 40, 104])
def turned_words(x: Value) -> Value:
    return ml.transpose(x, perm=(0, 2, 1))


@ml.function(bf16[136, 48], f32[136])
def turned_halves(x: Value, y: Value) -> Value:
    return ml.cast(ml.transpose(x, perm=(1, 0)), f32) + y


@ml.function(bf16[3, 80, 80], bf16[3, 80, 80])
def turned_and_added(x: Value, y: Value) -> Value:
    return ml.transpose(x, perm=(0, 2, 1)) + y


@ml.function(f32[80, 40])
def turned_and_narrowed(x: Value) -> Value:
    return ml.cast(ml.transpose(x, perm=(1, 0)), bf16)


@ml.function(i8[160, 64])
def turned_bytes(x: Value) -> Value:
    return ml.transpose(x, perm=(1, 0))


@ml.function(f64[36, 36])
def turned_doubles(x: Value) -> Value:
    return ml.transpose(x, perm=(1, 0))


@ml.function(f32[96, 103], f32[103])
def broadcast(x: Value, y: Value) -> Value:
    return x * y


@ml.function(f32[20011])
def long_sum(x: Value) -> Value:
    return ml.mean(ml.exp(x))


@ml.function(f32[20011])
def long_argmax(x: Value) -> Value:
    return ml.argmax(x, axis=0)


LONG = (long_sum, long_argmax)
TURNED = (turned, outermost_last)
TURNED_WIDE = (
    turned_words, turned_halves, turned_and_added, turned_and_narrowed, turned_bytes, turned_doubles
)  # fmt: skip
WIDE = (broadcast,)


def arrays_for(fn: Function) -> list[Array]:
    random = np.random.default_rng(0)
    return [
        (random.standard_normal(param.type.static_shape) * 9).astype(param.dtype.numpy)
        for param in fn.params
    ]


def locals_in(program: Program, space: Space) -> list[str]:
    return [
        local.name
        for kernel in program.kernels
        for local in kernel.locals
        if local.space is space
    ]


@pytest.mark.parametrize("fn", TURNED + WIDE, ids=lambda fn: fn.name)
def test_schedules_compute_the_function(fn: Function) -> None:
    program, constants = planned(fn, card(multiprocessors=1, threads=64))
    expected = (Space.SHARED, "tile") if fn in TURNED else (Space.REGISTER, "values")
    assert expected[1] in locals_in(program, expected[0])
    for kernel in program.kernels:
        verify_kernel(kernel)
    arrays = arrays_for(fn)
    (found,) = run_program(program, arrays, constants)
    (exact,) = run_reference(fn, arrays)
    np.testing.assert_allclose(found, exact, rtol=1e-6)


@pytest.mark.parametrize("fn", TURNED_WIDE, ids=lambda fn: fn.name)
def test_wide_transposes_compute_the_function(fn: Function) -> None:
    program, constants = planned(fn, card(threads=64))
    (kernel,) = program.kernels
    verify_kernel(kernel)
    size = fn.params[0].dtype.bytes
    assert f"call @load_{fn.params[0].dtype}x{16 // size}(given" in str(kernel)
    arrays = arrays_for(fn)
    (found,), (exact,) = run_program(program, arrays, constants), run_reference(fn, arrays)
    assert found.tobytes() == exact.tobytes()


@needs_shim
def test_source_of_wide_transposes_meets_every_bank_once(tmp_path: Path) -> None:
    made = Compiled.together(TURNED_WIDE, tmp_path, target=card(), watched=True)
    for fn in TURNED_WIDE:
        arrays, compiled = arrays_for(fn), made[fn.name]
        (found,), (exact,) = all_orders(compiled, arrays), run_reference(fn, arrays)
        assert found.tobytes() == exact.tobytes()
        counts = compiled.device.counts()
        assert counts.passes == counts.least_passes, fn.name
        assert counts.sectors == counts.least_sectors, fn.name


@needs_shim
@pytest.mark.parametrize("fn", TURNED + WIDE, ids=lambda fn: fn.name)
def test_source_computes_the_function(fn: Function, tmp_path: Path) -> None:
    arrays = arrays_for(fn)
    compiled = Compiled.of(fn, tmp_path, target=card(multiprocessors=1))
    (found,) = all_orders(compiled, arrays)
    (exact,) = run_reference(fn, arrays)
    np.testing.assert_allclose(found, exact, rtol=1e-6)


@pytest.mark.parametrize("fn", LONG, ids=lambda fn: fn.name)
def test_long_sums_are_cut_in_pieces(fn: Function) -> None:
    program, constants = planned(fn, card(threads=64))
    assert [len(calls) for calls in (program.calls, program.kernels)] == [2, 2]
    for kernel in program.kernels:
        verify_kernel(kernel)
    arrays = arrays_for(fn)
    (found,) = run_program(program, arrays, constants)
    np.testing.assert_allclose(found, run_reference(fn, arrays)[0], rtol=1e-5)


@needs_shim
@pytest.mark.parametrize("fn", LONG, ids=lambda fn: fn.name)
def test_source_of_long_sums_computes_them(fn: Function, tmp_path: Path) -> None:
    arrays = arrays_for(fn)
    (found,) = all_orders(Compiled.of(fn, tmp_path), arrays)
    (exact,) = run_reference(fn, [array.astype(np.float64) for array in arrays])
    np.testing.assert_allclose(found, exact, rtol=1e-6)


def test_few_elements_are_one_a_thread() -> None:
    assert "values" not in locals_in(planned(broadcast, card())[0], Space.REGISTER)
