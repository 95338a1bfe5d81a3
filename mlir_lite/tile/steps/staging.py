"""Schedule steps that gather what is scattered in memory in a local buffer, so that memory is
written, or read, in long runs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from ...expr import (
    Bounds,
    Const,
    Expr,
    Load,
    index,
    simplify,
    substitute_vars,
)
from ..nodes import Block, Buffer, Kernel, Kind, Loop, Ref, Space, Stmt, Store
from ..traverse import loads_within, rewrite_block, substitute_block, walk
from ..tree import Names, accesses, base, chain, extent_of, nest, rewrite_loops, var


def stage_stores(kernel: Kernel, axis: str, *, padding: int = 0) -> Kernel:
    """Have a loop of independent iterations write a scratch buffer (its rows longer by `padding`)
    instead of what it stores at places that differ in one index, which takes all values of a
    stretch.

    for c: {out[3, c] = a(c);  out[2, c] = b(c)}
      ->  for c: {rows[1, c] = a(c);  rows[0, c] = b(c)};  for r: for c: out[r + 2, c] = rows[r, c]
    """
    names = Names(kernel)
    added: list[Buffer] = []

    def change(loop: Loop, _: Bounds) -> Block:
        stores = [stmt for stmt in loop.body if isinstance(stmt, Store)]
        place = counted_place(stores)
        if place is None or _reads(loop, stores[0].target.buffer):
            return (loop,)
        order = _order(stores, place)
        target = stores[order.index(0)].target
        dtype = kernel.buffers[target.buffer].dtype
        shape = (len(stores), extent_of(loop) + padding)
        rows = Buffer(names.fresh("rows"), dtype, shape, Space.SHARED)
        added.append(rows)
        remaining = iter(order)
        body = list(loop.body)
        for number, stmt in enumerate(body):
            if isinstance(stmt, Store):
                staged = Ref(rows.name, (index(next(remaining)), var(loop.axis) - loop.start))
                body[number] = Store(staged, stmt.value)
        row, copied = names.fresh("row"), names.copy(loop.axis)
        along = {loop.axis: var(copied)}
        at = [substitute_vars(part, along) for part in target.indices]
        at[place] = at[place] + var(row)
        value = Load(dtype, rows.name, (var(row), var(copied) - loop.start))
        write = Store(Ref(target.buffer, tuple(at)), value)
        run = replace(loop, axis=copied, body=(write,))
        return (
            replace(loop, body=tuple(body)),
            Loop(row, index(0), index(len(stores)), (run,)),
        )

    changed = rewrite_loops(kernel, (axis,), change)
    return replace(changed, locals=kernel.locals + tuple(added))


def stage_tiles(kernel: Kernel, row: str, lane: str, buffers: Collection[str], size: int) -> Kernel:
    """Read the tiles of `buffers` that lie the other way round line by line into registers. Both
    loops have at most `size` iterations; the new ones are `row` and `lane` with `.t` after them.

    for r: for l: y[r, l] = f(x[l, r])
      ->  unroll l.t: for r.t: tile[l.t, r.t] = x[l.t, r.t];  for r: for l: y[r, l] = f(tile[l, r])
    """
    names = Names(kernel)
    added: list[Buffer] = []

    def change(loop: Loop, _: Bounds) -> Block:
        loops, body = chain(loop)
        if [base(entry.axis) for entry in loops] != [row, lane]:
            return (loop,)
        rows, lanes = loops
        found = dict.fromkeys(load for load in loads_within(body) if load.buffer in buffers)
        tiles: dict[Expr, Expr] = {}
        fills: list[Stmt] = []
        for load in found:
            tile = Buffer(names.fresh("tile"), load.dtype, (size, size), Space.REGISTER)
            added.append(tile)
            at = (var(lanes.axis) - lanes.start, var(rows.axis) - rows.start)
            tiles[load] = Load(load.dtype, tile.name, at)
            fill = Store(Ref(tile.name, at), load)
            unrolled = replace(lanes, kind=Kind.UNROLL)
            fills += _renamed([unrolled, rows], fill, names, "t")
        body = rewrite_block(body, lambda node: tiles.get(node))
        return (*fills, replace(rows, body=(replace(lanes, body=body),)))

    changed = rewrite_loops(kernel, (row,), change)
    return replace(changed, locals=kernel.locals + tuple(added))


def stage_reads(kernel: Kernel, outer: str, buffer: str, along: Sequence[str]) -> Kernel:
    """Copy what an iteration of `outer` reads of a buffer into scratch, where it lies side by side
    in the order of the axes `along` inside of it; the loops of the copy have `.p` in their names.

    for n.o: for m: for k: for n.i: .. b[k, n.o * 8 + n.i]
      ->  for n.o: {for k.p: for n.i.p: panel[k.p, n.i.p] = b[k.p, n.o * 8 + n.i.p];
                    for m: for k: for n.i: .. panel[k, n.i]}
    """
    names = Names(kernel)
    added: list[Buffer] = []

    def change(loop: Loop, _: Bounds) -> Block:
        loops = {base(stmt.axis): stmt for stmt in walk(loop.body) if isinstance(stmt, Loop)}
        loads = (load for load in loads_within(loop.body) if load.buffer == buffer)
        found = list(dict.fromkeys(loads))
        if len(found) != 1 or not all(axis in loops for axis in along):
            return (loop,)
        (load,) = found
        inner = [loops[axis] for axis in along]
        panel = Buffer(
            names.fresh("panel"), load.dtype, tuple(map(extent_of, inner)), Space.SHARED
        )
        added.append(panel)
        at = tuple(var(entry.axis) - entry.start for entry in inner)
        staged = Load(load.dtype, panel.name, at)
        copied = Store(Ref(panel.name, at), load)
        fill = _renamed(inner, copied, names, "p")
        body = rewrite_block(loop.body, lambda node: staged if node == load else None)
        return (replace(loop, body=(*fill, *body)),)

    changed = rewrite_loops(kernel, (outer,), change)
    return replace(changed, locals=kernel.locals + tuple(added))


def _renamed(loops: Sequence[Loop], stmt: Stmt, names: Names, mark: str) -> Block:
    """A statement in these loops, their axes renamed."""
    new = {loop.axis: names.copy(f"{base(loop.axis)}.{mark}") for loop in loops}
    body = substitute_block((stmt,), {axis: var(name) for axis, name in new.items()})
    return nest([replace(loop, axis=new[loop.axis]) for loop in loops], body)


def counted_place(stores: Sequence[Store]) -> int | None:
    """The one index that differs from store to store and takes all values of a stretch, all else
    being equal; None where it is not so, or for a single store."""
    if len({store.target.buffer for store in stores}) != 1 or len(stores) < 2:
        return None
    first, second = stores[0].target.indices, stores[1].target.indices
    moved = [place for place, pair in enumerate(zip(first, second, strict=True))
             if pair[0] != pair[1]]
    if len(moved) != 1:
        return None
    (place,) = moved
    for store in stores:
        at = store.target.indices
        if (*at[:place], *at[place + 1 :]) != (*first[:place], *first[place + 1 :]):
            return None
    return place if sorted(_order(stores, place)) == list(range(len(stores))) else None


def _order(stores: Sequence[Store], place: int) -> list[int]:
    """How far from the least each store is at an index; nothing where that is not known."""
    first = stores[0].target.indices[place]
    steps = [_difference(store.target.indices[place], first) for store in stores]
    known = [step for step in steps if step is not None]
    return [step - min(known) for step in known] if len(known) == len(steps) else []


def _difference(a: Expr, b: Expr) -> int | None:
    match simplify(a - b, {}):
        case Const(value=value):
            return int(value)
    return None


def _reads(loop: Loop, buffer: str) -> bool:
    return any(name == buffer and not writes for name, _, writes in accesses((loop,)))
