"""Reading elements at indices that are data.

Indices are integers, and -1 is the last element. An index out of range sets the status of the
run, which becomes an error with the user's line; what is read meanwhile is inside the tensor.
"""

from __future__ import annotations

import numpy as np

from ...errors import check
from ...expr import Expr, boolean, index, to_index
from ...ir import Element, Op, Operand, Scalar, Value, op
from ...sizes import Shape
from ...types import Array, DType, TensorType, f32, i64
from ..base.axes import check_axis, normal_axis
from ..base.body import Indices, outside, wrapped
from ..base.broadcast import broadcast
from ..base.cast import cast
from ..base.elements import Gradients, emit
from ..base.promote import as_value, check_kind
from ..elementwise.compare import equal
from ..elementwise.select import where
from .creation import iota, zeros_like
from .indexing import OUT_OF_RANGE, check_elements, check_readable, index_depth
from .join import concat
from .scatter import scatter_elements, scatter_nd
from .shape import expand_dims, moveaxis, transpose


@op
class Gather(Op):
    """Slices of `x` along an axis, one for each index (NumPy's `take`).

    `x (a, n, b)`, `indices (i, j)`, `axis 1` give `(a, i, j, b)`.
    """

    x: Value
    indices: Value
    axis: int

    def infer(self) -> TensorType:
        check_kind(self.indices, "iu")
        check_axis(self.axis, self.x.rank)
        check_readable(self.x.shape[self.axis], self.indices)
        shape = self.x.shape
        return self.x.type.with_shape(
            (*shape[: self.axis], *self.indices.shape, *shape[self.axis + 1 :])
        )

    def reference(self, x: Array, indices: Array) -> Array:
        return np.asarray(np.take(x, indices.astype(np.int64), self.axis))

    def body(self, at: Indices, x: Element, indices: Element) -> Expr:
        after = self.axis + indices.type.rank
        picked = to_index(indices[at[self.axis : after]])
        position = wrapped(picked, x.type.static_shape[self.axis])
        return x[(*at[: self.axis], position, *at[after:])]

    def fault(self, at: Indices, x: Element, indices: Element) -> tuple[Expr, str]:
        extent = x.type.static_shape[self.axis]
        return outside(to_index(indices[at]), extent), OUT_OF_RANGE

    @property
    def fault_shape(self) -> Shape:
        return self.indices.shape

    def gradient(self, y: Value, dy: Value) -> Gradients:
        places = range(self.axis, self.axis + self.indices.rank)
        front = [*places, *(axis for axis in range(dy.rank) if axis not in places)]
        rows = moveaxis(zeros_like(self.x), self.axis, 0)
        total = scatter_nd(rows, expand_dims(self.indices, -1), transpose(dy, front), "add")
        return moveaxis(total, 0, self.axis), None


@op
class GatherElements(Op):
    """`y[i, j] = x[indices[i, j], j]` for axis 0, and alike for others (torch's `gather`)."""

    x: Value
    indices: Value
    axis: int

    def infer(self) -> TensorType:
        check_elements(self.x, self.indices, self.axis)
        return self.x.type.with_shape(self.indices.shape)

    def reference(self, x: Array, indices: Array) -> Array:
        grid: list[Array] = list(np.indices(indices.shape))
        grid[self.axis] = indices.astype(np.int64)
        return np.asarray(x[tuple(grid)])

    def body(self, at: Indices, x: Element, indices: Element) -> Expr:
        position = wrapped(to_index(indices[at]), x.type.static_shape[self.axis])
        return x[(*at[: self.axis], position, *at[self.axis + 1 :])]

    def fault(self, at: Indices, x: Element, indices: Element) -> tuple[Expr, str]:
        extent = x.type.static_shape[self.axis]
        return outside(to_index(indices[at]), extent), OUT_OF_RANGE

    def gradient(self, y: Value, dy: Value) -> Gradients:
        return scatter_elements(zeros_like(self.x), self.indices, dy, self.axis, "add"), None

    def permuted(self, perm: tuple[int, ...]) -> Op | None:
        return GatherElements(self.x, self.indices, perm.index(self.axis))


