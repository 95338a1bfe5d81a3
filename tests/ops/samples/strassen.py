"""Samples of the stages of a matrix product by seven products of halves."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from mlir_lite.ops.algorithms.strassen import StrassenInput, StrassenMatmul, StrassenPanels
from mlir_lite.types import bf16, f32, f64

from ..sample import Sample, normal

# The shape of the rows, and the columns of the left matrix.
LEFT = (
    ("one quarter of one element", (2,), 2),
    ("rows of two axes, the first of one", (1, 6), 10),
    ("rows of an image whose halves begin within one", (1, 3, 6), 34),
    ("no rows", (0,), 4),
)

# Rows, columns on either side, the width of panels, rows of a block.
PRODUCTS = (
    ("one quarter of one element", (2,), 2, 2, 1, 1),
    ("a block of all", (12,), 10, 12, 2, 6),
    ("several blocks, the last panel in part", (2, 3, 2), 18, 14, 4, 2),
    ("vectors and a bit", (1, 10), 12, 70, 20, 5),
    ("sums in segments", (4,), 1200, 32, 16, 2),
)


def _samples() -> Iterator[Sample]:
    for comment, rows, columns in LEFT:
        yield Sample(comment, StrassenInput, (normal((*rows, columns), f32),))
    for dtype in (f32, f64, bf16):
        yield Sample(f"of {dtype}", StrassenInput, (normal((4, 6), dtype),))
        yield Sample(f"of {dtype}", lambda w: StrassenPanels(w, 4), (normal((6, 10), dtype),))
    for comment, rows, inner, columns, width, height in PRODUCTS:
        count, m, half = -(-columns // 2 // width), prod(rows), inner // 2
        yield Sample(
            comment,
            lambda u, v, r=rows, n=columns, h=height: StrassenMatmul(u, v, r, n, h),
            (normal((7, m // 2, half), f32), normal((count, 7, half, width), f32)),
        )
    for dtype in (f64, bf16):
        yield Sample(
            f"of {dtype}",
            lambda u, v: StrassenMatmul(u, v, (4,), 6, 1),
            (normal((7, 2, 3), dtype), normal((1, 7, 3, 4), dtype)),
        )


STRASSEN: tuple[Sample, ...] = tuple(_samples())
