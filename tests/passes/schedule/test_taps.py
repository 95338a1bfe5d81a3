"""The recipe for sums over all places of a window, one for each tap."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Function, Value, f32
from mlir_lite.ops.base.elements import emit
from mlir_lite.ops.windows.conv_gradient import ConvWeightGradient
from mlir_lite.passes.schedule.cost.taps import TapSizes, TapSums, tap_sums, taps_fit
from mlir_lite.target import Target

from .scheduled import LANES, TARGETS, check


def without_caches(lanes: int) -> Target:
    """A target whose caches hold nothing."""
    return replace(TARGETS[lanes], l1_bytes=1 << 10, l2_bytes=4 << 10, l3_bytes=8 << 10)


def gradient(
    batch: int,
    size: tuple[int, ...],
    channels: int,
    *,
    kernel: int = 3,
    step: int = 1,
    dilation: int = 1,
    padding: tuple[int, int] = (1, 1),
) -> Function:
    """Of the filters of a depthwise convolution of images of this `size`."""
    axes = len(size)
    reach = dilation * (kernel - 1) + 1
    places = tuple((extent + sum(padding) - reach) // step + 1 for extent in size)

    @ml.function(f32[batch, *size, channels], f32[batch, *places, channels])
    def made(x: Value, dy: Value) -> Value:
        every = (kernel,) * axes, (step,) * axes, (padding,) * axes, (dilation,) * axes
        return emit(ConvWeightGradient(x, dy, *every, channels, "nhwc"))

    return made


@LANES
@pytest.mark.parametrize("step", [1, 2, 3])
@pytest.mark.parametrize("size", [1, 2, 7, 9, 17])
@pytest.mark.parametrize("far", [False, True])
def test_images_of_all_sizes(lanes: int, step: int, size: int, *, far: bool) -> None:
    target = without_caches(lanes) if far else TARGETS[lanes]
    check(gradient(4, (size, size + 1), 2 * lanes + 3, step=step), lanes, target)


@LANES
@pytest.mark.parametrize("padding", [(0, 0), (0, 1), (2, 0), (2, 3)])
@pytest.mark.parametrize("dilation", [1, 2])
def test_all_edges(lanes: int, padding: tuple[int, int], dilation: int) -> None:
    check(gradient(4, (8, 9), lanes, padding=padding, dilation=dilation), lanes)


@pytest.mark.parametrize("batch", [1, 2, 3, 5, 8])
def test_batches(batch: int) -> None:
    text = str(check(gradient(batch, (8, 8), 48), 16, replace(TARGETS[16], parallel_cycles=1)))
    cut = "partial" in text
    assert cut == (batch in (5, 8))  # of one image or a few, channels are dealt to the threads
    assert f"parallel {'b.c' if cut else 'i0.o'}" in text


@LANES
@pytest.mark.parametrize("batch", [1, 4])
def test_many_channels(lanes: int, batch: int) -> None:
    target = replace(TARGETS[lanes], parallel_cycles=1)
    text = str(check(gradient(batch, (5, 6), 40 * lanes), lanes, target))
    assert "parallel i0.o in 0..8" in text and "partial" not in text


@pytest.mark.parametrize("size", [(9,), (4, 5, 6)])
def test_other_ranks(size: tuple[int, ...]) -> None:
    check(gradient(4, size, 16), 16)


@pytest.mark.parametrize("channels", [16, 640])
@pytest.mark.parametrize("padding", [(0, 0), (1, 1)])
def test_one_row_alone(channels: int, padding: tuple[int, int]) -> None:
    check(gradient(1, (40,), channels, padding=padding), 16)


@pytest.mark.parametrize("taps", [1, 2, 5])
def test_other_windows(taps: int) -> None:
    check(gradient(4, (9, 9), 16, kernel=taps), 16)


def test_what_an_optimiser_makes_of_the_sums_is_made_of_whole_ones() -> None:
    @ml.function(f32[4, 8, 8, 16], f32[4, 8, 8, 16], f32[16, 1, 3, 3])
    def step(x: Value, dy: Value, w: Value) -> Value:
        ones = (1, 1)
        return w - emit(ConvWeightGradient(x, dy, (3, 3), ones, (ones, ones), ones, 16, "nhwc"))

    check(step, 16)


def test_sums_of_all_taps_stay_in_registers_and_edges_are_loops_of_their_own() -> None:
    text = str(check(gradient(4, (28, 28), 32), 16))
    assert "acc: register f32[3, 3, 16]" in text
    assert re.findall(r"for (p.*) in (.*) {", text) == [
        ("p1.o$1", "1..3"),  # of the first row
        ("p0$1", "1..27"),
        ("p1.o", "1..3"),
        ("p1.o$2", "1..3"),
    ]
    assert not re.findall(r"if .*p[01](\.o)?[$ ]", text)


def test_rows_below_are_asked_for_where_images_come_from_memory() -> None:
    near, far = (
        str(check(gradient(4, (14, 14), 32, step=2), 16, target))
        for target in (TARGETS[16], without_caches(16))
    )
    assert "prefetch" not in near
    assert "prefetch_f32(x" in far and "prefetch_f32(dy" in far


TARGET = Target("cpu", vector_bytes=64, vector_registers=32, l2_bytes=1 << 20)


@pytest.mark.parametrize(
    ("moved", "block"), [(16 * 700 << 10, 1), (16 * 1800 << 10, 2)], ids=["images", "rows"]
)
def test_blocks_stay_in_the_second_cache(moved: int, block: int) -> None:
    sizes = TapSizes((3, 3), (16, 28, 28), 144, moved, True, f32)
    assert tap_sums(sizes, TARGET) == TapSums(144, 8, block, 7)


@pytest.mark.parametrize(
    ("channels", "each"), [(384, 384), (640, 80), (960, 80), (1280, 128), (964, 964)]
)
def test_many_channels_are_cut_in_pieces_instead_of_images(channels: int, each: int) -> None:
    sizes = TapSizes((3, 3), (16, 7, 7), channels, 1 << 20, True, f32)
    sums = tap_sums(sizes, TARGET)
    assert sums.channels == each
    assert sums.pieces == (8 if each == channels else 1)


def test_few_registers_take_fewer_places() -> None:
    narrow = replace(TARGET, vector_registers=16)
    sizes = TapSizes((3, 3), (16, 28, 28), 144, 1 << 20, True, f32)
    assert tap_sums(sizes, narrow).places == 4
    assert taps_fit(25, TARGET) and not taps_fit(25, narrow)


@pytest.mark.parametrize("channels", [144, 640])
def test_the_same_bits_on_any_number_of_threads(channels: int) -> None:
    fn = gradient(8, (14, 14), channels)
    random = np.random.default_rng(0)
    x, dy = (random.standard_normal(each.type.static_shape, np.float32) for each in fn.params)
    one, two = (ml.compile(fn, threads=threads)(x, dy) for threads in (1, 2))
    assert np.array_equal(one, two)
