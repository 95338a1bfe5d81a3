"""The recipe for sums along the columns of a matrix that is given as it is: memory decides.

    parallel n.c: {for k.o: for n: {acc = total[n];  unroll k.i: acc += a[k] * b[k, n];  ..}}

A product of one row is such a sum, as is the gradient of a bias.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...expr import Load, loads_of
from ...target import Target
from ...tile.nodes import Kernel
from ...tile.steps.loops import vectorise
from ...tile.steps.nests import privatise
from ...tile.steps.partials import cut_sums
from ...tile.steps.pieces import split_last
from ...tile.steps.prefetch import prefetch_rows
from ...tile.steps.sink import sink
from ...tile.steps.streams import stream
from ...tile.tree import base, extent_of, has_constant_limits, loops_of
from ...types import DType
from .analysis import Nest, Product, stride, updates
from .cost.memory import STREAMED_ROWS, stream_pieces, worth_adding_rows, worth_streaming
from .cost.register_tiles import ProductSizes
from .loops import lanes_of, parallelise_nest


@dataclass(frozen=True)
class ColumnSums:
    """Sums of type `total` over rows, counted by the axis `k`, for each column `n` of `matrix`."""

    n: str
    k: str
    matrix: str
    total: DType

    def sizes(self, nest: Nest) -> ProductSizes:
        """The problem, as the cost model sees it: a product of one row."""
        (loop,) = nest.reductions[0]
        return ProductSizes(1, extent_of(loop), nest.extent(self.n), self.total)


def product_of_a_row(nest: Nest, product: Product, target: Target) -> ColumnSums | None:
    """A product of one row, if its matrix is better read row by row."""
    if product.m is not None or product.panel is not None or len(product.reduction) != 1:
        return None
    sums = ColumnSums(product.n, product.reduction[0], product.right.buffer, product.total)
    last = nest.axes[-1:] == (product.n,)
    return sums if last and worth_streaming(sums.sizes(nest), target) else None


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
    rows, too, and the rows below are asked for if the hardware does not follow so many."""
    lanes, n, sizes = lanes_of(kernel, target), sums.n, sums.sizes(nest)
    pieces = stream_pieces(sizes, target, rows_too=nest.alone and nest.axes == (n,))
    if pieces.rows > 1:
        kernel = privatise(cut_sums(kernel, n, pieces.rows))
        kernel = sink(vectorise(kernel, f"{base(n)}.p", lanes), (f"{base(n)}.p.i",))
    kernel = split_last(kernel, n, pieces.columns)
    inner = f"{n}.i" if loops_of(kernel, f"{n}.i") else n
    kernel = vectorise(stream(kernel, inner, STREAMED_ROWS), inner, lanes)
    if sizes.far(target) and target.followed_rows < STREAMED_ROWS:
        kernel = prefetch_rows(kernel, sums.matrix, f"{base(sums.k)}.i")
    return parallelise_nest(sink(kernel, (f"{inner}.i",)), nest, target)
