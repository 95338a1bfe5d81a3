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

from dataclasses import dataclass
from math import prod

from ....expr import Apply, Load, vars_of
from ....target import Target
from ....tile.nodes import Kernel
from ....tile.steps.loops import reorder, split
from ....tile.steps.nests import privatise_in_blocks
from ....tile.steps.partials import cut_sums
from ....tile.steps.prefetch import prefetch_next
from ....tile.steps.streams import stream_loops
from ....tile.tree import extent_of, has_constant_limits
from ..analysis import Nest, Product, nests_of, stride, updates
from ..cost.depth import SumBlocks, sum_blocks
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
    match [update.values[0] for update in updates(nest.body) if update.combiner == "sum"]:
        case [Apply(function="mul", args=(Load() as first, Load() as second))] if nest.alone:
            pass
        case _:
            return None
    loops = nest.reductions[0]
    if len(nest.reductions) > 1 or not all(map(has_constant_limits, loops)):
        return None
    extents = [extent_of(loop) for loop in loops]
    found: list[tuple[float, LongSums]] = []
    for left, right in ((first, second), (second, first)):
        way = _way(kernel, nest, left, right)
        if way is None:
            continue
        tiling = tiling_of(kernel, nest, way, target)
        apart = row_step(kernel, way) * tiling.sizes.dtype.bytes
        along = stride(kernel.buffers[left.buffer], left.indices, way.n) == 1
        blocks = sum_blocks(tiling.sizes, extents, apart, tiling.tile, target, along=along)
        if blocks is not None:
            cycles = blocks.cycles(tiling.sizes, tiling.tile)
            found.append((cycles, LongSums(tiling, blocks)))
    return min(found, key=lambda each: each[0])[1] if found else None


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
    tiling, product = sums.tiling, sums.tiling.product
    m, n, windows, tile = tiling.m, tiling.n, tiling.windows, tiling.tile
    kernel = reorder(kernel, [*windows, m, n])
    kernel, block, inner = _cut(kernel, nest, sums.blocks.terms)
    first = (*windows, m)[0]
    kernel = privatise_in_blocks(cut_sums(kernel, first, sums.blocks.pieces))
    kernel = stream_loops(kernel, first, inner)
    kernel = reorder(kernel, [*windows, n, m])
    kernel = cut_columns(kernel, n, nest.extent(n), tile, inside=(m,))
    kernel = reorder(kernel, [f"{n}.o", m, f"{n}.i"])
    kernel = cut_rows(kernel, m, nest.extent(m), tile)
    kernel = in_registers(kernel, m, n, tile)
    for operand in (product.right,) if windows else (product.left, product.right):
        around = (*windows, f"{n}.o", f"{m}.o")
        kernel = prefetch_next(kernel, operand.buffer, block, inner, around)
    kernel = schedule_reduction(kernel, nests_of(kernel)[-1], target)
    return parallelise(kernel, target)


def _cut(kernel: Kernel, nest: Nest, terms: int) -> tuple[Kernel, str, str]:
    """The sums in blocks of so many terms: the axis that counts these, and the first inside."""
    axes = [loop.axis for loop in nest.reductions[0]]
    if len(axes) == 1:
        return split(kernel, axes[0], terms), f"{axes[0]}.o", f"{axes[0]}.i"
    extents = [extent_of(loop) for loop in nest.reductions[0]]
    at = next(at for at in range(1, len(axes)) if prod(extents[at:]) == terms)
    return kernel, axes[at - 1], axes[at]
