"""Matrix products, and convolutions that are products with window indices, in register tiles.

    parallel m.o.c: for n.o: for m.o:
      acc[m.i, n.i] = 0;  for k: acc[m.i, n.i] += a[m, k] * b[k, n];  out[m, n] = f(acc[m.i, n.i])

with `m.i` unrolled and `n.i` in vectors, so that the accumulators stay in registers. The packed
panel of the right operand stays in the nearest caches while the rows stream by.
"""

from __future__ import annotations

from math import prod

from ...target import Target
from ...tile.loops import Tail, chunk, distribute, mark, partition, reorder, split
from ...tile.nodes import Kernel, Kind
from ...tile.reductions import sink
from ...tile.tree import extent_of, loops_of
from .analysis import Nest, Product
from .cost import Tile, choose_tile, product_cycles, worth_threads

CHUNKS = 8  # pieces the rows are dealt to threads in; fixed, so that no result depends on threads


def schedule_product(kernel: Kernel, nest: Nest, product: Product, target: Target) -> Kernel:
    """Tile a naive matrix product for registers, caches and threads."""
    m, n = product.m or "", product.n
    rows, columns = nest.extent(m) if m else 1, nest.extent(n)
    dtype = kernel.buffers[product.right.buffer].dtype
    tile = choose_tile(rows, columns, target, dtype, columns=product.panel)
    outer = [axis for axis in nest.axes if axis not in (m, n)]
    cycles = product_cycles(rows, columns, tile) * prod(
        extent_of(loop) for loop in (*nest.loops, *nest.reductions[0])
        if loop.axis not in (m, n)
    )
    shared = worth_threads(cycles)
    kernel = reorder(kernel, [*outer, m, n])
    kernel = _tile_rows(kernel, m, rows, tile, in_chunks=shared and not outer)
    kernel = _tile_columns(kernel, m, n, columns, tile)
    kernel = reorder(kernel, [f"{n}.o", f"{m}.o", f"{m}.i", f"{n}.i.o", f"{n}.i.i"])
    kernel = mark(kernel, f"{m}.i", Kind.UNROLL)
    kernel = mark(kernel, f"{n}.i.o", Kind.UNROLL)
    kernel = mark(kernel, f"{n}.i.i", Kind.VECTOR)
    kernel = sink(kernel, (f"{m}.i", f"{n}.i.o", f"{n}.i.i"))
    return _share(kernel, [*outer[:1], f"{m}.o.c", f"{n}.o"]) if shared else kernel


def _tile_rows(kernel: Kernel, m: str, rows: int, tile: Tile, *, in_chunks: bool) -> Kernel:
    """Cut the rows into register tiles (the last one shorter) and those into chunks."""
    if not m:
        return kernel
    kernel = partition(kernel, m, [rows // tile.rows * tile.rows])
    kernel = split(kernel, m, tile.rows, tail=Tail.CUT)
    tiles = rows // tile.rows
    if in_chunks and tiles >= CHUNKS:
        kernel = chunk(kernel, f"{m}.o", -(-tiles // CHUNKS))
    return kernel


def _tile_columns(kernel: Kernel, m: str, n: str, columns: int, tile: Tile) -> Kernel:
    """Cut the columns into panels (the last one narrower) and those into vectors."""
    rest = columns % tile.columns
    if rest and columns > rest:
        kernel = partition(kernel, n, [columns - rest])
        for axis in (f"{m}.i", f"{m}.o"):
            kernel = distribute(kernel, axis, (n,))
    kernel = split(kernel, n, tile.columns, tail=Tail.CUT)
    return split(kernel, f"{n}.i", tile.lanes, tail=Tail.MASK)


def _share(kernel: Kernel, candidates: list[str]) -> Kernel:
    """Deal the iterations of the outermost loop to the threads, if it is one of these."""
    tops = {stmt.axis for stmt in kernel.body if hasattr(stmt, "axis")}
    for axis in candidates:
        if any(loop.axis in tops for loop in loops_of(kernel, axis)):
            return mark(kernel, axis, Kind.PARALLEL)
    return kernel
