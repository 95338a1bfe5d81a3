"""Which recipe a naive kernel gets: found from its loops and accesses, never from a name."""

from __future__ import annotations

from ...target import Target
from ...tile.nests import privatise
from ...tile.nodes import Kernel, Space
from ...tile.reductions import lift_guards
from ...tile.tree import tidy
from .analysis import as_product, nests_of
from .gemm import schedule_product
from .loops import (
    collapse_all,
    lanes_of,
    schedule_elementwise,
    schedule_reduction,
)
from .ordered import ordered_axes, schedule_ordered
from .rows import schedule_rows
from .straight_line import is_straight_line, schedule_straight_line
from .stream import is_streamed, schedule_streamed
from .turned import as_turned, schedule_turned


def schedule(kernel: Kernel, target: Target) -> Kernel:
    """Turn a naive kernel into a fast one for a target; any kernel is accepted."""
    return privatise(_scheduled(lift_guards(tidy(kernel)), target))


def _scheduled(kernel: Kernel, target: Target) -> Kernel:
    if not kernel.body:  # of an empty array
        return kernel
    ordered = ordered_axes(kernel)
    if ordered:
        return schedule_ordered(kernel, ordered, target)
    nests = nests_of(kernel)
    if len(nests) > 1 or any(buffer.space is Space.SHARED for buffer in kernel.locals):
        return schedule_rows(kernel, target)
    if is_straight_line(nests[0]):
        return schedule_straight_line(kernel, target)
    flat = collapse_all(kernel)
    (nest,) = nests_of(flat)
    if not nest.reductions:
        turned = as_turned(flat, nest, target)
        if turned is not None:
            return schedule_turned(flat, nest, turned, target)
        return schedule_elementwise(flat, target)
    product = as_product(flat, nest)
    if product is not None and is_streamed(flat, nest, product, target):
        return schedule_streamed(flat, product, target)
    if product is not None and (product.panel or 0) % lanes_of(flat, target) == 0:
        return schedule_product(flat, nest, product, target)
    return schedule_reduction(kernel, target)
