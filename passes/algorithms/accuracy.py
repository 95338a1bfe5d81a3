"""How far a convolution or product in f32 is from the same one in f64, measured on a sample.

The sample is two small images that have all input channels, one of unit normal numbers and one of
those with the negative ones made 0, as after a relu; and the output channels of the largest
filters, which decide both the largest output and the largest error. The arithmetic is that of
the kernels, in their order. Winograd's tiles are whole: cut ones of 4 err less, of 2 as much.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import product
from math import prod

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ...expr import Expr, Var
from ...ir import parameter
from ...ops.algorithms.strassen import LEFT, RESULT, RIGHT, quarters_of, signed_sum
from ...ops.algorithms.winograd import WinogradFilter
from ...ops.algorithms.winograd_transform import (
    TAPS,
    Matrix,
    StraightLine,
    transform_of,
    transformed,
)
from ...tile.evaluate import evaluate
from ...tile.frame import Frame
from ...tile.nodes import Let
from ...types import Array, TensorType, f32
from ..schedule.cost.segments import IN_BLOCKS, Segments

SIDE = 8  # outputs along each side of an image: whole tiles of 2 and of 4
CHANNELS = 32  # outputs of each pixel
STRASSEN_ROWS = 32  # of a sample of products
ROWS = SIDE * SIDE  # sums of other convolutions, of each kind of numbers
# The error of a whole layer is the largest of up to millions, that of a sample of some thousands:
# in layers of 32 to 512 channels it was 0.8 to 1.5 times as large (once 2.0: 512 channels, 7 by 7).
UNSEEN = 1.5


def direct_error(weight: Array) -> float:
    """The error of sums of products with filters `(out, in, *kernel)`, relative to the largest."""
    filters = _largest_filters(weight)
    sample = _sample((ROWS, prod(weight.shape[1:])))
    columns = filters.reshape(len(filters), -1).T
    exact = sample.astype(np.float64) @ columns.astype(np.float64)
    return UNSEEN * _error(_product(sample, columns), exact)


def winograd_error(weight: Array, tile: int) -> float:
    """The error of a convolution by F(tile, 3) with filters `(out, in, 3, 3)`, relative to its
    largest output."""
    filters = _largest_filters(weight)
    images = _sample((SIDE + TAPS - 1, SIDE + TAPS - 1, filters.shape[1]))
    windows = sliding_window_view(images, (TAPS, TAPS), (1, 2))
    columns = filters.reshape(len(filters), -1).T.astype(np.float64)
    exact = windows.reshape(len(images), ROWS, -1).astype(np.float64) @ columns
    return UNSEEN * _error(_winograd(images, filters, tile).reshape(exact.shape), exact)


def strassen_error(matrix: Array) -> float:
    """The error of products by a matrix `(k, n)` as seven of halves, relative to the largest."""
    columns = _largest_columns(matrix)
    sample = _sample((STRASSEN_ROWS, len(columns)))
    # Of so few numbers; a BLAS would wake its threads.
    exact = np.einsum("skm,mn->skn", sample.astype(np.float64), columns.astype(np.float64))
    right = _signed_sums(RIGHT, quarters_of(columns))
    found = np.stack([_strassen(rows, right) for rows in sample])
    return _error(found, exact)


def _strassen(rows: Array, right: Array) -> Array:
    """The three stages in f32."""
    left = _signed_sums(LEFT, quarters_of(rows))
    products = _product(left, right, IN_BLOCKS)
    quarters = _signed_sums(RESULT, products)
    _, m, n = quarters.shape
    return quarters.reshape(2, 2, m, n).swapaxes(1, 2).reshape(2 * m, 2 * n)


def _signed_sums(signs: Sequence[Sequence[int]], values: Array) -> Array:
    return np.stack([signed_sum(row, list(values)) for row in signs])


def _winograd(images: Array, filters: Array, tile: int) -> Array:
    """The three stages in f32: `(images, SIDE, SIDE, out)`."""
    transform, reach, count = transform_of(tile), tile + TAPS - 1, SIDE // tile
    tiles = sliding_window_view(images, (reach, reach), (1, 2))[:, ::tile, ::tile]
    points = _transformed(transform.input, tiles.transpose(4, 5, 0, 1, 2, 3))
    left = points.reshape(reach * reach, -1, filters.shape[1])
    weight = parameter("weight", TensorType(filters.shape, f32))
    products = _product(left, WinogradFilter(weight, tile).reference(filters))
    pixels = _transformed(transform.output, products.reshape(reach, reach, *products.shape[1:]))
    in_tiles = pixels.reshape(tile, tile, len(images), count, count, len(filters))
    return in_tiles.transpose(2, 3, 0, 4, 1, 5).reshape(len(images), SIDE, SIDE, len(filters))


def _transformed(matrix: Matrix, values: Array) -> Array:
    """`matrix · X · matrixᵀ` over the first two axes, by the very code that kernels have."""
    places = product(range(values.shape[0]), repeat=2)
    frame = Frame("transform", {_name(i, j): values[i, j] for i, j in places}, {})
    lines, results = _straight_line(matrix)
    for line in lines:
        frame.vars[line.name] = evaluate(line.value, frame)
    return np.array([[evaluate(value, frame) for value in row] for row in results])


@cache
def _straight_line(matrix: Matrix) -> tuple[tuple[Let, ...], tuple[tuple[Expr, ...], ...]]:
    """The named values, and the results by them."""
    code = StraightLine()
    rows = transformed(matrix, lambda i, j: Var(f32, _name(i, j)), code.bind)
    results = tuple(tuple(row) for row in rows)
    return tuple(line for line in code.lines if isinstance(line, Let)), results


def _name(row: int, column: int) -> str:
    return f"x{row}_{column}"


def _product(left: Array, right: Array, cut: Segments | None = None) -> Array:
    """`(.., m, k) x (.., k, n)` summed in f32 one product after the other, as a register tile does
    it, perhaps in segments; NumPy's own sums in blocks have smaller errors."""
    if cut is not None and left.shape[-1] > cut.longest:
        starts = range(0, left.shape[-1], cut.terms)
        parts = [slice(start, start + cut.terms) for start in starts]
        segments = [_product(left[..., part], right[..., part, :]) for part in parts]
        return sum(segments[1:], start=segments[0])
    total: Array = np.zeros((*left.shape[:-1], right.shape[-1]), np.float32)
    by_row, by_column = np.moveaxis(left, -1, 0), np.moveaxis(right, -2, 0)
    term = np.empty_like(total)
    for row, column in zip(np.ascontiguousarray(by_row), by_column, strict=True):
        np.multiply(row[..., None], column[..., None, :], out=term)
        total += term
    return total


