"""Matrix products, and convolutions that are products with window indices, in register tiles.

    parallel m.c, n.o: for m.o:
      acc[m.i, n.i] = 0;  for k: acc[m.i, n.i] += a[m, k] * b[k, n];  out[m, n] = f(acc[m.i, n.i])

with `m.i` unrolled and `n.i` in vectors, so that the accumulators stay in registers. The packed
panel of the right operand stays in the nearest caches while the rows stream by; one that is not
packed is copied together by the first tile of rows, as it passes through it. Chunks of rows go
outermost: a thread that gets neighbouring pieces finds in its own caches the rows that it wrote
itself, one product before. A right operand larger than the caches is read once, its panels
outermost: `parallel n.o: for m.o: ..`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from types import MappingProxyType

from ....expr import Expr, Load
from ....target import Target
from ....tile.nodes import Kernel, Kind, Loop
from ....tile.steps.first_use import copy_at_first_use
from ....tile.steps.loops import (
    Tail,
    condition_points,
    distribute,
    mark,
    partition,
    reorder,
    split,
    vectorise,
)
from ....tile.steps.pieces import flatten, split_in_chunks, split_last
from ....tile.steps.prefetch_tiles import prefetch_epilogue, prefetch_left
from ....tile.steps.segments import sum_in_segments
from ....tile.steps.sink import sink
from ....tile.steps.staging import stage_reads
from ....tile.steps.streams import stream_blocks
from ....tile.tree import extent_of, loops_of
from ..analysis import Nest, Product, operations_after, stride
from ..cost.depth import depth_block
from ..cost.model import choose_tile, panels_first, row_chunks, worth_packing, worth_sharing
from ..cost.register_tiles import FEW_STEPS, ProductSizes, Tile, product_cycles, tile_cycles
from ..cost.segments import ALONE, IN_BLOCKS
from .ahead import prefetch_after, prefetch_matrices, prefetch_panels, read_once

COPY_AHEAD = 32  # rows of a panel: more would drive one another out of the second cache
ASKING_DEPTH = 128  # steps of a tile's sums beside which requests for its epilogue are nothing


def schedule_product(
    kernel: Kernel,
    nest: Nest,
    product: Product,
    target: Target,
    *,
    whole: ProductSizes | None = None,
    later: Mapping[str, Sequence[Load]] = MappingProxyType({}),
    after: Mapping[str, Expr] = MappingProxyType({}),
) -> Kernel:
    """Tile a naive matrix product for registers, caches and threads; one that is a part of a
    `whole` problem, as suits that. `later` is what is read when the product is done (see
    `prefetch_epilogue`); `after` is where the next panel is, if not behind this one (see
    `prefetch_next`)."""
    m = product.m or ""
    outer = [axis for axis in nest.axes if axis not in (m, product.n)]
    sizes = whole or product_sizes(kernel, nest, product)
    tile = choose_tile(sizes, target)
    step = product_cycles(sizes.rows, sizes.columns, tile, sizes.latency)
    cycles = step * sizes.depth * prod(map(nest.extent, outer))
    # Several nests are dealt to threads together.
    shared = nest.alone and worth_sharing(sizes, cycles, target)
    apart = _row_step(kernel, product) * sizes.dtype.bytes
    packed = product.panel is None and worth_packing(sizes, apart, tile, target)
    cut = shared and m and not (outer or packed) and not condition_points(kernel, m)
    chunks = row_chunks(sizes, tile, target) if cut else 1
    if chunks > 1:
        kernel, sharers = _chunks_outermost(kernel, nest, product, tile, chunks)
    elif packed or panels_first(sizes, tile, target):
        steps = depth_block(sizes, tile, target)
        kernel, sharers = _panels_outermost(
            kernel, nest, product, tile, packed=packed, steps=steps
        )
        if loops_of(kernel, f"{product.reduction[0]}.b"):
            kernel = prefetch_left(kernel, product.reduction[0], product.left.buffer, f"{m}.i")
    else:
        kernel, sharers = _rows_outermost(kernel, nest, product, tile)
    if product.panel and panels_first(sizes, tile, target):
        rounds = (*(axis for axis in outer if axis not in product.right_axes), f"{m}.o")
        step = tile_cycles(tile.rows, tile.vectors)
        kernel = prefetch_panels(kernel, product, rounds, step, target)
    if after and sizes.far(target) and not loops_of(kernel, f"{product.n}.o"):
        kernel = prefetch_after(kernel, product, outer[-1], after)
    if nest.around:
        kernel = prefetch_matrices(kernel, nest, product, target)
    segments = IN_BLOCKS if nest.around else ALONE
    if sizes.depth >= ASKING_DEPTH:
        once = read_once(kernel, nest, product)
        short = sizes.depth <= segments.longest  # others are cut in segments
        kernel = prefetch_epilogue(kernel, product.reduction[0], once, later, cut=short)
    if len(product.reduction) == 1:
        kernel = sum_in_segments(kernel, product.reduction[0], segments.longest, segments.terms)
    kernel = flatten(kernel, f"{m}.c", f"{product.n}.o")
    return _parallelise(kernel, sharers) if shared else kernel


def schedule_in_tiles(kernel: Kernel, nest: Nest, product: Product, tile: Tile) -> Kernel:
    """The product in tiles of all its rows, which its panels hold whole ones of; they are dealt to
    threads whatever that costs."""
    m, n = product.m or "", product.n
    kernel = reorder(kernel, [n, m])
    kernel = split(kernel, n, product.panel or nest.extent(n))
    columns = f"{n}.i" if loops_of(kernel, f"{n}.i") else n
    kernel = split(kernel, columns, tile.columns)
    kernel = cut_rows(kernel, m, nest.extent(m), tile)
    kernel = _in_registers(kernel, m, columns, tile, (f"{n}.o", f"{columns}.o"))
    kernel = flatten(kernel, f"{n}.o", f"{columns}.o")
    return _parallelise(kernel, [f"{n}.o.f", f"{n}.o", f"{columns}.o"])


def product_sizes(kernel: Kernel, nest: Nest, product: Product) -> ProductSizes:
    """The problem that a nest is, as the cost model sees it."""
    outer = [axis for axis in nest.axes if axis not in (product.m, product.n)]
    windows = [axis for axis in outer if axis not in product.right_axes]
    steps = [loop for loop in nest.reductions[0] if loop.axis in product.reduction]
    depth = prod(map(extent_of, steps))
    return ProductSizes(
        rows=nest.extent(product.m) if product.m else 1,
        depth=depth,
        columns=nest.extent(product.n),
        dtype=product.total,
        count=prod(nest.extent(axis) for axis in outer if axis not in windows),
        windows=prod(map(nest.extent, windows)),
        panel=product.panel,
        narrow=product.right.dtype if product.dots else None,
        finish=operations_after(nest) if depth <= FEW_STEPS else 0,
    )


def _panels_outermost(
    kernel: Kernel, nest: Nest, product: Product, tile: Tile, *, packed: bool, steps: int
) -> tuple[Kernel, list[str]]:
    """All rows inside each panel, or each part of one that has so many `steps`, which the first of
    the rows copy together if `packed`; and the axes that may be dealt to threads."""
    m, n, k = product.m or "", product.n, product.reduction[0]
    outer = [axis for axis in nest.axes if axis not in (m, n)]
    batch = [axis for axis in outer if axis in product.right_axes]
    windows = [axis for axis in outer if axis not in batch]
    kernel = reorder(kernel, [*batch, n, *windows, m])
    if packed:
        kernel = cut_columns(kernel, n, nest.extent(n), tile)
    else:
        kernel = split_last(kernel, n, tile.columns)
    kernel = reorder(kernel, [f"{n}.o", *windows, m, f"{n}.i"])
    kernel = stream_blocks(kernel, (*windows, m)[0], k, steps)
    around = f"{k}.b" if loops_of(kernel, f"{k}.b") else f"{n}.o"
    if packed:
        along = (*product.reduction, f"{n}.i")
        kernel = stage_reads(kernel, around, product.right.buffer, along)
        kernel = vectorise(kernel, f"{n}.i.p", tile.lanes)
        kernel = mark(kernel, f"{n}.i.p.o", Kind.UNROLL)
    if m:
        kernel = cut_rows(kernel, m, nest.extent(m), tile)
    kernel = _in_registers(kernel, m, n, tile, ())
    if packed and len(product.reduction) == 1:
        kernel = copy_at_first_use(kernel, around, f"{m}.o", k, distance=COPY_AHEAD)
    return kernel, [*batch[:1], f"{n}.o", *windows[:1]]


def _chunks_outermost(
    kernel: Kernel, nest: Nest, product: Product, tile: Tile, chunks: int
) -> tuple[Kernel, list[str]]:
    """Pieces of one panel and one of some `chunks` of rows, neighbours with the same rows; and the
    axis that may be dealt to threads."""
    m, n = product.m or "", product.n
    kernel = reorder(kernel, [n, m])
    kernel = split_last(kernel, n, tile.columns)
    kernel = reorder(kernel, [m, f"{n}.i"])
    tiles = nest.extent(m) // tile.rows
    size = -(-tiles // chunks)
    if -(-tiles // size) < chunks:
        size = tiles // chunks
    around = f"{n}.o" if loops_of(kernel, f"{n}.o") else m
    kernel = split_in_chunks(kernel, m, tile.rows, size, around)
    return _in_registers(kernel, m, n, tile, ()), [f"{m}.c.f", f"{m}.c"]


def _rows_outermost(
    kernel: Kernel, nest: Nest, product: Product, tile: Tile
) -> tuple[Kernel, list[str]]:
    """All panels inside of what is around the rows; and the axes that may be dealt to threads."""
    m, n = product.m or "", product.n
    outer = [axis for axis in nest.axes if axis not in (m, n)]
    kernel = reorder(kernel, [*outer, m, n])
    if m:
        kernel = cut_rows(kernel, m, nest.extent(m), tile)
    kernel = cut_columns(kernel, n, nest.extent(n), tile, inside=(f"{m}.i", f"{m}.o"))
    kernel = _in_registers(kernel, m, n, tile, (f"{n}.o", f"{m}.o"))
    return kernel, [*outer[:1], f"{n}.o"]


def _in_registers(kernel: Kernel, m: str, n: str, tile: Tile, around: tuple[str, ...]) -> Kernel:
    """Unroll and vectorise a register tile, inside of the loops `around`, and sum inside of it."""
    register_tile = (f"{m}.i", f"{n}.i.o", f"{n}.i.i")
    kernel = split(kernel, f"{n}.i", tile.lanes, tail=Tail.MASK)
    kernel = reorder(kernel, [*around, *register_tile])
    kernel = mark(kernel, f"{m}.i", Kind.UNROLL)
    kernel = mark(kernel, f"{n}.i.o", Kind.UNROLL)
    kernel = mark(kernel, f"{n}.i.i", Kind.VECTOR)
    return sink(kernel, register_tile)


def _row_step(kernel: Kernel, product: Product) -> int:
    """Elements from one row of the right operand to the next."""
    buffer, inner = kernel.buffers[product.right.buffer], product.reduction[-1]
    return stride(buffer, product.right.indices, inner) or 0


def cut_rows(kernel: Kernel, m: str, rows: int, tile: Tile) -> Kernel:
    """Cut the rows into register tiles (the last one shorter)."""
    kernel = partition(kernel, m, [rows // tile.rows * tile.rows])
    return split(kernel, m, tile.rows, tail=Tail.CUT)


def cut_columns(
    kernel: Kernel, n: str, columns: int, tile: Tile, inside: tuple[str, ...] = ()
) -> Kernel:
    """Cut the columns into panels (the last one narrower), each with loops `inside` of its own."""
    rest = columns % tile.columns
    if rest and columns > rest:
        kernel = partition(kernel, n, [columns - rest])
        for axis in inside:
            kernel = distribute(kernel, axis, (n,))
    return split(kernel, n, tile.columns, tail=Tail.CUT)


def _parallelise(kernel: Kernel, candidates: list[str]) -> Kernel:
    """Deal the iterations of the outermost loop to the threads, if it is one of these."""
    tops = {stmt.axis for stmt in kernel.body if isinstance(stmt, Loop)}
    for axis in candidates:
        if any(loop.axis in tops for loop in loops_of(kernel, axis)):
            return mark(kernel, axis, Kind.PARALLEL)
    return kernel
