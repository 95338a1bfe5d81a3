"""The recipe for sums along the columns of a matrix that is given as it is: memory decides.

    parallel n.c: {for k.o: for n: {acc = total[n];  unroll k.i: acc += a[k] * b[k, n];  ..}}

A product of one row is such a sum, as is the gradient of a bias. A product of a few rows is as many
of them at once: the matrix is read a single time.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...expr import Load, loads_of
from ...target import Target
from ...tile.nodes import Kernel, Kind
from ...tile.steps.loops import distribute, mark, reorder, vectorise
from ...tile.steps.nests import privatise
from ...tile.steps.partials import cut_sums
from ...tile.steps.pieces import split_last
from ...tile.steps.prefetch import prefetch_rows
from ...tile.steps.sink import sink
from ...tile.steps.streams import stream
from ...tile.tree import base, extent_of, has_constant_limits
from ...types import DType
from .analysis import Nest, Product, stride, updates
from .cost.memory import (
    ROW_AHEAD,
    rows_read,
    stream_pieces,
    worth_adding_rows,
    worth_streaming,
)
from .cost.register_tiles import ProductSizes
from .loops import lanes_of, parallelise_nest


@dataclass(frozen=True)
class ColumnSums:
    """Sums of type `total` over rows, counted by the axis `k`, for each column `n` of `matrix`; a
    row of them for each of the rows `m`, if there are several."""

    n: str
    k: str
    matrix: str
    total: DType
    m: str | None = None

    @property
    def axes(self) -> tuple[str, ...]:
        """The axes of all sums."""
        return (self.n,) if self.m is None else (self.m, self.n)

    def sizes(self, nest: Nest) -> ProductSizes:
        """The problem, as the cost model sees it: a product of these rows."""
        (loop,) = nest.reductions[0]
        rows = 1 if self.m is None else nest.extent(self.m)
        return ProductSizes(rows, extent_of(loop), nest.extent(self.n), self.total)


def product_of_rows(nest: Nest, product: Product, target: Target) -> ColumnSums | None:
    """A product of one row or a few, if its matrix is better read row by row."""
    if product.panel is not None or len(product.reduction) != 1:
        return None
    (k,) = product.reduction
    sums = ColumnSums(product.n, k, product.right.buffer, product.total, product.m)
    if product.m is None:
        fits = nest.axes[-1:] == sums.axes
    else:
        fits = nest.alone and nest.axes == sums.axes
    return sums if fits and worth_streaming(sums.sizes(nest), target) else None


def sums_of_rows(kernel: Kernel, nest: Nest, target: Target) -> ColumnSums | None:
    """Recognise `acc[n] += f(b[k, n], ..)` of a tall matrix, alone in its kernel."""
    accumulated = updates(nest.body)
    if not nest.alone or len(nest.axes) != 1 or len(nest.reductions) != 1:
        return None
    (n,), (loop, *others) = nest.axes, nest.reductions[0]
    plain = len(accumulated) == 1 and accumulated[0].combiner == "sum"
    if others or not plain or not has_constant_limits(loop):
        return None
    value = accumulated[0].values[0]
    loads = list(loads_of(value))

    def moves(load: Load, axis: str) -> int | None:
        return stride(kernel.buffers[load.buffer], load.indices, axis)

    if not all(moves(load, n) in (0, 1) for load in loads):
        return None
    rows = [x for x in loads if moves(x, n) == 1 and (moves(x, loop.axis) or 0) >= nest.extent(n)]
    if not rows:
        return None
    sums = ColumnSums(n, loop.axis, rows[0].buffer, value.dtype)
    return sums if worth_adding_rows(sums.sizes(nest), target) else None


def schedule_streamed(kernel: Kernel, nest: Nest, sums: ColumnSums, target: Target) -> Kernel:
    """Rows of some columns, a few of them at a time. A matrix that comes from memory is cut between
    rows, too, and what is read next is asked for where the hardware does not see to it."""
    lanes, n, sizes = lanes_of(kernel, target), sums.n, sums.sizes(nest)
    pieces = stream_pieces(sizes, target, rows_too=nest.alone and nest.axes == sums.axes)
    if pieces.rows > 1:
        kernel = privatise(cut_sums(kernel, nest.axes[0], pieces.rows))
        kernel = sink(vectorise(kernel, f"{base(n)}.p", lanes), (f"{base(n)}.p.i",))
    if pieces.columns < sizes.columns:
        kernel = split_last(kernel, n, pieces.columns)
        n = f"{n}.i"
    reading = rows_read(sizes, pieces, target)
    kernel = stream(kernel, sums.m or n, reading.rows, apart=reading.apart)
    kernel = vectorise(kernel, n, lanes)
    if sums.m is not None:
        kernel = distribute(kernel, sums.m, (f"{n}.o", f"{n}.i"))
        kernel = reorder(kernel, (f"{n}.o", sums.m, f"{n}.i"))
        kernel = mark(kernel, sums.m, Kind.UNROLL)
    tile = (*sums.axes[:-1], f"{n}.i")
    kernel = mark(sink(kernel, tile), f"{base(sums.k)}.i", Kind.UNROLL)
    if reading.prefetched:
        ahead = ROW_AHEAD if reading.apart else None
        kernel = prefetch_rows(kernel, sums.matrix, f"{base(sums.k)}.i", distance=ahead)
    return parallelise_nest(kernel, nest, target)
