"""The recipe for blocks: several nests under common loops, as attention or the stages of Winograd
have, some of them matrix products. Each nest gets the recipe of its own; what one leaves for the
next stays in buffers of a block's size, in the caches.

    parallel block: {for j: for i: scores[j, i] = ..;  for i: top[i] = ..;  for i: for e: out = ..}
"""

from __future__ import annotations

from ...target import Target
from ...tile.nodes import Kernel
from ...tile.steps.prefetch_blocks import prefetch_for_results
from .analysis import as_product, nests_of
from .loops import parallelise
from .single import collapse_nest, schedule_nest


def is_blocked(kernel: Kernel, ordered: frozenset[str]) -> bool:
    """Whether nests stand in blocks, all loops that must run in order among those around them.
    Several nests one of which is a product are taken for a single block, whose loops ran once."""
    nests = nests_of(kernel)
    around = {loop.axis for nest in nests for loop in nest.around}
    one = len(nests) > 1 and any(as_product(kernel, nest) is not None for nest in nests)
    return (bool(around) or one) and ordered <= around


def schedule_blocked(kernel: Kernel, ordered: frozenset[str], target: Target) -> Kernel:
    """Schedule each nest on its own and deal the blocks to the threads, unless they are among the
    axes `ordered`."""
    for number in range(len(nests_of(kernel))):
        kernel = collapse_nest(kernel, number)
    for nest in nests_of(kernel):
        kernel = schedule_nest(kernel, nest, target)
    return parallelise(prefetch_for_results(kernel), target, ordered)
