"""The C functions that kernels may call, each with its meaning in NumPy.

They are LAPACK's and BLAS's, which take matrices column after column: the rows of an array here
are the columns there, so that each meaning begins by looking at the transpose. The meanings say
what a routine does with arguments as this compiler gives them, not all that the routine can do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..errors import VerifyError
from ..types import Array
from .nodes import Buffer, Extern

# The arguments of a routine: letters, numbers and arrays, each kind where that routine has it.
Meaning = Callable[..., None]


def run_routine(extern: Extern, arrays: Mapping[str, Array]) -> None:
    """Do in NumPy what a C function does to its buffers, given by name."""
    meaning = MEANINGS.get(extern.routine[1:])  # the first letter is the element type's
    if meaning is None:
        raise VerifyError(f"no C function is called '{extern.routine}'")
    given: list[Any] = [
        arrays[entry.name] if isinstance(entry, Buffer) else entry for entry in extern.arguments
    ]
    meaning(*given)


def _potrf(uplo: str, n: int, a: Array, _lda: int, info: Array) -> None:
    """The Cholesky factor of a triangle, in its place; `info` counts to where there is none."""
    lower = a if uplo == "U" else a.T
    for order in range(1, n + 1):
        try:
            factor = np.linalg.cholesky(lower[:order, :order])
        except np.linalg.LinAlgError:
            info[0] = order
            return
    info[0] = 0
    if n:
        at = np.tril_indices(n)
        lower[at] = factor[at]


def _getrf(_m: int, n: int, a: Array, _lda: int, pivots: Array, info: Array) -> None:
    """L and U in one matrix, from elimination with exchanges of rows, counted from 1."""
    matrix = a.T
    info[0] = 0
    for step in range(n):
        best = step + int(np.argmax(np.abs(matrix[step:, step])))
        pivots[step] = best + 1
        matrix[[step, best]] = matrix[[best, step]]
        if matrix[step, step] == 0:
            info[0] = info[0] or step + 1
            continue
        matrix[step + 1 :, step] /= matrix[step, step]
        matrix[step + 1 :, step + 1 :] -= np.outer(
            matrix[step + 1 :, step], matrix[step, step + 1 :]
        )


def _getrs(
    trans: str, n: int, _k: int, a: Array, _lda: int, pivots: Array, b: Array, _ldb: int,
    info: Array,
) -> None:
    """The solution for the matrix that `getrf` factored, or its transpose, in the place of `b`."""
    factors, right = a.T, b.T
    lower, upper = np.tril(factors, -1) + np.eye(n, dtype=a.dtype), np.triu(factors)
    order = np.arange(n)
    for step, other in enumerate(pivots - 1):
        order[[step, other]] = order[[other, step]]
    if trans == "N":
        right[...] = np.linalg.solve(upper, np.linalg.solve(lower, right[order]))
    else:
        right[order] = np.linalg.solve(lower.T, np.linalg.solve(upper.T, right))
    info[0] = 0


def _gelqf(
    m: int, _n: int, a: Array, _lda: int, tau: Array, _work: Array, _size: int, info: Array
) -> None:
    """L and, behind it, the reflectors of Q with A = L Q: those of the QR of the transpose."""
    packed, scales = np.linalg.qr(a[:, :m], mode="raw")
    a[:, :m] = packed.T
    tau[...] = scales
    info[0] = 0


def _orglq(
    m: int, n: int, k: int, a: Array, _lda: int, tau: Array, _work: Array, _size: int, info: Array
) -> None:
    """The first rows of Q from the reflectors that `gelqf` left."""
    q = np.eye(n, m, dtype=a.dtype)
    for step in reversed(range(k)):
        v = a[:, step].copy()
        v[:step], v[step] = 0, 1
        q -= tau[step] * np.outer(v, v @ q)
    a[:, :m] = q
    info[0] = 0


def _syevd(
    _job: str, uplo: str, _n: int, a: Array, _lda: int, w: Array, _work: Array, _size: int,
    _iwork: Array, _isize: int, info: Array,
) -> None:
    """Eigenvalues, and the eigenvectors as columns in the place of the matrix."""
    info[0] = 0
    try:
        w[...], a.T[...] = np.linalg.eigh(a.T, "L" if uplo == "L" else "U")
    except np.linalg.LinAlgError:
        info[0] = 1


def _gesdd(
    job: str, _m: int, _n: int, a: Array, _lda: int, s: Array, u: Array, _ldu: int, vt: Array,
    _ldvt: int, _work: Array, _size: int, _iwork: Array, info: Array,
) -> None:
    """Singular values, and the vectors of both sides."""
    info[0] = 0
    try:
        u.T[...], s[...], vt.T[...] = np.linalg.svd(a.T, full_matrices=job == "A")
    except np.linalg.LinAlgError:
        info[0] = 1


def _trsm(
    side: str, uplo: str, trans: str, diag: str, _m: int, _n: int, alpha: Array, a: Array,
    _lda: int, b: Array, _ldb: int,
) -> None:
    """`op(A) X = alpha B`, or `X op(A) = alpha B`, for a triangle of A, in the place of B."""
    triangle = np.tril(a.T) if uplo == "L" else np.triu(a.T)
    if diag == "U":
        np.fill_diagonal(triangle, 1)
    matrix = triangle if trans == "N" else triangle.T
    right = b.T
    if side == "L":
        right[...] = np.linalg.solve(matrix, alpha[0] * right)
    else:
        right[...] = np.linalg.solve(matrix.T, alpha[0] * right.T).T


MEANINGS: Mapping[str, Meaning] = {
    "gelqf": _gelqf,
    "gesdd": _gesdd,
    "getrf": _getrf,
    "getrs": _getrs,
    "orglq": _orglq,
    "potrf": _potrf,
    "syevd": _syevd,
    "trsm": _trsm,
}
