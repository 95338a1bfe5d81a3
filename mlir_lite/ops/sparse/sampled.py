"""Some elements of a product of dense matrices: those where a sparse matrix has any."""

from __future__ import annotations

import numpy as np

from ...errors import check
from ...expr import Expr, cast, to_index
from ...ir import Element, Op, Value, current_builder, op
from ...sizes import Shape, Size
from ...tile.nodes import Buffer, Kernel, Stmt
from ...types import Array, TensorType, i32, i64
from ..base.body import Indices, clamped, computing_type, reduce_over
from ..base.elements import Gradients, emit
from ..base.promote import check_kind, check_same_dtype
from ..kernels.lanes import put
from ..reductions.reduce import widened
from ..shapes.index import gather
from .rows import RowSteps
from .structure import (
    OUT_OF_ORDER,
    OUT_OF_PLACE,
    check_starts,
    check_stored,
    columns_in_numpy,
    disordered,
    misplaced,
    rows_in_numpy,
)
from .transposed import transposed


@op
class EntryRows(Op):
    """The row of each of the `stored` elements of a matrix whose rows have these `starts`."""

    starts: Value
    stored: Size

    def infer(self) -> TensorType:
        check_starts(self.starts)
        wide = self.starts.dtype == i64
        return TensorType((self.stored,), i64 if wide else i32)

    def reference(self, starts: Array) -> Array:
        type_ = self.infer()
        return rows_in_numpy(starts, *type_.static_shape).astype(type_.dtype.numpy)

    def fault(self, at: Indices, starts: Element) -> tuple[Expr, str]:
        (stored,) = self.infer().static_shape
        return disordered(at, starts, stored), OUT_OF_ORDER

    @property
    def fault_shape(self) -> Shape:
        return self.starts.shape

    def kernel(self, name: str) -> Kernel:
        type_ = self.infer()
        starts = Buffer("starts", self.starts.dtype, self.starts.type.static_shape)
        out = Buffer("out", type_.dtype, type_.static_shape)
        steps = RowSteps(type_.dtype, starts, out.elements)

        def row(number: Expr, start: Expr, stop: Expr) -> tuple[Stmt, ...]:
            fill = cast(number, out.dtype)
            return (steps.loop(start, stop, lambda k: (put(out, k)(fill),)),)

        return Kernel(name, (starts, out), ("out",), (steps.plain(row),), tuple(steps.locals))


@op
class SampledMatmul(Op):
    """`x[rows[k]] · y[columns[k]]` for each stored element k: the elements of `x @ y.T`, of `x
    (m, d)` and `y (n, d)`, where a matrix in compressed rows has any (SDDMM).

    `rows` are those of `entry_rows %starts`; a gradient needs the starts too.
    """

    x: Value
    y: Value
    rows: Value
    columns: Value
    starts: Value

    def infer(self) -> TensorType:
        check_kind(self.x, "fiu")
        check_same_dtype(self.x, self.y)
        for stored in (self.rows, self.columns):
            check_kind(stored, "iu")
        check_stored(self.rows, "rows", self.columns)
        check(self.x.rank == 2 and self.y.rank == 2, "takes two matrices")
        check(
            self.x.shape[1] == self.y.shape[1],
            f"the rows of x have {self.x.shape[1]} elements, those of y {self.y.shape[1]}",
        )
        height, rows = self.x.shape[0], check_starts(self.starts)
        check(height == rows, f"x has {height} rows, the sparse matrix {rows}")
        return self.x.type.with_shape(self.columns.shape)

    def reference(
        self, x: Array, y: Array, rows: Array, columns: Array, starts: Array
    ) -> Array:
        left = widened(x)[columns_in_numpy(rows, len(x))]
        right = widened(y)[columns_in_numpy(columns, len(y))]
        return np.asarray((left * right).sum(-1)).astype(x.dtype)

    def body(
        self,
        at: Indices,
        x: Element,
        y: Element,
        rows: Element,
        columns: Element,
        starts: Element,
    ) -> Expr:
        wide = computing_type(x.type.dtype)
        (height, depth), width = x.type.static_shape, y.type.static_shape[0]
        row = clamped(to_index(rows[at]), height)
        column = clamped(to_index(columns[at]), width)
        total = reduce_over(
            "sum",
            {"d": depth},
            lambda d: cast(x[row, d], wide) * cast(y[column, d], wide),
        )
        return cast(total, x.type.dtype)

    def fault(
        self,
        at: Indices,
        x: Element,
        y: Element,
        rows: Element,
        columns: Element,
        starts: Element,
    ) -> tuple[Expr, str]:
        height, width = x.type.static_shape[0], y.type.static_shape[0]
        return misplaced(at, columns, width) | misplaced(at, rows, height), OUT_OF_PLACE

    @property
    def fault_shape(self) -> Shape:
        return self.columns.shape

    def gradient(self, z: Value, dz: Value) -> Gradients:
        call = current_builder().table.call
        turned = transposed(self.columns, self.starts, self.y.shape[0])
        to_x = call("sparse_product", dz, self.columns, self.starts, self.y)
        back = gather(dz, turned.order)
        to_y = call("sparse_product", back, turned.columns, turned.starts, self.x)
        return to_x, to_y, None, None, None


def entry_rows(starts: Value, stored: Size) -> Value:
    """The row of each of so many stored elements."""
    return emit(EntryRows(starts, stored))


def sampled_product(x: Value, y: Value, columns: Value, starts: Value) -> Value:
    """The elements of `x @ y.T` at the places of a matrix in compressed rows."""
    rows = entry_rows(starts, columns.shape[0])
    return emit(SampledMatmul(x, y, rows, columns, starts))


OPS: tuple[type[Op], ...] = (EntryRows, SampledMatmul)
