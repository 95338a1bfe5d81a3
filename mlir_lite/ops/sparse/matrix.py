"""A sparse matrix of traced values, in compressed rows (CSR), and the type of one.

Being sparse is a matter of types, and of Python: a matrix stands for three tensors, which is what
the IR has, and its operators write the operations on them.

    %0 = sparse_matmul %a.values, %a.columns, %a.starts, %x : tensor<2503x64xf32>
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np

from ...errors import InputError, check
from ...ir import Operand, Value
from ...sizes import Dim, Size, size
from ...types import Array, DType, TensorType, i32
from ..base.broadcast import broadcast
from ..base.promote import as_value, like
from ..elementwise.unary import exp
from ..regions.checkpoint import stop_gradient
from ..shapes.creation import zeros
from ..shapes.index import gather
from ..shapes.join import stack
from ..shapes.scatter import scatter_nd
from ..shapes.shape import expand_dims, squeeze, transpose
from .matmul import sparse_product
from .row_reduce import row_reduced
from .sampled import entry_rows, sampled_product
from .transposed import transposed


@dataclass(frozen=True, eq=False, repr=False)
class Csr:
    """A matrix of this `shape`; `*matrix` gives its three tensors, as a call takes them.

    `values[k]` stands in the column `columns[k]`; those of row r are the ones from `starts[r]` to
    `starts[r + 1]`. Columns may come in any order; values in one place are added. Each of the three
    is a traced value or an array.
    """

    values: Operand
    columns: Operand
    starts: Operand
    shape: tuple[Size, Size]
    turned_of: Csr | None = None  # what it is the transpose of

    __array_ufunc__ = None  # an array's operators leave it to this class

    def __post_init__(self) -> None:
        rows, _ = self.shape
        for name in ("values", "columns", "starts"):
            given = getattr(self, name)
            is_vector = not isinstance(given, np.ndarray) or given.ndim == 1
            check(is_vector, f"the {name} of a sparse matrix are a vector", InputError)
        if isinstance(self.starts, np.ndarray):
            many = len(self.starts)
            check(rows + 1 == many, f"{rows} rows have one start more, not {many}", InputError)

    def __iter__(self) -> Iterator[Operand]:
        return iter((self.values, self.columns, self.starts))

    def __repr__(self) -> str:
        return f"<Csr of {self.shape[0]} x {self.shape[1]}>"

    @property
    def stored(self) -> Value:
        """The stored values, traced."""
        return as_value(self.values)

    @property
    def dtype(self) -> DType:
        return self.stored.dtype

    @property
    def rows(self) -> Value:
        """The row of each stored element."""
        return entry_rows(as_value(self.starts), self.stored.shape[0])

    def with_values(self, values: Operand) -> Csr:
        """Other values at the same places; a number takes all of them."""
        own = self.stored
        return replace(self, values=broadcast(like(values, own), own.shape), turned_of=None)

    def map(self, function: Callable[[Value], Value]) -> Csr:
        """A function of the stored values, element by element."""
        return self.with_values(function(self.stored))

    # Products

    def __matmul__(self, other: Operand) -> Value:
        """`A @ x` of a vector or a matrix."""
        x = like(other, self.stored)
        check(x.rank in (1, 2), "a sparse matrix multiplies vectors and matrices")
        wide = expand_dims(x, 1) if x.rank == 1 else x
        width, height = self.shape[1], wide.shape[0]
        check(height == width, f"{width} columns times {height} rows")
        columns, starts = as_value(self.columns), as_value(self.starts)
        product = sparse_product(self.stored, columns, starts, wide)
        return squeeze(product, 1) if x.rank == 1 else product

    def __rmatmul__(self, other: Operand) -> Value:
        """`x @ A` of a vector or a matrix."""
        x = like(other, self.stored)
        return transpose(self.T @ transpose(x))

    @property
    def T(self) -> Csr:
        """The transpose, in compressed rows too: its elements are sorted when the program is
        compiled if their places are constant, else when it runs."""
        if self.turned_of is not None:
            return self.turned_of
        rows, columns = self.shape
        turned = transposed(as_value(self.columns), as_value(self.starts), columns)
        values = gather(self.stored, turned.order)
        return Csr(values, turned.columns, turned.starts, (columns, rows), self)

    # Element by element

    def __mul__(self, factor: Operand) -> Csr:
        """Times a number; times a vector for each column, or a column `(rows, 1)` for each row."""
        by = like(factor, self.stored)
        if by.rank == 0:
            return self.with_values(self.stored * by)
        if by.rank == 1:
            return self.with_values(self.stored * gather(by, as_value(self.columns)))
        check(by.rank == 2 and by.shape[1] == 1, "a factor of the rows has the shape (rows, 1)")
        return self.with_values(self.stored * gather(squeeze(by, 1), self.rows))

    __rmul__ = __mul__

    def __truediv__(self, divisor: Operand) -> Csr:
        return self * (1 / like(divisor, self.stored))

    def __neg__(self) -> Csr:
        return self.with_values(-self.stored)

    # Of rows

    def sum(self, axis: int | None = None) -> Value:
        """The sum of all, of each column (`axis` 0) or of each row (1)."""
        check(axis in (None, 0, 1), "a matrix has the axes 0 and 1")
        if axis is None:
            return self.stored.sum()
        if axis == 0:
            return self.T.sum(1)
        return row_reduced(self.stored, as_value(self.starts), "sum")

    def softmax(self) -> Csr:
        """Each row's stored values as shares of 1; what is not stored stays 0."""
        values, starts, rows = self.stored, as_value(self.starts), self.rows
        top = stop_gradient(row_reduced(values, starts, "max"))
        powers = exp(values - gather(top, rows))
        return self.with_values(powers / gather(row_reduced(powers, starts, "sum"), rows))

    def to_dense(self) -> Value:
        """The matrix with its zeros."""
        columns = as_value(self.columns)
        rows = self.rows.astype(columns.dtype)
        places = stack([rows, columns], 1)
        return scatter_nd(zeros(self.shape, self.dtype), places, self.stored, "add")


