"""Linear systems: Cholesky factors, triangles, solutions, inverses, determinants.

The gradients are those of M. B. Giles, "Collected matrix derivative results for forward and reverse
mode algorithmic differentiation" (2008), but for Cholesky's: I. Murray, "Differentiation of the
Cholesky decomposition" (2016), equation 9.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ...errors import check
from ...ir import Op, Value, op
from ...types import Array, TensorType, i64
from ..base.broadcast import broadcast
from ..base.cast import cast
from ..base.elements import Gradients, emit, emit_all
from ..base.promote import check_same_dtype
from ..elementwise.compare import equal, not_equal
from ..elementwise.select import where
from ..elementwise.unary import absolute, log, sign
from ..products.matmul import matmul
from ..reductions.reduce import prod
from ..reductions.reduce import sum as sum_
from ..shapes.creation import eye, iota
from ..shapes.index import tril, triu
from ..shapes.shape import expand_dims, swapaxes
from .factor import NOT_POSITIVE, CholeskyFactor, LuFactor
from .matrices import as_batch, check_matrices, solved, unbatched
from .triangle import SINGULAR, ZERO_PIVOT, LuSolve, Substitution


def transposed(x: Value) -> Value:
    """Each matrix transposed."""
    return swapaxes(x, -1, -2)


def diagonal(x: Value) -> Value:
    """The diagonal of each square matrix."""
    return sum_(where(_on_diagonal(x), x, 0), -1)


def _on_diagonal(x: Value) -> Value:
    size = x.shape[-1]
    return equal(expand_dims(iota(size), 1), iota(size))


def _half_diagonal(x: Value) -> Value:
    return where(_on_diagonal(x), x * 0.5, x)


def to_lower(x: Value) -> Value:
    """The gradient of a symmetric matrix of which the lower triangle alone is read: each element
    there stands for two."""
    return _half_diagonal(tril(x + transposed(x)))


@op
class Cholesky(Op):
    """The lower triangular L of a symmetric positive definite matrix L Lᵀ (`numpy.linalg`).

    The upper triangle of `x` is not read. Not positive definite is a `RunError`.
    """

    x: Value
    fallible: ClassVar[bool] = True

    def infer(self) -> TensorType:
        check_matrices(self.x)
        return self.x.type

    def reference(self, x: Array) -> Array:
        (factor,) = solved(np.linalg.cholesky, NOT_POSITIVE, x)
        return factor

    def decompose(self, x: Value) -> Value:
        factor, _ = emit_all(CholeskyFactor(as_batch(x)))
        return unbatched(factor, x.shape[:-2])

    def gradient(self, y: Value, dy: Value) -> Gradients:
        """L⁻ᵀ Φ(Lᵀ dL) L⁻¹, where Φ takes the lower triangle, its diagonal halved."""
        halved = _half_diagonal(tril(matmul(transposed(y), dy)))
        left = triangle_solved(y, halved, transpose=True)
        both = transposed(triangle_solved(y, transposed(left), transpose=True))
        return (to_lower(both),)


class _System(Op):
    """The base: square matrices and right sides with the same leading axes."""

    a: Value
    b: Value

    def infer(self) -> TensorType:
        check_matrices(self.a)
        check_same_dtype(self.a, self.b)
        alike = self.b.shape[:-1] == self.a.shape[:-1]
        check(alike, "the right sides have other sizes than the matrices")
        return self.b.type


@op
class TriangularSolve(_System):
    """X with `op(A) X = B` for triangular A (`scipy.linalg.solve_triangular`).

    The other triangle of `a` is not read; `transpose` solves with Aᵀ, `unit_diagonal` takes the
    diagonal for ones. A zero on the diagonal is a `RunError`.
    """

    a: Value
    b: Value
    lower: bool = True
    transpose: bool = False
    unit_diagonal: bool = False
    fallible: ClassVar[bool] = True

    def reference(self, a: Array, b: Array) -> Array:
        triangle = np.tril(a) if self.lower else np.triu(a)
        if self.unit_diagonal:
            np.einsum("...ii->...i", triangle)[...] = 1
        matrix = np.swapaxes(triangle, -1, -2) if self.transpose else triangle
        (x,) = solved(np.linalg.solve, ZERO_PIVOT, matrix, b)
        return x

    def decompose(self, a: Value, b: Value) -> Value:
        options = self.lower, self.transpose, self.unit_diagonal
        x = emit(Substitution(as_batch(a), as_batch(b), *options))
        return unbatched(x, b.shape[:-2])

    def gradient(self, x: Value, dx: Value) -> Gradients:
        db = triangle_solved(
            self.a,
            dx,
            lower=self.lower,
            transpose=not self.transpose,
            unit_diagonal=self.unit_diagonal,
        )
        whole = _matrix_gradient(x, db, self.transpose)
        inner = 1 if self.unit_diagonal else 0
        return tril(whole, -inner) if self.lower else triu(whole, inner), db


def triangle_solved(
    a: Value,
    b: Value,
    *,
    lower: bool = True,
    transpose: bool = False,
    unit_diagonal: bool = False,
) -> Value:
    """`TriangularSolve` of operands that fit."""
    return emit(TriangularSolve(a, b, lower, transpose, unit_diagonal))


def _matrix_gradient(x: Value, db: Value, transpose: bool) -> Value:
    """-dB Xᵀ: the gradient of A where `A X = B`; of Aᵀ where that is `transpose`d."""
    left, right = (x, db) if transpose else (db, x)
    return -matmul(left, transposed(right))


@op
class Solve(_System):
    """X with `A X = B`, or `Aᵀ X = B` (`numpy.linalg.solve`). Singular is a `RunError`."""

    a: Value
    b: Value
    transpose: bool = False
    fallible: ClassVar[bool] = True

    def reference(self, a: Array, b: Array) -> Array:
        matrix = np.swapaxes(a, -1, -2) if self.transpose else a
        (x,) = solved(np.linalg.solve, SINGULAR, matrix, b)
        return x

    def decompose(self, a: Value, b: Value) -> Value:
        factors, pivots = emit_all(LuFactor(as_batch(a)))
        x = emit(LuSolve(factors, pivots, as_batch(b), self.transpose))
        return unbatched(x, b.shape[:-2])

    def gradient(self, x: Value, dx: Value) -> Gradients:
        # The factors are the same ones: of equal operations one is done.
        db = emit(Solve(self.a, dx, not self.transpose))
        return _matrix_gradient(x, db, self.transpose), db


@op
class Inverse(Op):
    """The inverse of each matrix (`numpy.linalg.inv`). Singular is a `RunError`."""

    x: Value
    fallible: ClassVar[bool] = True

    def infer(self) -> TensorType:
        check_matrices(self.x)
        return self.x.type

    def reference(self, x: Array) -> Array:
        (y,) = solved(np.linalg.inv, SINGULAR, x)
        return y

    def decompose(self, x: Value) -> Value:
        identity = eye(x.shape[-1], dtype=x.dtype)
        return emit(Solve(x, broadcast(identity, x.shape)))

    def gradient(self, y: Value, dy: Value) -> Gradients:
        across = transposed(y)
        return (-matmul(matmul(across, dy), across),)


@op
class Slogdet(Op):
    """The sign of the determinant, and the logarithm of its size (`numpy.linalg.slogdet`).

    Of a singular matrix 0 and -inf; its gradient there is a `RunError`, as of the inverse.
    """

    x: Value

    def infer(self) -> tuple[TensorType, TensorType]:
        check_matrices(self.x)
        type_ = self.x.type.with_shape(self.x.shape[:-2])
        return type_, type_

    def reference(self, x: Array) -> tuple[Array, Array]:
        found, size = np.linalg.slogdet(x)
        return np.asarray(found), np.asarray(size)

    def decompose(self, x: Value) -> tuple[Value, Value]:
        factors, exchanges = _diagonal_and_sign(x)
        found = exchanges * prod(sign(factors), -1)
        return found, sum_(log(absolute(factors)), -1)

    def gradient(self, found: Value, size: Value, _: Value | None, dy: Value | None) -> Gradients:
        if dy is None:
            return (None,)
        return (expand_dims(dy, (-2, -1)) * transposed(emit(Inverse(self.x))),)


@op
class Det(Op):
    """The determinant (`numpy.linalg.det`). The gradient at a singular matrix is a `RunError`."""

    x: Value

    def infer(self) -> TensorType:
        check_matrices(self.x)
        return self.x.type.with_shape(self.x.shape[:-2])

    def reference(self, x: Array) -> Array:
        return np.asarray(np.linalg.det(x))

    def decompose(self, x: Value) -> Value:
        factors, exchanges = _diagonal_and_sign(x)
        return exchanges * prod(factors, -1)

    def gradient(self, y: Value, dy: Value) -> Gradients:
        scale = expand_dims(dy * y, (-2, -1))
        return (scale * transposed(emit(Inverse(self.x))),)


def _diagonal_and_sign(x: Value) -> tuple[Value, Value]:
    """The diagonal of U, and -1 for an odd number of exchanges, else 1."""
    factors, pivots = emit_all(LuFactor(as_batch(x)))
    exchanged = not_equal(cast(pivots, i64), iota(x.shape[-1]) + 1)
    signs = prod(1 - 2 * cast(exchanged, x.dtype), -1)
    shape = x.shape[:-2]
    return unbatched(diagonal(factors), shape), unbatched(signs, shape)


OPS: tuple[type[Op], ...] = (Cholesky, Det, Inverse, Slogdet, Solve, TriangularSolve)
