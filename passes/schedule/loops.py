"""Recipes for kernels that are no matrix products: elementwise ones, reductions, windows.

Each picks the axis to run in vectors by the strides of the accesses along it.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import chain

from ...expr import vars_of
from ...target import Target
from ...tile.nodes import Block, Kernel, Kind, Loop, Stmt, Store
from ...tile.steps.collapse import collapse
from ...tile.steps.loops import (
    Tail,
    condition_points,
    distribute,
    mark,
    partition,
    reorder,
    split,
    vectorise,
)
from ...tile.steps.nests import iterations_are_private
from ...tile.steps.partials import cut_reduction, interleave
from ...tile.steps.prefetch import prefetch_streams
from ...tile.steps.reductions import split_accumulator
from ...tile.steps.sink import sink
from ...tile.traverse import walk
from ...tile.tree import base, extent_of, has_constant_limits, loops_of
from .analysis import Nest, nests_of, updates, vector_cost, work_cycles
from .cost.memory import FAR_AHEAD, STREAM_RUN, follows, read_streams
from .cost.model import memory_bound, worth_threads

PIECES = 9  # conditions are cut out of loops by at most so many: those of an image with a border
UNROLLED_TAPS = 8  # window loops up to this long are unrolled
PIXELS = 4  # neighbouring window results computed together
REDUCTION_PIECES = 64  # of a sum over everything; fixed, so that it does not depend on threads
PARTS = 4  # accumulators of a row's sum: enough to hide the latency of an addition


def lanes_of(kernel: Kernel, target: Target) -> int:
    """Vector lanes for a kernel: as many as its commonest width of elements fills a register."""
    widths = [buffer.dtype.bytes for buffer in kernel.params if buffer.dtype.bits > 1]
    narrow = min((width for width in widths if width >= 4), default=4)
    return max(1, target.vector_bytes // narrow)


def schedule_elementwise(kernel: Kernel, nest: Nest, target: Target) -> Kernel:
    """Cut conditions out of the loops, vectorise, deal the outermost loop to threads."""
    lanes = lanes_of(kernel, target)
    if not nest.loops:
        return kernel
    axis = best_axis(kernel, nest, nest.axes, lanes)
    kernel = reorder(kernel, [*(other for other in nest.axes if other != axis), axis])
    kernel = cut_conditions(kernel, nest.axes)
    return parallelise_nest(vectorise(kernel, axis, lanes), nest, target)


def collapse_all(kernel: Kernel, number: int | None = None) -> Kernel:
    """Make one loop of as many adjacent ones as every access allows; of the nest of this `number`
    only, if one is given."""
    changed = True
    while changed:
        changed = False
        block = kernel.body if number is None else nests_of(kernel)[number].block
        pairs = [
            (stmt.axis, stmt.body[0].axis)
            for stmt in walk(block)
            if isinstance(stmt, Loop) and len(stmt.body) == 1 and isinstance(stmt.body[0], Loop)
        ]
        for outer, inner in pairs:
            merged = collapse(kernel, outer, inner)
            if merged is not None:
                kernel, changed = merged, True
                break
    return kernel


def moved_bytes(kernel: Kernel) -> int:
    """Bytes of all that a kernel reads and writes."""
    return sum(buffer.elements * buffer.dtype.bytes for buffer in kernel.params)


def best_axis(kernel: Kernel, nest: Nest, axes: tuple[str, ...], lanes: int) -> str:
    """The axis along which a nest runs best in vectors; the innermost among equals."""
    return min(
        reversed(axes),
        key=lambda axis: vector_cost(kernel, nest.body, axis, lanes, nest.extent(axis)),
    )


def cut_conditions(kernel: Kernel, axes: tuple[str, ...]) -> Kernel:
    """Partition loops where conditions on them change, if that makes few pieces."""
    for axis in axes:
        copies = loops_of(kernel, axis)
        found = (condition_points(kernel, loop.axis) for loop in copies)
        points = sorted(set(chain.from_iterable(found)))
        if points and copies and len(copies) * (len(points) + 1) <= PIECES:
            kernel = partition(kernel, axis, points)
    return kernel


def parallelise(
    kernel: Kernel, target: Target, ordered: frozenset[str] = frozenset(), saved: float = 0.0
) -> Kernel:
    """Deal those outermost loops to the threads whose work is worth it, with the cycles `saved` in
    kernels that follow; iterations of the axes `ordered` must follow one another."""

    def dealt(stmt: Stmt) -> Stmt:
        if not isinstance(stmt, Loop) or stmt.kind is not Kind.SERIAL:
            return stmt
        if not has_constant_limits(stmt) or extent_of(stmt) <= 1:
            return stmt
        if stmt.axis in ordered or not iterations_are_private(kernel, stmt):
            return stmt
        worth = worth_threads(work_cycles(kernel.with_body((stmt,))) + saved, target)
        return replace(stmt, kind=Kind.PARALLEL) if worth else stmt

    return kernel.with_body(tuple(map(dealt, kernel.body)))


def parallelise_nest(kernel: Kernel, nest: Nest, target: Target, saved: float = 0.0) -> Kernel:
    """Deal the outermost loops of a nest to the threads; one of several is dealt out with them."""
    return parallelise(kernel, target, saved=saved) if nest.alone else kernel


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
            return parallelise_nest(schedule_columns(kernel, nest, axis, lanes), nest, target)
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
    kernel = cut_reduction(kernel, axis, REDUCTION_PIECES, multiple=multiple)
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


def schedule_columns(kernel: Kernel, nest: Nest, axis: str, lanes: int) -> Kernel:
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
        kernel = in_parts(kernel, nest)
    kernel = vectorise(kernel, axis, lanes)
    if not others:
        return sink(kernel, (f"{axis}.i",))
    pixel = others[-1]
    for place in (f"{pixel}.i", f"{pixel}.o"):
        kernel = distribute(kernel, place, (f"{axis}.o", f"{axis}.i"))
    kernel = reorder(kernel, [f"{axis}.o", f"{pixel}.o", f"{pixel}.i", f"{axis}.i"])
    kernel = mark(kernel, f"{pixel}.i", Kind.UNROLL)
    return sink(kernel, (f"{pixel}.i", f"{axis}.i"))


def in_parts(kernel: Kernel, nest: Nest) -> Kernel:
    """Sum long reductions in several parts, so that additions need not wait for one another."""
    for chain_ in nest.reductions:
        loop = chain_[-1]
        if has_constant_limits(loop) and extent_of(loop) >= 2 * PARTS:
            kernel = split(kernel, loop.axis, PARTS, tail=Tail.CUT)
            kernel = mark(kernel, f"{loop.axis}.i", Kind.UNROLL)
            kernel = split_accumulator(kernel, (f"{loop.axis}.i",))
    return kernel


def vector_rows(kernel: Kernel, block: Block, lanes: int) -> Kernel:
    """Run every innermost loop of a kernel's `block` in vectors, reductions with several
    accumulators."""
    for loop in innermost_loops(block):
        axis = base(loop.axis)
        if not has_constant_limits(loop) or loop.kind is not Kind.SERIAL:
            continue
        extent = extent_of(loop)
        if _hands_on(kernel, loop):  # a mask would have to be around all statements at once
            kernel = split(kernel, axis, lanes, tail=Tail.CUT)
            kernel = mark(kernel, f"{axis}.i", Kind.VECTOR) if lanes > 1 else kernel
            continue
        kernel = vectorise(kernel, axis, lanes)
        if extent // lanes >= 2 * PARTS:
            kernel = split(kernel, f"{axis}.o", PARTS, tail=Tail.CUT)
            kernel = mark(kernel, f"{axis}.o.i", Kind.UNROLL)
            kernel = split_accumulator(kernel, (f"{axis}.o.i", f"{axis}.i"))
        kernel = split_accumulator(kernel, (f"{axis}.i",))
    return kernel


def _hands_on(kernel: Kernel, loop: Loop) -> bool:
    """Whether statements hand on to later ones what is an iteration's own: of rows of one element.

    for i: {acc = -inf;  acc max= x[i];  t = exp(x[i] - acc);  y[i] = t * t}
    """
    local = {buffer.name for buffer in kernel.locals}
    return any(
        isinstance(stmt, Store)
        and stmt.target.buffer in local
        and loop.axis not in set().union(*map(vars_of, stmt.target.indices))
        for stmt in walk(loop.body)
    )


def innermost_loops(block: Block) -> list[Loop]:
    """The loops of a block that no loop is in."""
    return [
        stmt
        for stmt in walk(block)
        if isinstance(stmt, Loop) and not any(isinstance(part, Loop) for part in walk(stmt.body))
    ]
