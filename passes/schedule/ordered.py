"""Kernels with loops whose iterations must run one after the other: running totals, scatter.

Their loops stay as they are written; only those that are proven independent run in vectors and
on several threads.
"""

from __future__ import annotations

from ...expr import Const, vars_of
from ...target import Target
from ...tile.analyses.dependence import Dependences, Mode
from ...tile.analyses.scopes import scoped
from ...tile.nodes import Accumulate, Kernel, Kind, Loop, Space, Store
from ...tile.steps.loops import mark, vectorise
from ...tile.steps.sink import sink
from ...tile.traverse import walk
from ...tile.tree import accesses, extent_of, has_constant_limits
from .analysis import nests_of, vector_cost
from .loops import collapse_all, innermost_loops, lanes_of, parallelise


def ordered_axes(kernel: Kernel) -> frozenset[str]:
    """The axes whose iterations are not proven independent, nor to be a reduction in registers.

    Sums in memory (scatter) stay in order too: their elements are known only from data.
    """
    if writes_one_constant(kernel):
        return frozenset()
    found = Dependences(scoped(kernel, narrow=True), kernel.params, {})
    registers = {buffer.name for buffer in kernel.locals if buffer.space is Space.REGISTER}
    return frozenset(
        axis
        for axis, mode in found.modes.items()
        if mode is Mode.SERIAL or not found.reduced[axis] <= registers
    )


def writes_one_constant(kernel: Kernel) -> bool:
    """Whether all iterations that write anything write the same, as those that look for faults."""
    writes = [stmt for stmt in walk(kernel.body) if isinstance(stmt, (Store, Accumulate))]
    match writes:
        case [Store(value=Const())]:
            return True
    return False


def schedule_ordered(kernel: Kernel, ordered: frozenset[str], target: Target) -> Kernel:
    """Vectors along the independent innermost loops, or the one around an ordered loop; the
    outermost independent loop is dealt to the threads."""
    for loop in [stmt for stmt in walk(kernel.body) if isinstance(stmt, Loop)]:
        kernel = mark(kernel, loop.axis, Kind.SERIAL)
    kernel = collapse_all(kernel)
    lanes = lanes_of(kernel, target)
    for loop in innermost_loops(kernel.body):
        if loop.axis not in ordered and _pays(kernel, loop, lanes):
            kernel = vectorise(kernel, loop.axis, lanes)
    for nest in nests_of(kernel):
        inner = {loop.axis for chain in nest.reductions for loop in chain}
        around = nest.loops[-1] if nest.loops else None
        if around is None or around.axis in ordered or not inner or not inner <= ordered:
            continue
        if _pays(kernel, around, lanes):
            kernel = sink(vectorise(kernel, around.axis, lanes), (f"{around.axis}.i",))
    return parallelise(kernel, target, ordered)


def _keeps_lanes_apart(kernel: Kernel, loop: Loop) -> bool:
    """Whether each iteration writes places of its own in the buffers of a block."""
    shared = {buffer.name for buffer in kernel.locals if buffer.space is Space.SHARED}
    return all(
        any(loop.axis in vars_of(part) for part in indices)
        for name, indices, writes in accesses(loop.body)
        if writes and name in shared
    )


def _pays(kernel: Kernel, loop: Loop, lanes: int) -> bool:
    """Whether a loop runs faster in vectors than one element at a time."""
    if not has_constant_limits(loop) or not _keeps_lanes_apart(kernel, loop):
        return False
    extent = extent_of(loop)
    in_vectors = vector_cost(kernel, loop.body, loop.axis, lanes, extent)
    return in_vectors < vector_cost(kernel, loop.body, loop.axis, 1, extent)
