"""Steps for kernels whose data comes from memory rather than a cache.

Much arithmetic on each vector keeps a core from looking further ahead than the next few, so that
it waits for memory and computes by turns: such kernels ask for their data ahead of time. What is
more than the caches hold is written past them, as nothing of it would still be there when it is
read.
"""

from __future__ import annotations

from dataclasses import replace

from ...target import Target
from ...tile.nodes import Kernel, Stmt, Store
from ...tile.steps.prefetch import prefetch_streams
from ...tile.traverse import map_blocks
from ...tile.tree import accesses
from .analysis import work_cycles
from .cost.memory import FAR_AHEAD, STREAM_AHEAD, beyond_caches, worth_prefetching
from .loops import moved_bytes


def for_memory(kernel: Kernel, target: Target) -> Kernel:
    """The kernel with requests and nontemporal stores, where what it moves makes them pay."""
    moved = moved_bytes(kernel)
    if worth_prefetching(work_cycles(kernel), moved, target):
        kernel = prefetch_streams(kernel, STREAM_AHEAD)
    return past_caches(kernel) if beyond_caches(moved, target) else kernel


def rows_for_memory(kernel: Kernel, row_bytes: int, target: Target) -> Kernel:
    """As `for_memory`, of nests over the same rows. The first nest reads a row as fast as it comes,
    others compute: so the last that reads it asks for rows to come, if rows are so short that all
    of them are in the nearest cache until then."""
    moved = moved_bytes(kernel)
    if worth_prefetching(work_cycles(kernel), moved, target):
        kernel = prefetch_streams(kernel, FAR_AHEAD, last=row_bytes <= FAR_AHEAD)
    return past_caches(kernel) if beyond_caches(moved, target) else kernel


def past_caches(kernel: Kernel) -> Kernel:
    """Make stores to outputs that the kernel does not read itself nontemporal."""
    read = {name for name, _, writes in accesses(kernel.body) if not writes}
    outputs = set(kernel.outputs) - read

    def visit(stmt: Stmt) -> Stmt:
        if isinstance(stmt, Store) and stmt.target.buffer in outputs:
            return replace(stmt, nontemporal=True)
        return map_blocks(stmt, lambda block: tuple(map(visit, block)))

    return kernel.with_body(tuple(map(visit, kernel.body)))
