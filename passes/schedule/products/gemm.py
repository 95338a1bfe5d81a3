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

from ....target import Target
from ....tile.nodes import Kernel, Kind, Loop
from ....tile.steps.first_use import copy_at_first_use
from ....tile.steps.loops import condition_points, mark, reorder, split, vectorise
from ....tile.steps.pieces import flatten, split_in_chunks, split_last
from ....tile.steps.segments import sum_in_segments
from ....tile.steps.staging import stage_reads
from ....tile.steps.streams import stream_blocks
from ....tile.tree import loops_of
from ..analysis import Nest, Product
from ..cost.depth import WIDE, depth_block, scattered_block
from ..cost.model import panels_first, panels_together, row_chunks, worth_packing, worth_sharing
from ..cost.register_tiles import Tile
from ..cost.segments import ALONE, IN_BLOCKS
from .ahead import prefetch_operands
from .tiling import Surroundings, Tiling, cut_columns, cut_rows, in_registers, row_step, tiling_of

COPY_AHEAD = 32  # rows of a panel: more would drive one another out of the second cache
NO_SURROUNDINGS = Surroundings()


def schedule_product(
    kernel: Kernel,
    nest: Nest,
    product: Product,
    target: Target,
    around: Surroundings = NO_SURROUNDINGS,
) -> Kernel:
    """Tile a naive matrix product for registers, caches and threads."""
    tiling = tiling_of(kernel, nest, product, target, around.whole)
    # Several nests are dealt to threads together.
    shared = nest.alone and worth_sharing(tiling.sizes, tiling.cycles, target)
    kernel, outermost = _ordered(kernel, tiling, shared=shared)
    segments = IN_BLOCKS if nest.around else ALONE
    kernel = prefetch_operands(kernel, tiling, around, segments.longest)
    if len(product.reduction) == 1:
        kernel = sum_in_segments(kernel, tiling.k, segments.longest, segments.terms)
    kernel = flatten(kernel, f"{tiling.m}.c", f"{tiling.n}.o")
    if shared and len(tiling.batch) == 1 and panels_together(tiling.nest.extent(tiling.batch[0])):
        kernel = flatten(kernel, tiling.batch[0], f"{tiling.n}.o")
    return _parallelise(kernel, outermost) if shared else kernel


def schedule_in_tiles(kernel: Kernel, nest: Nest, product: Product, tile: Tile) -> Kernel:
    """The product in tiles of all its rows, which its panels hold whole ones of; they are dealt to
    threads whatever that costs."""
    m, n = product.m or "", product.n
    kernel = reorder(kernel, [n, m])
    kernel = split(kernel, n, product.panel or nest.extent(n))
    columns = f"{n}.i" if loops_of(kernel, f"{n}.i") else n
    kernel = split(kernel, columns, tile.columns)
    kernel = cut_rows(kernel, m, nest.extent(m), tile)
    kernel = in_registers(kernel, m, columns, tile, (f"{n}.o", f"{columns}.o"))
    kernel = flatten(kernel, f"{n}.o", f"{columns}.o")
    return _parallelise(kernel, [f"{n}.o.f", f"{n}.o", f"{columns}.o"])


def _ordered(kernel: Kernel, tiling: Tiling, *, shared: bool) -> tuple[Kernel, list[str]]:
    """The loops in the best order; and the axes that may be dealt to threads, if it is `shared`."""
    sizes, tile, target = tiling.sizes, tiling.tile, tiling.target
    apart = row_step(kernel, tiling.product) * sizes.dtype.bytes
    as_given = tiling.product.panel is None and tiling.product.dots is None
    packed = as_given and worth_packing(sizes, apart, tile, target)
    cut = shared and tiling.m and not (tiling.outer or packed)
    cut = cut and not condition_points(kernel, tiling.m)
    chunks = row_chunks(sizes, tile, target) if cut else 1
    if chunks > 1:
        return _chunks_outermost(kernel, tiling, chunks)
    plain = as_given and not (packed or tiling.outer) and len(tiling.product.reduction) == 1
    terms = scattered_block(sizes, apart, tile, target) if plain else 0
    if terms:
        return _wide_pieces_outermost(kernel, tiling, terms)
    if packed or panels_first(sizes, tile, target):
        return _panels_outermost(kernel, tiling, packed=packed)
    return _rows_outermost(kernel, tiling)


