"""Products in register tiles: how what their epilogues read is asked for, and which right operands
are copied together."""

from __future__ import annotations

import pytest

import mlir_lite as ml
from mlir_lite import f32
from mlir_lite.passes.lowering.handmade import region_kernel
from mlir_lite.passes.schedule import schedule
from mlir_lite.passes.schedule.cost.model import choose_tile, worth_packing
from mlir_lite.passes.schedule.cost.register_tiles import ProductSizes
from mlir_lite.target import Target
from mlir_lite.tile.nodes import Call, Kernel, Loop
from mlir_lite.tile.traverse import walk
from mlir_lite.tile.tree import base, extent_of


def added_to(depth: int) -> Kernel:
    """A product, in tiles of many vectors, that is added to as many elements."""
    fn = ml.function(f32[12, depth], f32[depth, 64], f32[12, 64])(lambda x, w, c: x @ w + c)
    return schedule(region_kernel(fn, "kernel"), Target("cpu:test"))


def sums(kernel: Kernel, axis: str) -> list[Loop]:
    loops = (stmt for stmt in walk(kernel.body) if isinstance(stmt, Loop))
    return [loop for loop in loops if base(loop.axis) == axis]


def test_each_element_is_asked_for_once() -> None:
    kernel = added_to(512)
    inner = sums(kernel, "k.i")
    assert inner and all(extent_of(loop) >= 16 for loop in inner)
    assert not any(isinstance(stmt, Call) for loop in inner for stmt in walk(loop.body))
    assert any(isinstance(stmt, Call) for loop in sums(kernel, "k") for stmt in loop.body)


@pytest.mark.parametrize("depth", [144, 768])
def test_sums_that_are_short_or_in_segments_are_not_cut_for_that(depth: int) -> None:
    kernel = added_to(depth)
    assert not sums(kernel, "k.i")
    assert any(isinstance(stmt, Call) for stmt in walk(kernel.body))


def test_rows_are_copied_that_lie_in_pages_of_their_own_and_leave_the_nearest_cache() -> None:
    """The filters of a 1×1 convolution meet images channels-first: 56² floats apart are no multiple
    of the period of the cache's sets."""
    apart, target = 56 * 56 * f32.bytes, Target("cpu:test")
    for depth, step, copied in ((256, apart, True), (64, apart, False), (256, 9 * 256, False)):
        sizes = ProductSizes(64, depth, 56 * 56, f32)
        assert worth_packing(sizes, step, choose_tile(sizes, target), target) is copied
