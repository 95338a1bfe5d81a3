"""winograd: tiles at the end of an image, cut to the outputs that are in it."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from mlir_lite.driver import compile
from mlir_lite.interpreter import evaluate
from mlir_lite.ir import Builder, ConstantData, Function, parameter
from mlir_lite.ops.algorithms.winograd import WinogradFilter, WinogradInput, WinogradOutput
from mlir_lite.ops.algorithms.winograd_tiles import Tiles
from mlir_lite.ops.algorithms.winograd_transform import (
    LEFT_OUT,
    POINTS,
    TAPS,
    continuation,
    left_out,
    transform_of,
)
from mlir_lite.ops.base.constant import constant
from mlir_lite.ops.products.matmul import matmul
from mlir_lite.ops.table import TABLE
from mlir_lite.ops.windows.conv import Conv
from mlir_lite.ops.windows.windows import Padding
from mlir_lite.passes.algorithms.accuracy import winograd_error
from mlir_lite.passes.algorithms.winograd import in_stages, winograd
from mlir_lite.target import named_target
from mlir_lite.types import Array, DType, TensorType, f32, f64

from .test_winograd import ERRORS, SAME, conv_function, cpu, exact_convolution

FEWER = [(tile, outputs) for tile, by_outputs in LEFT_OUT.items() for outputs in by_outputs]


def cut_function(
    x: tuple[int, ...], weight: Array, tile: int, padding: Padding = SAME, dtype: DType = f32
) -> Function:
    """A channels-last convolution in stages, its last tiles cut."""
    builder = Builder(TABLE)
    given = parameter("x", TensorType(x, dtype))
    with builder.active():
        filters = constant(ConstantData.of(weight.astype(dtype.numpy), "w"))
        op = Conv(given, filters, (1, 1), padding, (1, 1), 1, "nhwc")
        result = in_stages(op, tile, matmul, cut=True)
    assert result is not None
    return builder.finish("layer", (given,), (result,))


def normal(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


# The points


@pytest.mark.parametrize(("tile", "outputs"), FEWER)
def test_pixels_beyond_make_the_points_left_out_vanish(tile: int, outputs: int) -> None:
    """Exactly, whatever the pixels are that the outputs need; and infinity is of no matter."""
    factors, found = continuation(tile, outputs), transform_of(tile)
    assert len(factors) == outputs + TAPS - 1 == tile + TAPS - 1 - len(left_out(tile, outputs))
    for place in range(len(factors)):
        pixels = [Fraction(place == other) for other in range(len(factors))]
        while len(pixels) < tile + TAPS - 1:
            last = pixels[-len(factors) :]
            terms = [f * pixel for f, pixel in zip(factors, last, strict=True)]
            pixels.append(sum(terms, start=Fraction(0)))
        for point in left_out(tile, outputs):
            row = found.input[point]
            assert point == len(POINTS[tile]) or not sum(map(lambda a, b: a * b, row, pixels))
    assert all(not row[-1] for row in found.output[:outputs])


@pytest.mark.parametrize("tile", POINTS)
def test_error_of_fewer_outputs_is_no_larger(tile: int) -> None:
    """So that what is measured for whole tiles holds for all."""
    inner = 64
    weight = normal(32, inner, 3, 3)
    whole = winograd_error(weight, tile)
    for outputs in LEFT_OUT[tile]:
        size = tile + outputs
        x = normal(8, size, size, inner, seed=1)
        actual = np.asarray(compile(cut_function(x.shape, weight, tile), threads=1)(x))
        exact = exact_convolution(x, weight, SAME)
        last = np.abs(actual - exact)[:, tile:, tile:]
        assert last.max() <= 1.2 * whole * np.abs(exact).max()


# The tiles


@pytest.mark.parametrize("tile", POINTS)
def test_each_point_has_its_tiles_in_one_stretch(tile: int) -> None:
    """Of all images of up to 9 by 9, counted one by one."""
    for sizes in product((0, 1, 2), range(1, 10), range(1, 10)):
        check_parts(tile, sizes)


def check_parts(tile: int, sizes: tuple[int, int, int]) -> None:
    """The tiles that need a point are those of its part."""
    tiles = Tiles(sizes, tile, cut=True)
    images, rows, columns = tiles.counts
    number = np.empty((images, rows, columns), int)
    start = 0
    for place in tiles.regions:
        region = number[:, *place]
        number[:, *place] = np.arange(start, start + region.size).reshape(region.shape)
        start += region.size
    wanted: dict[int, set[int]] = {}
    for image, row, column in np.ndindex(images, rows, columns):
        ends = ((row, rows, sizes[1]), (column, columns, sizes[2]))
        outs = [
            left_out(tile, size - at * tile) if at == count - 1 else () for at, count, size in ends
        ]
        for i, j in product(range(tile + TAPS - 1), repeat=2):
            if i not in outs[0] and j not in outs[1]:
                point = i * (tile + TAPS - 1) + j
                wanted.setdefault(point, set()).add(int(number[image, row, column]))
    found = {
        point: set(range(part.start, part.start + part.count))
        for part in tiles.parts
        for point in part.points
    }
    assert found == wanted


# What comes out


@pytest.mark.parametrize(("tile", "size"), list(product(POINTS, range(1, 21))))
def test_cut_tiles_of_every_size_are_exact(tile: int, size: int) -> None:
    """Heights of 1 to 20, the widths the other way round, in f64."""
    x, weight = normal(2, size, 21 - size, 3), normal(4, 3, 3, 3, seed=1)
    fn = cut_function(x.shape, weight, tile, dtype=f64)
    exact = exact_convolution(x, weight, SAME)
    actual = np.asarray(evaluate(fn, x.astype(np.float64)))
    assert np.abs(actual - exact).max() <= 1e-13 * np.abs(exact).max()


MACHINE = [
    (2, (1, 7, 7, 64), SAME),
    (2, (2, 6, 5, 17), SAME),
    (2, (1, 1, 4, 8), SAME),
    (4, (1, 14, 14, 64), SAME),
    (4, (2, 15, 13, 17), SAME),
    (4, (1, 12, 9, 8), SAME),
    (4, (1, 7, 2, 5), SAME),
    (4, (1, 9, 10, 16), ((0, 3), (4, 1))),
]


def check_machine_code(tile: int, x: tuple[int, ...], padding: Padding) -> None:
    array, weight = normal(*x), normal(24, x[-1], 3, 3, seed=1)
    run = compile(cut_function(x, weight, tile, padding), threads=2)
    exact = exact_convolution(array, weight, padding)
    error = np.abs(np.asarray(run(array)) - exact).max()
    assert error <= ERRORS[tile] * np.abs(exact).max()


@pytest.mark.parametrize(("tile", "x", "padding"), MACHINE, ids=str)
def test_machine_code_of_cut_tiles(tile: int, x: tuple[int, ...], padding: Padding) -> None:
    check_machine_code(tile, x, padding)


@pytest.mark.slow
@pytest.mark.parametrize(("tile", "size"), list(product(POINTS, range(1, 21))))
def test_machine_code_of_every_size(tile: int, size: int) -> None:
    check_machine_code(tile, (1, size, 21 - size, 16), SAME)


@pytest.mark.parametrize("size", [7, 14])
def test_transforms_of_cut_tiles_are_dealt_to_threads(size: int) -> None:
    """Though a condition decides where a tile's points are."""
    fn = cut_function((1, size, size, 512), normal(512, 512, 3, 3), 2 if size == 7 else 4)
    text = compile(fn, threads=2).stages["tile"]
    assert text.count("parallel row in") == 2


# The choice


@pytest.mark.parametrize(
    ("size", "channels", "cut"), [(7, 512, True), (14, 256, True), (28, 128, False)]
)
def test_tiles_are_cut_where_that_is_fewer_products(
    size: int, channels: int, cut: bool
) -> None:
    fn, _ = conv_function((1, size, size, channels), channels)
    ops = [node.op for node in winograd(fn, target=cpu()).nodes]
    assert [op.cut for op in ops if isinstance(op, WinogradInput | WinogradOutput)] == [cut] * 2
    assert sum(isinstance(op, WinogradFilter) for op in ops) == (4 if cut else 1)


def test_tiles_on_cards_are_whole() -> None:
    target = named_target("cuda:sm_90")
    assert target is not None
    fn, _ = conv_function((1, 14, 14, 64), 64)
    ops = [node.op for node in winograd(fn, target=target, choice=4).nodes]
    assert [op.cut for op in ops if isinstance(op, WinogradInput | WinogradOutput)] == [False] * 2
