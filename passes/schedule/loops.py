"""Steps that many recipes take: lanes and axes of vectors, conditions cut out of loops, threads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import chain

from ...expr import vars_of
from ...target import Target
from ...tile.nodes import Block, Kernel, Kind, Loop, Stmt, Store
from ...tile.steps.collapse import collapse
from ...tile.steps.loops import Tail, condition_points, mark, partition, split, vectorise
from ...tile.steps.nests import iterations_are_private
from ...tile.steps.reductions import split_accumulator
from ...tile.traverse import walk
from ...tile.tree import base, extent_of, has_constant_limits, loops_of
from .analysis import Nest, nests_of, vector_cost, work_cycles
from .cost.model import worth_threads

PIECES = 9  # conditions are cut out of loops by at most so many: those of an image with a border
PARTS = 4  # accumulators of a row's sum: enough to hide the latency of an addition


def lanes_of(kernel: Kernel, target: Target) -> int:
    """Vector lanes for a kernel: as many as its commonest width of elements fills a register."""
    widths = [buffer.dtype.bytes for buffer in kernel.params if buffer.dtype.bits > 1]
    narrow = min((width for width in widths if width >= 4), default=4)
    return max(1, target.vector_bytes // narrow)


def collapse_all(
    kernel: Kernel, number: int | None = None, *, alone: bool = False
) -> Kernel:
    """Make one loop of as many adjacent ones as every access allows; of the nest of this `number`
    only, if one is given, whatever others access if `alone`."""
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
            merged = collapse(kernel, outer, inner, alone=alone)
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
    return deal(kernel, lambda part: worth_threads(work_cycles(part) + saved, target), ordered)


def deal(kernel: Kernel, worth: Callable[[Kernel], bool], ordered: frozenset[str]) -> Kernel:
    """Deal those outermost loops to the threads that by themselves, as a kernel, are `worth` it."""

    def dealt(stmt: Stmt) -> Stmt:
        if not isinstance(stmt, Loop) or stmt.kind is not Kind.SERIAL:
            return stmt
        if not has_constant_limits(stmt) or extent_of(stmt) <= 1:
            return stmt
        if stmt.axis in ordered or not iterations_are_private(kernel, stmt):
            return stmt
        return replace(stmt, kind=Kind.PARALLEL) if worth(kernel.with_body((stmt,))) else stmt

    return kernel.with_body(tuple(map(dealt, kernel.body)))


def parallelise_nest(kernel: Kernel, nest: Nest, target: Target, saved: float = 0.0) -> Kernel:
    """Deal the outermost loops of a nest to the threads; one of several is dealt out with them."""
    return parallelise(kernel, target, saved=saved) if nest.alone else kernel


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
