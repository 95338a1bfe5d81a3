"""The recipe for one nest around straight-line code of many named values, as transforms have."""

from __future__ import annotations

from math import gcd

from ...target import Target
from ...tile.instructions.table import LINE_BYTES
from ...tile.nodes import Kernel, Let, Store
from ...tile.steps.interior import split_interior
from ...tile.steps.loops import reorder, vectorise
from ...tile.steps.staging import counted_place, stage_stores
from .analysis import Nest
from .loops import best_axis, lanes_of, parallelise_nest

SET_SPAN = 4096  # addresses that far apart share a set of the nearest cache
FETCH_CYCLES = 8  # for a line of another core's cache, when many are on their way
WAYS = 8  # lines that a set has room for


def is_straight_line(nest: Nest) -> bool:
    """Whether a nest's body names values on the way, so that no piece of it stands alone."""
    return bool(nest.loops) and any(isinstance(stmt, Let) for stmt in nest.body)


def schedule_straight_line(kernel: Kernel, nest: Nest, target: Target) -> Kernel:
    """Vectors along the best axis; guards fall out of the interior only, since every copy of such
    a body is long."""
    lanes = lanes_of(kernel, target)
    axis = best_axis(kernel, nest, nest.axes, lanes)
    others = [other for other in nest.axes if other != axis]
    kernel = reorder(kernel, [*others, axis])
    if stores_collide(kernel, nest):
        kernel = stage_stores(kernel, axis, padding=lanes)
    if others:
        kernel = split_interior(kernel, others[-1])
    return parallelise_nest(vectorise(kernel, axis, lanes), nest, target, _fetching(kernel))


def _fetching(kernel: Kernel) -> float:
    """Cycles in which threads that go on with the results would fetch them from the cache of the
    one that wrote them all."""
    written = (param for param in kernel.params if param.name in kernel.outputs)
    lines = sum(buffer.elements * buffer.dtype.bytes for buffer in written) / LINE_BYTES
    return FETCH_CYCLES * lines


def stores_collide(kernel: Kernel, nest: Nest) -> bool:
    """Whether the body stores to more lines of one set of the nearest cache than it holds."""
    stores = [stmt for stmt in nest.body if isinstance(stmt, Store)]
    place = counted_place(stores)
    if place is None:
        return False
    buffer = kernel.buffers[stores[0].target.buffer]
    step = buffer.dtype.bytes
    for extent in buffer.shape[place + 1 :]:
        step *= extent
    return len(stores) * gcd(step, SET_SPAN) > WAYS * SET_SPAN
