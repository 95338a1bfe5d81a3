"""Products of few rows and columns whose sums are long, as gradients of weights are: both operands
come from memory, and each of their elements once.

    parallel k.c: {sums[m, n] = 0;
      for k.o: for n.o: for m.o: {acc[m.i, n.i] = 0;
        for k.i: {prefetch(a[k.o + 1, ..]);  prefetch(b[k.o + 1, ..]);  acc[m.i, n.i] += ..};
        sums[m, n] += acc[m.i, n.i]};
      partial[k.c, m, n] = sums[m, n]};
    for m.p: for n.p: out[m.p, n.p] = f(sum of partial[.., m.p, n.p])

A block of terms stays in the nearest caches while all tiles pass over it, and the next one is asked
for meanwhile, as it lies in memory. Windows side by side whose rows are few have one tile together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from ....expr import Apply, Load, vars_of
from ....target import Target
from ....tile.nodes import Accumulate, Kernel, Store
from ....tile.steps.loops import reorder, split, vectorise
from ....tile.steps.nests import privatise_in_blocks
from ....tile.steps.partials import cut_sums, finish_apart
from ....tile.steps.pieces import flatten
from ....tile.steps.prefetch import prefetch_next
from ....tile.steps.prefetch_tiles import prefetch_next_block
from ....tile.steps.staging import stage_reads
from ....tile.steps.streams import stream_loops
from ....tile.tree import chain, extent_of, has_constant_limits, loops_of
from ..analysis import Nest, Product, nests_of, stride
from ..cost.depth import TALL, SumBlocks, sum_blocks, worth_finishing_apart, worth_joining_windows
from ..cost.register_tiles import Tile
from ..elementwise import schedule_elementwise
from ..loops import collapse_all, parallelise
from ..reductions import schedule_reduction
from ..transposed import as_transposed, schedule_transposed
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
    if sums.blocks.part is not None:
        return _in_parts(kernel, nest, sums, sums.blocks.part, target)
    tiling = sums.tiling
    m, n, windows = tiling.m, tiling.n, tiling.windows
    kernel = reorder(kernel, [*windows, m, n])
    kernel, block, (inner, *_) = _cut(kernel, nest, sums.blocks.terms)
    first = (*windows, m)[0]
    kernel = privatise_in_blocks(cut_sums(kernel, first, sums.blocks.pieces))
    # Vectors of rows that overlapped would wait for one another: a load for the stores before it.
    kernel = stream_loops(kernel, first, inner, multiple=tiling.tile.lanes)
    kernel = reorder(kernel, [*windows, n, m])
    kernel = cut_columns(kernel, n, nest.extent(n), tiling.tile, inside=(m,))
    joined = [
        axis
        for axis in windows[-1:]
        if worth_joining_windows(tiling.sizes, nest.extent(axis), tiling.tile, target)
    ]
    kernel = _in_tiles(kernel, tiling.tile, m, nest.extent(m), n, joined)
    product = tiling.product
    for operand in (product.right,) if windows else (product.left, product.right):
        around = (*windows, f"{n}.o", f"{m}.o")
        kernel = prefetch_next(kernel, operand.buffer, block, inner, around)
    kernel = schedule_reduction(kernel, nests_of(kernel)[-1], target)
    return parallelise(kernel, target)


def _in_parts(
    kernel: Kernel, nest: Nest, sums: LongSums, part: tuple[int, int], target: Target
) -> Kernel:
    """The sums of a part of one window after those of another, each by all blocks:

    parallel window, m.o, n.o:
      {sums[m.i, n.i] = 0;  for k.o: for n.i.o: for m.i.o: {..};  total[window, m, n] = sums}
    parallel n.p: for m.p: for window.p: out[n.p, m.p, window.p] = f(total[window.p, m.p, n.p])

    Where rows of panels would meet in the nearest cache, each block copies its own first. Columns
    that lie together in the result need no turning.
    """
    tiling, blocks = sums.tiling, sums.blocks
    m, n, windows = tiling.m, tiling.n, tiling.windows
    kernel = reorder(kernel, [*windows, m, n])
    if _lie_apart(kernel, nest, n) and worth_finishing_apart(tiling.sizes, target):
        kernel = _finish_apart(kernel, (*windows, m)[0], target)
    kernel, block, terms = _cut(kernel, nest, blocks.terms)
    outer, inner = [*windows], [m, n]
    for at, (axis, size) in enumerate(zip((m, n), part, strict=True)):
        if size < nest.extent(axis):
            kernel, inner[at] = split(kernel, axis, size), f"{axis}.i"
            outer.append(f"{axis}.o")
    rows, columns = inner
    kernel = reorder(kernel, [*outer, rows, columns])
    kernel = reorder(stream_loops(kernel, rows, terms[0]), [columns, rows])
    kernel = split(kernel, columns, tiling.tile.columns)
    right = tiling.product.right.buffer
    if blocks.copied:
        kernel = reorder(kernel, [f"{columns}.o", rows, f"{columns}.i"])
        axes = (f"{columns}.o", *terms, f"{columns}.i")
        panels = [axis for axis in axes if loops_of(kernel, axis)]
        kernel = stage_reads(kernel, block, right, panels)
        kernel = vectorise(kernel, f"{columns}.i.p", tiling.tile.lanes)
    kernel = _in_tiles(kernel, tiling.tile, rows, part[0], columns)
    if not blocks.copied:
        kernel = prefetch_next(kernel, right, block, terms[0], (f"{columns}.o", f"{rows}.o"))
    left = tiling.product.left.buffer
    kernel = prefetch_next_block(kernel, terms[0], left, f"{rows}.i", block)
    *outer, inmost = outer
    for axis in reversed(outer):
        kernel, inmost = flatten(kernel, axis, inmost), f"{axis}.f"
    return parallelise(kernel, target)


def _lie_apart(kernel: Kernel, nest: Nest, axis: str) -> bool:
    """Whether results next to one another along an axis are not in memory."""
    return any(
        stride(kernel.buffers[stmt.target.buffer], stmt.target.indices, axis) != 1
        for stmt in nest.body
        if isinstance(stmt, Store) and stmt.target.buffer in kernel.outputs
    )


def _finish_apart(kernel: Kernel, axis: str, target: Target) -> Kernel:
    """Turn the sums in a nest of their own, once all are there."""
    cut = finish_apart(kernel, axis)
    if cut is kernel:
        return kernel
    kernel = collapse_all(cut, -1, alone=True)
    finish = nests_of(kernel)[-1]
    turned = as_transposed(kernel, finish, target)
    if turned is not None:
        return schedule_transposed(kernel, finish, turned, target)
    return schedule_elementwise(kernel, finish, target)


def _in_tiles(
    kernel: Kernel,
    tile: Tile,
    rows: str,
    count: int,
    columns: str,
    windows: Sequence[str] = (),
) -> Kernel:
    """Register tiles of so many `rows` by panels of the `columns`, which are cut already; those of
    some `windows` together."""
    kernel = reorder(kernel, [f"{columns}.o", rows, f"{columns}.i"])
    kernel = cut_rows(kernel, rows, count, tile)
    return in_registers(kernel, rows, columns, tile, windows=windows)


def _cut(kernel: Kernel, nest: Nest, terms: int) -> tuple[Kernel, str, Sequence[str]]:
    """The sums in blocks of so many terms: the axis that counts these, and those inside."""
    axes = [loop.axis for loop in nest.reductions[0]]
    if len(axes) == 1:
        return split(kernel, axes[0], terms), f"{axes[0]}.o", (f"{axes[0]}.i",)
    extents = [extent_of(loop) for loop in nest.reductions[0]]
    at = next(at for at in range(1, len(axes)) if prod(extents[at:]) == terms)
    return kernel, axes[at - 1], axes[at:]