@op
class GatherNd(Op):
    """Slices of `x` at tuples of indices, which lie along the last axis of `indices`.

    The first `batch_dims` axes of both go together. `x (b, n, m, c)`, `indices (b, i, 2)` and
    `batch_dims 1` give `(b, i, c)`.
    """

    x: Value
    indices: Value
    batch_dims: int = 0

    def infer(self) -> TensorType:
        depth = index_depth(self.x, self.indices, self.batch_dims)
        batch = self.batch_dims
        alike = self.x.shape[:batch] == self.indices.shape[:batch]
        check(alike, f"the first {batch} axes of x and indices differ")
        rest = self.x.shape[batch + depth :]
        return self.x.type.with_shape((*self.indices.shape[:-1], *rest))

    def reference(self, x: Array, indices: Array) -> Array:
        batch = self.batch_dims
        tuples = tuple(np.moveaxis(indices.astype(np.int64), -1, 0))
        grid = np.indices(indices.shape[:-1])[:batch]
        return np.asarray(x[(*grid, *tuples)])

    def body(self, at: Indices, x: Element, indices: Element) -> Expr:
        prefix = indices.type.rank - 1
        extents = x.type.static_shape[self.batch_dims :]
        positions = (
            wrapped(part, extent)
            for part, extent in zip(self._tuple(at[:prefix], indices), extents, strict=False)
        )
        return x[(*at[: self.batch_dims], *positions, *at[prefix:])]

    def _tuple(self, prefix: Indices, indices: Element) -> tuple[Expr, ...]:
        depth = indices.type.static_shape[-1]
        return tuple(to_index(indices[(*prefix, index(k))]) for k in range(depth))

    def fault(self, at: Indices, x: Element, indices: Element) -> tuple[Expr, str]:
        wrong: Expr = boolean(False)
        extents = x.type.static_shape[self.batch_dims :]
        for part, extent in zip(self._tuple(at, indices), extents, strict=False):
            wrong = wrong | outside(part, extent)
        return wrong, OUT_OF_RANGE

    @property
    def fault_shape(self) -> Shape:
        return self.indices.shape[:-1]

    def gradient(self, y: Value, dy: Value) -> Gradients:
        return scatter_nd(zeros_like(self.x), self._whole_indices(), dy, "add"), None

    def _whole_indices(self) -> Value:
        """The indices with the batch's own in front, so that no batch is left."""
        shape = self.indices.shape[:-1]
        counted = [
            broadcast(
                expand_dims(iota(shape[axis]), tuple(range(1, len(shape) + 1 - axis))), (*shape, 1)
            )
            for axis in range(self.batch_dims)
        ]
        return concat([*counted, cast(self.indices, i64)], -1)


def gather(x: Operand, indices: Operand, axis: int = 0) -> Value:
    """Slices of `x` along an axis, one for each index (NumPy's `take`)."""
    value = as_value(x)
    return emit(Gather(value, as_value(indices), normal_axis(axis, value.rank)))


def gather_elements(x: Operand, indices: Operand, axis: int) -> Value:
    """`y[i, j] = x[indices[i, j], j]` for axis 0, and alike for others."""
    value = as_value(x)
    return emit(GatherElements(value, as_value(indices), normal_axis(axis, value.rank)))


def gather_nd(x: Operand, indices: Operand, batch_dims: int = 0) -> Value:
    """Slices of `x` at the tuples of indices along the last axis of `indices`."""
    return emit(GatherNd(as_value(x), as_value(indices), batch_dims))


def embedding(ids: Operand, table: Operand) -> Value:
    """The rows of `table (rows, width)` at `ids (..)`: `(.., width)`."""
    return gather(table, ids, 0)


def one_hot(
    indices: Operand,
    depth: int,
    *,
    axis: int = -1,
    dtype: DType = f32,
    on: Scalar = True,
    off: Scalar = False,
) -> Value:
    """`on` where the position along the new axis is the index, else `off`.

    -1 is the last position; an index out of range gives `off` alone.
    """
    value = cast(as_value(indices), i64)
    counted = where(value < 0, value + depth, value)
    place = normal_axis(axis, value.rank + 1)
    positions = expand_dims(iota(depth), tuple(range(1, value.rank + 1 - place)))
    hot = equal(expand_dims(counted, place), positions)
    return where(hot, as_value(on, dtype), as_value(off, dtype))


def tril(x: Operand, k: int = 0) -> Value:
    """The last two axes with zeros above the k-th diagonal."""
    value = as_value(x)
    return where(_diagonal(value) <= k, value, False)


def triu(x: Operand, k: int = 0) -> Value:
    """The last two axes with zeros below the k-th diagonal."""
    value = as_value(x)
    return where(_diagonal(value) >= k, value, False)


def _diagonal(x: Value) -> Value:
    """The number of the diagonal that each element of a matrix lies on: column - row."""
    check(x.rank >= 2, "a matrix has two axes")
    rows, columns = x.shape[-2:]
    return iota(columns) - expand_dims(iota(rows), 1)


OPS: tuple[type[Op], ...] = (Gather, GatherElements, GatherNd)
