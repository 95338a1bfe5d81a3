"""The recipe for independent iterations: a thread each.

    for i in 0..m: for j in 0..n: s
      ->  block b: thread t: {let p = b * 256 + t;
                              if p < m * n: {let i = p // n;  let j = p % n;  s}}
"""

from __future__ import annotations

from collections.abc import Sequence

from ....expr import Expr, index
from ....tile.nodes import Block, If, Kernel, Kind, Let, Loop
from ....tile.tree import Names, chain, extent_of, has_constant_limits, nest, var
from .work import independent_loops, iterations


def bind_grid(kernel: Kernel, loops: list[Loop], most: int) -> Kernel:
    """Give each iteration of the independent leading loops to a thread, `most` to a block."""
    names = Names(kernel)
    total = iterations(loops)
    threads = min(most, warps_of(total))
    blocks = -(-total // threads)
    block, thread = names.fresh("block"), names.fresh("thread")
    position, lets = places(loops, var(block) * threads + var(thread), names)
    body: Block = (*lets, *loops[-1].body)
    if blocks * threads > total:
        body = (If(var(position.name) < total, body),)
    inner = Loop(thread, index(0), index(threads), (position, *body), Kind.THREAD)
    return kernel.with_body((Loop(block, index(0), index(blocks), (inner,), Kind.BLOCK),))


def places(loops: list[Loop], position: Expr, names: Names) -> tuple[Let, Block]:
    """The number of an iteration among all of perfectly nested loops, and the loops' axes by it."""
    if len(loops) == 1 and loops[0].start == index(0):
        return Let(loops[0].axis, position), ()
    whole = Let(names.fresh("place"), position)
    return whole, axes_at(loops, var(whole.name))


def axes_at(loops: Sequence[Loop], position: Expr) -> tuple[Let, ...]:
    """The axes of perfectly nested loops by the number of an iteration."""
    lets: list[Let] = []
    for number, loop in enumerate(reversed(loops), start=1):
        extent = extent_of(loop)
        own = position if number == len(loops) else position % extent
        lets.append(Let(loop.axis, loop.start + own))
        position = position // extent
    return tuple(reversed(lets))


def warps_of(count: int) -> int:
    """The threads of as many whole warps as `count` iterations keep busy."""
    return -(-max(1, count) // 32) * 32


def hoist_independent(kernel: Kernel) -> Kernel:
    """Move the loops that are independent as outermost ones out of those that are not.

    for j: for d: y[at[j], d] += u[j, d]   ->   for d: for j: y[at[j], d] += u[j, d]
    """
    match kernel.body:
        case (Loop() as top,):
            loops, body = chain(top)
        case _:
            return kernel
    free: list[Loop] = []
    bound: list[Loop] = []
    for loop in loops:
        first = [loop, *(other for other in loops if other is not loop)]
        moved = kernel.with_body(nest(first, body))
        (free if _is_outermost(moved, loop) else bound).append(loop)
    if not free or not bound or not _are_closed(loops):
        return kernel
    hoisted = kernel.with_body(nest([*free, *bound], body))
    return hoisted if len(independent_loops(hoisted)) >= len(free) else kernel


def _is_outermost(kernel: Kernel, loop: Loop) -> bool:
    return any(found.axis == loop.axis for found in independent_loops(kernel)[:1])


def _are_closed(loops: list[Loop]) -> bool:
    """Whether no loop's limits depend on another's axis."""
    return all(map(has_constant_limits, loops))
