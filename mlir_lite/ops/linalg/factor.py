"""Factorisations of batches of matrices, by LAPACK or the threads of a block: what the public
operations are decomposed into.

Each takes and gives arrays with one leading axis, the batch. Where a routine can fail, the last
result `info` says of each matrix whether it did: anything but 0 is an error at the user's line.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ...errors import check
from ...expr import Expr, apply, const, select
from ...ir import Element, Op, Value, op
from ...tile.nodes import Buffer, Kernel
from ...types import Array, TensorType, i32
from ..base.body import Indices
from ..kernels.batched import (
    COLUMN,
    ROW,
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
from .block_factors import block_cholesky, block_lu
from .block_qr import block_qr
from .matrices import check_matrices, solved
from .small import small_cholesky, suits

NOT_POSITIVE = "cholesky: the matrix is not positive definite"
BLOCK = 64  # rows that LAPACK's blocked algorithms take at once, at most


class Factor(Op):
    """The base: one batch of matrices in, named buffers for the kernel."""

    x: Value

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Batch, rows and columns."""
        batch, rows, columns = self.x.type.static_shape
        return batch, rows, columns

    def check_batch(self, *, square: bool) -> None:
        check(self.x.rank == 3, "takes one batch of matrices: rank 3")
        check_matrices(self.x, square=square)

    def buffers(self) -> tuple[Buffer, tuple[Buffer, ...]]:
        """The operand's buffer and those of the results."""
        types = self.infer()
        several = types if isinstance(types, tuple) else (types,)
        outputs = [
            Buffer(f"out{k}", type_.dtype, type_.static_shape) for k, type_ in enumerate(several)
        ]
        return Buffer("x", self.x.dtype, self.x.type.static_shape), tuple(outputs)


def status_type(x: Value) -> TensorType:
    """The type of what says, for each matrix of a batch, whether it has the factor: 0 if so."""
    return TensorType(x.shape[:1], i32)


@op
class CholeskyFactor(Factor):
    """The lower triangle L of each symmetric matrix L Lᵀ, and whether there is one (`potrf`).

    The upper triangle of `x` is not read.
    """

    x: Value
    fallible: ClassVar[bool] = True

    def infer(self) -> tuple[TensorType, TensorType]:
        self.check_batch(square=True)
        return self.x.type, status_type(self.x)

    def reference(self, x: Array) -> tuple[Array, Array]:
        (factors,) = solved(np.linalg.cholesky, NOT_POSITIVE, x)
        return factors, np.zeros(len(x), np.int32)

    def kernel(self, name: str) -> Kernel:
        _, n, _ = self.sizes
        x, (lower, info) = self.buffers()
        if suits(x):
            return small_cholesky(name, x, lower, info)
        kept = select(COLUMN <= ROW, element(x, ROW, COLUMN), number(x.dtype, 0))
        copy = over(n, n, place(lower, ROW, COLUMN), kept)
        # The lower triangle is the upper one of the transpose, which is what LAPACK sees.
        factor = Routine(
            f"{letter(x.dtype)}potrf",
            ("U", n, lower, n, info),
            {"out0": "inout"},
            operations=n**3 // 3,
        )
        return batched(name, (x,), (lower, info), (copy, factor.call), routines=(factor,))

    def block_kernel(self, name: str) -> Kernel:
        x, (lower, info) = self.buffers()
        return block_cholesky(name, x, lower, info)

    def failure(self, at: Indices, factor: Element, info: Element) -> tuple[Expr, str]:
        return apply("ne", info[at], const(0, i32)), NOT_POSITIVE


