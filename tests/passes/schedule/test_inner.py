"""The recipe for products both operands of which lie along what is summed."""

from __future__ import annotations

import re

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Function, Value, f32
from mlir_lite.ops.algorithms.panels import panel_conv
from mlir_lite.ops.base.elements import emit
from mlir_lite.ops.windows.conv_gradient import ConvWeightGradient
from mlir_lite.passes.lowering.handmade import region_kernel
from mlir_lite.passes.schedule.analysis import nests_of
from mlir_lite.passes.schedule.cost.inner import FEW, inner_tile
from mlir_lite.passes.schedule.cost.register_tiles import ProductSizes
from mlir_lite.passes.schedule.products.inner import as_inner
from mlir_lite.target import Target
from mlir_lite.tile.nodes import Accumulate, If, Kind, Loop
from mlir_lite.tile.traverse import walk

from .scheduled import LANES, around, check, kinds


def product(m: int, n: int, k: int) -> Function:
    return ml.function(f32[m, k], f32[n, k])(lambda x, y: x @ y.T)


@LANES
@pytest.mark.parametrize(("m", "n"), [(1, 1), (2, 3), (7, 13), (12, 5)])
def test_sums_of_every_length(lanes: int, m: int, n: int) -> None:
    for k in around(lanes):
        check(product(m, n, k), lanes)


@LANES
@pytest.mark.parametrize("padding", [0, 1])
def test_gradients_of_weights_with_the_batch_last(lanes: int, padding: int) -> None:
    pads, size = ((padding, padding),) * 2, 4 + 2 * padding

    @ml.function(f32[2, 6, 6, lanes + 1], f32[5, size, size, lanes + 1])
    def gradient(x: Value, dy: Value) -> Value:
        return emit(ConvWeightGradient(x, dy, (3, 3), (1, 1), pads, (1, 1), 1, "chwn"))

    check(gradient, lanes)


WINDOWS = {
    "3x3": ((3, 3), (1, 1), ((1, 1), (1, 1))),
    "wide": ((5, 7), (1, 1), ((2, 2), (3, 3))),
    "uneven": ((2, 4), (1, 1), ((1, 0), (1, 2))),
    "steps": ((3, 3), (2, 2), ((1, 1), (1, 1))),
    "low": ((3, 3), (1, 1), ((2, 0), (2, 0))),
    "one row": ((1, 3), (1, 1), ((0, 0), (1, 1))),
    "one column": ((3, 1), (1, 1), ((1, 1), (0, 0))),
    "no padding": ((3, 3), (1, 1), ((0, 0), (0, 0))),
}


@LANES
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("name", WINDOWS)
def test_convolutions_to_few_channels(lanes: int, channels: int, name: str) -> None:
    """They leave the padding out, and test nothing while they sum."""
    taps, strides, padding = WINDOWS[name]

    def of(inner: int) -> Function:
        return ml.function(f32[2, 5, 19, inner], f32[channels, *taps, inner, 1])(
            lambda x, w: panel_conv(x, w, channels, strides, (1, 1), padding=padding)
        )

    kernel = check(of(3 * lanes), lanes)
    assert not any(isinstance(stmt, If) for stmt in walk(kernel.body))
    assert Kind.VECTOR in kinds(kernel) and Kind.UNROLL in kinds(kernel)
    check(of(3 * lanes + 1), lanes)


@LANES
def test_padding_wider_than_a_tile_is_left_out_anyhow(lanes: int) -> None:
    """Where no tile sees all of it, as of five columns."""

    @ml.function(f32[1, 3, 9, lanes], f32[5, 1, 17, lanes, 1])
    def convolution(x: Value, filters: Value) -> Value:
        return panel_conv(x, filters, 5, (1, 1), (1, 1), padding=((0, 0), (8, 8)))

    check(convolution, lanes)


@pytest.mark.parametrize(("taps", "meets"), [(1, False), (3, True)])
def test_a_single_column_meets_windows(taps: int, meets: bool) -> None:
    """A matrix by one vector is read row by row: not a row for each sum of a tile, which come from
    all over the memory."""

    @ml.function(f32[1, 1, 40, 64], f32[1, 1, taps, 64, 1])
    def convolution(x: Value, filters: Value) -> Value:
        return panel_conv(x, filters, 1, (1, 1), (1, 1))

    kernel = region_kernel(convolution, "kernel")
    (nest,) = nests_of(kernel)
    assert (as_inner(kernel, nest) is not None) == meets
    check(convolution, 16)


def test_a_vector_meets_several_others() -> None:
    """A tile of sums is written out around each vector of the sum's axis."""
    kernel = check(product(6, 4, 64), 16)
    sums = [
        stmt
        for loop in walk(kernel.body)
        if isinstance(loop, Loop) and loop.kind is Kind.SERIAL
        for stmt in walk(loop.body)
        if isinstance(stmt, Loop) and stmt.kind is Kind.UNROLL
        and any(isinstance(part, Accumulate) for part in walk(stmt.body))
    ]
    assert sums


def test_tiles_of_sums_fit_the_registers() -> None:
    target = Target("cpu", vector_bytes=64, vector_registers=32)
    for m in range(1, 20):
        for n in range(1, 20):
            tile = inner_tile(ProductSizes(m, 64, n, f32), target)
            assert tile.rows * tile.vectors + tile.vectors + 1 <= 32
            assert tile.rows <= m and tile.vectors <= n


@pytest.mark.parametrize("rows", range(2, FEW + 1))
def test_a_large_matrix_is_read_once_or_twice_for_a_few_rows(rows: int) -> None:
    target = Target("cpu", vector_bytes=64, vector_registers=32)
    tile = inner_tile(ProductSizes(rows, 4096, 4096, f32), target)
    assert -(-rows // tile.rows) == (1 if rows <= 8 else 2)
    turned = inner_tile(ProductSizes(4096, 4096, rows, f32), target)
    assert -(-rows // turned.vectors) == (1 if rows <= 8 else 2)


@pytest.mark.parametrize("side", ["rows", "columns"])
def test_what_a_few_rows_meet_is_asked_for_ahead_and_read_as_it_lies(side: str) -> None:
    m, n = (4, 1031) if side == "rows" else (1031, 4)

    @ml.function(f32[m, 520], f32[n, 520], f32[n])
    def layer(x: Value, w: Value, b: Value) -> Value:
        return ml.relu(x @ w.T + b)

    run = ml.compile(layer, threads=1)
    random = np.random.default_rng(0)
    x, w, b = (random.standard_normal(shape, "f4") for shape in ((m, 520), (n, 520), (n,)))
    expected = np.maximum(x.astype("f8") @ w.T.astype("f8") + b, 0)
    assert np.abs(np.asarray(run(x, w, b)) - expected).max() < 1e-5 * expected.max()
    text = run.stages["tile"]
    assert "call @transpose(" not in text
    asked = set(re.findall(r"prefetch_soon_f32\((\w+)\[", text))
    assert len(asked) == 1


@pytest.mark.parametrize(("batch", "turned"), [((16, 7, 7), True), ((2, 5), False)])
def test_rows_are_counted_along_all_axes(batch: tuple[int, ...], turned: bool) -> None:
    fn = ml.function(f32[*batch, 128], f32[256, 128])(lambda x, w: x @ w.T)
    assert ("call @transpose(" in ml.compile(fn, threads=1).stages["tile"]) == turned
