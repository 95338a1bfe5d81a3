"""The recipe for independent iterations: a thread each.

    for i in 0..m: for j in 0..n: s
      ->  block b: thread t: {let p = b * 256 + t;
                              if p < m * n: {let i = p // n;  let j = p % n;  s}}
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from ....expr import Expr, Load, index
from ....target import Gpu
from ....tile.nodes import Block, Buffer, If, Kernel, Kind, Let, Loop, Ref, Space, Store
from ....tile.tree import (
    Names,
    chain,
    copy_block,
    extent_of,
    has_constant_limits,
    nest,
    var,
)
from .work import independent_loops, iterations

IN_FLIGHT = 4  # elements that a thread loads before it stores any


def bind_grid(kernel: Kernel, loops: list[Loop], gpu: Gpu) -> Kernel:
    """Give each iteration of the independent leading loops to a thread; some, where there are more
    than keep the card busy and each stores one element."""
    names = Names(kernel)
    total = iterations(loops)
    threads = min(gpu.block_threads, warps_of(total))
    match loops[-1].body:
        case (Store() as store,) if total >= IN_FLIGHT * gpu.multiprocessors * gpu.threads:
            return _several(kernel, loops, store, threads, names)
    blocks = -(-total // threads)
    block, thread = names.fresh("block"), names.fresh("thread")
    position, lets = places(loops, var(block) * threads + var(thread), names)
    body: Block = (*lets, *loops[-1].body)
    if blocks * threads > total:
        body = (If(var(position.name) < total, body),)
    inner = Loop(thread, index(0), index(threads), (position, *body), Kind.THREAD)
    return kernel.with_body((Loop(block, index(0), index(blocks), (inner,), Kind.BLOCK),))


def _several(
    kernel: Kernel, loops: list[Loop], store: Store, threads: int, names: Names
) -> Kernel:
    """Elements a block apart for each thread, which loads what all of them need first:

    let r[0..4] = f(x[..]);  y[..] = r[0..4]
    """
    block, thread = names.fresh("block"), names.fresh("thread")
    total = iterations(loops)
    each = threads * IN_FLIGHT
    values = Buffer(names.fresh("values", "_"), store.value.dtype, (IN_FLIGHT,), Space.REGISTER)

    def part(stmt_at: Callable[[Expr], Store]) -> Loop:
        turn = names.fresh("turn")
        place = var(block) * each + var(turn) * threads + var(thread)
        position, lets = places(loops, place, names)
        body: Block = (*lets, stmt_at(var(turn)))
        if total % each:
            body = (If(var(position.name) < total, body),)
        (copied,) = copy_block((Loop(turn, index(0), index(IN_FLIGHT), (position, *body)),), names)
        assert isinstance(copied, Loop)
        return replace(copied, kind=Kind.UNROLL)

    parts = (
        part(lambda turn: Store(Ref(values.name, (turn,)), store.value)),
        part(lambda turn: replace(store, value=Load(values.dtype, values.name, (turn,)))),
    )
    inner = Loop(thread, index(0), index(threads), parts, Kind.THREAD)
    outer = Loop(block, index(0), index(-(-total // each)), (inner,), Kind.BLOCK)
    return replace(kernel, body=(outer,), locals=(*kernel.locals, values))


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
