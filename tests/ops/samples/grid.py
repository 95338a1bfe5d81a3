"""Samples of reading images at places that are data: inside, on the edges, and far beyond them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mlir_lite.ops.images.grid_sample import GridSample
from mlir_lite.types import Array, f16, f32, f64

from ..sample import Sample, normal


def _grid(shape: tuple[int, ...]) -> Array:
    return 1.2 * normal(shape, f64, 7)


# `test_torch` has all combinations.
_KINDS = (
    ("bilinear", "zeros", False),
    ("bilinear", "border", True),
    ("bilinear", "reflection", False),
    ("nearest", "zeros", True),
    ("nearest", "reflection", True),
    ("bicubic", "zeros", False),
)


def _grids() -> Iterator[Sample]:
    x, grid = normal((2, 3, 3, 2), f64), _grid((2, 1, 3, 2))
    for mode, padding, align in _KINDS:
        yield Sample(
            f"{mode}, {padding}{', aligned' if align else ''}",
            lambda x, g, m=mode, p=padding, a=align: GridSample(x, g, m, p, a),
            (x, grid),
            smooth=True,
        )
    yield Sample(
        "one pixel",
        lambda x, g: GridSample(x, g, "bilinear", "reflection", True),
        (normal((1, 2, 1, 1), f32), _grid((1, 4, 1, 2)).astype(np.float32)),
    )
    half = (x.astype(f16.numpy), grid.astype(np.float32))
    yield Sample("of f16", GridSample, half)
    edges = np.array([-1, 1, 0, -0.75, 0.75, 3, -3.5]).reshape(1, 7, 1)
    yield Sample("a line", GridSample, (normal((1, 2, 4), f64), edges))
    yield Sample("no places", GridSample, (x, np.zeros((2, 0, 3, 2))))


GRIDS: tuple[Sample, ...] = tuple(_grids())
