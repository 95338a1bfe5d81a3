"""Schedule steps that ask, during the sums of a register tile, for what is read after them: with
their results, or by the next tile.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import takewhile
from math import prod
from types import MappingProxyType

from ...expr import (
    INDEX,
    Expr,
    Load,
    Var,
    apply,
    index,
    simplify,
    substitute_vars,
    vars_of,
)
from ..instructions.table import prefetch_name
from ..nodes import Block, Call, Kernel, Kind, Loop, Stmt, Store, Window
from ..traverse import loads_within, map_blocks, substitute_block, walk
from ..tree import Names, base, chain, extent_of, has_constant_limits, nest, var
from .prefetch import LINE_BYTES, counted, reduction_of

AT_ONCE = 8  # requests that leave room for other misses of the nearest cache


# The place of the element that a tile stores, in what is read `later`.
STORED = tuple(Var(INDEX, f"stored{place}") for place in range(8))


def prefetch_epilogue(
    kernel: Kernel,
    reduction: str,
    buffers: Collection[str],
    later: Mapping[str, Sequence[Load]] = MappingProxyType({}),
) -> Kernel:
    """While a tile is summed up, ask for its elements of these `buffers`, which are read when that
    is done: a few vectors at once, more one by one over the steps, so that no request waits. Of
    what the tile stores to a buffer, `later` tells what is read together with the element at
    `STORED`.

    acc[m.i] = 0;  for k: acc[m.i] += ..;  unroll m.i: vector n.i: y[m, n] = x[m, n] + acc[m.i]
      ->  acc[m.i] = 0;  for k: {prefetch(x[k * M / K, n.o]);  acc[m.i] += ..};  ..
    """
    names = Names(kernel)

    def sums(stmt: Stmt) -> bool:
        return isinstance(stmt, Loop) and base(stmt.axis) == reduction

    def visit(block: Block) -> Block:
        result: list[Stmt] = []
        for place, stmt in enumerate(block):
            if not isinstance(stmt, Loop) or not sums(stmt):
                result.append(map_blocks(stmt, visit))
                continue
            # What follows the sums of another tile is asked for during those.
            epilogue = tuple(takewhile(lambda part: not sums(part), block[place + 1 :]))
            requests = tuple(_requests(epilogue, buffers, later, names))
            if _count(requests) <= AT_ONCE:
                result += (*requests, stmt)
            else:
                result.append(_spread(stmt, requests))
        return tuple(result)

    return kernel.with_body(visit(kernel.body))


def _requests(
    epilogue: Block,
    buffers: Collection[str],
    later: Mapping[str, Sequence[Load]],
    names: Names,
) -> Iterator[Stmt]:
    """Requests for what the vector loops of an epilogue read, in copies of the loops around."""
    for stmt in epilogue:
        match stmt:
            case Loop(kind=Kind.VECTOR):
                yield from _of_vector(stmt, buffers, later)
            case Loop(kind=Kind.UNROLL, axis=axis, start=start, stop=stop, body=body):
                inner = tuple(_requests(body, buffers, later, names))
                if inner:
                    copy = names.copy(axis)
                    moved = substitute_block(inner, {axis: var(copy)})
                    yield Loop(copy, start, stop, moved, Kind.UNROLL)


def _of_vector(
    lanes: Loop, buffers: Collection[str], later: Mapping[str, Sequence[Load]]
) -> Iterator[Stmt]:
    """Requests for the first elements of the vectors that are read along these lanes."""
    start = {lanes.axis: lanes.start}
    loads = [load for load in loads_within(lanes.body) if load.buffer in buffers]
    for stmt in walk(lanes.body):
        if isinstance(stmt, Store):
            stored = {part.name: at for part, at in zip(STORED, stmt.target.indices, strict=False)}
            for load in later.get(stmt.target.buffer, ()):
                at = tuple(substitute_vars(part, stored) for part in load.indices)
                loads.append(replace(load, indices=at))
    for load in dict.fromkeys(loads):
        if lanes.axis in vars_of(load.indices[-1]):
            place = tuple(simplify(substitute_vars(part, start), {}) for part in load.indices)
            yield Call(prefetch_name(load.dtype), (Window(load.buffer, place),))


def _count(requests: Block) -> int:
    """How many requests there are, all loops unrolled."""
    return sum(
        extent_of(stmt) * _count(stmt.body) if isinstance(stmt, Loop) else 1 for stmt in requests
    )


def _spread(reduction: Loop, requests: Block) -> Loop:
    """The reduction with an iteration of the requests' loops in each of its steps, or of the outer
    ones where there are too few of these: the same one in some steps after one another."""
    loops, body = reduction_of(reduction)
    if not all(map(has_constant_limits, loops)):
        return reduction
    steps = prod(map(extent_of, loops))
    asked: list[Stmt] = []
    for stmt in requests:
        if isinstance(stmt, Loop):
            asked += _in_turn(stmt, loops, steps)
        else:
            asked.append(stmt)
    (made,) = nest(loops, (*asked, *body))
    assert isinstance(made, Loop)
    return replace(made, kind=reduction.kind)


def _in_turn(requests: Loop, reduction: list[Loop], steps: int) -> Block:
    """One iteration of nested loops for each step of a reduction, in order."""
    around, body = chain(requests)
    while len(around) > 1 and prod(map(extent_of, around)) > steps:
        body = (around.pop(),)
    count = prod(map(extent_of, around))
    turn = apply("floordiv", counted(reduction), index(-(-steps // count)))
    places: dict[str, Expr] = {}
    for loop in reversed(around):
        own = turn if loop is around[0] else apply("mod", turn, index(extent_of(loop)))
        places[loop.axis] = simplify(loop.start + own, {})
        turn = apply("floordiv", turn, index(extent_of(loop)))
    return substitute_block(body, places)


def prefetch_left(kernel: Kernel, reduction: str, buffer: str, rows: str) -> Kernel:
    """While a tile is summed up along rows of `buffer`, counted by the unrolled loop `rows`, ask
    for the same part of the rows of the next tile: a line in each step.

    for k: unroll m.i in 0..6: acc[m.i] += a[m.o * 6 + m.i, k] * ..
      ->  for k: {prefetch(a[m.o * 6 + min(k mod 16, 5) + 6, k floordiv 16 * 16]);  unroll m.i: ..}
    """

    def visit(block: Block) -> Block:
        return tuple(
            _asking_below(stmt, buffer, rows)
            if isinstance(stmt, Loop) and base(stmt.axis) == reduction
            else map_blocks(stmt, visit)
            for stmt in block
        )

    return kernel.with_body(visit(kernel.body))


def _asking_below(reduction: Loop, buffer: str, rows: str) -> Loop:
    loops, body = reduction_of(reduction)
    unrolled = [stmt for stmt in walk(body) if isinstance(stmt, Loop) and base(stmt.axis) == rows]
    loads = [load for load in loads_within(body) if load.buffer == buffer]
    if len(unrolled) != 1 or not loads:
        return reduction
    (tile,), load, step = unrolled, loads[0], var(loops[-1].axis)
    line, count = LINE_BYTES // load.dtype.bytes, extent_of(tile)
    asked = []
    for first in range(0, count, line):
        row = apply("min", apply("mod", step, index(line)) + first, index(count - 1)) + count
        place = {tile.axis: row, loops[-1].axis: apply("floordiv", step, index(line)) * line}
        at = tuple(simplify(substitute_vars(part, place), {}) for part in load.indices)
        asked.append(Call(prefetch_name(load.dtype), (Window(buffer, at),)))
    (made,) = nest(loops, (*asked, *body))
    assert isinstance(made, Loop)
    return made
