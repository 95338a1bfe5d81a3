"""The cost model's choices for matrix products, on a machine of stated figures."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from math import prod

import pytest

from mlir_lite.passes.schedule.cost.depth import depth_block
from mlir_lite.passes.schedule.cost.memory import worth_prefetching_early
from mlir_lite.passes.schedule.cost.model import (
    choose_tile,
    panel_width,
    panels_first,
    row_chunks,
    worth_threads,
)
from mlir_lite.passes.schedule.cost.register_tiles import (
    ProductSizes,
    Tile,
    fits_registers,
)
from mlir_lite.target import Target
from mlir_lite.types import bf16, f32, i8, i32

from .scheduled import LANES, TARGETS

TARGET = Target("cpu:test")
POINTS = ProductSizes(16, 256, 256, f32, count=36)  # of Winograd's algorithm: 16 tiles each


def packed(sizes: ProductSizes) -> ProductSizes:
    return replace(sizes, panel=panel_width(sizes, TARGET))


def test_few_rows_are_cut_in_tiles_of_one_height() -> None:
    """With panels that wait in the nearest cache for the second tile."""
    for sizes in (POINTS, ProductSizes(16, 512, 512, f32, count=16)):
        assert str(choose_tile(packed(sizes), TARGET)) == "8x2"


def test_many_rows_have_wide_tiles() -> None:
    assert choose_tile(packed(ProductSizes(784, 128, 512, f32)), TARGET).vectors == 4


@pytest.mark.parametrize(("depth", "block"), [(3072, 3072), (4096, 512)])
def test_terms_are_summed_in_blocks_where_two_panels_leave_the_second_cache(
    depth: int, block: int
) -> None:
    sizes = packed(ProductSizes(128, depth, 768, f32))
    assert depth_block(sizes, choose_tile(sizes, TARGET), TARGET) == block


def test_terms_are_summed_in_blocks_where_rows_come_from_a_slow_cache_for_each_panel() -> None:
    """The rows and two panels leave a second cache of 2 MiB; those of half as many terms stay."""
    slow = replace(TARGET, l2_bytes=2 << 20, l3_bandwidth=26e9, peak_flops=170e9)
    for depth, block in ((3072, 768), (1536, 1536)):
        sizes = ProductSizes(128, depth, 768, f32, panel=48)
        assert depth_block(sizes, Tile(8, 3, 16), slow) == block


def test_few_panels_are_dealt_with_half_of_the_rows_each() -> None:
    """Five panels would be three for one thread and two for the other."""
    few, enough = packed(ProductSizes(49, 960, 320, f32)), packed(ProductSizes(49, 2048, 512, f32))
    assert row_chunks(few, choose_tile(few, TARGET), TARGET) == 2
    assert row_chunks(enough, choose_tile(enough, TARGET), TARGET) == 1


def test_no_narrow_panel_is_left_where_that_costs_nothing() -> None:
    assert panel_width(ProductSizes(196, 576, 96, f32), TARGET) == 48
    assert panel_width(ProductSizes(49, 960, 160, f32), TARGET) == 32


def test_short_sums_that_much_follows_have_small_tiles() -> None:
    """What follows a large tile's sums is in the way of the next tile's products."""
    sizes = ProductSizes(12544, 16, 96, f32, panel=48)
    assert str(choose_tile(sizes, TARGET)) == "8x3"
    assert str(choose_tile(replace(sizes, finish=3), TARGET)) == "4x3"


def test_packed_panels_go_first_where_every_product_has_its_own() -> None:
    tile = Tile(8, 2, 16)
    assert panels_first(packed(POINTS), tile, TARGET)
    wide = replace(POINTS, rows=49, depth=128, columns=128, panel=64)
    assert panels_first(wide, Tile(5, 4, 16), TARGET)  # two of each, but many to deal
    assert not panels_first(replace(packed(POINTS), count=1), tile, TARGET)
    assert not panels_first(replace(packed(POINTS), count=1, windows=36), tile, TARGET)
    assert not panels_first(POINTS, tile, TARGET)


def test_weights_that_others_drive_out_between_two_calls_are_asked_for() -> None:
    """They would stay in the second cache alone; a few rows do not hide how they arrive."""
    tile, large = Tile(8, 3, 16), ProductSizes(128, 256, 384, f32, panel=48)
    assert not large.far(TARGET) and panels_first(large, tile, TARGET)
    assert not panels_first(replace(large, panel=None), tile, TARGET)
    assert not panels_first(replace(large, rows=32), tile, TARGET)
    assert not panels_first(replace(large, depth=128), tile, TARGET)


def test_problems_that_may_be_answered_otherwise_have_other_names() -> None:
    problems = [
        POINTS,
        replace(POINTS, count=1),
        replace(POINTS, count=1, windows=36),
        replace(POINTS, panel=32),
        replace(POINTS, panel=64),
        replace(POINTS, finish=2),
    ]
    assert len(set(map(str, problems))) == len(problems)


def test_short_sums_of_dots_have_large_tiles() -> None:
    """Each takes as long to begin, whatever follows its sums."""
    sizes = ProductSizes(112, 42, 64, i32, windows=112, panel=64, narrow=i8, finish=8)
    assert str(choose_tile(sizes, TARGET)) == "6x4"
    assert str(choose_tile(replace(sizes, narrow=None), TARGET)) == "2x4"


def test_what_tiles_of_halves_leave_over_hides_how_long_their_dots_take() -> None:
    """Two rows of four vectors suffice for four cycles, not for the six of a dot of floats."""
    sizes = ProductSizes(8, 42, 64, i32, panel=64, narrow=i8, finish=8)
    assert str(choose_tile(sizes, TARGET)) == "6x4"
    assert str(choose_tile(replace(sizes, dtype=f32, narrow=bf16), TARGET)) == "5x4"


def test_panels_are_asked_for_early_where_memory_delivers_no_line_in_a_step() -> None:
    """But for those that would drive out the one in use."""
    slow = replace(TARGET, memory_bandwidth=15e9)
    assert worth_prefetching_early(12.0, 128 << 10, slow)
    assert not worth_prefetching_early(12.0, 128 << 10, TARGET)
    assert not worth_prefetching_early(12.0, slow.l2_bytes // 3, slow)


def test_operands_are_far_that_leave_the_second_cache_or_arrive_late() -> None:
    sizes = ProductSizes(196, 384, 256, f32)  # 384 KiB
    assert not sizes.far(TARGET)
    assert sizes.far(replace(TARGET, l2_bytes=512 << 10))
    assert sizes.far(replace(TARGET, l2_bytes=2 << 20, l3_bandwidth=26e9))


def test_rows_are_cut_for_the_caches() -> None:
    """Weights beside them in the second cache: many chunks, but not so many that the next panel has
    no time to arrive. From the last cache: two, if rows are many enough to hide that. From memory:
    none, each weight is read once."""
    target = Target("cpu:test", l2_bytes=1 << 20, l3_bytes=32 << 20)
    tile = Tile(6, 4, 16)

    def chunks(rows: int, depth: int, columns: int) -> int:
        return row_chunks(ProductSizes(rows, depth, columns, f32, panel=64), tile, target)

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