def _panels_outermost(
    kernel: Kernel, tiling: Tiling, *, packed: bool
) -> tuple[Kernel, list[str]]:
    """All rows inside each panel, or each part of one whose terms are a block, which the first of
    the rows copy together if `packed`."""
    m, n, k, tile = tiling.m, tiling.n, tiling.k, tiling.tile
    batch, windows = tiling.batch, tiling.windows
    kernel = reorder(kernel, [*batch, n, *windows, m])
    if packed:
        kernel = cut_columns(kernel, n, tiling.nest.extent(n), tile)
    else:
        kernel = split_last(kernel, n, tile.columns)
    kernel = reorder(kernel, [f"{n}.o", *windows, m, f"{n}.i"])
    steps = depth_block(tiling.sizes, tile, tiling.target)
    kernel = stream_blocks(kernel, (*windows, m)[0], k, steps)
    around = f"{k}.b" if loops_of(kernel, f"{k}.b") else f"{n}.o"
    if packed:
        along = (*tiling.product.reduction, f"{n}.i")
        kernel = stage_reads(kernel, around, tiling.product.right.buffer, along)
        kernel = vectorise(kernel, f"{n}.i.p", tile.lanes)
        kernel = mark(kernel, f"{n}.i.p.o", Kind.UNROLL)
    if m:
        kernel = cut_rows(kernel, m, tiling.nest.extent(m), tile)
    kernel = in_registers(kernel, m, n, tile)
    if packed and len(tiling.product.reduction) == 1:
        kernel = copy_at_first_use(kernel, around, f"{m}.o", k, distance=COPY_AHEAD)
    together = [f"{axis}.f" for axis in batch[:1]]
    return kernel, [*together, *batch[:1], f"{n}.o", *windows[:1]]


def _wide_pieces_outermost(
    kernel: Kernel, tiling: Tiling, terms: int
) -> tuple[Kernel, list[str]]:
    """Pieces of several panels, and in them blocks of so many `terms`, whose rows are copied to
    panels as they lie, in long runs."""
    m, n, tile = tiling.m, tiling.n, tiling.tile
    columns = f"{n}.i"
    kernel = split_last(reorder(kernel, [n, m]), n, WIDE)
    kernel = stream_blocks(reorder(kernel, [m, columns]), m, tiling.k, terms)
    kernel = split_last(reorder(kernel, [columns, m]), columns, tile.columns)
    kernel = reorder(kernel, [f"{columns}.o", m, f"{columns}.i"])
    block = (f"{columns}.o", tiling.k, f"{columns}.i")
    kernel = stage_reads(kernel, f"{tiling.k}.b", tiling.product.right.buffer, block)
    kernel = reorder(kernel, [f"{tiling.k}.p", f"{columns}.o.p", f"{columns}.i.p"])
    kernel = vectorise(kernel, f"{columns}.i.p", tile.lanes)
    kernel = mark(kernel, f"{columns}.i.p.o", Kind.UNROLL)
    kernel = cut_rows(kernel, m, tiling.nest.extent(m), tile)
    return in_registers(kernel, m, columns, tile), [f"{n}.o"]


def _chunks_outermost(
    kernel: Kernel, tiling: Tiling, chunks: int
) -> tuple[Kernel, list[str]]:
    """Pieces of one panel and one of some `chunks` of rows, neighbours with the same rows."""
    m, n, tile = tiling.m, tiling.n, tiling.tile
    kernel = reorder(kernel, [n, m])
    kernel = split_last(kernel, n, tile.columns)
    kernel = reorder(kernel, [m, f"{n}.i"])
    tiles = tiling.nest.extent(m) // tile.rows
    size = -(-tiles // chunks)
    if -(-tiles // size) < chunks:
        size = tiles // chunks
    around = f"{n}.o" if loops_of(kernel, f"{n}.o") else m
    kernel = split_in_chunks(kernel, m, tile.rows, size, around)
    return in_registers(kernel, m, n, tile), [f"{m}.c.f", f"{m}.c"]


def _rows_outermost(kernel: Kernel, tiling: Tiling) -> tuple[Kernel, list[str]]:
    """All panels inside of what is around the rows."""
    m, n, tile, nest = tiling.m, tiling.n, tiling.tile, tiling.nest
    kernel = reorder(kernel, [*tiling.outer, m, n])
    if m:
        kernel = cut_rows(kernel, m, nest.extent(m), tile)
    kernel = cut_columns(kernel, n, nest.extent(n), tile, inside=(f"{m}.i", f"{m}.o"))
    kernel = in_registers(kernel, m, n, tile, (f"{n}.o", f"{m}.o"))
    return kernel, [*tiling.outer[:1], f"{n}.o"]


def _parallelise(kernel: Kernel, candidates: list[str]) -> Kernel:
    """Deal the iterations of the outermost loop to the threads, if it is one of these."""
    tops = {stmt.axis for stmt in kernel.body if isinstance(stmt, Loop)}
    for axis in candidates:
        if any(loop.axis in tops for loop in loops_of(kernel, axis)):
            return mark(kernel, axis, Kind.PARALLEL)
    return kernel
