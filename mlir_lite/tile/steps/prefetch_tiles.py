"""Schedule steps that ask, during the sums of a register tile, for what is read after them: with
their results, or by the next tile.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
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
from ..instructions.table import LINE_BYTES, prefetch_name
from ..nodes import Block, Call, Kernel, Kind, Loop, Stmt, Store, Window
from ..traverse import loads_within, map_blocks, substitute_block, walk
from ..tree import Names, base, chain, extent_of, has_constant_limits, nest, var
from .prefetch import counted, reduction_of

AT_ONCE = 8  # requests that leave room for other misses of the nearest cache
FEWEST_BETWEEN = 16  # steps between two of many: a loop over fewer costs more than asking again


# The place of the element that a tile stores, in what is read `later`.
STORED = tuple(Var(INDEX, f"stored{place}") for place in range(8))


def prefetch_epilogue(
    kernel: Kernel,
    reduction: str,
    buffers: Collection[str],
    later: Mapping[str, Sequence[Load]] = MappingProxyType({}),
    *,
    cut: bool = False,
) -> Kernel:
    """While a tile is summed up, ask for its elements of these `buffers`, which are read when that
    is done: a few vectors at once, more one by one over the steps, so that no request waits. Of
    what the tile stores to a buffer, `later` tells what is read together with the element at
    `STORED`.

    acc[m.i] = 0;  for k: acc[m.i] += ..;  unroll m.i: vector n.i: y[m, n] = x[m, n] + acc[m.i]
      ->  acc[m.i] = 0;  for k: {prefetch(x[k * M / K, n.o]);  acc[m.i] += ..};  ..

    Where there are many steps for each, the sum may be `cut`, so that none is asked for again:

      ->  for k in 0..M: {prefetch(x[k, n.o]);  for k.i in 0..K / M: acc[m.i] += ..};  ..
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
                result.append(_spread(stmt, requests, names, cut=cut))
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


def _spread(reduction: Loop, requests: Block, names: Names, *, cut: bool) -> Loop:
    """The reduction with an iteration of the requests' loops in each of its steps, or of the outer
    ones where there are too few of these: the same one in some steps after one another, or, if it
    is `cut`, before them."""
    loops, body = reduction_of(reduction)
    if not all(map(has_constant_limits, loops)):
        return reduction
    steps = prod(map(extent_of, loops))
    nests = [_outer(stmt, steps) for stmt in requests if isinstance(stmt, Loop)]
    if cut and nests:
        most = max(prod(map(extent_of, around)) for around, _ in nests)
        loops, body = _cut(loops, body, steps // most, names)
    asked = [stmt for stmt in requests if not isinstance(stmt, Loop)]
    for around, request in nests:
        asked += _in_turn(around, request, loops)
    (made,) = nest(loops, (*asked, *body))
    assert isinstance(made, Loop)
    return replace(made, kind=reduction.kind)


def _outer(requests: Loop, steps: int) -> tuple[list[Loop], Block]:
    """The outer ones of nested loops, no more iterations than so many steps, and what is inside."""
    around, body = chain(requests)
    while len(around) > 1 and prod(map(extent_of, around)) > steps:
        body = (around.pop(),)
    return around, body


def _cut(loops: list[Loop], body: Block, most: int, names: Names) -> tuple[list[Loop], Block]:
    """A reduction's loops and body with the innermost in equal pieces, the longest there are of at
    most so many steps, if these are not a few only."""
    *outer, last = loops
    extent = extent_of(last)
    steps = max(count for count in range(1, max(most, 1) + 1) if extent % count == 0)
    if steps < FEWEST_BETWEEN:
        return loops, body
    inner = names.copy(f"{last.axis}.i")
    moved = {last.axis: last.start + var(last.axis) * steps + var(inner)}
    piece = Loop(inner, index(0), index(steps), substitute_block(body, moved), last.kind)
    return [*outer, replace(last, start=index(0), stop=index(extent // steps))], (piece,)


def _in_turn(around: list[Loop], request: Block, reduction: list[Loop]) -> Block:
    """One iteration of nested loops for each of a reduction, in order."""
    count, turns = prod(map(extent_of, around)), prod(map(extent_of, reduction))
    each = -(-turns // count)
    if turns < 2 * count:  # each has one: the last goes on asking
        each = 1
    turn = apply("floordiv", counted(reduction), index(each))
    places: dict[str, Expr] = {}
    for loop in reversed(around):
        extent = index(extent_of(loop))
        own = turn if loop is around[0] else apply("mod", turn, extent)
        places[loop.axis] = simplify(loop.start + own, {})
        turn = apply("floordiv", turn, extent)
    if each * count < turns:
        first = around[0]
        places[first.axis] = apply("min", places[first.axis], first.stop - 1)
    return substitute_block(request, places)


def prefetch_left(kernel: Kernel, reduction: str, buffer: str, rows: str) -> Kernel:
    """While a tile is summed up along rows of `buffer`, counted by the unrolled loop `rows`, ask
    for the same part of the rows of the next tile: a line in each step.

    for k: unroll m.i in 0..6: acc[m.i] += a[m.o * 6 + m.i, k] * ..
      ->  for k: {prefetch(a[m.o * 6 + min(k mod 16, 5) + 6, k floordiv 16 * 16]);  unroll m.i: ..}
    """

    return _in_sums(kernel, reduction, lambda sums: _asking_below(sums, buffer, rows))


def prefetch_next_block(
    kernel: Kernel, reduction: str, buffer: str, rows: str, block: str
) -> Kernel:
    """While a tile is summed up along columns of `buffer`, whose rows the unrolled loop `rows`
    counts, ask for what the same tile reads in the next turn of the loop `block`: a line in each
    step.

    for p: for m.o: for k: unroll m.i: acc[m.i] += a[p, k, m.o * 6 + m.i] * ..
      ->  for p: for m.o: for k: {prefetch(a[p + 1, k, m.o * 6]);  unroll m.i: ..}
    """

    def asking(sums: Loop) -> Loop:
        loops, body = reduction_of(sums)
        tile = [stmt for stmt in walk(body) if isinstance(stmt, Loop) and base(stmt.axis) == rows]
        load = next((load for load in loads_within(body) if load.buffer == buffer), None)
        if not tile or load is None:
            return sums
        names = frozenset().union(*map(vars_of, load.indices))
        place: dict[str, Expr] = {name: var(name) + 1 for name in names if base(name) == block}
        place |= {loop.axis: loop.start for loop in tile}
        at = tuple(simplify(substitute_vars(part, place), {}) for part in load.indices)
        request = Call(prefetch_name(load.dtype), (Window(buffer, at),))
        (made,) = nest(loops, (request, *body))
        assert isinstance(made, Loop)
        return made

    return _in_sums(kernel, reduction, asking)


def _in_sums(kernel: Kernel, reduction: str, change: Callable[[Loop], Loop]) -> Kernel:
    """The kernel with its loops over a `reduction` changed."""

    def visit(block: Block) -> Block:
        return tuple(
            change(stmt)
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
