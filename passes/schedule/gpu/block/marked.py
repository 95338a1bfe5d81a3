"""The recipe for kernels that say themselves what the threads of a block may do at once: parallel
loops inside of parallel ones. What stands between them every thread does for itself, or one does
for all; the memory that they share is the block's, where it has room.

    parallel b: {for k: {parallel i: column[i] = ..;  parallel i: parallel j: g[i, j] -= ..}}
      ->  block b: thread t: {for k: {column[t] = ..;  sync;  for turn: ..;  sync}}
"""

from __future__ import annotations

from dataclasses import replace
from itertools import takewhile

from .....target import Gpu
from .....tile.nodes import Buffer, Kernel, Kind, Loop, Stmt
from .....tile.traverse import map_blocks, walk
from .....tile.tree import chain
from .recipe import bind_block
from .shared import spilled

ELEMENTS = 16  # of the largest step that a thread has: fewer threads wait less for each other


def is_marked(kernel: Kernel) -> bool:
    """Whether a kernel says what the threads of a block may do."""
    match kernel.body:
        case (Loop(kind=Kind.PARALLEL) as top,):
            inside = _blocks(top)[-1].body
            return any(isinstance(stmt, Loop) and _is_parallel(stmt) for stmt in walk(inside))
    return False


def bind_marked(kernel: Kernel, gpu: Gpu) -> tuple[Kernel, tuple[Buffer, ...]]:
    """The kernel with a block for each iteration of its outermost loops, and its workspaces."""
    (top,) = kernel.body
    assert isinstance(top, Loop)
    loops = _blocks(top)
    bound = bind_block(kernel, loops, gpu.block_threads, each=ELEMENTS)
    return spilled(bound.with_body(tuple(map(_serial, bound.body))), gpu, gpu.shared_bytes)


def _blocks(top: Loop) -> list[Loop]:
    """The loops whose iterations are blocks."""
    return list(takewhile(_is_parallel, chain(top)[0]))


def _serial(stmt: Stmt) -> Stmt:
    """What is left of parallel loops, in blocks of one thread."""
    stmt = map_blocks(stmt, lambda block: tuple(map(_serial, block)))
    if isinstance(stmt, Loop) and _is_parallel(stmt):
        return replace(stmt, kind=Kind.SERIAL)
    return stmt


def _is_parallel(loop: Loop) -> bool:
    return loop.kind is Kind.PARALLEL
