"""The recipe for several nests over the same rows: softmax, norms.

    parallel i.o: {for i.i: max[i.i] = ..;  for i.i: for j: exp[i.i, j] = ..;  ..}
"""

from __future__ import annotations

from math import prod

from ...target import Target
from ...tile.nests import block_rows, common_depth, fuse_leading, row_shape
from ...tile.nodes import Block, Buffer, Kernel, Kind, Loop, Space, blocks_of
from ...tile.prefetch import prefetch_next
from ...tile.tree import accesses, base, chain, extent_of
from .analysis import stride
from .cost import most_rows, worth_asking
from .loops import collapse_all, lanes_of, share, vector_rows


def schedule_rows(kernel: Kernel, target: Target) -> Kernel:
    """Several nests over the same rows (softmax, norms): a few rows after the others, their
    intermediates in a buffer that stays in the nearest cache."""
    depth = common_depth(kernel)
    if depth:
        count = rows_in_flight(kernel, depth, target)
        kernel = block_rows(kernel, depth, count) if count > 1 else fuse_leading(kernel, depth)
    kernel = vector_rows(collapse_all(kernel), lanes_of(kernel, target))
    return share(ask_ahead(kernel, target))


def rows_in_flight(kernel: Kernel, depth: int, target: Target) -> int:
    """How many rows go through each nest before the next one: a divisor of the rows there are."""
    (rows, *_) = (chain(stmt)[0][depth - 1] for stmt in kernel.body if isinstance(stmt, Loop))
    scratch = sum(
        prod(row_shape(buffer, depth)) * buffer.dtype.bytes
        for buffer in kernel.locals
        if buffer.space is Space.SHARED
    )
    most = most_rows(moved_bytes(kernel), scratch, target)
    return max(count for count in range(1, most + 1) if extent_of(rows) % count == 0)


def moved_bytes(kernel: Kernel) -> int:
    """Bytes of all that a kernel reads and writes."""
    return sum(buffer.elements * buffer.dtype.bytes for buffer in kernel.params)


def ask_ahead(kernel: Kernel, target: Target) -> Kernel:
    """Ask for the next row of each input while the last loop over this one runs: what reads a row
    first would wait for memory, since prefetching in hardware ends with a page."""
    if len(kernel.body) != 1 or not isinstance(kernel.body[0], Loop):
        return kernel
    rows = chain(kernel.body[0])[0][-1]
    for buffer in kernel.params:
        readers = [
            loops
            for loops in serial_chains(rows.body)
            if row_bytes(loops[-1], buffer, rows.axis)
        ]
        if not readers:
            continue
        *around, last = readers[-1]
        if worth_asking(moved_bytes(kernel), row_bytes(last, buffer, rows.axis), target):
            repeats = [base(loop.axis) for loop in around]
            kernel = prefetch_next(kernel, buffer.name, rows.axis, base(last.axis), repeats)
    return kernel


def serial_chains(block: Block) -> list[list[Loop]]:
    """The innermost serial loops, in order, each with those around it."""
    found: list[list[Loop]] = []
    for stmt in block:
        inner = [chain_ for part in blocks_of(stmt) for chain_ in serial_chains(part)]
        if isinstance(stmt, Loop) and stmt.kind is Kind.SERIAL:
            inner = [[stmt, *chain_] for chain_ in inner] or [[stmt]]
        found += inner
    return found


def row_bytes(loop: Loop, buffer: Buffer, rows: str) -> int:
    """Bytes that what a loop reads of a buffer moves by from row to row; 0 if it reads none."""
    reads = (at for name, at, writes in accesses((loop,)) if name == buffer.name and not writes)
    return max(((stride(buffer, at, rows) or 0) * buffer.dtype.bytes for at in reads), default=0)
