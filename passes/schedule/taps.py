"""The recipe for sums over all places of a window, one for each of its taps: the gradients of
depthwise filters.

    parallel b.c: {for b: for p: for c.o: {acc[t, u, c.i] = 0;
        for q.o: acc[t, u, c.i] += x[b, p + t - 1, q.o * 7 + q.i + u - 1, c] * dy[b, p, q, c];
        sums[t, u, c] += acc[t, u, c.i]};
      partial[b.c, t, u, c] = sums[t, u, c]};
    for t: for u: for c: dw[c, t, u] = sum of partial[.., t, u, c]

with the taps `t` and `u` and the places `q.i` written out: what is read serves all taps that see
it, whose sums stay in registers. Loops over places are cut where taps leave the image, so that no
padded copy is read. Images that the second cache holds are gone through before `sums` are touched.
Of many channels, pieces of these are dealt to the threads instead, and there are no partial sums.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from math import prod

from ...expr import vars_of
from ...target import Target
from ...tile.nodes import If, Kernel, Kind
from ...tile.steps.lift_guards import lower_guards
from ...tile.steps.loops import mark, reorder, split, vectorise
from ...tile.steps.nests import privatise_in_blocks
from ...tile.steps.partials import cut_sums
from ...tile.steps.prefetch_windows import prefetch_below
from ...tile.steps.reductions import only_accumulates
from ...tile.steps.sink import sink
from ...tile.steps.streams import stream_loops
from ...tile.traverse import loads_within, walk
from ...tile.tree import extent_of, has_constant_limits
from .analysis import Nest, nests_of, stride, updates
from .cost.taps import TapSizes, TapSums, tap_sums, taps_fit
from .cost.windows import worth_prefetching_windows
from .loops import best_axis, cut_conditions, lanes_of, moved_bytes, parallelise
from .reductions import schedule_reduction


@dataclass(frozen=True)
class Taps:
    """The axis that runs in vectors, those of the result that count taps, the summed ones from the
    outermost in, and how the sums are cut."""

    lane: str
    taps: tuple[str, ...]
    summed: tuple[str, ...]
    sums: TapSums


def as_taps(kernel: Kernel, nest: Nest, target: Target) -> Taps | None:
    """A nest each of whose results is a tap, seen with places that are summed, and a channel, along
    which all that is read lies; if a register has room for the sums of each tap."""
    sums = updates(nest.body)
    if not nest.alone or len(sums) != 1 or sums[0].combiner != "sum" or len(nest.loops) < 2:
        return None
    if len(nest.reductions) != 1 or not all(map(has_constant_limits, nest.reductions[0])):
        return None
    chain = nest.reductions[0]
    lane = best_axis(kernel, nest, nest.axes, lanes_of(kernel, target))
    taps = tuple(axis for axis in nest.axes if axis != lane)
    loads = list(loads_within(chain[0].body))
    in_lanes = all(
        stride(kernel.buffers[load.buffer], load.indices, lane) == 1 for load in loads
    )
    if not in_lanes or not only_accumulates(chain[0].body):
        return None
    summed = tuple(loop.axis for loop in chain)
    parts = [vars_of(part) for load in loads for part in load.indices]
    seen = {tap for tap, place in product(taps, summed) if any({tap, place} <= p for p in parts)}
    counts = tuple(map(nest.extent, taps))
    if seen != set(taps) or not taps_fit(prod(counts), target):
        return None
    guarded = frozenset().union(
        *(vars_of(stmt.condition) for stmt in walk(chain[0].body) if isinstance(stmt, If))
    )
    sizes = TapSizes(
        taps=counts,
        summed=tuple(map(extent_of, chain)),
        channels=nest.extent(lane),
        moved=moved_bytes(kernel),
        free=summed[0] not in guarded,
        dtype=sums[0].values[0].dtype,
    )
    return Taps(lane, taps, summed, tap_sums(sizes, target))


def schedule_taps(kernel: Kernel, nest: Nest, found: Taps, target: Target) -> Kernel:
    """All taps of some channels in registers, at some neighbouring places at a time."""
    lane, taps, sums = found.lane, found.taps, found.sums
    kernel = lower_guards(kernel)
    if sums.channels < nest.extent(lane):
        kernel, lane = split(reorder(kernel, [lane, *taps]), lane, sums.channels), f"{lane}.i"
    kernel = reorder(kernel, [*taps, lane])
    if sums.pieces > 1:
        kernel = privatise_in_blocks(cut_sums(kernel, taps[0], sums.pieces))
    kernel = stream_loops(kernel, taps[0], found.summed[sums.block])
    along = found.summed[-1]
    kernel = split(kernel, along, sums.places)
    kernel = cut_conditions(kernel, (f"{along}.o", *reversed(found.summed[:-1])))
    kernel = vectorise(reorder(kernel, [lane, *taps]), lane, lanes_of(kernel, target))
    kernel = reorder(kernel, [f"{lane}.o", *taps, f"{lane}.i"])
    for axis in taps:
        kernel = mark(kernel, axis, Kind.UNROLL)
    kernel = sink(kernel, (*taps, f"{lane}.i"))
    kernel = mark(kernel, f"{along}.i", Kind.UNROLL)  # around all taps: none waits for itself
    if sums.block > 1 and worth_prefetching_windows(moved_bytes(kernel), target):
        kernel = prefetch_below(kernel, found.summed[sums.block - 1])
    if sums.pieces > 1:
        kernel = schedule_reduction(kernel, nests_of(kernel)[-1], target)
    return parallelise(kernel, target)
