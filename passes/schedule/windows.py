"""The recipe for small windows that slide over a result: depthwise convolutions, pools.

    parallel i.o: for j.o: for c.o:
      acc[i.i, j.i, c.i] = 0
      if row i.o * 2 - 1 is there: acc[i.i, j.i, c.i] += x[i.o * 2 - 1, j.o * 4 + j.i + k1, c] * ..
      if row i.o * 2 is there: ..
      y[i, j, c] = f(acc[i.i, j.i, c.i])

with `i.i`, `j.i` and the taps written out: a row of the input is tested once and loaded once for
all results of the tile that see it. Columns beyond the edge are cut out of the loop over tiles.
Windows that move by parts of an element, as transposed convolutions in steps, have tiles of whole
elements: which taps each result sees is decided when they are written out.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from math import lcm, prod

from ...expr import Apply, Const, loads_of, vars_of, walk_expr
from ...target import Target
from ...tile.nodes import Kernel, Kind
from ...tile.steps.guards import share_guards
from ...tile.steps.loops import Tail, distribute, mark, reorder, split, vectorise
from ...tile.steps.prefetch_windows import prefetch_below
from ...tile.steps.sink import sink
from ...tile.traverse import expressions_of, walk
from ...tile.tree import extent_of, has_constant_limits
from .analysis import Nest, updates
from .cost.memory import beyond_caches
from .cost.windows import (
    MOST_TAPS,
    WindowSizes,
    choose_window_tile,
    worth_prefetching_windows,
)
from .loops import best_axis, cut_conditions, lanes_of, moved_bytes, parallelise_nest
from .memory_bound import past_caches


@dataclass(frozen=True)
class Windows:
    """The axis that runs in vectors; the axes of the result along which windows slide, each with
    the axis of the reduction that counts its taps, and those of the tile among them."""

    lane: str
    taps: dict[str, str]

    @property
    def tile(self) -> tuple[str, ...]:
        """The axes that are tiled: the last two."""
        return tuple(self.taps)[-2:]


def as_windows(kernel: Kernel, nest: Nest, target: Target) -> Windows | None:
    """Find the axes, if all taps of a window can be written out."""
    sums = updates(nest.body)
    if not nest.loops or len(sums) != 1 or len(nest.reductions) != 1:
        return None
    chain = nest.reductions[0]
    if not all(map(has_constant_limits, chain)) or prod(map(extent_of, chain)) > MOST_TAPS:
        return None
    lane = best_axis(kernel, nest, nest.axes, lanes_of(kernel, target))
    counted = [loop.axis for loop in chain]
    seen = [
        vars_of(part)
        for stmt in walk(nest.body)
        for expr in expressions_of(stmt)
        for load in loads_of(expr)
        for part in load.indices
    ]
    taps = {
        axis: tap
        for axis, tap in product(nest.axes, counted)
        if axis != lane and any({axis, tap} <= used for used in seen)
    }
    return Windows(lane, taps) if taps else None


def schedule_windows(kernel: Kernel, nest: Nest, windows: Windows, target: Target) -> Kernel:
    """Tiles of neighbouring results in registers."""
    lanes, lane, tile = lanes_of(kernel, target), windows.lane, windows.tile
    first = [axis for axis in nest.axes if axis not in (*tile, lane)]
    kernel = reorder(kernel, [*first, *tile, lane])
    problem = WindowSizes(
        extents=tuple(nest.extent(axis) for axis in (*first, *tile, lane)),
        tiled=tuple(nest.extent(axis) for axis in tile),
        taps=tuple(map(extent_of, nest.reductions[0])),
        dtype=updates(nest.body)[0].values[0].dtype,
        steps=tuple(_step(nest, axis) for axis in tile),
    )
    sizes = choose_window_tile(problem, target)
    within = tuple(f"{axis}.i" for axis in tile)
    for axis, size in zip(tile, sizes, strict=True):
        kernel = split(kernel, axis, size, tail=Tail.CUT)
    for axis in tile[1:]:
        kernel = distribute(kernel, f"{tile[0]}.i", (f"{axis}.o", f"{axis}.i"))
    kernel = reorder(kernel, [*(f"{axis}.o" for axis in tile), *within, lane])
    kernel = cut_conditions(kernel, tuple(f"{axis}.o" for axis in tile[1:]))
    kernel = vectorise(kernel, lane, lanes)
    pieces = [f"{lane}.o", f"{lane}.i"]
    for axis in reversed(within):
        kernel = distribute(kernel, axis, pieces)
        pieces = [axis, *pieces]  # of a tile of one row or column its loop has vanished
    kernel = reorder(kernel, [f"{lane}.o", *within, f"{lane}.i"])
    kernel = cut_conditions(kernel, (f"{lane}.o",))
    for axis in (*within, *(loop.axis for loop in nest.reductions[0][1:])):
        kernel = mark(kernel, axis, Kind.UNROLL)
    kernel = sink(kernel, (*within, f"{lane}.i"))
    kernel = share_guards(kernel, windows.taps[tile[0]])
    moved = moved_bytes(kernel)
    if worth_prefetching_windows(moved, target):
        kernel = prefetch_below(kernel, f"{tile[0]}.o")
    if beyond_caches(moved, target):
        kernel = past_caches(kernel)
    return parallelise_nest(kernel, nest, target)


def _step(nest: Nest, axis: str) -> int:
    """After how many iterations of an axis conditions on its remainder are the same again."""
    divisors = (
        node.args[1]
        for stmt in walk(nest.body)
        for expr in expressions_of(stmt)
        for node in walk_expr(expr)
        if isinstance(node, Apply) and node.function == "mod" and axis in vars_of(node.args[0])
    )
    return lcm(*(int(each.value) for each in divisors if isinstance(each, Const)))
