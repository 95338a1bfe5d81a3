"""Samples of reading and writing at indices that are data."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mlir_lite.ops.shapes.index import Gather, GatherElements, GatherNd
from mlir_lite.ops.shapes.scatter import ScatterElements, ScatterNd
from mlir_lite.types import DType, bf16, bool_, f16, f32, f64, i8, i32, i64, u8

from ..sample import Sample, normal

_ROWS = normal((5, 3), f64)


def _gathers() -> Iterator[Sample]:
    for comment, shape, indices, axis in (
        ("a vector", (17,), np.array([0, 16, -1, -17, 3]), 0),
        ("rows", (5, 3), np.array([[4, 0], [-5, 2]]), 0),
        ("columns", (5, 3), np.array([2, 2, 0, 1], np.int32), 1),
        ("the middle", (2, 3, 4), np.array([[1], [2]]), 1),
        ("a number", (5, 3), np.array(3), 0),
        ("nothing", (5, 3), np.zeros((0,), np.int64), 1),
        ("bytes", (5, 3), np.array([4, 1], np.uint8), 0),
    ):
        yield Sample(
            comment,
            lambda x, i, axis=axis: Gather(x, i, axis),
            (normal(shape, f64), indices),
            smooth=True,
        )
    empty = (normal((0, 3), f32), np.zeros((0, 2), np.int64))
    yield Sample("nothing of nothing", lambda x, i: Gather(x, i, 0), empty)


def _gather_elements() -> Iterator[Sample]:
    for comment, indices, axis in (
        ("each column", np.array([[0, -1, 4], [2, -5, 2]]), 0),
        ("each row", np.array([[2], [0], [-1], [-3], [1]], np.int32), 1),
        ("fewer rows", np.array([[2, 1]]), 1),
        ("nothing", np.zeros((0, 3), np.int64), 0),
    ):
        yield Sample(
            comment,
            lambda x, i, axis=axis: GatherElements(x, i, axis),
            (_ROWS, indices),
            smooth=True,
        )


def _gather_nd() -> Iterator[Sample]:
    for comment, shape, indices, batch in (
        ("elements", (5, 3), np.array([[0, 2], [-1, -3], [4, 0]]), 0),
        ("rows", (5, 3), np.array([[[4]], [[-2]]], np.int32), 0),
        ("one element", (5, 3), np.array([1, 1]), 0),
        ("in a batch", (2, 4, 3), np.array([[[1], [0]], [[-1], [3]]]), 1),
        ("in two batches", (2, 3, 4), np.array([[[0], [3], [-4]], [[1], [1], [2]]]), 2),
    ):
        yield Sample(
            comment,
            lambda x, i, batch=batch: GatherNd(x, i, batch),
            (normal(shape, f64), indices),
            smooth=True,
        )


_REDUCED: tuple[tuple[str, tuple[DType, ...]], ...] = (
    ("none", (f64, f32, bf16, bool_, u8)),
    ("add", (f64, f32, f16, i32, i8)),
    ("mul", (f64, f32, i64)),
    ("min", (f64, f32, i64)),
    ("max", (f64, f32, bf16, u8)),
)


def _scatters() -> Iterator[Sample]:
    places = np.array([[0, -1, 4], [0, -5, 2]])
    tuples = np.array([[0, 2], [-1, -3], [4, 0], [0, 2]], np.int32)
    rows = np.array([[4], [-2], [4]])
    for reduction, dtypes in _REDUCED:
        for dtype in dtypes:
            x = normal((5, 3), dtype)
            smooth = dtype == f64
            yield Sample(
                f"{reduction} of {dtype}, repeated indices",
                lambda x, i, u, r=reduction: ScatterElements(x, i, u, 0, r),
                (x, places, normal((2, 3), dtype, 1)),
                smooth,
            )
            yield Sample(
                f"{reduction} of {dtype}, elements",
                lambda x, i, u, r=reduction: ScatterNd(x, i, u, r),
                (x, tuples, normal((4,), dtype, 1)),
                smooth,
            )
            yield Sample(
                f"{reduction} of {dtype}, rows",
                lambda x, i, u, r=reduction: ScatterNd(x, i, u, r),
                (x, rows, normal((3, 3), dtype, 1)),
                smooth,
            )
    once = (_ROWS, np.array([[2], [0]]), normal((2, 1), f64, 1))
    yield Sample("along rows", lambda x, i, u: ScatterElements(x, i, u, 1), once, smooth=True)
    once = (_ROWS, np.array([[3, 1], [0, 0]]), normal((2,), f64, 1))
    yield Sample("distinct places", lambda x, i, u: ScatterNd(x, i, u), once, smooth=True)
    none = (_ROWS, np.zeros((0, 3), np.int64), np.zeros((0, 3)))
    yield Sample("no updates", lambda x, i, u: ScatterElements(x, i, u, 0), none)


INDEX: tuple[Sample, ...] = (
    *_gathers(),
    *_gather_elements(),
    *_gather_nd(),
    *_scatters(),
)