def csr(matrix: object) -> Csr:
    """The matrix that a SciPy sparse matrix of any format is, or a dense array, its zeros left out.

    Its arrays become constants where it is used in a traced function.
    """
    if isinstance(matrix, _Sparse):
        compressed = matrix.tocsr()
        rows, columns = compressed.shape
        parts = (compressed.data, compressed.indices, compressed.indptr)
        return Csr(*parts, (int(rows), int(columns)))
    dense = np.asarray(matrix)
    text = f"a sparse matrix is made of one of SciPy's or of an array of rank 2, not {matrix!r:.60}"
    check(dense.ndim == 2 and dense.dtype != object, text, InputError)
    there = dense != 0
    starts = np.zeros(len(dense) + 1, np.int32)
    starts[1:] = np.cumsum(there.sum(1))
    columns_ = np.nonzero(there)[1].astype(np.int32)
    rows, columns = dense.shape
    return Csr(dense[there], columns_, starts, (rows, columns))


def sampled_matmul(x: Operand, y: Operand, at: Csr) -> Csr:
    """The elements of `x @ y.T`, of `x (m, d)` and `y (n, d)`, where `at (m, n)` stores any."""
    left = as_value(x)
    values = sampled_product(left, like(y, left), as_value(at.columns), as_value(at.starts))
    return at.with_values(values)


@dataclass(frozen=True)
class CsrType:
    """The type of a sparse matrix that a function takes: of three parameters."""

    dense: TensorType
    stored: Size
    index: DType

    @property
    def parts(self) -> dict[str, TensorType]:
        """The types of the three by the matrix' fields."""
        rows, _ = self.dense.shape
        return {
            "values": self.dense.with_shape((self.stored,)),
            "columns": TensorType((self.stored,), self.index),
            "starts": TensorType((rows + 1,), self.index),
        }

    def of(self, values: Value, columns: Value, starts: Value) -> Csr:
        """The matrix of these parameters."""
        rows, columns_ = self.dense.shape
        return Csr(values, columns, starts, (rows, columns_))


def csr_type(dense: TensorType, stored: int | str | Dim, *, index: DType = i32) -> CsrType:
    """The type of a sparse matrix, of the dense one that it stands for and the number of its stored
    elements, which may be a name: `csr_type(f32["nodes", "nodes"], "edges")`."""
    check(dense.rank == 2, f"a sparse matrix has two axes, not {dense}")
    return CsrType(dense, size(stored), index)


@runtime_checkable
class _Sparse(Protocol):
    """What SciPy's matrices have in all formats."""

    def tocsr(self) -> _Compressed: ...


class _Compressed(Protocol):
    data: Array
    indices: Array
    indptr: Array
    shape: tuple[int, int]
