"""The recipe for products both operands of which lie along what is summed, in register tiles.

    parallel n.o, m.o: part[m.i, n.i, l] = 0
      for p: for k.o: part[m.i, n.i, l] += a[m, p, k] * b[n, p, k]
      for l: acc[m.i, n.i] += part[m.i, n.i, l];  out[m, n] = acc[m.i, n.i]

with `m.i` and `n.i` unrolled and `k = k.o * lanes + l`: each vector that is read meets several
others, and lanes are added up once, at the end. Weights' gradients are such products where the
examples lie side by side, and so is a few rows' product by a matrix that is given transposed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

from ....expr import Apply, Load, vars_of
from ....target import Target
from ....tile.nodes import Kernel, Kind
from ....tile.steps.loops import mark, reorder, vectorise
from ....tile.steps.prefetch import prefetch_rows
from ....tile.steps.reductions import split_accumulator
from ....tile.steps.sink import sink
from ....tile.tree import extent_of, has_constant_limits
from ..analysis import Nest, stride, updates
from ..cost.inner import inner_tile, is_few
from ..cost.memory import ROW_AHEAD
from ..cost.register_tiles import ProductSizes, Tile
from ..loops import lanes_of, parallelise_nest
from .tiling import cut_columns, cut_rows


@dataclass(frozen=True)
class InnerProduct:
    """The axes of the rows and columns of a tile, and the one that is summed in vectors; the names
    of the operands, which have a row each for one of the former."""

    m: str
    n: str
    along: str
    left: str
    right: str


def as_inner(kernel: Kernel, nest: Nest) -> InnerProduct | None:
    """Recognise `acc += left * right` with an axis of the result on either side only, and one that
    is summed along which both lie."""
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
    rows = [axis for axis in nest.axes if axis in own[0] - own[1]]
    columns = [axis for axis in nest.axes if axis in own[1] - own[0]]
    if not along or not rows or not columns:
        return None
    return InnerProduct(rows[-1], columns[-1], along[-1], left.buffer, right.buffer)


def inner_sizes(nest: Nest, found: InnerProduct) -> ProductSizes:
    """The problem, as the cost model sees it."""
    return ProductSizes(
        rows=nest.extent(found.m),
        depth=prod(map(extent_of, nest.reductions[0])),
        columns=nest.extent(found.n),
        dtype=updates(nest.body)[0].values[0].dtype,
    )


def schedule_inner(kernel: Kernel, nest: Nest, found: InnerProduct, target: Target) -> Kernel:
    """Tiles of sums in registers, each a vector of parts."""
    m, n, along = found.m, found.n, found.along
    lanes = lanes_of(kernel, target)
    chain = [loop.axis for loop in nest.reductions[0]]
    sizes = inner_sizes(nest, found)
    tile: Tile = inner_tile(sizes, target)
    kernel = reorder(kernel, [*(axis for axis in chain if axis != along), along])
    kernel = reorder(kernel, [*(axis for axis in nest.axes if axis not in (m, n)), m, n])
    kernel = cut_rows(kernel, m, sizes.rows, tile)
    kernel = cut_columns(kernel, n, sizes.columns, tile, inside=(f"{m}.i", f"{m}.o"))
    kernel = reorder(kernel, [f"{n}.o", f"{m}.o", f"{m}.i", f"{n}.i"])
    for axis in (f"{m}.i", f"{n}.i"):
        kernel = mark(kernel, axis, Kind.UNROLL)
    kernel = split_accumulator(vectorise(kernel, along, lanes), (f"{along}.i",))
    kernel = sink(kernel, (f"{m}.i", f"{n}.i"))
    few, larger, axis = sizes, found.right, n
    if sizes.rows > sizes.columns:
        few = replace(sizes, rows=sizes.columns, columns=sizes.rows)
        larger, axis = found.left, m
    if is_few(few.rows, few.depth, few.columns) and few.far(target):
        kernel = prefetch_rows(kernel, larger, f"{axis}.i", distance=ROW_AHEAD)
    return parallelise_nest(kernel, nest, target)
