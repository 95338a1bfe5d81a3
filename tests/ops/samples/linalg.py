"""Samples of linear algebra: matrices far from singular, with eigenvalues well apart."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mlir_lite.ops.linalg.factor import CholeskyFactor, LuFactor, QrFactor
from mlir_lite.ops.linalg.ragged_ridge import RaggedRidge
from mlir_lite.ops.linalg.spectral import Eigh, Lstsq, Pinv, Qr, Svd
from mlir_lite.ops.linalg.systems import Cholesky, Det, Inverse, Slogdet, Solve, TriangularSolve
from mlir_lite.ops.linalg.triangle import LuSolve, Substitution
from mlir_lite.ops.linalg.values import EighFactor, SvdFactor
from mlir_lite.types import Array, DType, f32, f64

from ..sample import Sample, normal

# A batch, the size of a matrix: none, one, a prime, one past a vector.
_SHAPES: tuple[tuple[tuple[int, ...], int], ...] = (
    ((), 1),
    ((3,), 5),
    ((2, 1), 2),
    ((0,), 3),
    ((2,), 17),
)
_RECTANGLES = ((4, 4), (7, 3), (3, 7), (1, 5), (17, 2))
_TYPES = (f64, f32)


def separated(shape: tuple[int, ...], dtype: DType, seed: int = 0) -> Array:
    """Matrices `(.., m, n)` with singular values 1, 2, …: no two near each other, none near 0."""
    wide = normal(shape, f64, seed)
    u, _, vt = np.linalg.svd(wide, full_matrices=False)
    values = 1 + np.arange(min(shape[-2:]))
    return np.asarray((u * values) @ vt).astype(dtype.numpy)


def positive(shape: tuple[int, ...], dtype: DType, seed: int = 0) -> Array:
    """Symmetric matrices with eigenvalues 1, 2, …"""
    q, _ = np.linalg.qr(normal(shape, f64, seed))
    symmetric = (q * (1 + np.arange(shape[-1]))) @ np.swapaxes(q, -1, -2)
    return np.asarray((symmetric + np.swapaxes(symmetric, -1, -2)) / 2).astype(dtype.numpy)


def _signs(vectors: Array) -> Array:
    """For each column, the sign of its largest element."""
    largest = np.argmax(np.abs(vectors), -2, keepdims=True)
    return np.asarray(np.sign(np.take_along_axis(vectors, largest, -2)))


def _one_sign(results: tuple[Array, ...]) -> tuple[Array, ...]:
    """Eigenvectors whose largest element is positive."""
    values, vectors, *rest = results
    return values, vectors * _signs(vectors), *rest


def _rebuilt(results: tuple[Array, ...]) -> tuple[Array, ...]:
    """The matrix that eigenvalues and vectors make, and the vectors' products with each other.

    For many eigenvalues: a vector's error is that of the matrix over the gap between two of them.
    """
    values, vectors, *rest = results
    across = np.swapaxes(vectors, -1, -2)
    return values, (vectors * values[..., None, :]) @ across, across @ vectors, *rest


def _one_svd(results: tuple[Array, ...]) -> tuple[Array, ...]:
    """Vectors of one sign; in place of those that belong to no value, the space they span."""
    u, values, vt, *rest = results
    count = values.shape[-1]
    left, right = u[..., :count], vt[..., :count, :]
    signs = _signs(left)
    beyond_u, beyond_v = u[..., count:], vt[..., count:, :]
    return (
        values,
        left * signs,
        right * np.swapaxes(signs, -1, -2),
        beyond_u @ np.swapaxes(beyond_u, -1, -2),
        np.swapaxes(beyond_v, -1, -2) @ beyond_v,
        *rest,
    )


def _triangle(shape: tuple[int, ...], dtype: DType) -> Array:
    """Both triangles filled, the diagonal large: what is not to be read makes a difference."""
    return np.asarray(normal(shape, f64) / 4 + 2 * np.eye(shape[-1])).astype(dtype.numpy)


def _square_samples() -> Iterator[Sample]:
    for dtype in _TYPES:
        smooth = dtype == f64
        for batch, n in _SHAPES:
            comment, shape = f"{dtype} {(*batch, n, n)}", (*batch, n, n)
            general, symmetric = separated(shape, dtype), positive(shape, dtype)
            right = normal((*batch, n, 3), dtype, 1)
            yield Sample(comment, Cholesky, (symmetric,), smooth)
            if n < 17 or dtype == f64:  # LAPACK's own error is more than 8 ε of 17x17 in f32
                form = _one_sign if n < 17 else _rebuilt
                yield Sample(comment, Eigh, (symmetric,), smooth, form)
            yield Sample(comment, Solve, (general, right), smooth)
            yield Sample(comment, Inverse, (general,), smooth)
            if n < 17:  # 17! leaves no digits to compare
                yield Sample(comment, Det, (general,), smooth)
            yield Sample(comment, Slogdet, (general,), smooth)
    yield Sample(
        "of the transpose",
        lambda a, b: Solve(a, b, transpose=True),
        (separated((5, 5), f64), normal((5, 2), f64, 1)),
        smooth=True,
    )


def _triangle_samples() -> Iterator[Sample]:
    for lower in (True, False):
        for transpose in (True, False):
            for unit in (True, False):
                options = {"lower": lower, "transpose": transpose, "unit_diagonal": unit}
                yield Sample(
                    " ".join(name for name, value in options.items() if value) or "upper",
                    lambda a, b, o=options: TriangularSolve(a, b, **o),
                    (_triangle((2, 5, 5), f64), normal((2, 5, 3), f64, 1)),
                    smooth=True,
                )
    for batch, n in _SHAPES:
        shape = (*batch, n, n)
        given = (_triangle(shape, f32), normal((*batch, n, 2), f32, 1))
        yield Sample(f"f32 {shape}", TriangularSolve, given)


def _rectangle_samples() -> Iterator[Sample]:
    for dtype in _TYPES:
        for rows, columns in _RECTANGLES:
            x = separated((2, rows, columns), dtype)
            comment, smooth = f"{dtype} {rows}x{columns}", dtype == f64
            right = normal((2, rows, 2), dtype, 1)
            yield Sample(comment, Qr, (x,), smooth and rows >= columns)
            yield Sample(comment, lambda x: Svd(x, False), (x,), smooth, _one_svd)
            full = smooth and rows == columns
            yield Sample(f"{comment}, full", Svd, (x,), full, _one_svd)
            yield Sample(comment, lambda x: Pinv(x, 1e-5), (x,), smooth)
            yield Sample(comment, lambda a, b: Lstsq(a, b, 1e-5), (x, right), smooth)


def _factor_samples() -> Iterator[Sample]:
    for dtype in _TYPES:
        for n in (1, 5):
            shape = (3, n, n)
            yield Sample(f"{dtype} {n}", CholeskyFactor, (positive(shape, dtype),))
            yield Sample(f"{dtype} {n}", EighFactor, (positive(shape, dtype),), False, _one_sign)
            yield Sample(f"{dtype} {n}", LuFactor, (normal(shape, dtype),))
            right = normal((3, n, 2), dtype, 1)
            yield Sample(f"{dtype} {n}", Substitution, (_triangle(shape, dtype), right))
            pivots = np.tile(np.arange(n, 0, -1, dtype=np.int32).clip(1 + np.arange(n)), (3, 1))
            for transposed in (True, False):
                yield Sample(
                    f"{dtype} {n}{' transposed' * transposed}",
                    lambda m, p, b, t=transposed: LuSolve(m, p, b, t),
                    (_triangle(shape, dtype), pivots.astype(np.int32), right),
                )
        many = positive((9 if dtype == f64 else 17, 3, 3), dtype)
        yield Sample(f"{dtype} 3, a vector and one more", CholeskyFactor, (many,))
        for lower, transposed, unit in ((True, False, False), (False, False, True)):
            options = {"lower": lower, "transposed": transposed, "unit": unit}
            yield Sample(
                f"{dtype} 3, a vector and one more, {'lower' if lower else 'upper'}",
                lambda a, b, o=options: Substitution(a, b, **o),
                (_triangle(many.shape, dtype), normal((len(many), 3, 2), dtype)),
            )
        for rows, columns in ((3, 2), (2, 3)):
            x = separated((2, rows, columns), dtype)
            yield Sample(f"{dtype} {rows}x{columns}", QrFactor, (x,))
            for full in (False, True):
                yield Sample(
                    f"{dtype} {rows}x{columns}{', full' * full}",
                    lambda x, full=full: SvdFactor(x, full),
                    (x,),
                    False,
                    _one_svd,
                )


def _ragged_samples() -> Iterator[Sample]:
    for dtype, size, rows in ((f64, 3, 9), (f32, 1, 2)):
        random = np.random.default_rng(0)
        offsets = np.concatenate([[0], np.cumsum(random.integers(0, 4, rows))])
        indices = random.integers(-5, 5, int(offsets[-1]))
        factors, targets = normal((5, size), dtype), normal(indices.shape, dtype, 1)
        given = (factors, indices, offsets, targets, np.full(rows, 1.5, dtype.numpy))
        extra: tuple[Array | None, Array | None] = (None, None)
        if dtype == f64:
            extra = np.abs(targets), positive((size, size), dtype)
        yield Sample(f"{dtype} {rows} rows", RaggedRidge, (*given, *extra))


LINALG = (
    *_square_samples(),
    *_triangle_samples(),
    *_rectangle_samples(),
    *_factor_samples(),
    *_ragged_samples(),
)
