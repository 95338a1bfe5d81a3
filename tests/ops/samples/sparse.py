"""Samples of sparse matrices: empty rows first, last and between, columns that come twice and in no
order, no rows, no columns, nothing stored."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mlir_lite.ir import Op, Value
from mlir_lite.ops.sparse.matmul import SparseMatmul
from mlir_lite.ops.sparse.row_reduce import RowReduce
from mlir_lite.ops.sparse.sampled import EntryRows, SampledMatmul
from mlir_lite.ops.sparse.transposed import SparseTranspose
from mlir_lite.types import Array, DType, f16, f32, f64, i32, i64

from ..sample import Sample, normal

# Elements in each row, and the number of columns.
_STRUCTURES: tuple[tuple[str, tuple[int, ...], int], ...] = (
    ("empty rows", (0, 3, 0, 0, 1, 6, 0), 5),
    ("one element", (1,), 1),
    ("nothing stored", (0, 0), 3),
    ("no rows", (), 3),
    ("no columns", (0, 0), 0),
    ("a long row", (2, 71, 18, 1), 37),
)
_WIDTHS = (3, 1, 17, 130)  # of the dense matrix: past a vector, past the registers of a row


def structure(counts: tuple[int, ...], width: int, index: DType = i32) -> tuple[Array, Array]:
    """Columns in no order, some twice, and the starts of rows."""
    starts = np.concatenate([[0], np.cumsum(counts)])
    random = np.random.default_rng(5)
    columns = random.integers(0, max(1, width), int(starts[-1]))
    return columns.astype(index.numpy), starts.astype(index.numpy)


def _products() -> Iterator[Sample]:
    first, *rest = _STRUCTURES
    cases = [(f64, i32, first, width) for width in _WIDTHS]
    cases += [(f64, i64, entry, 2) for entry in rest]
    cases += [(f32, i32, _STRUCTURES[-1], width) for width in (1, 16, 64)]
    cases += [(dtype, i32, first, 3) for dtype in (f16, i32)]
    for dtype, index, (what, counts, height), width in cases:
        columns, starts = structure(counts, height, index)
        yield Sample(
            f"{what}, {width} columns, {dtype}, {index}",
            SparseMatmul,
            (normal(columns.shape, dtype), columns, starts, normal((height, width), dtype, 1)),
            smooth=dtype == f64,
        )


def _structures() -> Iterator[Sample]:
    for what, counts, width in _STRUCTURES:
        for index in (i32, i64):
            columns, starts = structure(counts, width, index)

            def turned(c: Value, s: Value, width: int = width) -> Op:
                return SparseTranspose(c, s, width)

            def rows(s: Value, stored: int = len(columns)) -> Op:
                return EntryRows(s, stored)

            yield Sample(f"{what}, {index}", turned, (columns, starts))
            yield Sample(f"{what}, {index}", rows, (starts,))


def _sampled() -> Iterator[Sample]:
    for (what, counts, width), depth in zip(_STRUCTURES, (3, 1, 2, 2, 2, 17), strict=True):
        for dtype in (f64, f32):
            columns, starts = structure(counts, width)
            rows = np.repeat(np.arange(len(counts)), counts).astype(np.int32)
            x, y = normal((len(counts), depth), dtype), normal((width, depth), dtype, 1)
            yield Sample(
                f"{what}, {depth} deep, {dtype}",
                SampledMatmul,
                (x, y, rows, columns, starts),
                smooth=dtype == f64,
            )


def _reduced() -> Iterator[Sample]:
    cases = [(entry, f64, "sum") for entry in _STRUCTURES]
    cases += [(_STRUCTURES[0], f64, combiner) for combiner in ("max", "min")]
    cases += [(_STRUCTURES[0], dtype, "sum") for dtype in (f32, f16, i32)]
    for (what, counts, width), dtype, combiner in cases:
        columns, starts = structure(counts, width)

        def reduced(v: Value, s: Value, combiner: str = combiner) -> Op:
            return RowReduce(v, s, combiner)

        values = normal(columns.shape, dtype)
        # The gradient of an empty row's extreme is that of nothing: no difference is taken of inf.
        smooth = dtype == f64 and combiner == "sum"
        yield Sample(f"{what}, {combiner}, {dtype}", reduced, (values, starts), smooth=smooth)


SPARSE: tuple[Sample, ...] = (*_products(), *_structures(), *_sampled(), *_reduced())
