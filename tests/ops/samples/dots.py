"""Samples of products and convolutions of narrow numbers, summed a few at a time."""

from __future__ import annotations

from collections.abc import Iterator
from operator import ge

import numpy as np

from mlir_lite.ops.algorithms.dots import DotConv, DotMatmul, PackDotFilters, PackDots
from mlir_lite.types import Array, DType, bf16, f32, i8, u8

from ..sample import Sample, normal
from .windows import CONVOLUTIONS, channels_last

_KINDS: tuple[tuple[DType, DType, int], ...] = ((u8, i8, 4), (bf16, bf16, 2))


def _matmuls() -> Iterator[Sample]:
    for k, n, width in ((1, 1, 16), (3, 17, 16), (8, 32, 16), (0, 3, 2), (13, 33, 32), (5, 7, 3)):
        for left, right, depth in _KINDS:
            name = f"{k}x{n} in {width}, {right}"
            yield Sample(
                name,
                lambda x, width=width, depth=depth: PackDots(x, width, depth),
                (normal((k, n), right),),
            )
            blocks = -(-k // depth)
            panels = normal((-(-n // width), blocks, width, depth), right, 2)
            for rows in ((2, 5), (0,), (), (9,)):
                yield Sample(
                    f"{rows} rows by {name}",
                    lambda x, panels, n=n: DotMatmul(x, panels, n),
                    (normal((*rows, blocks * depth), left, 1), panels),
                )
    yield Sample("of f32, a batch", lambda x: PackDots(x, 8, 3), (normal((3, 5, 17), f32),))
    for leading, lhs in ((1, (3, 7, 8)), (2, (2, 3, 4, 8)), (1, (3, 8)), (1, (3, 0, 8))):
        for left, right, depth in _KINDS:
            panels = normal((*lhs[:leading], 2, 8 // depth, 16, depth), right, 1)
            yield Sample(
                f"{leading} leading axes of {lhs}, {left}",
                lambda x, panels: DotMatmul(x, panels, 17),
                (normal(lhs, left), panels),
            )


def _extremes() -> Iterator[Sample]:
    """Where a pair of products would not fit 16 bits, and the total wraps around in 32."""
    x, y = np.full((2, 8), 255, np.uint8), np.full((1, 2, 16, 4), -128, np.int8)
    yield Sample("extreme integers", lambda x, panels: DotMatmul(x, panels, 16), (x, y))
    count = 2**31 // (255 * 128) // 4 + 1
    many = np.full((1, 4 * count), 255, np.uint8), np.full((1, count, 1, 4), -128, np.int8)
    yield Sample("wraps around", lambda x, panels: DotMatmul(x, panels, 1), many)


def _convolutions() -> Iterator[Sample]:
    for case in CONVOLUTIONS:
        if case.groups > 1 or any(max(pair) for pair in case.padding):
            continue
        for left, right, depth in _KINDS:
            out, inner, *kernel = case.weight
            yield Sample(
                f"{case.comment}, {right}",
                lambda w, depth=depth: PackDotFilters(w, 16, depth),
                (normal(case.weight, right, 1),),
            )
            blocks = -(-inner // depth)
            batch, _, *size = case.x
            x: Array = channels_last(normal((batch, blocks * depth, *size), left))
            panels = normal((-(-out // 16), *kernel, blocks, 16, depth), right, 2)
            yield Sample(
                f"{case.comment}, {right}",
                lambda x, panels, case=case: DotConv(
                    x, panels, case.weight[0], case.strides, case.dilations
                ),
                (x, panels),
            )


def _of_channels_first() -> Iterator[Sample]:
    """Rows as they lie, with room for the taps that fill up a sum."""
    for case in CONVOLUTIONS:
        out, inner, *others, last = case.weight
        batch, _, *sizes, width = case.x
        fits = all(map(ge, case.x[2:], case.weight[2:]))
        if case.groups > 1 or case.dilations[-1] > 1 or not fits:
            continue
        for left, right, depth in _KINDS:
            blocks = -(-last // depth)
            x = normal((batch, inner, *sizes, width + blocks * depth - last), left)
            panels = normal((-(-out // 16), inner, *others, blocks, 16, depth), right, 2)
            yield Sample(
                f"{case.comment}, {right}, channels first",
                lambda x, panels, case=case: DotConv(
                    x, panels, case.weight[0], case.strides, case.dilations, "nchw"
                ),
                (x, panels),
            )


DOTS: tuple[Sample, ...] = (*_matmuls(), *_extremes(), *_convolutions(), *_of_channels_first())
