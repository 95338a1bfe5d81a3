"""The recipe for products of one row and a matrix that is given as it is: memory decides.

    parallel n.c: {for k.o: for n: {acc = total[n];  unroll k.i: acc += a[k] * b[k, n];  ..}}
"""

from __future__ import annotations

from ...target import Target
from ...tile.loops import vectorise
from ...tile.nodes import Kernel
from ...tile.pieces import split_last
from ...tile.reductions import sink
from ...tile.streams import stream
from ...tile.tree import loops_of
from .analysis import Nest, Product
from .cost import STREAMED_ROWS, streamed_columns, worth_streaming
from .loops import lanes_of, share_nest


def is_streamed(kernel: Kernel, nest: Nest, product: Product, target: Target) -> bool:
    """Whether a product has one row only, and its matrix is better read row by row."""
    if product.m is not None or product.panel is not None or len(product.reduction) != 1:
        return False
    columns = kernel.buffers[product.right.buffer]
    return nest.axes[-1:] == (product.n,) and worth_streaming(
        columns.elements * columns.dtype.bytes, nest.extent(product.n), target
    )


def schedule_streamed(kernel: Kernel, nest: Nest, product: Product, target: Target) -> Kernel:
    """Rows of some columns, a few of them at a time."""
    lanes = lanes_of(kernel, target)
    kernel = split_last(kernel, product.n, streamed_columns(nest.extent(product.n), lanes))
    inner = f"{product.n}.i" if loops_of(kernel, f"{product.n}.i") else product.n
    kernel = stream(kernel, inner, STREAMED_ROWS)
    return share_nest(sink(vectorise(kernel, inner, lanes), (f"{inner}.i",)), nest)
