"""Loops that read the same arrays in every turn find them in a cache: kernels need not ask ahead,
and read them back and forth.

    loop turn in 0..128 {                        loop turn in 0..128 {
      call @product(%x + 8 * turn, ..)      ->     call @product_near(%x + 8 * turn, ..) alternating

A kernel by itself is scheduled for weights that come from memory, and asks for them ahead of time.
What the last turn has left in the third cache the processor fetches in time by itself, and the
requests take the place of loads; but one that mostly computes has time for both, and waits less.

Of arrays larger than the second cache nothing is left there when a turn begins where the last one
did. One that begins where that ended finds as much as the cache holds: a seventh less time for an
LSTM of batch 1, whose weights are four times as large.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from ...target import Target
from ...tile.analyses.count import work_of
from ...tile.instructions.table import PREFETCHES
from ...tile.nodes import Block, Call, Kernel, Space, Stmt
from ...tile.program import CallStep, LoopStep, Program, Step
from ...tile.traverse import map_blocks
from ...tile.tree import is_dealt
from ..schedule.cost.turns import passes_second_cache, stays_near, waits_for
from .variants import Changed, Variants

_FEWEST_TURNS = 4


def resident(program: Program, target: Target) -> Changed:
    """The program with such kernels in its loops."""
    variants = Variants.of(program)
    sizes = {slot.name: slot.type.nbytes for slot in program.slots}

    def near(call: CallStep, kept: Collection[str]) -> CallStep:
        kernel = variants.kernels[call.kernel]
        pairs = zip(kernel.params, call.args, strict=True)
        params = frozenset(param.name for param, view in pairs if view.slot in kept)
        read = sum(sizes[slot] for slot in {view.slot for view in call.args}.intersection(kept))
        waits = waits_for(work_of(kernel).operations, read, target)
        silent = _silent(kernel, params) if waits else kernel
        call = replace(call, alternating=passes_second_cache(read, target) and is_dealt(kernel))
        return variants.call(call, silent, "near")

    def visit(step: Step) -> Step:
        if not isinstance(step, LoopStep):
            return step
        step = replace(step, body=tuple(map(visit, step.body)))
        calls = [inner for inner in step.body if isinstance(inner, CallStep)]
        kept = {view.slot for call in calls for view in call.args if not view.strides}
        near_by = stays_near(sum(sizes[slot] for slot in kept), target)
        if step.count < _FEWEST_TURNS or not near_by:
            return step
        body = [near(inner, kept) if isinstance(inner, CallStep) else inner for inner in step.body]
        return replace(step, body=tuple(body))

    return variants.program(program, tuple(map(visit, program.steps)))


def _silent(kernel: Kernel, params: Collection[str]) -> Kernel:
    """The kernel without requests for these parameters. One of blocks keeps its own: the few rows
    that meet a matrix there do not hide how the next one arrives."""
    if any(buffer.space is Space.SHARED for buffer in kernel.locals):
        return kernel

    def visit(block: Block) -> Block:
        return tuple(map_blocks(stmt, visit) for stmt in block if not _asks(stmt, params))

    return kernel.with_body(visit(kernel.body))


def _asks(stmt: Stmt, params: Collection[str]) -> bool:
    if not isinstance(stmt, Call) or stmt.callee not in PREFETCHES:
        return False
    return any(window.buffer in params for window in stmt.windows)
