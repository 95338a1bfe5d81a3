"""Recipes: whatever the sizes and the target, a scheduled kernel does what the naive one does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from math import prod

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Function, Value, f32, i64
from mlir_lite.ops.algorithms.panels import panel_conv, panel_matmul
from mlir_lite.passes.decompose import decompose
from mlir_lite.passes.lowering.handmade import region_kernel
from mlir_lite.passes.schedule.cost import model as cost
from mlir_lite.passes.schedule.cost.model import choose_tile, panel_width, worth_threads
from mlir_lite.passes.schedule.cost.register_tiles import ProductSizes, Tile, fits_registers
from mlir_lite.passes.schedule.ordered import ordered_axes
from mlir_lite.target import Target
from mlir_lite.tile.nodes import Call, Kernel, Kind, Loop
from mlir_lite.tile.traverse import walk
from mlir_lite.tile.tree import extent_of, loops_of

from .scheduled import LANES, TARGETS, around, check


def kinds(kernel: Kernel) -> set[Kind]:
    return {stmt.kind for stmt in walk(kernel.body) if isinstance(stmt, Loop)}


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
def test_elementwise_of_every_length(lanes: int) -> None:
    for n in around(lanes):
        check(ml.function(f32[n], f32[n])(lambda x, y: ml.exp(x) * y), lanes)
        check(ml.function(f32[3, n], f32[n])(lambda x, b: ml.relu(x + b)), lanes)
        check(ml.function(f32[3, n])(lambda x: x.T + 1), lanes)


@LANES
def test_blocks_of_rows(lanes: int) -> None:
    for shape in ((1, 12, 9), (1, 2, 6, 4 * lanes + 1), (8, 1, 20)):
        check(decompose(ml.function(f32[shape])(lambda x: ml.softmax(x, -1))), lanes)


@LANES
def test_transposes_of_every_edge(lanes: int) -> None:
    """Alone, beside an operand that lies along the result, and with a batch around."""
    for m, n in product(around(lanes), repeat=2):
        check(ml.function(f32[m, n])(lambda x: x.T * 2), lanes)
        check(ml.function(f32[m, n], f32[n, m])(lambda x, y: x.T * y + x.T), lanes)
        check(ml.function(f32[2, m, 3, n])(lambda x: ml.transpose(x, (0, 3, 2, 1))), lanes)


@LANES
@pytest.mark.parametrize("axes", [(0,), (1,), (0, 1)], ids=str)
def test_reductions_of_every_length(lanes: int, axes: tuple[int, ...]) -> None:
    for n in (*around(lanes), 9 * lanes + 1):
        for m in (1, 5):
            check(ml.function(f32[m, n])(lambda x: ml.sum(x, axes)), lanes)
            check(ml.function(f32[m, n])(lambda x: ml.max(x, axes)), lanes)


@LANES
def test_positions_of_the_largest(lanes: int) -> None:
    for n in around(lanes):
        check(ml.function(f32[3, n])(lambda x: ml.argmax(x, 1)), lanes)
        check(ml.function(f32[n, 3])(lambda x: ml.argmax(x, 0)), lanes)


@LANES
def test_rows_of_every_length(lanes: int) -> None:
    for n in around(lanes):
        check(decompose(ml.function(f32[3, n])(lambda x: ml.softmax(x, 1))), lanes)
        check(decompose(ml.function(f32[3, n], f32[n])(ml.layer_norm)), lanes)


@LANES
def test_long_rows_are_written_while_the_next_are_computed(lanes: int) -> None:
    for n in (256, 301):
        kernel = check(decompose(ml.function(f32[64, n])(lambda x: ml.softmax(x, 1))), lanes)
        assert "mod 2" in str(kernel)


@LANES
def test_operands_both_ways_round(lanes: int) -> None:
    n = 2 * lanes + 3

    @ml.function(f32[n, lanes], f32[lanes, n], f32[n])
    def both_ways(x: Value, y: Value, b: Value) -> Value:
        return ml.transpose(x, (1, 0)) * y + b

    kernel = check(both_ways, lanes)
    assert {local.shape for local in kernel.locals} == {(lanes, lanes)}


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


def test_rows_are_cut_for_the_caches() -> None:
    """Weights beside them in the second cache: many chunks, but not so many that the next panel has
    no time to arrive. From the last cache: two, if rows are many enough to hide that. From memory:
    none, each weight is read once."""
    target = Target("cpu:test", l2_bytes=1 << 20, l3_bytes=32 << 20)
    tile = Tile(6, 4, 16)

    def chunks(rows: int, depth: int, columns: int) -> int:
        return cost.row_chunks(ProductSizes(rows, depth, columns, f32, panel=64), tile, target)

    assert chunks(3136, 64, 256) == 8
    assert [chunks(rows, 256, 384) for rows in (192, 96, 48)] == [8, 4, 2]
    assert chunks(128, 384, 1536) == 2
    assert chunks(64, 384, 1536) == 1
    assert chunks(128, 768, 3072) == 1
    assert chunks(24, 64, 64) == 4
    assert chunks(5, 64, 64) == 1


def test_among_equal_tiles_a_large_one_that_divides_the_sizes() -> None:
    target = Target("cpu:test")
    assert choose_tile(ProductSizes(128, 64, 384, f32), target) == Tile(8, 3, 16)


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


@LANES
@pytest.mark.parametrize("padding", [0, 1])
def test_windows_of_every_edge(lanes: int, padding: int) -> None:
    for size, channels in product((3, 4, 6), (1, 3, lanes + 1)):

        @ml.function(f32[1, size, size, channels], f32[2, channels, 3, 3])
        def conv(x: Value, w: Value) -> Value:
            return ml.conv(x, w, padding=padding, layout="nhwc")

        check(conv, lanes)
        pooled = ml.function(f32[1, size, size, channels])(
            lambda x: ml.max_pool(x, (3, 3), padding=padding, strides=1, layout="nhwc")
        )
        check(pooled, lanes)


@LANES
def test_an_output_read_again_in_another_order(lanes: int) -> None:
    """The second nest reads columns of what the first writes in rows."""
    for n in (2, 5, lanes + 1):

        @ml.function(f32[n, n])
        def f(x: Value) -> tuple[Value, Value]:
            y = ml.exp(x)
            return y, y.sum(0)

        check(f, lanes)


def scatter(extent: int, axis: int, reduction: str) -> Function:
    shape = (3, extent)

    @ml.function(f32[shape], i64[shape], f32[shape])
    def f(x: Value, indices: Value, updates: Value) -> Value:
        return ml.scatter_elements(x, indices, updates, axis, reduction)

    return f


ORDERED: dict[str, Callable[[int], Function]] = {
    "running sum along rows": lambda n: ml.function(f32[3, n])(lambda x: ml.cumsum(x, 1)),
    "running sum along columns": lambda n: ml.function(f32[n, 37])(lambda x: ml.cumsum(x, 0)),
    "running sum of a vector": lambda n: ml.function(f32[n])(lambda x: ml.cumsum(x, 0)),
    "scatter along rows": lambda n: scatter(n, 1, "none"),
    "scatter along columns": lambda n: scatter(n, 0, "none"),
    "scattered sums along rows": lambda n: scatter(n, 1, "add"),
    "scattered sums along columns": lambda n: scatter(n, 0, "add"),
}


@LANES
@pytest.mark.parametrize("name", ORDERED)
def test_iterations_that_follow_one_another_stay_in_order(name: str, lanes: int) -> None:
    for n in (2, lanes + 1, 40):
        fn = ORDERED[name](n)
        check(fn, lanes)
        assert ordered_axes(region_kernel(fn, "kernel"))


@pytest.mark.parametrize("name", ORDERED)
def test_they_stay_in_order_on_several_threads(name: str) -> None:
    """The outermost independent loop is dealt to threads, if there is one; the verifier looks for
    races."""
    kernel = check(ORDERED[name](40), 16, replace(TARGETS[16], parallel_cycles=0))
    assert (Kind.PARALLEL in kinds(kernel)) == (name != "running sum of a vector")


def test_large_kernels_are_dealt_to_threads() -> None:
    for fn in (
        ml.function(f32[400, 400])(lambda x: ml.exp(x)),
        ml.function(f32[400, 1000])(lambda x: ml.sum(x, (1,))),
        ml.function(f32[200, 64], f32[64, 200])(lambda a, b: a @ b),
        decompose(ml.function(f32[400, 300])(lambda x: ml.softmax(x, 1))),
    ):
        assert Kind.PARALLEL in kinds(check(fn, 16))


def test_small_kernels_are_not() -> None:
    assert Kind.PARALLEL not in kinds(check(ml.function(f32[9, 9])(lambda x: ml.exp(x)), 16))


@LANES
def test_a_sum_of_everything_is_dealt_to_threads_in_pieces(lanes: int) -> None:
    for shape in ((700, 700), (709, 701)):
        kernel = check(ml.function(f32[shape])(lambda x: ml.max(x)), lanes)
        assert Kind.PARALLEL in kinds(kernel)
        assert any(local.name == "partial" and local.shape == (64,) for local in kernel.locals)


@LANES
def test_the_register_tile_fits(lanes: int) -> None:
    target = TARGETS[lanes]
    for m, n in product((1, 2, 5, 31, 64, 1000), (1, 7, 16, 17, 100, 1000)):
        tile = choose_tile(ProductSizes(m, 64, n, f32), target)
        assert tile.rows <= m and tile.lanes == lanes
        assert tile.rows == 1 or fits_registers(tile.rows, tile.vectors, target)
        assert prod((tile.vectors - 1, lanes)) < n  # no vector that holds no column


def test_deep_panels_are_narrower() -> None:
    """So that two of them stay in the second cache; a single row reads each only once."""
    target = Target("cpu:test", l2_bytes=1 << 20)
    assert panel_width(ProductSizes(64, 1024, 256, f32), target) == 64
    assert panel_width(ProductSizes(64, 4096, 256, f32), target) == 32
    assert panel_width(ProductSizes(1, 4096, 256, f32), target) == 64


def test_rows_that_meet_in_a_set_of_the_cache_are_few() -> None:
    """Rows a multiple of a page apart; with a line more between them they lie in other sets."""
    target = Target("cpu:test", l1_bytes=48 << 10)
    for depth in (1024, 3072):
        sizes = ProductSizes(128, depth, 32, f32, panel=32)
        assert choose_tile(sizes, target).rows <= 8
        assert choose_tile(replace(sizes, depth=depth + 16), target).rows > 8


def test_threads_are_worth_waking_for_a_matter_of_microseconds() -> None:
    assert worth_threads(1e5, TARGETS[16]) and not worth_threads(1e3, TARGETS[16])


@LANES
def test_parts_of_a_joined_row_have_loops_of_their_own(lanes: int) -> None:
    """Each is computed for its part only, not for all of the row to choose from."""
    @ml.function(f32[8, 160], f32[8, 160])
    def parts(x: Value, y: Value) -> tuple[Value, Value]:
        scaled = x * y
        return ml.tanh(scaled), ml.concat([scaled * 2.0, scaled * scaled, y], -1)

    assert "select" not in str(check(parts, lanes))


@pytest.mark.parametrize("rows, depth, blocks", [(131, 258, 2), (131, 257, 0), (20, 258, 0)])
def test_products_of_many_terms_are_summed_in_blocks(rows: int, depth: int, blocks: int) -> None:
    """A prime number of terms is one block, as are all where few rows meet a panel."""
    small = replace(TARGETS[16], l2_bytes=32 << 10)

    @ml.function(f32[rows, depth], f32[depth, 128], f32[rows, 128])
    def step(x: Value, y: Value, before: Value) -> Value:
        return before - ml.matmul(x, y)

    loops = loops_of(check(step, 16, small), "k.b")
    assert all(extent_of(loop) == blocks for loop in loops) and bool(loops) == bool(blocks)
