"""Products of narrow numbers in matrix registers: the same numbers, in the instructions' tiles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Function, bf16, f32, i8, u8
from mlir_lite.backends.llvm.backend import CpuBackend, cpu_target
from mlir_lite.ir import run_reference
from mlir_lite.ops.algorithms.dots import dot_conv, dot_matmul
from mlir_lite.passes.lowering.lower import lower
from mlir_lite.passes.memory.plan_memory import plan_memory
from mlir_lite.passes.schedule.cost.matrix_tiles import (
    MatrixSizes,
    matrix_cycles,
    matrix_tile,
    padded_depth,
    step_depth,
)
from mlir_lite.passes.schedule.cost.register_tiles import ProductSizes
from mlir_lite.target import named_target
from mlir_lite.tile.nodes import Kernel, Kind, Loop, Space
from mlir_lite.types import DType

from .test_dots import calls, close, conv, inputs, matmul, run, scheduled

KINDS = pytest.mark.parametrize(
    ("kind", "name"),
    [((u8, i8, 4), "tdpbusd"), ((bf16, bf16, 2), "tdpbf16ps")],
    ids=["u8", "bf16"],
)
Kinds = tuple[DType, DType, int]
_found = named_target("cpu:sapphirerapids")
assert _found is not None
TARGET = _found


def matrices(kernel: Kernel) -> dict[str, tuple[int, ...]]:
    return {local.name: local.shape for local in kernel.locals if local.space is Space.MATRIX}


@KINDS
@pytest.mark.parametrize(
    "sizes",
    [
        (2, 2, 5, 16),
        (7, 4, 48, 16),
        (13, 6, 130, 64),
        (17, 32, 40, 32),
        (33, 13, 100, 32),
        (64, 9, 100, 32),
        (49, 48, 64, 16),
    ],
    ids=str,
)
def test_products_of_every_edge(sizes: tuple[int, int, int, int], kind: Kinds, name: str) -> None:
    kernel = scheduled(matmul(*sizes, kind), TARGET)
    assert calls(kernel)[name] and not any("vpdp" in called for called in calls(kernel))


@KINDS
def test_rows_left_over_are_computed_again_and_stored_once(kind: Kinds, name: str) -> None:
    """50 rows are two blocks of 26, the second of which begins with two rows of the first."""
    kernel = scheduled(matmul(50, 16, 32, 32, kind), TARGET)
    assert matrices(kernel)["acc"] == (2, 2, 13, 16)
    assert "let i0.first = min(i0.o * 26, 24)" in str(kernel)
    assert "in i0.o * 26 - i0.first..26" in str(kernel)


@KINDS
@pytest.mark.parametrize(("size", "blocks", "out"), [(6, 2, 32), (7, 16, 70), (40, 4, 9)])
def test_convolutions(size: int, blocks: int, out: int, kind: Kinds, name: str) -> None:
    assert calls(scheduled(conv(size, blocks, out, kind), TARGET))[name]


@KINDS
def test_registers_go_along_windows_where_rows_are_few(kind: Kinds, name: str) -> None:
    """Seven rows of seven: each panel meets several of them before it makes room for the next."""
    left, right, depth = kind
    fn = ml.function(left[1, 9, 9, 16 * depth], right[2, 3, 3, 16, 32, depth])(
        lambda x, w: dot_conv(x, w, 64, (1, 1), (1, 1))
    )
    kernel = scheduled(fn, TARGET)
    assert calls(kernel)[name]
    assert matrices(kernel)["acc"] == (2, 2, 7, 16) and "let i1.first = min(" in str(kernel)


@KINDS
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_convolutions_of_rows_as_they_lie(stride: int, kind: Kinds, name: str) -> None:
    left, right, depth = kind
    filters = right[2, 3, 3, 2, 32, depth]
    fn = ml.function(left[1, 3, 7, 21], filters)(
        lambda x, w: dot_conv(x, w, 40, (1, stride), (1, 1), "nchw")
    )
    kernel = scheduled(fn, TARGET)
    assert calls(kernel)[name] and any("tile_runs" in called for called in calls(kernel))


@KINDS
def test_what_follows_is_done_where_sums_are_stored(kind: Kinds, name: str) -> None:
    left, right, depth = kind
    fn = ml.function(left[20, 6 * depth], right[2, 6, 32, depth], f32[40])(
        lambda x, w, scale: ml.relu(dot_matmul(x, w, 40).astype(f32) * scale)
    )
    kernel = scheduled(fn, TARGET)
    assert calls(kernel)[name] and len(kernel.outputs) == 1


def outermost(kernel: Kernel) -> Loop:
    (loop,) = kernel.body
    assert isinstance(loop, Loop) and loop.kind is Kind.PARALLEL
    return loop


def test_rows_are_outermost_where_all_panels_stay_in_the_second_cache() -> None:
    kernel = scheduled(matmul(128, 200, 512, 32, (bf16, bf16, 2)), TARGET)
    assert outermost(kernel).axis == "i0.o.f" and not calls(kernel)["prefetch_bf16"]


def test_panels_of_others_are_outermost_and_ask_for_the_next() -> None:
    small = replace(TARGET, l2_bytes=256 << 10)
    kernel = scheduled(matmul(128, 200, 512, 32, (bf16, bf16, 2)), small)
    assert outermost(kernel).axis == "i1.o.f" and calls(kernel)["prefetch_bf16"]


def test_both_products_of_attention_share_the_registers() -> None:
    fn = ml.function(f32[3, 64, 64], f32[3, 64, 64], f32[3, 64, 64])(ml.attention)
    text = ml.compile(fn, target="cpu:sapphirerapids", precision="bf16").stages["tile"]
    assert text.count("call @tdpbf16ps(acc[") == 2 and "vpdpbf16ps" not in text
    assert text.count(": matrix ") == 3


def test_one_row_is_no_matrix() -> None:
    assert not calls(scheduled(matmul(1, 8, 32, 32, (bf16, bf16, 2)), TARGET))["tdpbf16ps"]


def test_other_targets_have_none() -> None:
    plain = replace(TARGET, matrix_products=frozenset())
    kernel = scheduled(matmul(33, 16, 64, 32, (bf16, bf16, 2)), plain)
    assert calls(kernel)["vpdpbf16ps"] and not matrices(kernel)


@pytest.mark.parametrize(("terms", "depth", "padded"), [(16, 16, 16), (12, 12, 12), (37, 1, 39)])
def test_steps_divide_the_terms(terms: int, depth: int, padded: int) -> None:
    assert (step_depth(terms), padded_depth(terms)) == (depth, padded)
    assert padded % step_depth(padded) == 0 and step_depth(padded) * 4 >= min(padded, 16)


def test_the_best_tile_reads_least_for_what_it_multiplies() -> None:
    problem = ProductSizes(128, 384, 768, f32, narrow=bf16)
    best = matrix_tile(MatrixSizes(problem, 384), TARGET)
    assert (best.height, best.rows, best.columns, best.depth) == (16, 2, 2, 16)
    few = matrix_tile(MatrixSizes(replace(problem, rows=4), 384), TARGET)
    assert (few.height, few.rows) == (4, 1)


@pytest.mark.parametrize("rows", range(1, 70))
def test_tiles_cover_the_rows_and_no_more_than_there_are(rows: int) -> None:
    problem = ProductSizes(rows, 32, 64, f32, narrow=bf16)
    for tile in matrix_cycles(MatrixSizes(problem, 32), TARGET):
        height, _ = tile.shape
        assert height <= rows and tile.height <= 16
        assert tile.rows * tile.columns + tile.rows + 1 <= 8


@KINDS
@pytest.mark.parametrize("make", [matmul, conv], ids=["matmul", "conv"])
def test_machine_code(make: Callable[..., Function], kind: Kinds, name: str) -> None:
    target, machine = cpu_target("cpu", 2)
    if name not in target.matrix_products:
        pytest.skip(f"this machine has no {name}")
    sizes: tuple[tuple[int, ...], ...] = ((7, 3, 70), (9, 5, 100), (17, 16, 64))
    if make is matmul:
        sizes = ((7, 4, 48, 16), (13, 2, 130, 64), (64, 33, 256, 32), (33, 64, 100, 32))
    for size in sizes:
        fn = make(*size, kind)
        (want,) = run_reference(fn, inputs(fn))
        one, again = (run(fn, CpuBackend(target, machine)) for _ in range(2))
        close(one, want)
        np.testing.assert_array_equal(one, again)


@KINDS
def test_machines_without_registers_compute_in_memory(kind: Kinds, name: str) -> None:
    """A kernel that was scheduled for matrices runs anywhere, if slowly."""
    host, machine = cpu_target("cpu", 2)
    fn = matmul(33, 16, 70, 32, kind)
    lowered = lower(fn, replace(host, matrix_products=TARGET.matrix_products))
    executable = CpuBackend(replace(host, matrix_products=frozenset()), machine).compile(
        plan_memory(lowered), lowered.constants, threads=2
    )
    (want,) = run_reference(fn, inputs(fn))
    close(np.asarray(executable(*inputs(fn))), want)


@KINDS
def test_the_named_target_gets_the_instructions(kind: Kinds, name: str) -> None:
    target, machine = cpu_target("cpu:sapphirerapids", 1)
    lowered = lower(matmul(64, 32, 64, 32, kind), target)
    asm = CpuBackend(target, machine).stage_texts(plan_memory(lowered))["asm"]()
    words = [line.split()[0] for line in asm.splitlines() if line.strip()]
    assert words.count(name) == 4 and words.count("tileloadd") == 4
    assert words.count("ldtilecfg") == words.count("tilerelease") == 1
