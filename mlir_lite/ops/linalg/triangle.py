"""Solving with factors that are there: triangles, and the L and U of `LuFactor`.

As in `linalg_factor`, operands have one leading axis, the batch.
"""

from __future__ import annotations

import numpy as np

from ...errors import check
from ...expr import Expr
from ...ir import Element, Op, Value, op
from ...sizes import Shape
from ...tile.nodes import Buffer, Kernel, Store
from ...types import Array, TensorType
from ..base.body import Indices
from ..base.promote import check_same_dtype
from ..kernels.batched import (
    COLUMN,
    ROW,
    ZERO,
    Routine,
    batched,
    element,
    letter,
    number,
    over,
    place,
    scratch,
    status,
)
from .block_solve import block_lu_solve, block_substitution
from .matrices import check_matrices
from .small import small_substitution, suits

ZERO_PIVOT = "triangular_solve: the matrix is singular, its diagonal has a zero"
SINGULAR = "solve or inverse: the matrix is singular"


class System(Op):
    """The base: a batch of square matrices and one of right sides, `(b, n, n)` and `(b, n, k)`."""

    matrix: Value
    rhs: Value

    def infer(self) -> TensorType:
        check_matrices(self.matrix)
        check_same_dtype(self.matrix, self.rhs)
        check(self.matrix.rank == self.rhs.rank == 3, "takes one batch of matrices: rank 3")
        alike = self.rhs.shape[:2] == self.matrix.shape[:2]
        check(alike, "the right sides have other sizes than the matrices")
        return self.rhs.type

    @property
    def fault_shape(self) -> Shape:
        """The diagonals."""
        return self.matrix.shape[:2]

    def buffers(self) -> tuple[Buffer, Buffer, Buffer]:
        matrix, rhs = (
            Buffer(name, value.dtype, value.type.static_shape)
            for name, value in (("matrix", self.matrix), ("rhs", self.rhs))
        )
        return matrix, rhs, Buffer("out", rhs.dtype, rhs.shape)


@op
class Substitution(System):
    """`op(A) X = B` for triangles A (`trsm`); the other triangle of `matrix` is not read.

    `transposed` solves with Aᵀ, `unit` takes the diagonal for ones.
    """

    matrix: Value
    rhs: Value
    lower: bool = True
    transposed: bool = False
    unit: bool = False

    def reference(self, matrix: Array, rhs: Array) -> Array:
        triangle = np.tril(matrix) if self.lower else np.triu(matrix)
        if self.unit:
            np.einsum("bii->bi", triangle)[...] = 1
        solving = np.swapaxes(triangle, 1, 2) if self.transposed else triangle
        return np.linalg.solve(solving, rhs)

    def kernel(self, name: str) -> Kernel:
        """Row after row, `A X = B` is to LAPACK `X A = B` for the other triangle."""
        matrix, rhs, out = self.buffers()
        _, n, k = rhs.shape
        if suits(matrix) and k <= n:
            return small_substitution(name, matrix, rhs, out, **self._options)
        one = scratch("one", rhs.dtype, 1)
        solve = Routine(
            f"{letter(rhs.dtype)}trsm",
            (
                *("R", "U" if self.lower else "L", "T" if self.transposed else "N"),
                *("U" if self.unit else "N", k, n, one, matrix, n, out, k),
            ),
            {"one": "in", "matrix": "in", "out": "inout"},
            operations=n * n * k,
        )
        body = (
            Store(place(one, ZERO), number(rhs.dtype, 1)),
            over(n, k, place(out, ROW, COLUMN), element(rhs, ROW, COLUMN)),
            solve.call,
        )
        return batched(name, (matrix, rhs), (out,), body, locals_=(one,), routines=(solve,))

    def block_kernel(self, name: str) -> Kernel:
        matrix, rhs, out = self.buffers()
        return block_substitution(name, matrix, rhs, out, **self._options)

    @property
    def _options(self) -> dict[str, bool]:
        return {"lower": self.lower, "transposed": self.transposed, "unit": self.unit}

    def fault(self, at: Indices, matrix: Element, rhs: Element) -> tuple[Expr, str] | None:
        if self.unit:
            return None
        singular = matrix[(*at, at[1])].eq(0)
        return singular, ZERO_PIVOT


@op
class LuSolve(Op):
    """The solutions `A X = B`, or `Aᵀ X = B`, from what `LuFactor` made of A (`getrs`)."""

    matrix: Value
    pivots: Value
    rhs: Value
    transposed: bool = False

    def infer(self) -> TensorType:
        check(self.pivots.shape == self.matrix.shape[:2], "there is one pivot for each row")
        return Substitution(self.matrix, self.rhs).infer()

    def reference(self, matrix: Array, pivots: Array, rhs: Array) -> Array:
        # matrixᵀ holds L and U with xᵀ = P L U: each exchange is undone from the last one on.
        packed = np.swapaxes(matrix, 1, 2)
        n = packed.shape[1]
        product = (np.tril(packed, -1) + np.eye(n, dtype=matrix.dtype)) @ np.triu(packed)
        for step in reversed(range(n)):
            for rows, other in zip(product, pivots[:, step] - 1, strict=True):
                rows[[step, other]] = rows[[other, step]]
        solving = product if self.transposed else np.swapaxes(product, 1, 2)
        return np.linalg.solve(solving, rhs)

    def kernel(self, name: str) -> Kernel:
        """The right sides are brought to columns; the matrix is its transpose to LAPACK."""
        matrix, pivots, rhs, out = self.buffers()
        _, n, k = rhs.shape
        own, info = scratch("own", rhs.dtype, k, n), status()
        solve = Routine(
            f"{letter(rhs.dtype)}getrs",
            ("N" if self.transposed else "T", n, k, matrix, n, pivots, own, n, info),
            {"matrix": "in", "pivots": "in", "own": "inout"},
            operations=2 * n * n * k,
        )
        body = (
            over(n, k, place(own, COLUMN, ROW), element(rhs, ROW, COLUMN)),
            solve.call,
            over(n, k, place(out, ROW, COLUMN), element(own, COLUMN, ROW), mark="1"),
        )
        return batched(
            name, (matrix, pivots, rhs), (out,), body, locals_=(own, info), routines=(solve,)
        )

    def block_kernel(self, name: str) -> Kernel:
        return block_lu_solve(name, *self.buffers(), transposed=self.transposed)

    def buffers(self) -> tuple[Buffer, Buffer, Buffer, Buffer]:
        matrix, rhs, out = Substitution(self.matrix, self.rhs).buffers()
        return matrix, Buffer("pivots", self.pivots.dtype, self.pivots.type.static_shape), rhs, out

    def fault(
        self, at: Indices, matrix: Element, pivots: Element, rhs: Element
    ) -> tuple[Expr, str]:
        return matrix[(*at, at[1])].eq(0), SINGULAR

    @property
    def fault_shape(self) -> Shape:
        """The diagonals of U."""
        return self.matrix.shape[:2]


OPS: tuple[type[Op], ...] = (LuSolve, Substitution)
