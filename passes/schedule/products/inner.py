"""The recipe for products both operands of which lie along what is summed, in register tiles.

    parallel n.o, m.o: part[m.i, n.i, l] = 0
      for p: for k.o: part[m.i, n.i, l] += a[m, p, k] * b[n, p, k]
      for l: acc[m.i, n.i] += part[m.i, n.i, l];  out[m, n] = acc[m.i, n.i]

with `m.i` and `n.i` unrolled and `k = k.o * lanes + l`: each vector that is read meets several
others, and lanes are added up once, at the end. Weights' gradients are such products where the
examples lie side by side, a few rows' product by a matrix that is given transposed, and
convolutions to few channels. Of these the tiles at an image's edges are apart, and each tap has the
rows of them that see the image.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

from ....expr import Apply, Load, vars_of
from ....sizes import round_up
from ....target import Target
from ....tile.nodes import Kernel, Kind
from ....tile.steps.bare_sums import bare_sums
from ....tile.steps.interior import interior_of
from ....tile.steps.loops import mark, partition, reorder, vectorise
from ....tile.steps.prefetch import prefetch_rows
from ....tile.steps.reductions import split_accumulator
from ....tile.steps.sink import sink
from ....tile.steps.skip_zeros import skip_outside
from ....tile.tree import extent_of, has_constant_limits, loops_of
from ..analysis import Nest, stride, updates
from ..cost.inner import inner_tile, is_few
from ..cost.memory import ROW_AHEAD
from ..cost.register_tiles import ProductSizes, Tile
from ..loops import lanes_of, parallelise_nest
from ..reductions import schedule_reduction
from .tiling import cut_columns, cut_rows


@dataclass(frozen=True)
class InnerProduct:
    """The axes of the rows and columns of a tile, and the one that is summed in vectors; the names
    of the operands, which have a row each for one of the former; and how many rows and columns
    there are along all axes. The axis of the only column has an empty name, which no step finds a
    loop for."""

    m: str
    n: str
    along: str
    left: str
    right: str
    rows: int
    columns: int


def as_inner(kernel: Kernel, nest: Nest) -> InnerProduct | None:
    """Recognise `acc += left * right` with an axis of the result on either side only, and one that
    is summed along which both lie. There may be a single column, if windows see parts of the same
    rows: else each row would be read once, from all over the memory."""
    sums = updates(nest.body)
    if len(sums) != 1 or sums[0].combiner != "sum" or len(nest.reductions) != 1:
        return None
    match sums[0].values[0]:
        case Apply(function="mul", args=(Load() as left, Load() as right)):
            pass
        case _:
            return None
    chain = nest.reductions[0]
    if not all(map(has_constant_limits, chain)):
        return None
    along = [
        loop.axis for loop in chain
        if all(stride(kernel.buffers[x.buffer], x.indices, loop.axis) == 1 for x in (left, right))
    ]
    own = [frozenset().union(*map(vars_of, x.indices)) for x in (left, right)]
    rows, columns = (
        [axis for axis in nest.axes if axis in own[side] - own[1 - side]] for side in (0, 1)
    )
    seen, single = (left, rows) if rows else (right, columns)
    if not along or not single:
        return None
    if rows and columns:
        counts = (prod(map(nest.extent, axes)) for axes in (rows, columns))
        return InnerProduct(rows[-1], columns[-1], along[-1], left.buffer, right.buffer, *counts)
    terms = prod(map(nest.extent, nest.axes)) * prod(map(extent_of, chain))
    if kernel.buffers[seen.buffer].elements == terms:
        return None
    count = prod(map(nest.extent, single))
    return InnerProduct(single[-1], "", along[-1], left.buffer, right.buffer, count, 1)


def inner_sizes(nest: Nest, found: InnerProduct) -> ProductSizes:
    """The problem, as the cost model sees it."""
    return ProductSizes(
        rows=nest.extent(found.m),
        depth=prod(map(extent_of, nest.reductions[0])),
        columns=nest.extent(found.n) if found.n else 1,
        dtype=updates(nest.body)[0].values[0].dtype,
    )


def schedule_inner(kernel: Kernel, nest: Nest, found: InnerProduct, target: Target) -> Kernel:
    """Tiles of sums in registers, each a vector of parts."""
    tile = inner_tile(inner_sizes(nest, found), target)
    seen = bare_sums(kernel, nest.reductions[0][0].axis) if nest.alone else None
    if seen is None:
        tiled = _in_tiles(kernel, nest, found, tile, target)
        return parallelise_nest(_prefetched(tiled, nest, found, target), nest, target)
    parted = partition(seen.kernel, found.m, _edges(kernel, found.m, tile.rows))
    tiled = _in_tiles(parted, nest, found, tile, target)
    for place, (first, last) in seen.inside.items():
        skipped = skip_outside(tiled, seen.buffer, place, first, last)
        if skipped is None:
            return schedule_reduction(kernel, nest, target)
        tiled = skipped
    return parallelise_nest(tiled, nest, target)


def _in_tiles(
    kernel: Kernel, nest: Nest, found: InnerProduct, tile: Tile, target: Target
) -> Kernel:
    m, n, along = found.m, found.n, found.along
    rows, columns = nest.extent(m), nest.extent(n) if n else 1
    chain = [loop.axis for loop in nest.reductions[0]]
    kernel = reorder(kernel, [*(axis for axis in chain if axis != along), along])
    kernel = reorder(kernel, [*(axis for axis in nest.axes if axis not in (m, n)), m, n])
    kernel = cut_rows(kernel, m, rows, tile)
    kernel = cut_columns(kernel, n, columns, tile, inside=(f"{m}.i", f"{m}.o"))
    kernel = reorder(kernel, [f"{n}.o", f"{m}.o", f"{m}.i", f"{n}.i"])
    for axis in (f"{m}.i", f"{n}.i"):
        kernel = mark(kernel, axis, Kind.UNROLL)
    lanes = lanes_of(kernel, target)
    kernel = split_accumulator(vectorise(kernel, along, lanes), (f"{along}.i",))
    return sink(kernel, (f"{m}.i", f"{n}.i"))


def _prefetched(kernel: Kernel, nest: Nest, found: InnerProduct, target: Target) -> Kernel:
    """Ask for the larger of two matrices ahead of time, where the other has few rows; windows see
    parts of the same rows, which are there."""
    few, larger, axis = inner_sizes(nest, found), found.right, found.n
    if few.rows > few.columns:
        few = replace(few, rows=few.columns, columns=few.rows)
        larger, axis = found.left, found.m
    matrices = len(nest.reductions[0]) == 1
    if matrices and is_few(few.rows, few.depth, few.columns) and few.far(target):
        return prefetch_rows(kernel, larger, f"{axis}.i", distance=ROW_AHEAD)
    return kernel


def _edges(kernel: Kernel, m: str, rows: int) -> list[int]:
    """Where to part the tiles that see the edges of what is there from the others."""
    (loop,) = loops_of(kernel, m)
    first, last = interior_of(kernel, loop)
    return [round_up(first, rows), last // rows * rows]
