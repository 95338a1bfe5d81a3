"""Products in register tiles: what they compute, in which order, what they copy together, and how
what their epilogues read is asked for."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Value, f32
from mlir_lite.ops.algorithms.panels import panel_conv, panel_matmul
from mlir_lite.passes.lowering.handmade import region_kernel
from mlir_lite.passes.schedule import schedule
from mlir_lite.passes.schedule.cost.model import choose_tile, worth_packing
from mlir_lite.passes.schedule.cost.register_tiles import ProductSizes
from mlir_lite.target import Target
from mlir_lite.tile.nodes import Call, Kernel, Kind, Loop
from mlir_lite.tile.traverse import walk
from mlir_lite.tile.tree import base, extent_of, loops_of

from .scheduled import LANES, TARGETS, check


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


@LANES
def test_products_of_every_edge(lanes: int) -> None:
    """Sizes one, prime, and one beside a tile of the target, in each dimension."""
    for m, n, k in product((1, 2, 7), (1, 3, lanes, lanes + 1, 2 * lanes - 1), (1, 5)):
        check(ml.function(f32[m, k], f32[k, n])(lambda a, b: ml.relu(a @ b)), lanes)


def random_products() -> list[tuple[int, ...]]:
    random = np.random.default_rng(11)
    return [(int(random.integers(1, 4)), *map(int, random.integers(1, 40, 3))) for _ in range(12)]


@pytest.mark.parametrize("sizes", random_products(), ids=str)
def test_random_products(sizes: tuple[int, ...]) -> None:
    batch, m, n, k = sizes
    lanes = (4, 8, 16)[sum(sizes) % 3]
    fn = ml.function(f32[batch, m, k], f32[batch, k, n], f32[n])(lambda a, b, c: a @ b + c)
    check(fn, lanes)


@LANES
def test_a_panel_of_colliding_rows_is_copied(lanes: int) -> None:
    @ml.function(f32[200, 40], f32[40, 1024])
    def matmul(x: Value, y: Value) -> Value:
        return ml.matmul(x, y)

    kernel = check(matmul, lanes)
    assert any(local.name == "panel" for local in kernel.locals)
    assert "prefetch" in str(kernel)  # the first tile of rows copies what it meets


@LANES
def test_rows_that_fill_a_panel_are_not_copied(lanes: int) -> None:
    """They lie together as they are; and chunks of rows are dealt where one panel is all."""
    wide = min(4, 32 // lanes) * lanes
    fn = ml.function(f32[400, 256], f32[256, wide])(lambda x, y: x @ y)
    kernel = check(fn, lanes)
    assert not any(local.name == "panel" for local in kernel.locals)
    (count,) = pieces(kernel)
    assert count >= 8


def pieces(kernel: Kernel) -> list[int]:
    """How many iterations each outermost loop deals to threads; 1 for what is not dealt."""
    return [
        extent_of(stmt) if isinstance(stmt, Loop) and stmt.kind is Kind.PARALLEL else 1
        for stmt in kernel.body
    ]


@pytest.mark.parametrize("m", [49, 100, 131])
@pytest.mark.parametrize("columns", [160, 200, 1000])
def test_all_of_a_product_is_dealt_in_pieces_enough(m: int, columns: int) -> None:
    """Also what is left over of rows and columns: threads have nothing to wait for."""
    eager = replace(TARGETS[16], parallel_cycles=100)
    panels = f32[-(-columns // 32), 24, 32]
    fn = ml.function(f32[m, 24], panels)(lambda x, w: panel_matmul(x, w, columns))
    (count,) = pieces(check(fn, 16, eager))
    assert count >= 8


@LANES
@pytest.mark.parametrize("rows", [2, 7, 16])
def test_panels_larger_than_the_caches_are_outermost(lanes: int, rows: int) -> None:
    """They are read once, and the next one is asked for meanwhile."""
    small = replace(TARGETS[lanes], l2_bytes=8192, l3_bytes=65536)
    panels = f32[24, 24, 2 * lanes]
    columns = 24 * 2 * lanes - 1
    fn = ml.function(f32[rows, 24], panels)(lambda x, w: panel_matmul(x, w, columns))
    kernel = check(fn, lanes, small)
    (first, *_) = kernel.body
    assert isinstance(first, Loop) and first.axis == "i1.o"
    requests = [stmt for stmt in walk(first.body) if isinstance(stmt, Call)]
    assert requests and {call.callee for call in requests} == {"prefetch_f32"}
    tiles = [loop for loop in walk(first.body) if getattr(loop, "kind", None) is Kind.UNROLL]
    assert not any(isinstance(stmt, Call) for tile in tiles for stmt in walk((tile,)))


@LANES
def test_filters_larger_than_the_caches_are_outermost(lanes: int) -> None:
    small = replace(TARGETS[lanes], l2_bytes=4096)
    filters = f32[6, 3, 3, 5, 2 * lanes]

    @ml.function(f32[1, 7, 9, 5], filters)
    def conv(x: Value, w: Value) -> Value:
        return panel_conv(x, w, 12 * lanes, (1, 2), (1, 1))

    (first,) = check(conv, lanes, small).body
    assert isinstance(first, Loop) and first.axis == "i3.o"


@pytest.mark.parametrize("rows, depth, blocks", [(131, 258, 2), (131, 257, 0), (20, 258, 0)])
def test_products_of_many_terms_are_summed_in_blocks(rows: int, depth: int, blocks: int) -> None:
    """A prime number of terms is one block, as are all where few rows meet a panel."""
    small = replace(TARGETS[16], l2_bytes=32 << 10)

    @ml.function(f32[rows, depth], f32[depth, 128], f32[rows, 128])
    def step(x: Value, y: Value, before: Value) -> Value:
        return before - ml.matmul(x, y)

    loops = loops_of(check(step, 16, small), "k.b")
    assert all(extent_of(loop) == blocks for loop in loops) and bool(loops) == bool(blocks)


@pytest.mark.parametrize("rows", [9, 13, 30])
@pytest.mark.parametrize("columns", [1024, 1024 + 39, 2048])
def test_few_rows_meet_a_scattered_matrix_in_copies_of_long_runs(rows: int, columns: int) -> None:
    fn = ml.function(f32[rows, 192], f32[192, columns], f32[columns])(lambda x, w, c: x @ w + c)
    far = replace(TARGETS[16], l3_bytes=1 << 17)
    assert "panel" not in str(check(fn, 16))
    copied = str(check(fn, 16, far))
    assert "panel" in copied and "sums" in copied
    # A whole row of a piece goes to its panels before the next row does.
    assert copied.index("for k.p in 0..96 ") < copied.index(".o.p in 0..")
