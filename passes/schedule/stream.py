"""The recipe for products of one row and a matrix that is given as it is: memory decides.

    parallel n.c: {for k.o: for n: {acc = total[n];  unroll k.i: acc += a[k] * b[k, n];  ..}}
"""

from __future__ import annotations

from ...target import Target
from ...tile.loops import vectorise
from ...tile.nests import privatise
from ...tile.nodes import Kernel
from ...tile.partials import cut_sums
from ...tile.pieces import split_last
from ...tile.prefetch import prefetch_rows
from ...tile.reductions import sink
from ...tile.streams import stream
from ...tile.tree import base, extent_of, loops_of
from .analysis import Nest, Product
from .cost import ProductSizes
from .loops import lanes_of, share_nest
from .memory_cost import STREAMED_ROWS, stream_pieces, worth_streaming


def is_streamed(kernel: Kernel, nest: Nest, product: Product, target: Target) -> bool:
    """Whether a product has one row only, and its matrix is better read row by row."""
    if product.m is not None or product.panel is not None or len(product.reduction) != 1:
        return False
    return nest.axes[-1:] == (product.n,) and worth_streaming(_sizes(nest, product), target)


def _sizes(nest: Nest, product: Product) -> ProductSizes:
    (loop,) = nest.reductions[0]
    return ProductSizes(1, extent_of(loop), nest.extent(product.n), product.total)


def schedule_streamed(kernel: Kernel, nest: Nest, product: Product, target: Target) -> Kernel:
    """Rows of some columns, a few of them at a time. A matrix that comes from memory is cut between
    rows, too, and the rows below are asked for if the hardware does not follow so many."""
    lanes, n, sizes = lanes_of(kernel, target), product.n, _sizes(nest, product)
    pieces = stream_pieces(sizes, target, rows_too=nest.alone and nest.axes == (n,))
    if pieces.rows > 1:
        kernel = privatise(cut_sums(kernel, n, pieces.rows))
        kernel = sink(vectorise(kernel, f"{base(n)}.p", lanes), (f"{base(n)}.p.i",))
    kernel = split_last(kernel, n, pieces.columns)
    inner = f"{n}.i" if loops_of(kernel, f"{n}.i") else n
    kernel = vectorise(stream(kernel, inner, STREAMED_ROWS), inner, lanes)
    if sizes.far(target) and target.followed_rows < STREAMED_ROWS:
        kernel = prefetch_rows(kernel, product.right.buffer, f"{base(product.reduction[0])}.i")
    return share_nest(sink(kernel, (f"{inner}.i",)), nest)
