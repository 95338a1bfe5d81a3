"""Which recipe a naive kernel gets: found from its loops and accesses, never from a name."""

from __future__ import annotations

from ...target import Target
from ...tile.nodes import Kernel, Kind, Loop, Space
from ...tile.steps.lift_guards import lift_guards
from ...tile.steps.nests import privatise, privatise_in_blocks
from ...tile.steps.round_once import round_once
from ...tile.steps.stay_wide import stay_wide
from ...tile.traverse import walk
from ...tile.tree import tidy
from .analysis import nests_of
from .blocked import is_blocked, schedule_blocked
from .external import schedule_external
from .fused import is_fusible, schedule_fused
from .memory_bound import for_memory
from .ordered import ordered_axes, schedule_ordered
from .products.dots import use_dots
from .products.gated import gates_of, schedule_gated
from .rows import schedule_rows
from .separable import schedule_separable, separable_of
from .single import collapse_nest, schedule_nest


def schedule(kernel: Kernel, target: Target) -> Kernel:
    """Turn a naive kernel into a fast one for a target; any kernel is accepted."""
    if any(isinstance(stmt, Loop) and stmt.kind is Kind.VECTOR for stmt in walk(kernel.body)):
        return kernel  # written as it is to run
    if kernel.externs:
        return schedule_external(kernel, target)
    kernel = prepared(stay_wide(round_once(kernel)))
    return use_dots(privatise(_scheduled(kernel, target)), target)


def prepared(kernel: Kernel) -> Kernel:
    """A naive kernel as the recipes expect it."""
    return lift_guards(privatise_in_blocks(tidy(kernel)))


def _scheduled(kernel: Kernel, target: Target) -> Kernel:
    if not kernel.body:  # of an empty array
        return kernel
    gates = gates_of(kernel)
    if gates is not None:
        return schedule_gated(kernel, gates, target)
    parts = separable_of(kernel, target)
    if parts is not None:
        return schedule_separable(kernel, parts, target)
    ordered = ordered_axes(kernel)
    if is_blocked(kernel, ordered):
        return schedule_blocked(kernel, ordered, target)
    if ordered:
        return schedule_ordered(kernel, ordered, target)
    if is_fusible(kernel):
        return for_memory(schedule_fused(kernel, target), target)
    nests = nests_of(kernel)
    if len(nests) > 1 or any(buffer.space is Space.SHARED for buffer in kernel.locals):
        return schedule_rows(kernel, target)
    kernel = collapse_nest(kernel, 0)
    (nest,) = nests_of(kernel)
    scheduled = schedule_nest(kernel, nest, target)
    return scheduled if nest.reductions else for_memory(scheduled, target)