def _largest_columns(matrix: Array) -> Array:
    """At most `CHANNELS` columns, in f32, those of the largest norms with the ones that stand in
    the same place of the other half."""
    half = matrix.shape[1] // 2
    norms = np.einsum("kn,kn->n", matrix, matrix)
    largest = np.argsort(-np.maximum(norms[:half], norms[half:]), kind="stable")
    places = np.sort(largest[: CHANNELS // 2])
    return matrix[:, np.concatenate([places, places + half])].astype(np.float32)


def _largest_filters(weight: Array) -> Array:
    """At most `CHANNELS` filters, those of the largest norms, in f32."""
    norms = np.einsum("ki,ki->k", *(weight.reshape(len(weight), -1),) * 2)
    largest = np.argsort(-norms, kind="stable")[:CHANNELS]
    return weight[np.sort(largest)].astype(np.float32)


def _sample(shape: tuple[int, ...]) -> Array:
    """Unit normal numbers, and others without the negative ones, always the same."""
    sample = np.random.default_rng(0).standard_normal((2, *shape)).astype(np.float32)
    sample[1] = np.maximum(sample[1], 0)
    return sample


def _error(found: Array, exact: Array) -> float:
    """The larger of the two kinds' errors; of zeros it is none."""
    axes = tuple(range(1, exact.ndim))
    scale = np.abs(exact).max(axes)
    errors = np.abs(found - exact).max(axes) / np.where(scale == 0, 1, scale)
    return float(errors.max())
