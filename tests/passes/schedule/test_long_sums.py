"""The recipe for few results with long sums; small caches have these with small arrays."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

import mlir_lite as ml
from mlir_lite import Function, Value, f32
from mlir_lite.ops.base.elements import emit
from mlir_lite.ops.windows.conv_gradient import ConvWeightGradient
from mlir_lite.passes.lowering.handmade import region_kernel
from mlir_lite.passes.schedule import schedule
from mlir_lite.passes.schedule.analysis import nests_of
from mlir_lite.passes.schedule.cost.depth import SumBlocks, sum_blocks
from mlir_lite.passes.schedule.cost.register_tiles import ProductSizes, Tile
from mlir_lite.passes.schedule.products.long_sums import as_long_sums
from mlir_lite.passes.schedule.recipes import prepared
from mlir_lite.target import Target
from mlir_lite.tile.nodes import Kernel, Kind, Loop

from .scheduled import LANES, TARGETS, check


def with_small_caches(lanes: int) -> Target:
    return replace(TARGETS[lanes], l1_bytes=16 << 10, l2_bytes=24 << 10, parallel_cycles=1)


def is_cut(kernel: Kernel) -> bool:
    """Whether sums are cut in pieces for threads, and these in blocks that go around all tiles."""
    return "buffer partial" in str(kernel) and "buffer sums" in str(kernel)


def product(k: int, m: int, n: int) -> Function:
    return ml.function(f32[k, m], f32[k, n])(lambda x, y: x.T @ y)


@LANES
@pytest.mark.parametrize(("m", "n"), [(13, 5), (7, 32), (32, 7), (9, 1), (12, 17)])
def test_products_of_few_rows_and_columns(lanes: int, m: int, n: int) -> None:
    for k in (1536, 1539, 1541):  # the last has no equal pieces
        check(product(k, m, n), lanes, with_small_caches(lanes))


@LANES
def test_sums_are_cut_where_few_rows_would_read_a_panel_again(lanes: int) -> None:
    assert is_cut(check(product(3072, 32, 7), lanes, with_small_caches(lanes)))
    assert not is_cut(check(product(3072, 32, 7), lanes))


@pytest.mark.parametrize("channels", [1, 3, 8])
@pytest.mark.parametrize("step", [1, 2])
def test_gradients_of_weights(channels: int, step: int) -> None:
    size = 17 * step + 3 - step

    @ml.function(f32[8, size, size, channels], f32[8, 17, 17, 16])
    def gradient(x: Value, dy: Value) -> Value:
        none, ones = ((0, 0),) * 2, (1, 1)
        return emit(ConvWeightGradient(x, dy, (3, 3), (step, step), none, ones, 1, "nhwc"))

    assert is_cut(check(gradient, 16, with_small_caches(16)))


@pytest.mark.parametrize("inner", [48, 96])
@pytest.mark.parametrize(("size", "copied"), [(12, False), (6, True)])
@pytest.mark.parametrize("scaled", [False, True])
def test_sums_of_one_window_after_those_of_another(
    size: int, copied: bool, inner: int, scaled: bool
) -> None:
    """Which stay in the second cache where those of all windows would not. Results are made of them
    once all are there."""
    batch = 2 if size == 12 else 4
    images = f32[batch, size + 2, size + 2, inner], f32[batch, size, size, 32]

    @ml.function(*images)
    def gradient(x: Value, dy: Value) -> Value:
        none, ones = ((0, 0),) * 2, (1, 1)
        dw = emit(ConvWeightGradient(x, dy, (3, 3), ones, none, ones, 1, "nhwc"))
        return dw * 0.5 if scaled else dw

    target = replace(TARGETS[16], l1_bytes=2 << 10, l2_bytes=64 << 10, parallel_cycles=1)
    kernel = check(gradient, 16, target)
    text = str(kernel)
    assert re.search(r"sums: shared f32\[(48|96), (16|32)\]", text)
    assert ("panel" in text) == copied
    assert f"total: shared f32[9, {inner}, 32]" in text
    sums, finish = kernel.body
    assert isinstance(sums, Loop) and isinstance(finish, Loop)
    assert sums.kind is finish.kind is Kind.PARALLEL


@LANES
def test_gradients_of_wide_depthwise_weights(lanes: int) -> None:
    """Of more taps than there are registers for their sums (see `test_taps.py`)."""
    channels = 2 * lanes + 3

    @ml.function(f32[4, 18, 18, channels], f32[4, 12, 12, channels])
    def gradient(x: Value, dy: Value) -> Value:
        none, ones = ((0, 0),) * 2, (1, 1)
        return emit(ConvWeightGradient(x, dy, (7, 7), ones, none, ones, channels, "nhwc"))

    assert is_cut(check(gradient, lanes, TARGETS[lanes]))


@pytest.mark.parametrize(("inner", "outer"), [(6, 16), (1, 6), (3, 5), (6, 32)])
@pytest.mark.parametrize("size", [12, 13])
def test_windows_of_few_rows_have_a_tile_together(inner: int, outer: int, size: int) -> None:
    """Where its sums fit the registers."""
    @ml.function(f32[8, size + 4, size + 4, inner], f32[8, size, size, outer])
    def gradient(x: Value, dy: Value) -> Value:
        none, ones = ((0, 0),) * 2, (1, 1)
        return emit(ConvWeightGradient(x, dy, (5, 5), ones, none, ones, 1, "nhwc"))

    target = replace(with_small_caches(16), l2_bytes=64 << 10)
    text = str(check(gradient, 16, target))
    rows = max(inner, 5)  # of fewer channels, the windows of a row
    assert (f"acc: register f32[5, {rows}, 1, 16]" in text) == (outer <= 16), text


def test_convolutions_themselves_are_no_long_sums() -> None:
    """Whose windows are pixels, and whose sums are over taps."""
    for filters in (f32[3, 3, 16, 32], f32[3, 3, 1, 32]):
        inner = filters.static_shape[2]

        @ml.function(f32[1, 10, 10, inner], filters)
        def convolution(x: Value, w: Value) -> Value:
            return ml.conv(x, ml.transpose(w, (3, 2, 0, 1)), layout="nhwc")

        kernel = schedule(region_kernel(convolution, "kernel"), with_small_caches(16))
        assert not is_cut(kernel) and "sums" not in str(kernel)


def test_both_operands_of_the_next_block_are_asked_for() -> None:
    kernel = check(product(4096, 64, 16), 16, with_small_caches(16))
    asked = re.findall(r"prefetch_f32\((\w+)\[", str(kernel))
    assert set(asked) == {"x", "y"}


TARGET = Target("cpu", vector_bytes=64, vector_registers=32, l1_bytes=48 << 10, l2_bytes=1 << 20)


def test_the_narrower_operand_goes_to_the_right() -> None:
    """Rows of a panel that lie closer together meet fewer others in the nearest cache."""
    for m, n in ((64, 256), (256, 64)):
        kernel = schedule(region_kernel(product(50176, m, n), "kernel"), TARGET)
        assert "sums: shared f32[256, 64]" in str(kernel)


def blocks(rows: int, depth: int, columns: int) -> SumBlocks | None:
    sizes = ProductSizes(rows, depth, columns, f32)
    return sum_blocks(sizes, [depth], 4 * columns, Tile(6, 4, 16), TARGET, tall=False)


def test_sums_are_cut_where_their_panel_leaves_the_second_cache() -> None:
    assert blocks(256, 50176, 64) == SumBlocks(14, 128)
    assert blocks(256, 4096, 64) is None  # the panel stays
    assert blocks(6, 50176, 64) is None  # one tile of rows reads it once
    parts = blocks(1024, 50176, 256)
    assert parts is not None and parts.part == (1024, 64)  # all sums at once would not stay
    assert blocks(8192, 50176, 256) is None  # nor those of one panel


@pytest.mark.parametrize(
    ("channels", "part"), [(128, (64, 128)), (256, (128, 128)), (512, (128, 128))]
)
def test_pieces_of_windows_are_enough_for_all_threads(
    channels: int, part: tuple[int, int]
) -> None:
    """Nine would keep one of two threads waiting for a tenth of the time, three of eight for half
    of it."""
    sizes = ProductSizes(channels, 784, channels, f32, windows=9)
    cut = sum_blocks(sizes, [16, 7, 7], 4 * channels, Tile(6, 4, 16), TARGET, tall=True)
    assert cut is not None and cut.part == part


def test_blocks_stay_in_the_sets_of_the_nearest_cache() -> None:
    """Rows of a kilobyte are in a quarter of them."""
    cut = blocks(64, 50176, 256)
    assert cut is not None
    assert cut.terms * 1024 <= TARGET.l1_bytes


@pytest.mark.parametrize("depth", [50177, 99991])
def test_sums_that_have_no_equal_blocks_are_not_cut(depth: int) -> None:
    assert blocks(256, depth, 64) is None


@pytest.mark.parametrize("groups", [1, 16])
def test_sums_under_conditions_are_not_cut(groups: int) -> None:
    """As those of images that are not padded before."""
    @ml.function(f32[8, 12, 12, 16], f32[8, 12, 12, 16])
    def gradient(x: Value, dy: Value) -> Value:
        pads, ones = ((1, 1),) * 2, (1, 1)
        return emit(ConvWeightGradient(x, dy, (3, 3), ones, pads, ones, groups, "nhwc"))

    kernel = prepared(region_kernel(gradient, "kernel"))
    (nest,) = nests_of(kernel)
    assert as_long_sums(kernel, nest, with_small_caches(16)) is None
    check(gradient, 16, with_small_caches(16))