@op
class LuFactor(Factor):
    """L and U of the transpose of each matrix, one behind the other, and the columns exchanged.

    `xᵀ = P L U` (`getrf`): read row after row the result holds `Uᵀ` in the lower triangle, the
    diagonal included, and `Lᵀ` above. `pivots` counts from 1.
    """

    x: Value

    def infer(self) -> tuple[TensorType, TensorType]:
        self.check_batch(square=True)
        return self.x.type, TensorType(self.x.shape[:2], i32)

    def reference(self, x: Array) -> tuple[Array, Array]:
        matrices = np.ascontiguousarray(np.swapaxes(x, 1, 2))
        batch, n, _ = x.shape
        pivots, every = np.zeros((batch, n), np.int32), np.arange(batch)
        for step in range(n):
            best = step + np.argmax(np.abs(matrices[:, step:, step]), 1)
            pivots[:, step] = best + 1
            matrices[every, best], matrices[:, step] = (
                matrices[:, step].copy(),
                matrices[every, best].copy(),
            )
            pivot = matrices[:, step, step, None]
            column = matrices[:, step + 1 :, step]
            column[...] = np.where(pivot == 0, column, column / np.where(pivot == 0, 1, pivot))
            row = matrices[:, step, None, step + 1 :]
            matrices[:, step + 1 :, step + 1 :] -= column[..., None] * row
        return np.ascontiguousarray(np.swapaxes(matrices, 1, 2)), pivots

    def kernel(self, name: str) -> Kernel:
        _, n, _ = self.sizes
        x, (factors, pivots) = self.buffers()
        info = status()
        copy = over(n, n, place(factors, ROW, COLUMN), element(x, ROW, COLUMN))
        factor = Routine(
            f"{letter(x.dtype)}getrf",
            (n, n, factors, n, pivots, info),
            {"out0": "inout"},
            operations=2 * n**3 // 3,
        )
        body = (copy, factor.call)
        return batched(
            name, (x,), (factors, pivots), body, locals_=(info,), routines=(factor,)
        )

    def block_kernel(self, name: str) -> Kernel:
        x, (factors, pivots) = self.buffers()
        return block_lu(name, x, factors, pivots)


@op
class QrFactor(Factor):
    """Q with orthonormal columns and upper triangular R of each matrix Q R (`gelqf`, `orglq`)."""

    x: Value

    def infer(self) -> tuple[TensorType, TensorType]:
        self.check_batch(square=False)
        batch, rows, columns = self.sizes
        inner = min(rows, columns)
        dtype = self.x.dtype
        return TensorType((batch, rows, inner), dtype), TensorType((batch, inner, columns), dtype)

    def reference(self, x: Array) -> tuple[Array, Array]:
        q, r = np.linalg.qr(x)
        return np.asarray(q), np.asarray(r)

    def kernel(self, name: str) -> Kernel:
        """A row-major matrix is its transpose to LAPACK, and the LQ of that is the wanted QR."""
        _, rows, columns = self.sizes
        inner = min(rows, columns)
        x, (q, r) = self.buffers()
        dtype, first = x.dtype, letter(x.dtype)
        packed = q if inner == columns else scratch("packed", dtype, rows, columns)
        size = BLOCK * max(rows, columns)
        tau, work, info = scratch("tau", dtype, inner), scratch("work", dtype, size), status()
        factor = Routine(
            f"{first}gelqf",
            (columns, rows, packed, columns, tau, work, size, info),
            {packed.name: "inout"},
            operations=2 * rows * columns * inner,
        )
        expand = Routine(
            f"{first}orglq",
            (inner, rows, inner, packed, columns, tau, work, size, info),
            {packed.name: "inout", "tau": "in"},
            operations=2 * rows * inner * inner,
        )
        upper = select(COLUMN >= ROW, element(packed, ROW, COLUMN), number(dtype, 0))
        body = [
            over(rows, columns, place(packed, ROW, COLUMN), element(x, ROW, COLUMN)),
            factor.call,
            over(inner, columns, place(r, ROW, COLUMN), upper, mark="1"),
            expand.call,
        ]
        locals_ = [tau, work, info]
        if packed is not q:
            expanded = element(packed, ROW, COLUMN)
            body.append(over(rows, inner, place(q, ROW, COLUMN), expanded, mark="2"))
            locals_.append(packed)
        return batched(
            name, (x,), (q, r), tuple(body), locals_=locals_, routines=(factor, expand)
        )

    def block_kernel(self, name: str) -> Kernel:
        x, (q, r) = self.buffers()
        return block_qr(name, x, q, r)


OPS: tuple[type[Op], ...] = (CholeskyFactor, LuFactor, QrFactor)
