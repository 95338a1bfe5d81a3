"""The transpose of a sparse matrix: where its elements are, row after row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ...expr import Expr, Var, cast, to_index
from ...ir import Element, Op, Value, op
from ...sizes import Shape, Size, static
from ...tile.nodes import Accumulate, Block, Buffer, Kernel, Ref, Stmt
from ...types import Array, TensorType, i32, i64
from ..base.body import Indices, clamped
from ..base.elements import emit_all
from ..base.promote import check_kind
from ..kernels.lanes import get, put
from .rows import RowSteps
from .structure import (
    BROKEN,
    check_starts,
    check_stored,
    columns_in_numpy,
    faulty,
    rows_in_numpy,
    structure_shape,
)


@op
class SparseTranspose(Op):
    """The structure of Aᵀ, of A `(m, width)` in compressed rows: `order`, `columns` and `starts`.

    The element k of Aᵀ is the element `order[k]` of A; those of one row are in the order of A's
    rows, of A's elements in one row. It is counted and dealt (counting sort).
    """

    columns: Value
    starts: Value
    width: Size
    fallible: ClassVar[bool] = True

    def infer(self) -> tuple[TensorType, TensorType, TensorType]:
        check_kind(self.columns, "iu")
        check_stored(self.columns, "columns")
        check_starts(self.starts)
        wide = i64 in (self.columns.dtype, self.starts.dtype)
        stored = self.columns.type.with_dtype(i64 if wide else i32)
        return stored, stored, stored.with_shape((self.width + 1,))

    def reference(self, columns: Array, starts: Array) -> tuple[Array, ...]:
        (width,) = static((self.width,))
        rows = rows_in_numpy(starts, len(columns))
        place = columns_in_numpy(columns, width)
        order = np.argsort(place, kind="stable")
        ends = np.concatenate([[0], np.cumsum(np.bincount(place, minlength=width))])
        dtype = self.infer()[0].dtype.numpy
        return tuple(array.astype(dtype) for array in (order, rows[order], ends))

    def fault(self, at: Indices, columns: Element, starts: Element) -> tuple[Expr, str]:
        (width,) = static((self.width,))
        return faulty(at, columns, starts, width), BROKEN

    @property
    def fault_shape(self) -> Shape:
        return structure_shape(self.columns, self.starts)

    def kernel(self, name: str) -> Kernel:
        columns, starts = (
            Buffer(field, value.dtype, value.type.static_shape)
            for field, value in (("columns", self.columns), ("starts", self.starts))
        )
        outputs = [
            Buffer(f"out{place}", type_.dtype, type_.static_shape)
            for place, type_ in enumerate(self.infer())
        ]
        return _sort_kernel(name, columns, starts, *outputs)


def _sort_kernel(
    name: str, columns: Buffer, starts: Buffer, order: Buffer, rows: Buffer, ends: Buffer
) -> Kernel:
    """`ends` first counts the elements of each column, then says where the next one belongs; at
    last that is where the next column starts."""
    (stored,), (many,) = columns.shape, ends.shape
    width, dtype = many - 1, ends.dtype
    steps = RowSteps(dtype, starts, stored)

    def counted(k: Var) -> Block:
        lets, column = steps.column(columns, k, width)
        return *lets, Accumulate("sum", (Ref(ends.name, (column + 1,)),), (steps.number(1),))

    def dealt(k: Expr, row: Expr) -> Block:
        lets, column = steps.column(columns, k, width)
        let_place, place = steps.named(to_index(get(ends, column)))
        let_inside, inside = steps.named(clamped(place, stored))
        return (
            *lets,
            let_place,
            let_inside,
            put(order, inside)(cast(k, dtype)),
            put(rows, inside)(cast(row, dtype)),
            put(ends, column)(cast(place + 1, dtype)),
        )

    def row(number: Expr, start: Expr, stop: Expr) -> Block:
        return (steps.loop(start, stop, lambda k: dealt(k, number)),)

    body: list[Stmt] = [steps.loop(0, many, lambda c: (put(ends, c)(steps.number(0)),))]
    if stored and width:
        body += [
            steps.loop(0, stored, counted),
            steps.loop(1, many, lambda c: (put(ends, c)(get(ends, c) + get(ends, c - 1)),)),
            steps.plain(row),
            steps.loop(
                0, width, lambda c: (put(ends, width - c)(get(ends, width - 1 - c)),)
            ),
            put(ends, 0)(steps.number(0)),
        ]
    return Kernel(
        name,
        (columns, starts, order, rows, ends),
        (order.name, rows.name, ends.name),
        tuple(body),
        tuple(steps.locals),
    )


@dataclass(frozen=True)
class Transposed:
    """The structure of a transposed matrix; `order` says which elements these are."""

    order: Value
    columns: Value
    starts: Value


def transposed(columns: Value, starts: Value, width: Size) -> Transposed:
    """The structure of the transpose of a matrix with so many columns."""
    return Transposed(*emit_all(SparseTranspose(columns, starts, width)))


OPS: tuple[type[Op], ...] = (SparseTranspose,)
