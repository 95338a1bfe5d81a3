"""Orthogonal factors: QR, eigenvectors of symmetric matrices, singular vectors, least squares.

Gradients: of QR, Walter and Lehmann, "Algorithmic differentiation of linear algebra functions with
application in optimum experimental design" (2010); of eigenvectors, M. B. Giles (2008, 3.1); of
singular vectors, J. Townsend, "Differentiating the singular value decomposition" (2016); of the
pseudo-inverse, Golub and Pereyra (1973, theorem 4.3), which holds where the rank does not change.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ...errors import UnsupportedError, check
from ...ir import Op, Value, op
from ...sizes import Size
from ...types import Array, TensorType, i64
from ..base.cast import cast
from ..base.elements import Gradients, emit, emit_all
from ..base.promote import check_same_dtype
from ..elementwise.compare import greater
from ..elementwise.select import where
from ..products.matmul import matmul
from ..reductions.reduce import max as max_
from ..reductions.reduce import sum as sum_
from ..shapes.creation import eye, ones_like, zeros_like
from ..shapes.index import tril
from ..shapes.shape import expand_dims
from .factor import QrFactor
from .matrices import as_batch, check_matrices, solved, unbatched
from .systems import to_lower, transposed, triangle_solved
from .values import NO_EIGENVALUES, NO_VALUES, EighFactor, SvdFactor


def _inner(x: Value) -> Size:
    """The smaller of rows and columns, which must be known."""
    rows, columns = x.shape[-2:]
    known = isinstance(rows, int) and isinstance(columns, int)
    check(rows == columns or known, "takes matrices of known sizes")
    return rows if rows == columns else min(int(str(rows)), int(str(columns)))


def _check_full(x: Value) -> None:
    check_matrices(x, square=False)
    check(0 not in x.shape[-2:], "takes matrices of one row and one column at least")


def _or_zero(gradient: Value | None, like: Value) -> Value:
    return zeros_like(like) if gradient is None else gradient


@op
class Qr(Op):
    """Q with orthonormal columns and upper triangular R of each matrix Q R (`numpy.linalg.qr`)."""

    x: Value

    def infer(self) -> tuple[TensorType, TensorType]:
        _check_full(self.x)
        (*batch, rows, columns), inner = self.x.shape, _inner(self.x)
        type_ = self.x.type
        return type_.with_shape((*batch, rows, inner)), type_.with_shape((*batch, inner, columns))

    def reference(self, x: Array) -> tuple[Array, Array]:
        q, r = np.linalg.qr(x)
        return np.asarray(q), np.asarray(r)

    def decompose(self, x: Value) -> tuple[Value, ...]:
        batch = x.shape[:-2]
        return tuple(unbatched(part, batch) for part in emit_all(QrFactor(as_batch(x))))

    def gradient(self, q: Value, r: Value, dq: Value | None, dr: Value | None) -> Gradients:
        """(dQ + Q M) R⁻ᵀ, M the symmetric matrix of the lower triangle of R dRᵀ - dQᵀ Q."""
        rows, columns = self.x.shape[-2:]
        if r.shape[-2] != columns:
            raise UnsupportedError(f"the gradient of qr of {rows}x{columns} matrices: too few rows")
        dq, dr = _or_zero(dq, q), _or_zero(dr, r)
        whole = matmul(r, transposed(dr)) - matmul(transposed(dq), q)
        mirrored = tril(whole) + transposed(tril(whole, -1))
        right = dq + matmul(q, mirrored)
        return (transposed(triangle_solved(r, transposed(right), lower=False)),)


@op
class Eigh(Op):
    """Eigenvalues, ascending, and eigenvectors, as columns, of symmetric matrices (`numpy.linalg`).

    The upper triangle of `x` is not read. The gradient of the vectors needs distinct eigenvalues.
    """

    x: Value
    fallible: ClassVar[bool] = True

    def infer(self) -> tuple[TensorType, TensorType]:
        check_matrices(self.x)
        return self.x.type.with_shape(self.x.shape[:-1]), self.x.type

    def reference(self, x: Array) -> tuple[Array, Array]:
        values, vectors = solved(np.linalg.eigh, NO_EIGENVALUES, x)
        return values, vectors

    def decompose(self, x: Value) -> tuple[Value, ...]:
        values, vectors, _ = emit_all(EighFactor(as_batch(x)))
        return unbatched(values, x.shape[:-2]), unbatched(vectors, x.shape[:-2])

    def gradient(
        self, values: Value, vectors: Value, dvalues: Value | None, dvectors: Value | None
    ) -> Gradients:
        """V (diag(dw) + F ∘ Vᵀ dV) Vᵀ with F[i, j] = 1 / (w[j] - w[i])."""
        across = transposed(vectors)
        inner = _on_diagonal(_or_zero(dvalues, values))
        if dvectors is not None:
            inner = inner + _differences(values) * matmul(across, dvectors)
        return (to_lower(matmul(matmul(vectors, inner), across)),)


def _on_diagonal(x: Value) -> Value:
    """Square matrices with these diagonals, zero elsewhere."""
    size = x.shape[-1]
    return where(greater(eye(size, dtype=x.dtype), 0), expand_dims(x, -1), 0)


def _differences(x: Value) -> Value:
    """1 / (x[j] - x[i]), and 0 on the diagonal."""
    apart = expand_dims(x, -2) - expand_dims(x, -1)
    diagonal = greater(eye(x.shape[-1], dtype=x.dtype), 0)
    return where(diagonal, 0, 1 / where(diagonal, 1, apart))


@op
class Svd(Op):
    """U, singular values in descending order, and Vᵀ of each matrix U S Vᵀ (`numpy.linalg.svd`).

    `full_matrices` makes U and V square. The gradient is that of the smaller ones, and needs
    distinct singular values that are not 0.
    """

    x: Value
    full_matrices: bool = True
    fallible: ClassVar[bool] = True

    def infer(self) -> tuple[TensorType, TensorType, TensorType]:
        _check_full(self.x)
        (*batch, rows, columns), inner = self.x.shape, _inner(self.x)
        left, right = (rows, columns) if self.full_matrices else (inner, inner)
        shapes = ((*batch, rows, left), (*batch, inner), (*batch, right, columns))
        u, values, vt = (self.x.type.with_shape(shape) for shape in shapes)
        return u, values, vt

    def reference(self, x: Array) -> tuple[Array, Array, Array]:
        # Of the transpose, as the kernel: it decides the signs of the vectors.
        across = np.swapaxes(x, -1, -2)
        right, values, left = solved(np.linalg.svd, NO_VALUES, across, self.full_matrices)
        return np.swapaxes(left, -1, -2), values, np.swapaxes(right, -1, -2)

    def decompose(self, x: Value) -> tuple[Value, ...]:
        *parts, _ = emit_all(SvdFactor(as_batch(x), self.full_matrices))
        return tuple(unbatched(part, x.shape[:-2]) for part in parts)

    def gradient(
        self,
        u: Value,
        values: Value,
        vt: Value,
        du: Value | None,
        dvalues: Value | None,
        dvt: Value | None,
    ) -> Gradients:
        rows, columns = self.x.shape[-2:]
        square = rows == columns or (du is None and dvt is None)
        if self.full_matrices and not square:
            raise UnsupportedError("the gradient of svd with full_matrices; write False")
        if self.full_matrices and rows != columns:
            u, values, vt = emit_all(Svd(self.x, False))
        inner = _on_diagonal(_or_zero(dvalues, values))
        scale, inverse = expand_dims(values, -2), expand_dims(1 / values, -2)
        differences = _differences(values * values)
        outside: list[Value] = []
        if du is not None:
            turned = matmul(transposed(u), du)
            inner = inner + differences * (turned - transposed(turned)) * scale
            beyond = du - matmul(u, turned)
            outside.append(matmul(beyond * inverse, vt))
        if dvt is not None:
            turned = matmul(vt, transposed(dvt))
            moved = differences * (turned - transposed(turned))
            inner = inner + transposed(scale) * moved
            beyond = dvt - matmul(transposed(turned), vt)
            outside.append(matmul(u, transposed(inverse) * beyond))
        total = matmul(matmul(u, inner), vt)
        for part in outside:
            total = total + part
        return (total,)


def _pseudo(x: Value, rcond: float) -> tuple[Value, Value, Value]:
    """U, the inverses of the singular values that count, as a row, and Vᵀ."""
    u, values, vt = emit_all(Svd(x, False))
    counted = greater(values, rcond * max_(values, -1, keepdims=True))
    inverses = where(counted, 1 / where(counted, values, ones_like(values)), 0)
    return u, expand_dims(inverses, -2), vt


@op
class Pinv(Op):
    """The pseudo-inverse; singular values up to `rcond` times the largest count as 0."""

    x: Value
    rcond: float
    fallible: ClassVar[bool] = True

    def infer(self) -> TensorType:
        _check_full(self.x)
        *batch, rows, columns = self.x.shape
        return self.x.type.with_shape((*batch, columns, rows))

    def reference(self, x: Array) -> Array:
        (y,) = solved(np.linalg.pinv, NO_VALUES, x, self.rcond)
        return y

    def decompose(self, x: Value) -> Value:
        u, inverses, vt = _pseudo(x, self.rcond)
        return matmul(transposed(vt) * inverses, transposed(u))

    def gradient(self, y: Value, dy: Value) -> Gradients:
        across, d_across = transposed(y), transposed(dy)
        right = matmul(d_across, matmul(y, across))
        left = matmul(matmul(across, y), d_across)
        return (
            right
            - matmul(self.x, matmul(y, right))
            + left
            - matmul(matmul(left, y), self.x)
            - matmul(across, matmul(dy, across)),
        )


@op
class Lstsq(Op):
    """The X of least norm with the least `|A X - B|`; `rcond` as of `Pinv`."""

    a: Value
    b: Value
    rcond: float
    fallible: ClassVar[bool] = True

    def infer(self) -> TensorType:
        _check_full(self.a)
        check_same_dtype(self.a, self.b)
        alike = self.b.shape[:-1] == self.a.shape[:-1]
        check(alike, "the right sides have other sizes than the matrices")
        return self.b.type.with_shape((*self.a.shape[:-2], self.a.shape[-1], self.b.shape[-1]))

    def reference(self, a: Array, b: Array) -> Array:
        (inverse,) = solved(np.linalg.pinv, NO_VALUES, a, self.rcond)
        return np.asarray(inverse @ b)

    def decompose(self, a: Value, b: Value) -> Value:
        u, inverses, vt = _pseudo(a, self.rcond)
        return matmul(transposed(vt) * inverses, matmul(transposed(u), b))

    def gradient(self, x: Value, dx: Value) -> Gradients:
        inverse = emit(Pinv(self.a, self.rcond))
        across = transposed(inverse)
        db = matmul(across, dx)
        residual = self.b - matmul(self.a, x)
        hidden = dx - matmul(inverse, matmul(self.a, dx))
        da = (
            matmul(residual, transposed(matmul(inverse, db)))
            + matmul(matmul(across, x), transposed(hidden))
            - matmul(db, transposed(x))
        )
        return da, db


def rank_of(values: Value, rcond: float) -> Value:
    """How many singular values count."""
    counted = greater(values, rcond * max_(values, -1, keepdims=True))
    return sum_(cast(counted, i64), -1)


OPS: tuple[type[Op], ...] = (Eigh, Lstsq, Pinv, Qr, Svd)
