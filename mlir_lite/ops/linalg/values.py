"""Eigenvalues and singular values of batches of matrices, as `linalg_factor` has factors: what the
public operations are decomposed into.
"""

from __future__ import annotations

from math import prod
from typing import ClassVar

import numpy as np

from ...expr import Expr, apply, const, select
from ...ir import Element, Op, Value, op
from ...tile.nodes import Kernel
from ...types import Array, TensorType, i32
from ..base.body import Indices
from ..kernels.batched import (
    COLUMN,
    ROW,
    Routine,
    batched,
    element,
    letter,
    over,
    place,
    scratch,
)
from .block_eigen import block_eigh
from .block_svd import block_svd
from .factor import BLOCK, Factor, status_type
from .matrices import solved

NO_EIGENVALUES = "eigh: the eigenvalues did not converge"
NO_VALUES = "svd: the singular values did not converge"


@op
class EighFactor(Factor):
    """Eigenvalues in ascending order and eigenvectors, as columns, of symmetric matrices (`syevd`).

    The upper triangle of `x` is not read.
    """

    x: Value
    fallible: ClassVar[bool] = True

    def infer(self) -> tuple[TensorType, TensorType, TensorType]:
        self.check_batch(square=True)
        values = self.x.type.with_shape(self.x.shape[:2])
        return values, self.x.type, status_type(self.x)

    def reference(self, x: Array) -> tuple[Array, Array, Array]:
        values, vectors = solved(np.linalg.eigh, NO_EIGENVALUES, x)
        return values, vectors, np.zeros(len(x), np.int32)

    def kernel(self, name: str) -> Kernel:
        _, n, _ = self.sizes
        x, (values, vectors, info) = self.buffers()
        size, integers = 1 + 6 * n + 2 * n * n, 3 + 5 * n
        own = scratch("own", x.dtype, n, n)
        work, iwork = scratch("work", x.dtype, size), scratch("iwork", i32, integers)
        mirrored = select(COLUMN <= ROW, element(x, ROW, COLUMN), element(x, COLUMN, ROW))
        solve = Routine(
            f"{letter(x.dtype)}syevd",
            ("V", "L", n, own, n, values, work, size, iwork, integers, info),
            {"own": "inout"},
            operations=9 * n**3,
        )
        body = (
            over(n, n, place(own, ROW, COLUMN), mirrored),
            solve.call,
            over(n, n, place(vectors, ROW, COLUMN), element(own, COLUMN, ROW), mark="1"),
        )
        return batched(
            name,
            (x,),
            (values, vectors, info),
            body,
            locals_=(own, work, iwork),
            routines=(solve,),
        )

    def block_kernel(self, name: str) -> Kernel:
        x, (values, vectors, info) = self.buffers()
        return block_eigh(name, x, values, vectors, info)

    def failure(
        self, at: Indices, values: Element, vectors: Element, info: Element
    ) -> tuple[Expr, str]:
        return apply("ne", info[at], const(0, i32)), NO_EIGENVALUES


@op
class SvdFactor(Factor):
    """U, the singular values in descending order, and Vᵀ of each matrix U S Vᵀ (`gesdd`)."""

    x: Value
    full: bool = False
    fallible: ClassVar[bool] = True

    def infer(self) -> tuple[TensorType, ...]:
        self.check_batch(square=False)
        batch, rows, columns = self.sizes
        inner = min(rows, columns)
        left, right = (rows, columns) if self.full else (inner, inner)
        shapes = ((batch, rows, left), (batch, inner), (batch, right, columns))
        return *(self.x.type.with_shape(shape) for shape in shapes), status_type(self.x)

    def reference(self, x: Array) -> tuple[Array, ...]:
        # Of the transpose, as the kernel: it decides the signs of the vectors.
        across = np.swapaxes(x, 1, 2)
        right, values, left = solved(np.linalg.svd, NO_VALUES, across, self.full)
        u, vt = np.swapaxes(left, 1, 2), np.swapaxes(right, 1, 2)
        return u, values, vt, np.zeros(len(x), np.int32)

    def kernel(self, name: str) -> Kernel:
        """Row-major U and Vᵀ are to LAPACK the two sides of the transpose, exchanged."""
        _, rows, columns = self.sizes
        inner, outer = min(rows, columns), max(rows, columns)
        x, (u, values, vt, info) = self.buffers()
        size = 5 * inner * inner + 8 * inner + BLOCK * outer
        own = scratch("own", x.dtype, rows, columns)
        work, iwork = scratch("work", x.dtype, size), scratch("iwork", i32, 8 * inner)
        left = prod(u.shape[2:])
        solve = Routine(
            f"{letter(x.dtype)}gesdd",
            (
                *("A" if self.full else "S", columns, rows, own, columns, values),
                *(vt, columns, u, left, work, size, iwork, info),
            ),
            {"own": "inout"},
            operations=4 * rows * columns * inner + 22 * inner**3,
        )
        body = (over(rows, columns, place(own, ROW, COLUMN), element(x, ROW, COLUMN)), solve.call)
        return batched(
            name,
            (x,),
            (u, values, vt, info),
            body,
            locals_=(own, work, iwork),
            routines=(solve,),
        )

    def block_kernel(self, name: str) -> Kernel:
        x, (u, values, vt, info) = self.buffers()
        return block_svd(name, x, u, values, vt, info)

    def failure(
        self, at: Indices, u: Element, values: Element, vt: Element, info: Element
    ) -> tuple[Expr, str]:
        return apply("ne", info[at], const(0, i32)), NO_VALUES


OPS: tuple[type[Op], ...] = (EighFactor, SvdFactor)
