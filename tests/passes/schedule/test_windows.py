"""Windows that slide over a result: tiles of results in registers, whatever the edges and steps."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import product
from math import prod

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Function, Value, f32
from mlir_lite.ops.algorithms.depthwise import depthwise_conv, depthwise_conv_transpose
from mlir_lite.ops.windows.windows import Padding
from mlir_lite.passes.lowering.handmade import region_kernel
from mlir_lite.passes.schedule.cost.windows import (
    WINDOW_SUMS,
    ConvShape,
    order_cycles,
    stepped_tile,
    steps_fit,
    transpose_cycles,
    window_tile,
)
from mlir_lite.target import Target
from mlir_lite.tile.nodes import If, Kernel, Kind, Loop
from mlir_lite.tile.traverse import walk
from mlir_lite.tile.tree import base

from .scheduled import LANES, TARGETS, check

EDGES: tuple[Padding, ...] = (
    ((0, 0), (0, 0)),
    ((1, 1), (1, 1)),
    ((0, 1), (2, 0)),
    ((3, 0), (0, 4)),
)


def depthwise(
    size: tuple[int, int],
    channels: int,
    strides: tuple[int, int] = (1, 1),
    padding: Padding = EDGES[1],
    dilations: tuple[int, int] = (1, 1),
) -> Function:
    """Channels-last, with an epilogue."""
    return ml.function(f32[2, *size, channels], f32[3, 3, channels], f32[channels])(
        lambda x, w, b: ml.relu(depthwise_conv(x, w, strides, padding, dilations) + b)
    )


def channels_first(size: tuple[int, int], padding: Padding) -> Function:
    return ml.function(f32[1, 3, *size], f32[3, 1, 3, 3])(
        lambda x, w: ml.conv(x, w, padding=padding, groups=3)
    )


@LANES
@pytest.mark.parametrize("padding", EDGES, ids=str)
def test_every_edge(lanes: int, padding: Padding) -> None:
    for size in ((3, 3), (4, 9), (7, 7), (9, 14)):
        check(depthwise(size, lanes, padding=padding), lanes)
    check(depthwise((5, 6), lanes + 3, padding=padding), lanes)


@LANES
def test_strides_and_dilations(lanes: int) -> None:
    for strides, dilations in product(((1, 2), (2, 2), (3, 1)), ((1, 1), (2, 1), (1, 3))):
        check(depthwise((11, 9), lanes, strides, ((2, 2), (3, 3)), dilations), lanes)


@LANES
def test_a_last_column_and_a_last_channel_alone(lanes: int) -> None:
    """Neither has a loop: what is one of both is a piece of its own in the loop over rows."""
    for width in (9, 17, 33):
        check(depthwise((9, width), lanes + 1, (2, 2)), lanes)


@LANES
@pytest.mark.parametrize("padding", EDGES, ids=str)
def test_vectors_along_the_rows_of_a_channel(lanes: int, padding: Padding) -> None:
    for size in ((3, lanes), (9, 2 * lanes + 1), (17, 3 * lanes - 1)):
        check(channels_first(size, padding), lanes)


@LANES
def test_one_axis_and_three(lanes: int) -> None:
    line = ml.function(f32[2, 19, lanes], f32[3, lanes])(
        lambda x, w: depthwise_conv(x, w, (1,), ((1, 1),), (1,))
    )
    check(line, lanes)
    ones = (1, 1, 1)
    block = ml.function(f32[1, 4, 5, 6, lanes], f32[2, 2, 2, lanes])(
        lambda x, w: depthwise_conv(x, w, ones, ((1, 0), (0, 1), (1, 1)), ones)
    )
    check(block, lanes)


@LANES
def test_pools(lanes: int) -> None:
    def pooled(x: Value) -> tuple[Value, Value]:
        most = ml.max_pool(x, (3, 3), padding=1, strides=2, layout="nhwc")
        return most, ml.average_pool(x, (2, 2), layout="nhwc")

    for size, place in product((5, 8), (0, 1)):
        check(ml.function(f32[1, size, size, lanes])(lambda x, k=place: pooled(x)[k]), lanes)


def conditions(kernel: Kernel) -> int:
    return sum(isinstance(stmt, If) for stmt in walk(kernel.body))


def test_a_tile_tests_each_row_once() -> None:
    """Of the four rows that two rows of results see, only the outermost two may be missing; the
    columns are tested in the tiles at the edges alone, when the code is made."""
    kernel = check(depthwise((16, 16), 16), 16)
    loops = [stmt for stmt in walk(kernel.body) if isinstance(stmt, Loop)]
    rows = [stmt for stmt in loops if base(stmt.axis) == "k0"]
    tiles = [stmt for stmt in loops if base(stmt.axis) == "i3.i" and stmt.kind is Kind.VECTOR]
    assert not rows and tiles
    inside = check(depthwise((16, 16), 16, padding=EDGES[0]), 16)
    assert conditions(inside) == 0


def test_large_windows_are_not_written_out() -> None:
    fn = ml.function(f32[1, 9, 9, 16], f32[7, 7, 16])(
        lambda x, w: depthwise_conv(x, w, (1, 1), ((3, 3), (3, 3)), (1, 1))
    )
    kernel = check(fn, 16)
    assert any(isinstance(stmt, Loop) and stmt.axis == "k0" for stmt in walk(kernel.body))


@LANES
@pytest.mark.parametrize("steps", [(2, 2), (1, 2), (2, 1), (3, 2), (4, 4)], ids=str)
@pytest.mark.parametrize("padding", [((0, 0), (0, 0)), ((1, 1), (1, 1)), ((2, 0), (0, 1))], ids=str)
def test_windows_that_move_by_parts_of_an_element(
    lanes: int, steps: tuple[int, int], padding: Padding
) -> None:
    for size in ((2, 3), (3, 9), (4, 8)):
        fn = ml.function(f32[2, *size, lanes + 3], f32[3, 3, lanes + 3])(
            lambda x, w: depthwise_conv_transpose(x, w, steps, padding, (0, steps[1] - 1))
        )
        kernel = check(fn, lanes)
        at_run_time = {
            base(stmt.axis)
            for stmt in walk(kernel.body)
            if isinstance(stmt, Loop) and stmt.kind in (Kind.SERIAL, Kind.PARALLEL)
        }
        remainders = re.findall(r"\(([^()]*)\) mod", str(kernel))
        used = {name for each in remainders for name in re.findall(r"[ik][\w.]*", each)}
        assert used.isdisjoint(at_run_time)


@pytest.mark.parametrize("registers", [16, 32])
@pytest.mark.parametrize("steps", [(2, 2), (1, 3), (4, 2), (2,), (4, 4)])
def test_a_tile_has_whole_steps(registers: int, steps: tuple[int, ...]) -> None:
    target = replace(TARGETS[16], vector_registers=registers)
    tile = stepped_tile(tuple(56 * step for step in steps), steps, target)
    assert all(size % step == 0 for size, step in zip(tile, steps, strict=True))
    assert prod(tile) <= max(registers // 2, prod(steps))
    assert steps_fit(steps, 9, target) == (prod(steps) <= registers // 2)


@pytest.mark.parametrize("extents", [(1,), (7,), (8,), (9,), (56,), (7, 7), (1, 13), (56, 56)])
def test_a_tile_fits_its_extents_and_hides_latency(extents: tuple[int, ...]) -> None:
    tile = window_tile(extents)
    assert all(1 <= size <= extent for size, extent in zip(tile, extents, strict=True))
    assert np.prod(tile) <= 2 * WINDOW_SUMS


def test_long_rows_are_as_good_as_many_channels() -> None:
    """Of 56 × 56 × 144 results, either order leaves few lanes idle; of 7 × 7 × 960, rows do."""
    wide = ConvShape(1, (56, 56), 1, 144, 9, f32)
    small = ConvShape(1, (7, 7), 1, 960, 9, f32)
    target = TARGETS[16]
    turned = 4 * 2 * 56 * 56 * 144

    def ratio(shape: ConvShape) -> float:
        first = order_cycles(shape, target, channels_first=True)
        return first / order_cycles(shape, target, channels_first=False)

    assert ratio(wide) < 1.2 and ratio(small) > 2
    assert transpose_cycles(turned, target) > 0.2 * order_cycles(
        wide, target, channels_first=True
    )


def test_images_that_come_from_memory_are_asked_for_and_results_go_past_the_caches() -> None:
    fn = depthwise((14, 14), 32, strides=(2, 2))
    near, far = (
        str(check(fn, 16, replace(TARGETS[16], l3_bytes=size))) for size in (1 << 20, 1 << 14)
    )
    assert "prefetch" not in near and "nontemporal" not in near
    assert "nontemporal result" in far and "prefetch_f32(w" not in far
    # The rows below the tile, but not the one that this tile and the next both see.
    (row,) = set(re.findall(r"prefetch_f32\(x\[i0, (.*?),", far)) - {
        "i1.o * 4 + 4", "i1.o * 4 + 5", "i1.o * 4 + 6"
    }
    assert row == "i1.o * 4 + 7"


def test_code_does_not_depend_on_the_number_of_threads() -> None:
    fn = depthwise((14, 14), 32)
    one, two = (
        check(fn, 16, Target("cpu:test", threads=threads)) for threads in (1, 2)
    )
    assert str(one) == str(two) and region_kernel(fn, "kernel") != one
