"""A schedule step that gathers scattered stores in a scratch buffer, to write them in long runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..expr import Bounds, Const, Expr, Load, index, simplify, substitute_vars
from .nodes import Block, Buffer, Kernel, Loop, Ref, Space, Store
from .tree import Names, accesses, extent_of, rewrite_loops, var


def stage_stores(kernel: Kernel, axis: str, *, padding: int = 0) -> Kernel:
    """Have a loop of independent iterations write a scratch buffer (its rows longer by `padding`)
    instead of what it stores at places that differ in one index, which counts up by one.

    for c: {out[2, c] = a(c);  out[3, c] = b(c)}
      ->  for c: {rows[0, c] = a(c);  rows[1, c] = b(c)};  for r: for c: out[r + 2, c] = rows[r, c]
    """
    names = Names(kernel)
    added: list[Buffer] = []

    def change(loop: Loop, _: Bounds) -> Block:
        stores = [stmt for stmt in loop.body if isinstance(stmt, Store)]
        place = counted_place(stores)
        if place is None or _reads(loop, stores[0].target.buffer):
            return (loop,)
        target = stores[0].target
        dtype = kernel.buffers[target.buffer].dtype
        shape = (len(stores), extent_of(loop) + padding)
        rows = Buffer(names.fresh("rows"), dtype, shape, Space.SHARED)
        added.append(rows)
        count = 0
        body = list(loop.body)
        for number, stmt in enumerate(body):
            if isinstance(stmt, Store):
                staged = Ref(rows.name, (index(count), var(loop.axis) - loop.start))
                body[number] = Store(staged, stmt.value)
                count += 1
        row, copied = names.fresh("row"), names.copy(loop.axis)
        along = {loop.axis: var(copied)}
        at = [substitute_vars(part, along) for part in target.indices]
        at[place] = at[place] + var(row)
        value = Load(dtype, rows.name, (var(row), var(copied) - loop.start))
        write = Store(Ref(target.buffer, tuple(at)), value)
        run = replace(loop, axis=copied, body=(write,))
        return (
            replace(loop, body=tuple(body)),
            Loop(row, index(0), index(count), (run,)),
        )

    changed = rewrite_loops(kernel, (axis,), change)
    return replace(changed, locals=kernel.locals + tuple(added))


def counted_place(stores: Sequence[Store]) -> int | None:
    """The one index that counts up by one from store to store, all else being equal; None where
    it is not so, or for a single store."""
    if len({store.target.buffer for store in stores}) != 1 or len(stores) < 2:
        return None
    first, second = stores[0].target.indices, stores[1].target.indices
    moved = [place for place, pair in enumerate(zip(first, second, strict=True))
             if pair[0] != pair[1]]
    if len(moved) != 1:
        return None
    (place,) = moved
    for count, store in enumerate(stores):
        at = store.target.indices
        if _difference(at[place], first[place]) != count:
            return None
        if (*at[:place], *at[place + 1 :]) != (*first[:place], *first[place + 1 :]):
            return None
    return place


def _difference(a: Expr, b: Expr) -> int | None:
    match simplify(a - b, {}):
        case Const(value=value):
            return int(value)
    return None


def _reads(loop: Loop, buffer: str) -> bool:
    return any(name == buffer and not writes for name, _, writes in accesses((loop,)))
