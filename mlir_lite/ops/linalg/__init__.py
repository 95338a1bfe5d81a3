"""`ml.linalg`: linear algebra with the names and the meaning of `numpy.linalg` and `scipy.linalg`.

Matrices are the last two axes; what stands before is a batch. Element types are f32 and f64. Larger
work is done by LAPACK, which the extra `[linalg]` brings (SciPy).
"""

from __future__ import annotations

from ...errors import check
from ...ir import Operand, Value
from ...sizes import Size
from ...types import f32
from ..base.broadcast import broadcast, common_shape, shape_text
from ..base.elements import emit, emit_all
from ..base.promote import as_value, like
from ..reductions.reduce import sum as sum_
from ..shapes.shape import expand_dims, squeeze
from .matrices import check_matrices
from .ragged_ridge import ragged_ridge as ragged_ridge
from .spectral import Eigh, Lstsq, Pinv, Qr, Svd, rank_of
from .systems import Cholesky, Det, Inverse, Slogdet, Solve, transposed, triangle_solved


def cholesky(x: Operand, *, upper: bool = False) -> Value:
    """The lower triangular L of symmetric positive definite `x = L Lᵀ`; `upper` gives Lᵀ.

    Only the lower triangle of `x` is read. `RunError` where `x` is not positive definite.
    """
    factor = emit(Cholesky(as_value(x)))
    return transposed(factor) if upper else factor


def triangular_solve(
    a: Operand,
    b: Operand,
    *,
    lower: bool = True,
    transpose: bool = False,
    unit_diagonal: bool = False,
) -> Value:
    """X with `A X = B`, or with Aᵀ, for triangles `a (.., n, n)`; `b` is `(n,)` or `(.., n, k)`.

    Only that triangle of `a` is read. `RunError` for a zero on the diagonal.
    """
    matrix, right, vector = _system(a, b)
    x = triangle_solved(
        matrix, right, lower=lower, transpose=transpose, unit_diagonal=unit_diagonal
    )
    return squeeze(x, -1) if vector else x


def cho_solve(factor: Operand, b: Operand) -> Value:
    """X with `L Lᵀ X = B`, L from `cholesky`; `b` is `(n,)` or `(.., n, k)`."""
    return triangular_solve(factor, triangular_solve(factor, b), transpose=True)


def solve(a: Operand, b: Operand) -> Value:
    """X with `A X = B`; `b` is `(n,)` or `(.., n, k)`. `RunError` for a singular matrix."""
    matrix, right, vector = _system(a, b)
    x = emit(Solve(matrix, right))
    return squeeze(x, -1) if vector else x


def inverse(x: Operand) -> Value:
    """The inverse of each matrix. `RunError` for a singular one."""
    return emit(Inverse(as_value(x)))


inv = inverse


def det(x: Operand) -> Value:
    """The determinant of each matrix."""
    return emit(Det(as_value(x)))


def slogdet(x: Operand) -> tuple[Value, Value]:
    """The sign of the determinant and the logarithm of its absolute value."""
    found, size = emit_all(Slogdet(as_value(x)))
    return found, size


def qr(x: Operand) -> tuple[Value, Value]:
    """`(.., m, n)` as Q `(.., m, k)` with orthonormal columns and upper triangular R `(.., k, n)`,
    where k is the smaller of m and n."""
    q, r = emit_all(Qr(as_value(x)))
    return q, r


def eigh(x: Operand) -> tuple[Value, Value]:
    """Eigenvalues in ascending order, and eigenvectors as columns, of symmetric matrices.

    Only the lower triangle of `x` is read.
    """
    values, vectors = emit_all(Eigh(as_value(x)))
    return values, vectors


def svd(x: Operand, *, full_matrices: bool = True) -> tuple[Value, Value, Value]:
    """U, the singular values in descending order, and Vᵀ of each matrix U S Vᵀ."""
    u, values, vt = emit_all(Svd(as_value(x), full_matrices))
    return u, values, vt


def pinv(x: Operand, *, rcond: float | None = None) -> Value:
    """The pseudo-inverse; singular values up to `rcond` times the largest count as 0."""
    value = as_value(x)
    return emit(Pinv(value, _rcond(value) if rcond is None else rcond))


def lstsq(
    a: Operand, b: Operand, *, rcond: float | None = None
) -> tuple[Value, Value, Value, Value]:
    """Least squares `A X ≈ B` of least norm: X, sums of squared residuals, rank, singular values.

    As `numpy.linalg.lstsq`, with batches; the sums are there whatever the rank.
    """
    matrix, right, vector = _system(a, b, square=False)
    limit = _rcond(matrix) if rcond is None else rcond
    x = emit(Lstsq(matrix, right, limit))
    error = right - matrix @ x
    _, values, _ = svd(matrix, full_matrices=False)
    sums = sum_(error * error, -2)
    if vector:
        x, sums = squeeze(x, -1), squeeze(sums, -1)
    return x, sums, rank_of(values, limit), values


def _rcond(x: Value) -> float:
    """NumPy's: the unit in the last place times the larger of rows and columns."""
    rows, columns = x.shape[-2:]
    known = isinstance(rows, int) and isinstance(columns, int)
    check(known, "matrices of named sizes need `rcond`")
    unit = 2.0**-23 if x.dtype == f32 else 2.0**-52
    return unit * max(int(str(rows)), int(str(columns)))


def _system(a: Operand, b: Operand, *, square: bool = True) -> tuple[Value, Value, bool]:
    """The operands of a system with one batch, and whether `b` was a vector."""
    matrix = as_value(a)
    right = like(b, matrix)
    check_matrices(matrix, square=square)
    vector = right.rank == 1
    right = expand_dims(right, -1) if vector else right
    check(right.rank >= 2, "the right side is a number")
    batches: tuple[tuple[Size, ...], ...] = (matrix.shape[:-2], right.shape[:-2])
    batch = common_shape(*batches)
    text = " and ".join(map(shape_text, batches))
    check(batch is not None, f"the batches {text} do not broadcast")
    assert batch is not None
    return (
        broadcast(matrix, (*batch, *matrix.shape[-2:])),
        broadcast(right, (*batch, *right.shape[-2:])),
        vector,
    )
