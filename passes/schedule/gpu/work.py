"""What the recipes for graphics cards ask of a kernel: its independent loops, and whether threads
or blocks should do them."""

from __future__ import annotations

from itertools import takewhile
from math import prod

from ....expr import vars_of
from ....target import Gpu
from ....tile.analyses.dependence import Dependences, Mode
from ....tile.analyses.scopes import scoped
from ....tile.nodes import Block, Kernel, Loop, Space
from ....tile.traverse import loads_within, walk
from ....tile.tree import accesses, chain, extent_of, has_constant_limits
from ..analysis import stride, updates
from ..ordered import writes_one_constant

ROW = 64  # a sum of so many elements is worth the threads of a block


def independent_loops(kernel: Kernel) -> list[Loop]:
    """The perfectly nested loops at the top whose iterations need nothing of each other."""
    match kernel.body:
        case (Loop() as top,):
            pass
        case _:
            return []
    if writes_one_constant(kernel):
        return list(takewhile(has_constant_limits, chain(top)[0]))
    modes = Dependences(scoped(kernel, narrow=True), kernel.params, {}).modes
    found: list[Loop] = []
    for loop in chain(top)[0]:
        if modes[loop.axis] is not Mode.INDEPENDENT or not has_constant_limits(loop):
            break
        found.append(loop)
    return found


def indexes_registers(kernel: Kernel, loop: Loop) -> bool:
    """Whether the axis of a loop is an index of a register, which must be known when unrolled."""
    registers = {local.name for local in kernel.locals if local.space is Space.REGISTER}
    return any(
        loop.axis in vars_of(part)
        for name, indices, _ in accesses(loop.body)
        if name in registers
        for part in indices
    )


def iterations(loops: list[Loop]) -> int:
    """How often the innermost body of perfectly nested loops runs."""
    return prod(map(extent_of, loops))


def body_of(kernel: Kernel, loops: list[Loop]) -> Block:
    """What stands in these leading loops."""
    return loops[-1].body if loops else kernel.body


def are_few(loops: list[Loop], gpu: Gpu) -> bool:
    """Whether threads with an iteration each would leave most of a card idle."""
    return iterations(loops) * ROW < gpu.multiprocessors * gpu.threads


def prefers_blocks(kernel: Kernel, loops: list[Loop], gpu: Gpu) -> bool:
    """Whether a block should do each iteration of the loops: where a long sum reads neighbouring
    elements along itself, not from thread to thread, or there are too few iterations for a card."""
    inner = [stmt for stmt in walk(body_of(kernel, loops)) if isinstance(stmt, Loop)]
    sums = [loop for loop in inner if has_constant_limits(loop) and updates((loop,))]
    if not sums:
        return False
    longest = max(sums, key=extent_of)
    few = are_few(loops, gpu)
    scattered = {axis: _scattered(kernel, longest, axis) for axis in (longest.axis, loops[-1].axis)}
    along, across = scattered[longest.axis], scattered[loops[-1].axis]
    return extent_of(longest) >= ROW and (along < across or (few and along <= across))


def _scattered(kernel: Kernel, loop: Loop, axis: str) -> int:
    """How many of a loop's reads lie far apart where they step along an axis."""
    buffers = kernel.buffers
    return sum(
        stride(buffers[load.buffer], load.indices, axis) not in (0, 1)
        for load in loads_within(loop.body)
    )
