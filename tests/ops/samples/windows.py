"""Samples of convolutions, poolings and resizing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import NamedTuple

import numpy as np

from mlir_lite.ops.algorithms.depthwise import DepthwiseConv, DepthwiseConvTranspose
from mlir_lite.ops.algorithms.panels import PackFilters, PanelConv
from mlir_lite.ops.base.factors import ROUNDED
from mlir_lite.ops.images.resize import ROUNDINGS, ResizeCubic, ResizeLinear, ResizeNearest
from mlir_lite.ops.images.sampling import COORDINATES
from mlir_lite.ops.windows.conv import Conv
from mlir_lite.ops.windows.conv_transpose import ConvTranspose
from mlir_lite.ops.windows.pool import AveragePool, MaxPool
from mlir_lite.ops.windows.windows import Padding
from mlir_lite.types import Array, DType, bf16, f16, f32, f64, i8, i32, i64, u8

from ..sample import Sample, normal


class Case(NamedTuple):
    """Shapes of an input, channels first, and of a weight, and how windows move."""

    comment: str
    x: tuple[int, ...]
    weight: tuple[int, ...]
    strides: tuple[int, ...]
    padding: Padding
    dilations: tuple[int, ...]
    groups: int = 1


_NONE = ((0, 0), (0, 0))
_ONE = ((1, 1), (1, 1))

CONVOLUTIONS: tuple[Case, ...] = (
    Case("one element", (1, 1, 1, 1), (1, 1, 1, 1), (1, 1), _NONE, (1, 1)),
    Case("1x1 of 17 channels", (2, 17, 3, 5), (33, 17, 1, 1), (1, 1), _NONE, (1, 1)),
    Case("3x3", (1, 3, 7, 6), (5, 3, 3, 3), (1, 1), _ONE, (1, 1)),
    Case("kernel beyond the image", (2, 3, 2, 1), (4, 3, 5, 3), (1, 1), ((2, 2), (1, 1)), (1, 1)),
    Case("stride beyond the kernel", (1, 2, 11, 13), (3, 2, 2, 1), (5, 4), _NONE, (1, 1)),
    Case("uneven padding", (1, 2, 5, 6), (3, 2, 3, 4), (2, 1), ((0, 1), (3, 2)), (1, 1)),
    Case("dilation", (1, 2, 9, 8), (3, 2, 3, 2), (1, 2), ((2, 1), (0, 3)), (2, 3)),
    Case("groups", (2, 6, 5, 5), (9, 2, 3, 3), (2, 2), _ONE, (1, 1), 3),
    Case("depthwise", (1, 17, 6, 5), (17, 1, 3, 3), (1, 1), _ONE, (1, 1), 17),
    Case("depthwise of two", (1, 3, 6, 5), (6, 1, 3, 3), (2, 1), _ONE, (1, 1), 3),
    Case("empty batch", (0, 3, 4, 4), (2, 3, 3, 3), (1, 1), _ONE, (1, 1)),
    Case("1-d", (2, 3, 11), (4, 3, 3), (2,), ((1, 2),), (1,)),
    Case("3-d", (1, 2, 4, 5, 3), (3, 2, 2, 3, 1), (1, 2, 1), ((1, 0), (1, 1), (0, 0)), (1, 1, 2)),
)

TRANSPOSED: tuple[tuple[Case, tuple[int, ...]], ...] = (
    (Case("one element", (1, 1, 1, 1), (1, 1, 1, 1), (1, 1), _NONE, (1, 1)), (0, 0)),
    (Case("doubling", (1, 3, 4, 5), (3, 2, 2, 2), (2, 2), _NONE, (1, 1)), (0, 0)),
    (Case("3x3", (2, 3, 3, 2), (3, 5, 3, 3), (2, 1), _ONE, (1, 1)), (1, 0)),
    (Case("stride beyond the kernel", (1, 2, 3, 4), (2, 3, 2, 1), (5, 3), _NONE, (1, 1)), (2, 0)),
    (Case("uneven padding", (1, 2, 5, 4), (2, 3, 3, 4), (2, 1), ((0, 1), (3, 2)), (1, 1)), (0, 0)),
    (Case("dilation", (1, 2, 4, 3), (2, 3, 3, 2), (3, 2), ((2, 1), (0, 3)), (2, 3)), (1, 1)),
    (Case("groups", (2, 6, 3, 3), (6, 2, 3, 3), (2, 2), _ONE, (1, 1), 3), (1, 1)),
    (Case("depthwise", (1, 17, 3, 4), (17, 1, 3, 3), (2, 2), _ONE, (1, 1), 17), (1, 1)),
    (Case("empty batch", (0, 3, 4, 4), (3, 2, 3, 3), (1, 1), _ONE, (1, 1)), (0, 0)),
    (Case("1-d", (2, 3, 5), (3, 4, 3), (2,), ((1, 0),), (1,)), (1,)),
    (Case("whole steps more", (1, 2, 3, 4), (2, 3, 2, 2), (1, 2), _ONE, (2, 1)), (1, 1)),
    (
        Case("3-d", (1, 2, 2, 3, 2), (2, 3, 2, 3, 1), (1, 2, 3), ((1, 0),) * 3, (1, 1, 2)),
        (0, 1, 2),
    ),
)

# The weight gives only the sizes of the window.
POOLINGS: tuple[Case, ...] = (
    Case("one element", (1, 1, 1, 1), (1, 1, 1, 1), (1, 1), _NONE, (1, 1)),
    Case("2x2", (2, 3, 5, 6), (1, 1, 2, 2), (2, 2), _NONE, (1, 1)),
    Case("3x3", (1, 2, 6, 7), (1, 1, 3, 3), (2, 2), _ONE, (1, 1)),
    Case("window beyond the image", (1, 2, 2, 1), (1, 1, 4, 3), (1, 1), ((2, 1), (1, 1)), (1, 1)),
    Case("stride beyond the window", (1, 1, 9, 11), (1, 1, 2, 1), (4, 5), _ONE, (1, 1)),
    Case("last window in the padding", (1, 2, 4, 4), (1, 1, 2, 2), (3, 3), _ONE, (1, 1)),
    Case("uneven padding", (1, 2, 5, 4), (1, 1, 3, 2), (2, 3), ((0, 2), (1, 0)), (1, 1)),
    Case("dilation", (1, 2, 9, 8), (1, 1, 3, 2), (2, 3), ((2, 1), (1, 2)), (2, 3)),
    Case("empty batch", (0, 3, 4, 4), (1, 1, 2, 2), (2, 2), _NONE, (1, 1)),
    Case("1-d", (2, 3, 10), (1, 1, 3), (2,), ((1, 1),), (1,)),
    Case("3-d", (1, 2, 4, 5, 3), (1, 1, 2, 3, 2), (2, 2, 1), ((1, 1), (1, 1), (0, 1)), (1, 1, 1)),
)


def channels_last(x: Array) -> Array:
    return np.ascontiguousarray(np.moveaxis(x, 1, -1))


def lying(x: Array, layout: str) -> Array:
    """A channels-first array in a layout."""
    if layout == "chwn":
        return np.ascontiguousarray(np.moveaxis(x, 0, -1))
    return x if layout == "nchw" else channels_last(x)


def _convolutions() -> Iterator[Sample]:
    for case in CONVOLUTIONS:
        for layout, dtype in (("nchw", f32), ("nhwc", f32), ("chwn", f32), ("nchw", f64)):
            x = normal(case.x, dtype)
            yield Sample(
                f"{case.comment}, {layout}, {dtype}",
                lambda x, w, case=case, layout=layout: Conv(
                    x, w, case.strides, case.padding, case.dilations, case.groups, layout
                ),
                (lying(x, layout), normal(case.weight, dtype, 1)),
            )
    for dtype in (f16, bf16, i8, u8, i32, i64):
        yield Sample(
            f"of {dtype}",
            lambda x, w: Conv(x, w, (1, 1), _ONE, (1, 1)),
            (normal((1, 17, 3, 4), dtype), normal((2, 17, 3, 3), dtype, 1)),
        )
    for layout in ("nchw", "nhwc"):
        narrow = normal((1, 17, 3, 4), u8)
        yield Sample(
            f"of u8 by i8, {layout}",
            lambda x, w, layout=layout: Conv(x, w, (1, 1), _ONE, (1, 1), layout=layout),
            (lying(narrow, layout), normal((2, 17, 3, 3), i8, 1)),
        )


def _of_rounded_factors() -> Iterator[Sample]:
    for factors in ROUNDED:
        yield Sample(
            f"of {factors}",
            lambda x, w, factors=factors: Conv(x, w, (1, 1), _ONE, (1, 1), factors=factors),
            (normal((1, 17, 3, 4), f32), normal((2, 17, 3, 3), f32, 1)),
        )
        yield Sample(
            f"of {factors}",
            lambda x, panels, factors=factors: PanelConv(
                x, panels, 5, (1, 1), (1, 1), padding=_ONE, factors=factors
            ),
            (normal((1, 3, 4, 17), f32), normal((2, 3, 3, 17, 4), f32, 1)),
        )


def _transposed_convolutions() -> Iterator[Sample]:
    for (case, extra), layout in product(TRANSPOSED, ("nchw", "nhwc", "chwn")):
        x = normal(case.x, f32)
        yield Sample(
            f"{case.comment}, {layout}",
            lambda x, w, case=case, extra=extra, layout=layout: ConvTranspose(
                x, w, case.strides, case.padding, extra, case.dilations, case.groups, layout
            ),
            (lying(x, layout), normal(case.weight, f32, 1)),
        )
    for dtype in (f64, f16, bf16, i8, i32):
        yield Sample(
            f"of {dtype}",
            lambda x, w: ConvTranspose(x, w, (2, 2), _ONE, (1, 1), (1, 1)),
            (normal((1, 17, 3, 4), dtype), normal((17, 2, 3, 3), dtype, 1)),
        )


def _depthwise() -> Iterator[Sample]:
    """Of the weight only the sizes of the windows count."""
    for case, dtype in (
        *((case, f32) for case in CONVOLUTIONS),
        *((CONVOLUTIONS[5], dtype) for dtype in (f64, f16, bf16, i8, u8, i32)),
    ):
        yield _depthwise_sample(case, dtype, dtype)
    yield _depthwise_sample(CONVOLUTIONS[5], u8, i8)


def _depthwise_sample(case: Case, left: DType, right: DType) -> Sample:
    return Sample(
        f"{case.comment}, {left} by {right}",
        lambda x, taps: DepthwiseConv(x, taps, case.strides, case.padding, case.dilations),
        (channels_last(normal(case.x, left)), normal((*case.weight[2:], case.x[1]), right, 1)),
    )


def _depthwise_transposed() -> Iterator[Sample]:
    for case, extra in TRANSPOSED:
        if set(case.dilations) == {1}:
            yield _depthwise_transposed_sample(case, extra, f32)
    for dtype in (f64, f16, bf16, i8, i32):
        yield _depthwise_transposed_sample(*TRANSPOSED[7], dtype)


def _depthwise_transposed_sample(case: Case, extra: tuple[int, ...], dtype: DType) -> Sample:
    return Sample(
        f"{case.comment}, {dtype}",
        lambda x, taps: DepthwiseConvTranspose(x, taps, case.strides, case.padding, extra),
        (
            channels_last(normal(case.x, dtype)),
            normal((*case.weight[2:], case.x[1]), dtype, 1),
        ),
    )


def _panels() -> Iterator[Sample]:
    for case in CONVOLUTIONS:
        if case.groups > 1:
            continue
        padding = case.padding if any(max(pair) for pair in case.padding) else ()
        for width, dtype in ((8, f32), (16, bf16)):
            out, inner, *kernel = case.weight
            weight = normal(case.weight, dtype, 1)
            yield Sample(
                f"{case.comment} in {width}, {dtype}",
                lambda w, width=width: PackFilters(w, width),
                (weight,),
            )
            panels = normal((-(-out // width), *kernel, inner, width), dtype, 2)
            for layout in ("nhwc", "nchw", "chwn")[: 3 if dtype == f32 else 1]:
                yield Sample(
                    f"{case.comment} in {width}, {dtype}, {layout}",
                    lambda x, panels, case=case, padding=padding, layout=layout: PanelConv(
                        x, panels, case.weight[0], case.strides, case.dilations, layout, padding
                    ),
                    (lying(normal(case.x, dtype), layout), panels),
                )


def _poolings() -> Iterator[Sample]:
    ways = (*product(("nchw", "nhwc"), (False, True)), ("chwn", True))
    for case, (layout, ceil_mode) in product(POOLINGS, ways):
        x = normal(case.x, f32)
        given = lying(x, layout)
        name = f"{case.comment}, {layout}, ceil {ceil_mode}"
        yield Sample(
            name,
            lambda x, case=case, ceil=ceil_mode, layout=layout: MaxPool(
                x, case.weight[2:], case.strides, case.padding, case.dilations, ceil, layout
            ),
            (given,),
        )
        for counted in (False, True):
            yield Sample(
                f"{name}, pads count {counted}",
                lambda x, case=case, ceil=ceil_mode, layout=layout, counted=counted: AveragePool(
                    x,
                    case.weight[2:],
                    case.strides,
                    case.padding,
                    case.dilations,
                    ceil,
                    layout,
                    counted,
                ),
                (given,),
            )
    for dtype in (f64, f16, bf16):
        x = normal((1, 2, 9, 9), dtype)
        yield Sample(
            f"of {dtype}", lambda x: AveragePool(x, (7, 7), (1, 1), _ONE, (1, 1)), (x,)
        )
    for dtype in (f64, f16, bf16, i8, u8, i64):
        x = normal((1, 2, 5, 5), dtype)
        yield Sample(f"of {dtype}", lambda x: MaxPool(x, (3, 3), (2, 2), _ONE, (1, 1)), (x,))
    x = normal((1, 1, 4, 4), f32)
    x[0, 0, 1, 2], x[0, 0, 3, :] = np.nan, -np.inf
    yield Sample("NaN and -inf", lambda x: MaxPool(x, (2, 2), (1, 1), _ONE, (1, 1)), (x,))
    yield Sample("of padding alone", lambda x: MaxPool(x, (1, 1), (1, 1), _ONE, (1, 1)), (x,))
    wide = ((2, 3), (1, 2))
    yield Sample("of padding alone", lambda x: AveragePool(x, (1, 1), (1, 1), wide, (1, 1)), (x,))


# Sizes before and after.
RESIZED: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (
    ((1, 1, 1, 1), (1, 1, 1, 1)),
    ((1, 2, 3, 4), (1, 2, 6, 8)),
    ((1, 2, 5, 7), (1, 2, 3, 1)),
    ((1, 1, 1, 6), (1, 1, 4, 6)),
    ((1, 2, 6, 9), (1, 2, 7, 4)),
    ((0, 1, 2, 2), (0, 1, 4, 4)),
    ((2, 3, 5), (2, 3, 10)),
    ((1, 2, 3, 2, 4), (1, 2, 5, 4, 2)),
)


def _resized() -> Iterator[Sample]:
    for (before, after), coordinates in product(RESIZED, COORDINATES):
        name = f"{before} to {after}, {coordinates}"
        x = normal(before, f32)
        for rounding in ROUNDINGS:
            yield Sample(
                f"{name}, {rounding}",
                lambda x, after=after, c=coordinates, r=rounding: ResizeNearest(x, after, c, (), r),
                (x,),
            )
        yield Sample(name, lambda x, after=after, c=coordinates: ResizeLinear(x, after, c), (x,))
        for outside in (False, True):
            yield Sample(
                f"{name}, outside excluded {outside}",
                lambda x, after=after, c=coordinates, outside=outside: ResizeCubic(
                    x, after, c, (), -0.5, outside
                ),
                (x,),
            )
    scales = (1.0, float(np.float32(0.6)), 2.5)
    for coordinates in COORDINATES:
        yield Sample(
            f"scales, {coordinates}",
            lambda x, c=coordinates: ResizeLinear(x, (2, 3, 12), c, scales),
            (normal((2, 6, 5), f32),),
        )
    for dtype in (f64, f16, bf16):
        x = normal((1, 1, 5, 4), dtype)
        yield Sample(f"of {dtype}", lambda x: ResizeLinear(x, (1, 1, 7, 9)), (x,))
        yield Sample(f"of {dtype}", lambda x: ResizeCubic(x, (1, 1, 7, 9)), (x,))
    for dtype in (u8, i64):
        yield Sample(
            f"of {dtype}", lambda x: ResizeNearest(x, (1, 7)), (normal((1, 4), dtype),)
        )


def smooth(sample: Sample) -> Sample:
    """Where floats stand, they are random: none of them at a kink."""
    arrays = [*sample.arrays, sample.op.reference(*sample.arguments)]
    single = [array.dtype in (np.float32, np.float64) for array in sample.arrays]
    finite = all(np.isfinite(array.astype(np.float64)).all() for array in arrays)
    return replace(sample, smooth=any(single) and finite)


WINDOWS: tuple[Sample, ...] = (
    *map(smooth, _convolutions()),
    *_of_rounded_factors(),
    *map(smooth, _transposed_convolutions()),
    *map(smooth, _depthwise()),
    *map(smooth, _depthwise_transposed()),
    *_panels(),
    *map(smooth, _poolings()),
    *map(smooth, _resized()),
)
