"""Products of few rows and columns whose sums are long, as gradients of weights are: both operands
come from memory, and each of their elements once.

    parallel k.c: {sums[m, n] = 0;
      for k.o: for n.o: for m.o: {acc[m.i, n.i] = 0;
        for k.i: {prefetch(a[k.o + 1, ..]);  prefetch(b[k.o + 1, ..]);  acc[m.i, n.i] += ..};
        sums[m, n] += acc[m.i, n.i]};
      partial[k.c, m, n] = sums[m, n]};
    for m.p: for n.p: out[m.p, n.p] = f(sum of partial[.., m.p, n.p])

A block of terms stays in the nearest caches while all tiles pass over it, and the next one is asked
for meanwhile, as it lies in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from ....expr import Apply, Load, vars_of
from ....target import Target
from ....tile.nodes import Accumulate, Kernel
from ....tile.steps.loops import reorder, split, vectorise
from ....tile.steps.nests import privatise_in_blocks
from ....tile.steps.partials import cut_sums
from ....tile.steps.pieces import flatten
from ....tile.steps.prefetch import prefetch_next
from ....tile.steps.staging import stage_reads
from ....tile.steps.streams import stream_loops
from ....tile.tree import chain, extent_of, has_constant_limits, loops_of
from ..analysis import Nest, Product, nests_of, stride
from ..cost.depth import TALL, SumBlocks, sum_blocks
from ..loops import parallelise
from ..reductions import schedule_reduction
from .tiling import Tiling, cut_columns, cut_rows, in_registers, row_step, tiling_of


@dataclass(frozen=True)
class LongSums:
    """A product with long sums in its register tile, and how the sums are cut."""

    tiling: Tiling
    blocks: SumBlocks


def as_long_sums(kernel: Kernel, nest: Nest, target: Target) -> LongSums | None:
    """A product whose sums are so long that this recipe is the better one, with whichever operand
    on the right costs less."""
    loops = nest.reductions[0]
    plain = len(nest.reductions) == 1 and all(map(has_constant_limits, loops))
    if not (nest.alone and plain):
        return None
    match chain(loops[0])[1]:  # under no condition: the steps would leave it as it is
        case (Accumulate("sum", values=(Apply(function="mul", args=(first, second)),)),):
            pass
        case _:
            return None
    if not (isinstance(first, Load) and isinstance(second, Load)):
        return None
    extents = [extent_of(loop) for loop in loops]
    found: list[tuple[float, LongSums]] = []
    for left, right in ((first, second), (second, first)):
        way = _way(kernel, nest, left, right)
        if way is None:
            continue
        tiling = tiling_of(kernel, nest, way, target)
        apart = row_step(kernel, way) * tiling.sizes.dtype.bytes
        tall = _are_tall(kernel, tiling)
        blocks = sum_blocks(tiling.sizes, extents, apart, tiling.tile, target, tall=tall)
        if blocks is not None:
            cycles = blocks.cycles(tiling.sizes, tiling.tile)
            found.append((cycles, LongSums(tiling, blocks)))
    return min(found, key=lambda each: each[0])[1] if found else None


def _are_tall(kernel: Kernel, tiling: Tiling) -> bool:
    """Whether the operands are tall matrices, as those of a weight's gradient are: both lie along
    the columns, and are summed over more rows than there are windows; or there are windows, and
    each operand lies along an axis of the result of its own."""
    left, sizes, nest = tiling.product.left, tiling.sizes, tiling.nest

    def lies_along(axis: str) -> bool:
        return stride(kernel.buffers[left.buffer], left.indices, axis) == 1

    if lies_along(tiling.n):
        return sizes.depth >= sizes.rows * sizes.windows
    own = any(lies_along(axis) for axis in nest.axes if axis != tiling.n)
    return own and sizes.windows > 1 and sizes.depth >= TALL


def _way(kernel: Kernel, nest: Nest, left: Load, right: Load) -> Product | None:
    """The product of these operands, whose columns lie one after another and whose rows are as
    many as there are along one axis; None where there is more than one axis of columns."""
    used = frozenset[str]().union(*map(vars_of, right.indices))
    rows = [axis for axis in reversed(nest.axes) if axis not in used]
    columns = [axis for axis in nest.axes if axis in used]
    if len(columns) != 1 or not rows:
        return None
    m, (n,) = max(rows, key=nest.extent), columns
    if stride(kernel.buffers[right.buffer], right.indices, n) != 1:
        return None
    reduction = tuple(loop.axis for loop in nest.reductions[0])
    return Product(m, n, reduction, left, right, None, right.dtype)


def schedule_long_sums(kernel: Kernel, nest: Nest, sums: LongSums, target: Target) -> Kernel:
    """Tile a product for registers, its sums cut in pieces for threads and in blocks for caches."""
    if sums.blocks.columns is not None:
        return _in_parts(kernel, nest, sums, sums.blocks.columns, target)
    tiling = sums.tiling
    m, n, windows = tiling.m, tiling.n, tiling.windows
    kernel = reorder(kernel, [*windows, m, n])
    kernel, block, (inner, *_) = _cut(kernel, nest, sums.blocks.terms)
    first = (*windows, m)[0]
    kernel = privatise_in_blocks(cut_sums(kernel, first, sums.blocks.pieces))
    kernel = stream_loops(kernel, first, inner)
    kernel = reorder(kernel, [*windows, n, m])
    kernel = cut_columns(kernel, n, nest.extent(n), tiling.tile, inside=(m,))
    kernel = _in_tiles(kernel, tiling, n)
    product = tiling.product
    for operand in (product.right,) if windows else (product.left, product.right):
        around = (*windows, f"{n}.o", f"{m}.o")
        kernel = prefetch_next(kernel, operand.buffer, block, inner, around)
    kernel = schedule_reduction(kernel, nests_of(kernel)[-1], target)
    return parallelise(kernel, target)


def _in_parts(
    kernel: Kernel, nest: Nest, sums: LongSums, columns: int, target: Target
) -> Kernel:
    """The sums of one window and some columns after those of another, each by all blocks:

    parallel window, n.o: {sums[m, n.i] = 0;  for k.o: for n.i.o: for m.o: {..};  out = sums}

    Where rows of panels would meet in the nearest cache, each block copies its own first.
    """
    tiling = sums.tiling
    m, n, windows = tiling.m, tiling.n, tiling.windows
    kernel = reorder(kernel, [*windows, n, m])
    kernel, block, terms = _cut(kernel, nest, sums.blocks.terms)
    part = n
    if columns < nest.extent(n):
        kernel, part = split(kernel, n, columns), f"{n}.i"
    kernel = stream_loops(reorder(kernel, [m, part]), m, terms[0])
    kernel = split(reorder(kernel, [part, m]), part, tiling.tile.columns)
    right = tiling.product.right.buffer
    if sums.blocks.copied:
        kernel = reorder(kernel, [f"{part}.o", m, f"{part}.i"])
        panels = [at for at in (f"{part}.o", *terms, f"{part}.i") if loops_of(kernel, at)]
        kernel = stage_reads(kernel, block, right, panels)
        kernel = vectorise(kernel, f"{part}.i.p", tiling.tile.lanes)
    kernel = _in_tiles(kernel, tiling, part)
    if not sums.blocks.copied:
        kernel = prefetch_next(kernel, right, block, terms[0], (f"{part}.o", f"{m}.o"))
    outer = [*windows, f"{n}.o"] if part != n else windows
    for axis in outer[1:]:
        kernel = flatten(kernel, outer[0], axis)
        outer[0] = f"{outer[0]}.f"
    return parallelise(kernel, target)


def _in_tiles(kernel: Kernel, tiling: Tiling, columns: str) -> Kernel:
    """Register tiles of panels of the `columns`, which are cut already."""
    m = tiling.m
    kernel = reorder(kernel, [f"{columns}.o", m, f"{columns}.i"])
    kernel = cut_rows(kernel, m, tiling.nest.extent(m), tiling.tile)
    return in_registers(kernel, m, columns, tiling.tile)


def _cut(kernel: Kernel, nest: Nest, terms: int) -> tuple[Kernel, str, Sequence[str]]:
    """The sums in blocks of so many terms: the axis that counts these, and those inside."""
    axes = [loop.axis for loop in nest.reductions[0]]
    if len(axes) == 1:
        return split(kernel, axes[0], terms), f"{axes[0]}.o", (f"{axes[0]}.i",)
    extents = [extent_of(loop) for loop in nest.reductions[0]]
    at = next(at for at in range(1, len(axes)) if prod(extents[at:]) == terms)
    return kernel, axes[at - 1], axes[at:]
