"""Matrix products, and convolutions that are products with window indices, in register tiles.

    parallel m.o.c: for n.o: for m.o:
      acc[m.i, n.i] = 0;  for k: acc[m.i, n.i] += a[m, k] * b[k, n];  out[m, n] = f(acc[m.i, n.i])

with `m.i` unrolled and `n.i` in vectors, so that the accumulators stay in registers. The packed
panel of the right operand stays in the nearest caches while the rows stream by. A right operand
larger than the caches is read once, its panels outermost: `parallel n.o: for m.o: ..`.
"""

from __future__ import annotations

from math import prod

from ...target import Target
from ...tile.loops import Tail, chunk, distribute, mark, partition, reorder, split, vectorise
from ...tile.nodes import Kernel, Kind
from ...tile.prefetch import prefetch_next
from ...tile.reductions import sink
from ...tile.staging import stage_reads
from ...tile.tree import extent_of, loops_of
from .analysis import Nest, Product, stride
from .cost import (
    Tile,
    choose_tile,
    panels_first,
    product_cycles,
    worth_packing,
    worth_threads,
)

AHEAD = 4096  # bytes: what memory delivers in the time that it takes to answer
CHUNKS = 8  # pieces the rows are dealt to threads in; fixed, so that no result depends on threads


def schedule_product(kernel: Kernel, nest: Nest, product: Product, target: Target) -> Kernel:
    """Tile a naive matrix product for registers, caches and threads."""
    m, n = product.m or "", product.n
    rows, columns = nest.extent(m) if m else 1, nest.extent(n)
    dtype = kernel.buffers[product.right.buffer].dtype
    tile = choose_tile(rows, columns, target, dtype, columns=product.panel)
    outer = [axis for axis in nest.axes if axis not in (m, n)]
    batch = [axis for axis in outer if axis in product.right_axes]
    windows = [axis for axis in outer if axis not in batch]
    depth = prod(extent_of(loop) for loop in nest.reductions[0])
    cycles = product_cycles(rows, columns, tile) * depth * prod(map(nest.extent, outer))
    shared = worth_threads(cycles)
    register_tile = [f"{m}.i", f"{n}.i.o", f"{n}.i.i"]
    packed = product.panel is None and worth_packing(
        rows, depth, _row_step(kernel, product) * dtype.bytes, tile, target
    )
    by_panels = packed or panels_first(depth * dtype.bytes, columns, tile, target)
    if by_panels:
        kernel = reorder(kernel, [*batch, n, *windows, m])
        kernel = _cut_columns(kernel, n, columns, tile)
        kernel = reorder(kernel, [f"{n}.o", *windows, m, f"{n}.i"])
        if packed:
            along = (*product.reduction, f"{n}.i")
            kernel = stage_reads(kernel, f"{n}.o", product.right.buffer, along)
            kernel = vectorise(kernel, f"{n}.i.p", tile.lanes)
        kernel = _cut_rows(kernel, m, rows, tile)
        kernel = split(kernel, f"{n}.i", tile.lanes, tail=Tail.MASK)
        kernel = reorder(kernel, register_tile)
        sharers = [*batch[:1], f"{n}.o", *windows[:1]]
    else:
        kernel = reorder(kernel, [*outer, m, n])
        kernel = _cut_rows(kernel, m, rows, tile)
        if shared and not outer and rows // tile.rows >= CHUNKS:
            kernel = chunk(kernel, f"{m}.o", -(-(rows // tile.rows) // CHUNKS))
        kernel = _cut_columns(kernel, n, columns, tile, inside=(f"{m}.i", f"{m}.o"))
        kernel = split(kernel, f"{n}.i", tile.lanes, tail=Tail.MASK)
        kernel = reorder(kernel, [f"{n}.o", f"{m}.o", *register_tile])
        sharers = [*outer[:1], f"{m}.o.c", f"{n}.o"]
    kernel = mark(kernel, f"{m}.i", Kind.UNROLL)
    kernel = mark(kernel, f"{n}.i.o", Kind.UNROLL)
    kernel = mark(kernel, f"{n}.i.i", Kind.VECTOR)
    kernel = sink(kernel, register_tile)
    if by_panels and product.panel:
        kernel = _prefetch(kernel, product, (*windows, f"{m}.o"), target)
    return _share(kernel, sharers) if shared else kernel


def _prefetch(
    kernel: Kernel, product: Product, rounds: tuple[str, ...], target: Target
) -> Kernel:
    """Ask for the next panel during the last `rounds` over this one; for a panel that is read only
    once, a little ahead of where it is read; for none that has no room beside another."""
    buffer = kernel.buffers[product.right.buffer]
    panel = prod(buffer.memory_shape[-1 - len(product.reduction) :]) * buffer.dtype.bytes
    place = (product.right.buffer, f"{product.n}.o", product.reduction[0])
    if not any(loops_of(kernel, axis) for axis in rounds):
        return prefetch_next(kernel, *place, distance=AHEAD // buffer.dtype.bytes)
    return prefetch_next(kernel, *place, rounds) if 2 * panel <= target.l2_bytes else kernel


def _row_step(kernel: Kernel, product: Product) -> int:
    """Elements from one row of the right operand to the next."""
    buffer, inner = kernel.buffers[product.right.buffer], product.reduction[-1]
    return stride(buffer, product.right.indices, inner) or 0


def _cut_rows(kernel: Kernel, m: str, rows: int, tile: Tile) -> Kernel:
    """Cut the rows into register tiles (the last one shorter)."""
    if not m:
        return kernel
    kernel = partition(kernel, m, [rows // tile.rows * tile.rows])
    return split(kernel, m, tile.rows, tail=Tail.CUT)


def _cut_columns(
    kernel: Kernel, n: str, columns: int, tile: Tile, inside: tuple[str, ...] = ()
) -> Kernel:
    """Cut the columns into panels (the last one narrower), each with loops `inside` of its own."""
    rest = columns % tile.columns
    if rest and columns > rest:
        kernel = partition(kernel, n, [columns - rest])
        for axis in inside:
            kernel = distribute(kernel, axis, (n,))
    return split(kernel, n, tile.columns, tail=Tail.CUT)


def _share(kernel: Kernel, candidates: list[str]) -> Kernel:
    """Deal the iterations of the outermost loop to the threads, if it is one of these."""
    tops = {stmt.axis for stmt in kernel.body if hasattr(stmt, "axis")}
    for axis in candidates:
        if any(loop.axis in tops for loop in loops_of(kernel, axis)):
            return mark(kernel, axis, Kind.PARALLEL)
    return kernel
