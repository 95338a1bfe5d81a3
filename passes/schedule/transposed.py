"""The recipe for elementwise kernels some operands of which lie the other way round: transposes.

    for l.c: for r.o: for l.o: {for l.t: tile[l.t, r.t] = x[l, r];
                                for r.i: y[r, l] = f(tile[l.i, r.i])}

Tiles are as high and as wide as a vector has lanes: memory is read and written in whole vectors,
and a tile is turned in registers. A few tiles side by side are done before those below them: each
row is written in runs of some cache lines, and those of all rows being read stay in the caches.
Where rows are no wider than a tile, those of a tile that lie one after another are a run:

    for r.o: for s: {..;  for r.i: y[r, s, l] = f(tile[l, r.i])}
"""

from __future__ import annotations

from dataclasses import dataclass

from ...expr import bounds_of, loads_of
from ...target import Target
from ...tile.nodes import Kernel, Kind, Store
from ...tile.steps.loops import Tail, chunk, distribute, mark, reorder, split, vectorise
from ...tile.steps.staging import stage_tiles
from ...tile.tree import loop_bounds
from .analysis import Nest, stride
from .cost.model import TILES_IN_A_RUN, worth_long_runs, worth_transposing
from .loops import lanes_of, parallelise_nest


@dataclass(frozen=True)
class Transposed:
    """The axis along which the result lies in memory, the one along which `buffers` do."""

    lane: str
    row: str
    buffers: frozenset[str]


def as_transposed(kernel: Kernel, nest: Nest, target: Target) -> Transposed | None:
    """Find the two axes, if every operand lies along one of them and turning tiles pays."""
    match nest.body:
        case (Store() as store,):
            pass
        case _:
            return None
    output, at = kernel.buffers[store.target.buffer], store.target.indices
    along = [axis for axis in nest.axes if stride(output, at, axis) == 1]
    if not along:
        return None
    lane = along[-1]
    rows: set[str] = set()
    buffers: set[str] = set()
    limits: dict[str, tuple[int, int]] = {}
    for loop in (*nest.around, *nest.loops):
        limits[loop.axis] = loop_bounds(loop, limits)
    for load in loads_of(store.value):
        buffer = kernel.buffers[load.buffer]
        if stride(buffer, load.indices, lane) in (0, 1):
            continue
        own = [axis for axis in nest.axes if stride(buffer, load.indices, axis) == 1]
        inside = all(
            low >= 0 and high < extent
            for extent, (low, high) in zip(
                buffer.shape, (bounds_of(part, limits) for part in load.indices), strict=True
            )
        )
        if not own or not inside:
            return None
        rows.add(own[-1])
        buffers.add(load.buffer)
    if len(rows) != 1:
        return None
    (row,) = rows
    if not worth_transposing(nest.extent(row), nest.extent(lane), lanes_of(kernel, target)):
        return None
    return Transposed(lane, row, frozenset(buffers))


def schedule_transposed(kernel: Kernel, nest: Nest, turned: Transposed, target: Target) -> Kernel:
    """Cut both axes in tiles, read those of the turned buffers the way they lie."""
    row, lane = turned.row, turned.lane
    lanes = lanes_of(kernel, target)
    beside = _beside(kernel, nest, turned, lanes)
    others = [other for other in nest.axes if other not in (row, lane, *beside)]
    kernel = reorder(kernel, [*others, row, *beside, lane])
    for axis in (row, lane):
        kernel = split(kernel, axis, lanes, tail=Tail.CUT)
    for axis in (f"{row}.i", f"{row}.o"):
        kernel = distribute(kernel, axis, (f"{lane}.o", f"{lane}.i", f"{row}.i"))
    kernel = chunk(kernel, f"{lane}.o", TILES_IN_A_RUN)
    kernel = reorder(
        kernel, [f"{lane}.o.c", f"{row}.o", *beside, f"{lane}.o", f"{row}.i", f"{lane}.i"]
    )
    kernel = stage_tiles(kernel, f"{row}.i", f"{lane}.i", turned.buffers, lanes)
    for axis in (f"{row}.i.t", f"{lane}.i"):
        kernel = vectorise(kernel, axis, lanes)
    return parallelise_nest(mark(kernel, f"{row}.i", Kind.UNROLL), nest, target)


def _beside(kernel: Kernel, nest: Nest, turned: Transposed, lanes: int) -> list[str]:
    """The axis along which tiles that are as wide as the result's rows follow one another in
    memory, if that makes long runs of it."""
    width = nest.extent(turned.lane)
    if width > lanes or not worth_long_runs(nest.extent(turned.row), lanes):
        return []
    (store,) = nest.body
    assert isinstance(store, Store)
    output, at = kernel.buffers[store.target.buffer], store.target.indices
    return [
        axis
        for axis in nest.axes
        if axis != turned.row and nest.extent(axis) > 1 and stride(output, at, axis) == width
    ]
