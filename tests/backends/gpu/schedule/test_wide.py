"""Elementwise kernels read and write sixteen bytes at once where that is proven to be right."""

from __future__ import annotations

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Function, Value, bf16, f16, f32, i64
from mlir_lite.ir import run_reference
from mlir_lite.tile.checks.verify import verify_kernel, verify_program
from mlir_lite.tile.interpreter import run_program
from mlir_lite.types import Array

from ..compiled import Compiled, all_orders, card, planned
from ..shim import needs_shim


@ml.function(f32[97, 103])
def tail(x: Value) -> Value:
    return ml.exp(x) + 1.0


@ml.function(f32[128, 136], f32[128, 136])
def in_turns(x: Value, y: Value) -> Value:
    return x + y


@ml.function(f32[16387])
def tail_in_turns(x: Value) -> Value:
    return ml.relu(x)


@ml.function(f32[96, 104], f32[104], f32[96, 1])
def rows_and_columns(x: Value, y: Value, z: Value) -> Value:
    return x * y + z


@ml.function(bf16[50, 72], bf16[72])
def narrow(x: Value, y: Value) -> Value:
    return ml.tanh(x) * y


@ml.function(f32[33, 40])
def narrowed(x: Value) -> Value:
    return ml.cast(x, dtype=f16)


@ml.function(f32[9, 48])
def flags(x: Value) -> Value:
    return x > 0.0


@ml.function(f32[10, 64], i64[6])
def picked_rows(x: Value, at: Value) -> Value:
    return ml.gather(x, at, axis=0)


@ml.function(f32[30, 20], f32[30, 20], f32[30, 20])
def step(p: Value, m: Value, g: Value) -> tuple[Value, Value]:
    new = m * 0.9 + g
    return p - new * 0.1, new


@ml.function(f32[96, 103], f32[103])
def odd_rows(x: Value, y: Value) -> Value:
    return x * y


@ml.function(f32[8, 64])
def shifted(x: Value) -> Value:
    return x[:, 1:61] * 2.0


# Each with the accesses that its kernel has.
RUNS: tuple[tuple[Function, tuple[str, ...]], ...] = (
    (tail, ("load_f32x4", "store_f32x4")),
    (in_turns, ("load_f32x4", "store_f32x4")),
    (tail_in_turns, ("load_f32x4", "store_f32x4")),
    (rows_and_columns, ("load_f32x4", "store_f32x4")),
    (narrow, ("load_bf16x8", "store_bf16x8")),
    (narrowed, ("load_f32x4", "store_f16x4")),
    (flags, ("load_f32x4", "store_boolx4")),
    (picked_rows, ("load_f32x4", "store_f32x4")),
    (step, ("load_f32x4", "store_f32x4")),
)
ALONE = (odd_rows, shifted)
CASES = (*(fn for fn, _ in RUNS), *ALONE)
each_case = pytest.mark.parametrize("fn", CASES, ids=lambda fn: fn.name)


def arrays_for(fn: Function) -> list[Array]:
    random = np.random.default_rng(0)
    return [
        random.integers(-10, 10, param.type.static_shape)
        if param.dtype.is_integer
        else random.standard_normal(param.type.static_shape).astype(param.dtype.numpy)
        for param in fn.params
    ]


def check(found: tuple[Array, ...], fn: Function, arrays: list[Array]) -> None:
    for result, exact in zip(found, run_reference(fn, arrays), strict=True):
        # One rounding may be in another place: bf16 has eight bits.
        step = 2.0**-7 if result.dtype.itemsize == 2 else 1e-6
        found_, exact_ = result.astype(np.float64), exact.astype(np.float64)
        np.testing.assert_allclose(found_, exact_, rtol=step)


@pytest.mark.parametrize(("fn", "names"), RUNS, ids=lambda case: getattr(case, "name", ""))
def test_runs_are_read_and_written_at_once(fn: Function, names: tuple[str, ...]) -> None:
    text = str(planned(fn, card(multiprocessors=1))[0])
    for name in names:
        assert f"call @{name}(" in text
    assert ("unroll turn" in text) == ("turns" in fn.name)


@pytest.mark.parametrize("fn", ALONE, ids=lambda fn: fn.name)
def test_elements_whose_places_are_not_aligned_go_one_by_one(fn: Function) -> None:
    text = str(planned(fn, card(multiprocessors=1))[0])
    assert "call @load" not in text
    assert "call @store" not in text


@each_case
def test_schedules_compute_the_reference(fn: Function) -> None:
    program, constants = planned(fn, card(multiprocessors=1, threads=64))
    for kernel in program.kernels:
        verify_kernel(kernel)
    verify_program(program)
    arrays = arrays_for(fn)
    check(run_program(program, arrays, constants), fn, arrays)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Compiled]:
    folder = tmp_path_factory.mktemp("wide")
    return Compiled.together(CASES, folder, target=card(multiprocessors=1), watched=True)


@needs_shim
@each_case
def test_source_computes_the_reference_in_whole_sectors(
    fn: Function, sources: dict[str, Compiled]
) -> None:
    arrays, compiled = arrays_for(fn), sources[fn.name]
    check(all_orders(compiled, arrays), fn, arrays)
    counts = compiled.device.counts()
    # Where rows are odd, runs of a warp begin within a sector.
    assert counts.sectors <= counts.least_sectors * (1.6 if fn in ALONE else 1.01)
