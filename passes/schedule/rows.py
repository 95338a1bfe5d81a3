"""The recipe for several nests over the same rows: softmax, norms.

    parallel i.o: {for i.i: max[i.i] = ..;  for i.i: for j: exp[i.i, j] = ..;  ..}
"""

from __future__ import annotations

from itertools import pairwise
from math import prod

from ...target import Target
from ...tile.nodes import Kernel, Loop, Space
from ...tile.steps.loops import condition_points, partition
from ...tile.steps.nests import block_rows, common_depth, fuse_leading, row_shape
from ...tile.steps.stagger import stagger
from ...tile.steps.sum_where_made import sum_where_made
from ...tile.tree import chain, extent_of, has_constant_limits
from .cost.memory import RowSizes, rows_in_flight, staggered_rows
from .loops import (
    PIECES,
    collapse_all,
    innermost_loops,
    lanes_of,
    moved_bytes,
    parallelise,
    vector_rows,
)
from .memory_bound import rows_for_memory


def schedule_rows(kernel: Kernel, target: Target) -> Kernel:
    """Several nests over the same rows (softmax, norms): one or a few rows after the others, their
    intermediates in a buffer that stays in the nearest cache."""
    depth, row_bytes = common_depth(kernel), 0
    if depth:
        sizes = row_sizes(kernel, depth)
        row_bytes = sizes.moved // sizes.rows
        kernel = _rows_together(sum_where_made(kernel, depth), depth, sizes, target)
    kernel = collapse_all(kernel)
    lanes = lanes_of(kernel, target)
    kernel = _cut_parts(kernel, lanes)
    kernel = parallelise(vector_rows(kernel, kernel.body, lanes), target)
    return rows_for_memory(kernel, row_bytes, target) if row_bytes else kernel


def _rows_together(kernel: Kernel, depth: int, sizes: RowSizes, target: Target) -> Kernel:
    """All nests in the loop over rows: each row is written while the next is computed, or a few
    rows go through each nest, or one."""
    fused = fuse_leading(kernel, depth)
    staggered = stagger(fused, staggered_rows(sizes, target))
    if staggered != fused:
        return staggered
    count = rows_in_flight(sizes, target)
    return block_rows(kernel, depth, count) if count > 1 else fused


def _cut_parts(kernel: Kernel, lanes: int) -> Kernel:
    """Cut rows where conditions on their elements change, as between parts that were joined, into
    pieces of whole vectors or more."""
    for loop in innermost_loops(kernel.body):
        points = condition_points(kernel, loop.axis) if has_constant_limits(loop) else []
        ends = [0, *points, extent_of(loop)] if points else []
        if 0 < len(points) < PIECES and all(
            stop - start >= lanes for start, stop in pairwise(ends)
        ):
            kernel = partition(kernel, loop.axis, points)
    return kernel


def row_sizes(kernel: Kernel, depth: int) -> RowSizes:
    """The problem that nests over the same rows are, as the cost model sees it."""
    (rows, *_) = (chain(stmt)[0][depth - 1] for stmt in kernel.body if isinstance(stmt, Loop))
    scratch = sum(
        prod(row_shape(buffer, depth)) * buffer.dtype.bytes
        for buffer in kernel.locals
        if buffer.space is Space.SHARED
    )
    return RowSizes(extent_of(rows), moved_bytes(kernel), scratch)
