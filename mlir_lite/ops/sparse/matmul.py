"""The product of a sparse matrix and a dense one."""

from __future__ import annotations

import numpy as np

from ...errors import check
from ...expr import Expr
from ...ir import Element, Op, Value, op
from ...sizes import Shape
from ...tile.nodes import Kernel
from ...types import Array, TensorType
from ..base.body import Indices
from ..base.elements import Gradients, emit
from ..base.promote import check_kind, check_same_dtype
from ..reductions.reduce import widened
from ..shapes.index import gather
from .matmul_kernel import plain_kernel, product_kernel
from .sampled import sampled_product
from .structure import (
    BROKEN,
    check_starts,
    check_stored,
    columns_in_numpy,
    faulty,
    rows_in_numpy,
    structure_shape,
)
from .transposed import transposed


@op
class SparseMatmul(Op):
    """`A @ x`: a matrix `A (m, n)` in compressed rows times a dense `x (n, c)`, `(m, c)`.

    A has `values[k]` in the column `columns[k]`; those of row r are the ones from `starts[r]` to
    `starts[r + 1]`. Values in one place are added. Half-width floats are summed in f32, integers
    in their own type.
    """

    values: Value
    columns: Value
    starts: Value
    x: Value

    def infer(self) -> TensorType:
        check_kind(self.values, "fiu")
        check_kind(self.columns, "iu")
        check_same_dtype(self.values, self.x)
        check_stored(self.values, "stored values", self.columns)
        check(self.x.rank == 2, "multiplies a dense matrix of rank 2")
        return self.x.type.with_shape((check_starts(self.starts), self.x.shape[1]))

    def reference(self, values: Array, columns: Array, starts: Array, x: Array) -> Array:
        rows = rows_in_numpy(starts, len(values))
        wide = widened(x)
        terms = widened(values)[:, None] * wide[columns_in_numpy(columns, len(x))]
        total = np.zeros((len(starts) - 1, x.shape[1]), wide.dtype)
        np.add.at(total, rows, terms)
        return total.astype(x.dtype)

    def fault(
        self, at: Indices, values: Element, columns: Element, starts: Element, x: Element
    ) -> tuple[Expr, str]:
        return faulty(at, columns, starts, x.type.static_shape[0]), BROKEN

    @property
    def fault_shape(self) -> Shape:
        return structure_shape(self.columns, self.starts)

    def kernel(self, name: str) -> Kernel:
        return product_kernel(name, *(value.type for value in self.operands))

    def block_kernel(self, name: str) -> Kernel:
        return plain_kernel(name, *(value.type for value in self.operands))

    @property
    def stores_once(self) -> bool:
        return self.x.shape[1] != 1

    def gradient(self, y: Value, dy: Value) -> Gradients:
        turned = transposed(self.columns, self.starts, self.x.shape[0])
        return (
            sampled_product(dy, self.x, self.columns, self.starts),
            None,
            None,
            sparse_product(gather(self.values, turned.order), turned.columns, turned.starts, dy),
        )


def sparse_product(values: Value, columns: Value, starts: Value, x: Value) -> Value:
    """A matrix in compressed rows times a dense one."""
    return emit(SparseMatmul(values, columns, starts, x))


OPS: tuple[type[Op], ...] = (SparseMatmul,)
