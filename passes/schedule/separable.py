"""The recipe for windows that slide over each channel and a product that sums over the channels,
as MobileNets have them: a few rows of windows, then what the product makes of these, while they are
in the nearest caches of the core that made them.

    for i: for j: for c: t[i, j, c] = f(sum(k, l, x[i + k, j + l, c] * w[k, l, c]))
    for i: for j: for n: y[i, j, n] = g(sum(c, t[i, j, c] * v[c, n]))
      ->  parallel i.o in 0..I/2:
            for i.i in 0..2: for j: for c: t[i.i, j, c] = f(sum(k, l, ..))
            for i.i in 0..2: for j: for n: y[i.o * 2 + i.i, j, n] = g(sum(c, t[i.i, j, c] * ..))
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

from ...target import Target
from ...tile.nodes import Kernel, Space
from ...tile.steps.nests import block_rows, common_depth, row_shape
from ...tile.steps.pieces import flatten
from .analysis import as_product, nests_of
from .cost.windows import SeparableSizes, rows_together
from .loops import parallelise
from .products.tiling import product_sizes
from .single import collapse_nest, schedule_nest
from .windows import as_windows


@dataclass(frozen=True)
class Separable:
    """Windows and their product, which share so many loops, are done `rows` at a time of the last
    of these."""

    shared: int
    rows: int


def separable_of(kernel: Kernel, target: Target) -> Separable | None:
    """How this recipe would do a kernel; None where it is not for it, or does not pay."""
    nests = nests_of(kernel)
    local = [buffer for buffer in kernel.locals if buffer.space is Space.SHARED]
    if len(nests) != 2 or len(local) != 1 or any(nest.around for nest in nests):
        return None
    (windows, last), (made,) = nests, local
    product = as_product(kernel, last) if last.loops else None
    if product is None or product.left.buffer != made.name:
        return None
    # Beside the rows there is one more axis, along which neighbouring windows see the same.
    shared = common_depth(kernel) - 1
    if shared < 1 or as_windows(kernel, windows, target) is None:
        return None
    sizes = product_sizes(kernel, last, product)
    problem = SeparableSizes(
        rows=last.extent(last.axes[shared - 1]),
        row_bytes=prod(row_shape(made, shared)) * made.dtype.bytes,
        all_bytes=made.elements * made.dtype.bytes,
        right_bytes=sizes.columns * sizes.depth * sizes.dtype.bytes,
    )
    rows = rows_together(problem, target)
    return Separable(shared, rows) if rows else None


def schedule_separable(kernel: Kernel, parts: Separable, target: Target) -> Kernel:
    """Each nest by its own recipe, in blocks that are dealt to the threads."""
    kernel = block_rows(kernel, parts.shared, parts.rows)
    *outer, blocks = (loop.axis for loop in nests_of(kernel)[0].around)
    for number in range(2):
        kernel = collapse_nest(kernel, number)
    for nest in nests_of(kernel):
        # The sums are as long as those of a product alone: nothing adds them up.
        kernel = schedule_nest(kernel, replace(nest, around=()), target)
    for axis in reversed(outer):
        kernel, blocks = flatten(kernel, axis, blocks), f"{axis}.f"
    return parallelise(kernel, target)
