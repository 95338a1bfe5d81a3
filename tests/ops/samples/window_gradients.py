"""Samples of the operations that gradients of convolutions and poolings are made of."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mlir_lite.ops.windows.conv_gradient import ConvWeightGradient
from mlir_lite.ops.windows.pool import MaxPool
from mlir_lite.ops.windows.window_sum import WindowSpread, WindowSum
from mlir_lite.ops.windows.window_taps import WindowTaps
from mlir_lite.ops.windows.windows import counts_of, windows_of
from mlir_lite.types import Array, DType, bf16, f16, f32, f64

from ..sample import Sample, normal, value_like
from .windows import CONVOLUTIONS, POOLINGS, Case, lying, smooth


def _weight_gradients() -> Iterator[Sample]:
    for case in CONVOLUTIONS:
        yield _weight_gradient(case, "nchw", f32)
    for case in CONVOLUTIONS[5:8]:
        yield _weight_gradient(case, "nhwc", f32)
    for case in CONVOLUTIONS:
        yield _weight_gradient(case, "chwn", f32)
    for dtype in (f64, f16, bf16):
        yield _weight_gradient(CONVOLUTIONS[6], "nchw", dtype)


def _weight_gradient(case: Case, layout: str, dtype: DType) -> Sample:
    kernel = case.weight[2:]
    windows = windows_of(case.x[2:], kernel, case.strides, case.padding, case.dilations)
    x = normal(case.x, dtype)
    dy = normal((case.x[0], case.weight[0], *counts_of(windows)), dtype, 1)
    steps = case.strides, case.padding, case.dilations, case.groups
    return Sample(
        f"{case.comment}, {layout}, {dtype}",
        lambda x, dy: ConvWeightGradient(x, dy, kernel, *steps, layout),
        (lying(x, layout), lying(dy, layout)),
    )


def _window_sums() -> Iterator[Sample]:
    for number, case in enumerate(POOLINGS):
        layout = ("nchw", "nhwc", "chwn")[number % 3]
        yield from _sums(case, layout, False, False, f32)
        yield from _sums(case, layout, number > 4, True, f32)
    for dtype in (f64, f16, bf16):
        yield from _sums(POOLINGS[7], "nchw", False, True, dtype)


def _sums(
    case: Case, layout: str, ceil_mode: bool, chosen: bool, dtype: DType
) -> Iterator[Sample]:
    size, window = case.x[2:], case.weight[2:]
    steps = case.strides, case.padding, case.dilations, ceil_mode
    counts = counts_of(windows_of(size, window, *steps))
    x, y = normal(case.x, dtype), normal((*case.x[:2], *counts), dtype, 1)
    places = np.random.default_rng(2).integers(0, np.prod(window), y.shape).astype(np.int32)
    x, y, places = lying(x, layout), lying(y, layout), lying(places, layout)
    taps = places if chosen else None
    name = f"{case.comment}, {layout}, ceil {ceil_mode}, taps {chosen}, {dtype}"
    yield Sample(name, lambda x, taps: WindowSum(x, taps, window, *steps, layout), (x, taps))
    yield Sample(
        name, lambda y, taps: WindowSpread(y, taps, size, window, *steps, layout), (y, taps)
    )


def _taps() -> Iterator[Sample]:
    for number, case in enumerate(POOLINGS):
        layout = ("nchw", "nhwc", "chwn")[number % 3]
        yield _taps_of_maxima(case, layout, number > 4, normal(case.x, f32))
    for dtype in (f64, f16, bf16):
        yield _taps_of_maxima(POOLINGS[7], "nchw", False, normal(POOLINGS[7].x, dtype))
    equals = np.array([[[[1, 2, 2, 0], [2, 2, 0, 0], [np.nan, 3, 0, 0]]]], np.float32)
    close = ((0, 0), (0, 0))
    twos = Case("equals", (), (1, 1, 2, 2), (1, 1), close, (1, 1))
    yield _taps_of_maxima(twos, "nchw", False, equals)
    least = np.full((1, 1, 4, 4), -np.inf, np.float32)
    yield _taps_of_maxima(twos._replace(comment="-inf alone"), "nchw", False, least)
    yield Sample(
        "no match",
        lambda x, y: WindowTaps(x, y, (2, 2), (1, 1), close, (1, 1)),
        (normal((1, 1, 3, 3), f32), np.full((1, 1, 2, 2), 9, np.float32)),
    )


def _taps_of_maxima(case: Case, layout: str, ceil_mode: bool, first: Array) -> Sample:
    x = lying(first, layout)
    steps = case.weight[2:], case.strides, case.padding, case.dilations, ceil_mode, layout
    pool = MaxPool(value_like("x", x), *steps)
    return Sample(
        f"{case.comment}, {layout}, ceil {ceil_mode}, {x.dtype}",
        lambda x, y: WindowTaps(x, y, *steps),
        (x, pool.reference(x)),
    )


WINDOW_GRADIENTS: tuple[Sample, ...] = (
    *map(smooth, _weight_gradients()),
    *map(smooth, _window_sums()),
    *_taps(),
)
