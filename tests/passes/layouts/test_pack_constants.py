"""pack-constants: constant right-hand sides are packed in panels as wide as the register tile."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Function, Value, f32
from mlir_lite.ops.algorithms.panels import PanelConv, PanelMatmul
from mlir_lite.passes.layouts.layout import layout
from mlir_lite.passes.layouts.pack_constants import pack_constants
from mlir_lite.target import Target
from mlir_lite.types import Array

from ..expect import operations, same_results

TARGET = Target("cpu:test", vector_bytes=32, vector_registers=16)  # 8 lanes of f32


def random(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def packed(fn: Function) -> Function:
    got = pack_constants(fn, target=TARGET)
    same_results(fn, got)
    return got


def product(rows: int, columns: int) -> Function:
    return ml.function(f32[rows, 5])(lambda x: x @ random(5, columns))


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 13), (7, 16), (64, 24), (64, 100)])
def test_panels_are_whole_vectors_no_wider_than_needed(rows: int, columns: int) -> None:
    got = packed(product(rows, columns))
    assert operations(got) == ["pack_columns", "panel_matmul"]
    (matmul,) = (node.op for node in got.nodes if isinstance(node.op, PanelMatmul))
    width = matmul.panels.type.static_shape[-1]
    assert width % 8 == 0 and width < columns + 8 and matmul.columns == columns


def test_a_product_of_parameters_stays() -> None:
    fn = ml.function(f32[3, 5], f32[5, 4])(lambda x, w: x @ w)
    assert operations(packed(fn)) == ["matmul"]


def test_an_empty_product_stays() -> None:
    assert operations(packed(product(0, 4))) == ["matmul"]
    no_terms = ml.function(f32[3, 0])(lambda x: x @ random(0, 4))
    assert operations(packed(no_terms)) == ["matmul"]


@pytest.mark.parametrize("padding", [0, 1])
def test_a_convolution_reads_packed_filters_and_a_padded_input(padding: int) -> None:
    fn = ml.function(f32[1, 9, 6, 6])(lambda x: ml.conv(x, random(20, 9, 3, 3), padding=padding))
    got = packed(layout(fn, target=TARGET))
    pads = ["pad"] if padding else []
    names = ["transpose", *pads, "pack_filters", "panel_conv", "transpose"]
    assert operations(got) == names
    (conv,) = (node.op for node in got.nodes if isinstance(node.op, PanelConv))
    assert conv.channels == 20 and conv.layout == "nhwc"


@pytest.mark.parametrize("padding", [0, 1])
def test_a_convolution_reads_a_few_channels_as_they_lie(padding: int) -> None:
    fn = ml.function(f32[2, 8, 6, 7])(lambda x: ml.conv(x, random(20, 8, 3, 3), padding=padding))
    got = packed(layout(fn, target=TARGET))
    pads = ["pad"] if padding else []
    assert operations(got) == [*pads, "pack_filters", "panel_conv", "transpose"]
    (conv,) = (node.op for node in got.nodes if isinstance(node.op, PanelConv))
    assert conv.layout == "nchw"


@pytest.mark.parametrize(
    ("inner", "channels", "width", "pads"),
    [(16, 3, 1, 0), (16, 1, 1, 1), (20, 3, 8, 1), (16, 20, None, 1), (4, 3, 8, 1)],
)
def test_filters_of_few_channels_lie_along_their_terms(
    inner: int, channels: int, width: int | None, pads: int
) -> None:
    """Where these fill vectors. They leave padding out by themselves, if they read a parameter,
    which lies anywhere, more seldom than they multiply."""
    weight = random(channels, inner, 3, 3)
    fn = ml.function(f32[1, 6, 12, inner])(
        lambda x: ml.conv(x, weight, padding=1, layout="nhwc")
    )
    got = packed(fn)
    (conv,) = (node.op for node in got.nodes if isinstance(node.op, PanelConv))
    assert width in (None, conv.panels.type.static_shape[-1])
    assert operations(got).count("pad") == pads


def test_few_columns_of_many_rows_lie_along_their_terms() -> None:
    got = packed(ml.function(f32[64, 64])(lambda x: x @ random(64, 3)))
    (matmul,) = (node.op for node in got.nodes if isinstance(node.op, PanelMatmul))
    assert matmul.panels.type.static_shape == (3, 64, 1)


@pytest.mark.parametrize(("l2_bytes", "gathered"), [(1 << 20, False), (1 << 12, True)])
def test_pixels_apart_are_copied_together_where_rows_are_short_and_weights_far(
    l2_bytes: int, gathered: bool
) -> None:
    """In rows of three pixels."""

    @ml.function(f32[2, 5, 6, 64])
    def f(x: Value) -> Value:
        return ml.conv(x, random(96, 64, 1, 1), strides=(2, 2), layout="nhwc")

    got = pack_constants(f, target=replace(TARGET, l2_bytes=l2_bytes))
    same_results(f, got)
    copied = ["slice", "barrier"]
    assert [name for name in operations(got) if name in copied] == (copied if gathered else [])
    assert ("panel_matmul" if gathered else "panel_conv") in operations(got)


def test_a_depthwise_convolution_has_its_taps_in_order() -> None:
    @ml.function(f32[1, 6, 6, 4])
    def f(x: Value) -> Value:
        return ml.conv(x, random(4, 1, 3, 3), groups=4, padding=1, layout="nhwc")

    assert "depthwise_conv" in operations(packed(f))


def test_a_grouped_convolution_stays() -> None:
    fn = ml.function(f32[1, 4, 6, 6])(lambda x: ml.conv(x, random(6, 2, 3, 3), groups=2))
    assert operations(packed(layout(fn, target=TARGET))) == ["transpose", "conv", "transpose"]


def test_one_constant_is_packed_once() -> None:
    w = random(5, 12)
    shared = ml.function(f32[3, 5], f32[5, 12])(lambda x, w: ml.relu(x @ w).sum() + (x @ w).sum())
    assert operations(packed(shared.bind({"w": w}))).count("pack_columns") == 1


def test_a_batch_of_products_has_panels_for_each() -> None:
    got = packed(ml.function(f32[3, 4, 5])(lambda x: x @ random(3, 5, 12)))
    assert operations(got) == ["pack_columns", "panel_matmul"]


def test_a_batch_that_repeats_over_another_stays() -> None:
    """The leading axis of the left operand is not that of the right one, though as long."""
    assert operations(packed(ml.function(f32[3, 3, 4, 5])(lambda x: x @ random(3, 5, 12)))) == [
        "matmul"
    ]


def test_a_large_matrix_is_packed_for_one_row_too() -> None:
    small = Target("cpu:test", vector_bytes=32, vector_registers=16, l3_bytes=64)
    weight = random(5, 13)
    for rows in (1, 2):
        got = pack_constants(ml.function(f32[rows, 5])(lambda x: x @ weight), target=small)
        assert operations(got) == ["pack_columns", "panel_matmul"]
