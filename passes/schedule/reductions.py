"""The recipe for reductions that no other takes: sums, maxima of rows, of columns, of everything.

    along rows:      for i: {for k.o: unroll k.u: vector k.i: part[k.u, k.i] += x[i, k];  ..}
    along columns:   for j.o: {for k: unroll i: vector j.i: acc[i, j.i] += x[k, i, j];  ..}

Vectors run along the reduced axis if that is contiguous, else along an axis of the result.
"""

from __future__ import annotations

from ...target import Target
from ...tile.nodes import Kernel, Kind
from ...tile.steps.loops import Tail, distribute, mark, reorder, split, vectorise
from ...tile.steps.partials import cut_reduction, interleave
from ...tile.steps.prefetch import prefetch_streams
from ...tile.steps.reductions import split_accumulator
from ...tile.steps.sink import sink
from ...tile.tree import extent_of, has_constant_limits, loops_of
from .analysis import Nest, updates, vector_cost, work_cycles
from .cost.memory import FAR_AHEAD, STREAM_RUN, follows, read_streams
from .cost.model import memory_bound, worth_threads
from .loops import (
    PARTS,
    best_axis,
    cut_conditions,
    lanes_of,
    moved_bytes,
    parallelise_nest,
    vector_rows,
)

UNROLLED_TAPS = 8  # window loops up to this long are unrolled
PIXELS = 4  # neighbouring window results computed together
PIECES = 64  # of a sum over everything; fixed, so that it does not depend on threads


def schedule_reduction(kernel: Kernel, nest: Nest, target: Target) -> Kernel:
    """One nest with reductions in it: along the reduced axis if that is contiguous, else along
    an axis of the result."""
    lanes = lanes_of(kernel, target)
    inner = [chain_[-1] for chain_ in nest.reductions if has_constant_limits(chain_[-1])]
    by_row = min(
        (
            vector_cost(kernel, (loop,), loop.axis, lanes, extent_of(loop))
            for loop in inner
        ),
        default=float("inf"),
    )
    if nest.loops:
        axis = best_axis(kernel, nest, nest.axes, lanes)
        by_column = vector_cost(kernel, nest.body, axis, lanes, nest.extent(axis))
        if by_column <= by_row:
            return parallelise_nest(_columns(kernel, nest, axis, lanes), nest, target)
    cycles = work_cycles(kernel)
    one = nest.alone and len(inner) == 1 and worth_threads(cycles, target)
    streams = read_streams(moved_bytes(kernel), cycles, target) if one else 1
    if follows(streams, target) and any(update.combiner != "sum" for update in updates(nest.body)):
        streams = 1  # side by side, others take too many registers
    if one and not nest.loops:
        kernel = _reduction_of_streams(kernel, inner[0].axis, streams, target)
    elif streams > 1 and follows(streams, target):
        kernel = _rows_of_streams(kernel, nest, streams, lanes)
    else:
        kernel = vector_rows(kernel, nest.block, lanes)
    return parallelise_nest(kernel, nest, target)


def _reduction_of_streams(kernel: Kernel, axis: str, streams: int, target: Target) -> Kernel:
    """A reduction of everything in pieces for threads, each read at several places at once:

    parallel k.c: for k.r: unroll k.s, k.e.o: vector k.e.i: part[k.s, k.e.o, k.e.i] += x[..]
    """
    lanes = lanes_of(kernel, target)
    near = follows(streams, target)
    run = PARTS * lanes if near else STREAM_RUN // target.vector_bytes * lanes
    multiple = streams * run if streams > 1 else PARTS * lanes
    kernel = cut_reduction(kernel, axis, PIECES, multiple=multiple)
    kernel = interleave(kernel, axis, streams, run) if streams > 1 else kernel
    stream, element = f"{axis}.s", f"{axis}.e"
    if near and loops_of(kernel, stream):
        kernel = mark(kernel, stream, Kind.UNROLL)
        kernel = mark(vectorise(kernel, element, lanes), f"{element}.o", Kind.UNROLL)
        kernel = split_accumulator(kernel, (stream, f"{element}.o", f"{element}.i"))
        kernel = split_accumulator(kernel, (f"{element}.i",))
        return vector_rows(kernel, kernel.body, lanes)
    far = memory_bound(moved_bytes(kernel), target)
    kernel = vector_rows(kernel, kernel.body, lanes)
    return prefetch_streams(kernel, FAR_AHEAD) if far else kernel


def _rows_of_streams(kernel: Kernel, nest: Nest, streams: int, lanes: int) -> Kernel:
    """Sums of rows that come from memory, several of them side by side:

    for i.o: {for k.o: unroll i.i: vector k.i: part[i.i, k.i] += x[i.o * 4 + i.i, ..];  ..}
    """
    row = nest.axes[-1]
    kernel = split(kernel, row, streams, tail=Tail.CUT)
    kernel = vector_rows(mark(kernel, f"{row}.i", Kind.UNROLL), kernel.body, lanes)
    return sink(kernel, (f"{row}.i",))


def _columns(kernel: Kernel, nest: Nest, axis: str, lanes: int) -> Kernel:
    """Vectors along an axis of the result, a few neighbouring results at a time:

    for p.o: acc[p.i, c.i] = 0;  for taps: acc[p.i, c.i] += x[p + tap, c] * w[tap, c];  out = acc
    """
    others = [other for other in nest.axes if other != axis]
    kernel = reorder(kernel, [*others, axis])
    for chain_ in nest.reductions:
        for loop in chain_[1:]:
            if has_constant_limits(loop) and extent_of(loop) <= UNROLLED_TAPS:
                kernel = mark(kernel, loop.axis, Kind.UNROLL)
    if others:
        kernel = cut_conditions(kernel, (others[-1],))
        kernel = split(kernel, others[-1], PIXELS, tail=Tail.CUT)
    else:
        kernel = _in_parts(kernel, nest)
    kernel = vectorise(kernel, axis, lanes)
    if not others:
        return sink(kernel, (f"{axis}.i",))
    pixel = others[-1]
    for place in (f"{pixel}.i", f"{pixel}.o"):
        kernel = distribute(kernel, place, (f"{axis}.o", f"{axis}.i"))
    kernel = reorder(kernel, [f"{axis}.o", f"{pixel}.o", f"{pixel}.i", f"{axis}.i"])
    kernel = mark(kernel, f"{pixel}.i", Kind.UNROLL)
    return sink(kernel, (f"{pixel}.i", f"{axis}.i"))


def _in_parts(kernel: Kernel, nest: Nest) -> Kernel:
    """Sum long reductions in several parts, so that additions need not wait for one another."""
    for chain_ in nest.reductions:
        loop = chain_[-1]
        if has_constant_limits(loop) and extent_of(loop) >= 2 * PARTS:
            kernel = split(kernel, loop.axis, PARTS, tail=Tail.CUT)
            kernel = mark(kernel, f"{loop.axis}.i", Kind.UNROLL)
            kernel = split_accumulator(kernel, (f"{loop.axis}.i",))
    return kernel
