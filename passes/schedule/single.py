"""Which recipe one nest gets, alone in its kernel or in a block: found from its loops and accesses.
"""

from __future__ import annotations

from ...target import Target
from ...tile.nodes import Kernel
from .analysis import Nest, as_product, nests_of
from .elementwise import schedule_elementwise
from .loops import collapse_all, lanes_of
from .products.dots import schedule_dots
from .products.gemm import schedule_product
from .products.inner import as_inner, schedule_inner
from .products.long_sums import as_long_sums, schedule_long_sums
from .reductions import schedule_reduction
from .straight_line import is_straight_line, schedule_straight_line
from .stream import product_of_rows, schedule_streamed, sums_of_rows
from .taps import as_taps, schedule_taps
from .transposed import as_transposed, schedule_transposed
from .windows import as_windows, schedule_windows


def collapse_nest(kernel: Kernel, number: int) -> Kernel:
    """Make the nest of a number ready for its recipe: one loop of adjacent ones, except around
    straight-line code, whose axes are chosen among."""
    if is_straight_line(nests_of(kernel)[number]):
        return kernel
    return collapse_all(kernel, number)


def schedule_nest(kernel: Kernel, nest: Nest, target: Target) -> Kernel:
    """Schedule one nest of a kernel, known by the names of its axes, and nothing else."""
    if is_straight_line(nest):
        return schedule_straight_line(kernel, nest, target)
    if not nest.reductions:
        turned = as_transposed(kernel, nest, target)
        if turned is not None:
            return schedule_transposed(kernel, nest, turned, target)
        return schedule_elementwise(kernel, nest, target)
    windows = as_windows(kernel, nest, target)
    if windows is not None:
        return schedule_windows(kernel, nest, windows, target)
    taps = as_taps(kernel, nest, target)
    if taps is not None:
        return schedule_taps(kernel, nest, taps, target)
    product = as_product(kernel, nest)
    if product is not None and product.dots is not None:
        return schedule_dots(kernel, nest, product, target)
    sums = product_of_rows(nest, product, target) if product is not None else None
    if sums is None and product is None:
        sums = sums_of_rows(kernel, nest, target)
    if sums is not None:
        return schedule_streamed(kernel, nest, sums, target)
    long = as_long_sums(kernel, nest, target)
    if long is not None:
        return schedule_long_sums(kernel, nest, long, target)
    if product is not None and (product.panel or 0) % lanes_of(kernel, target) == 0:
        return schedule_product(kernel, nest, product, target)
    inner = as_inner(kernel, nest)
    if inner is not None:
        return schedule_inner(kernel, nest, inner, target)
    return schedule_reduction(kernel, nest, target)
