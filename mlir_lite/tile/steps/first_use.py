"""The schedule step that copies a panel while its first user passes through it."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from ...expr import Bounds, Expr, Load, index, simplify, substitute_vars
from ..instructions.table import LINE_BYTES, prefetch_name
from ..nodes import Block, Call, Kernel, Loop, Stmt, Store, Window
from ..traverse import substitute_block, walk
from ..tree import Names, base, copy_block, extent_of, rewrite_loops, tidy, var


def copy_at_first_use(
    kernel: Kernel, outer: str, rounds: str, along: str, *, distance: int
) -> Kernel:
    """Where each iteration of `outer` first copies rows together (see `stage_reads`), copy each row
    where the first of the `rounds` meets it, and ask for the one so many rows further on.

    for n: {for k.p: panel[k.p] = b[k.p, n];  for m: for k: acc += a[m, k] * panel[k]}
      ->  for n: {for k$1: {prefetch(b[k$1 + 9, n]);  panel[k$1] = b[k$1, n];
                            acc += a[0, k$1] * panel[k$1]};
                  for m in 1..: for k: acc += a[m, k] * panel[k]}
    """
    names = Names(kernel)

    def change(loop: Loop, _: Bounds) -> Block:
        match loop.body:
            case (Loop() as copy, Loop() as users, *rest) if (
                base(copy.axis) == f"{along}.p" and base(users.axis) == rounds
            ):
                first = substitute_block(users.body, {users.axis: users.start})
                merged = _merged(copy_block(first, names), copy, along, distance)
                if merged is not None:
                    others = replace(users, start=users.start + 1)
                    return (replace(loop, body=(*merged, others, *rest)),)
        return (loop,)

    return tidy(rewrite_loops(kernel, (outer,), change))


def _merged(block: Block, copy: Loop, along: str, distance: int) -> Block | None:
    """The block with the copy's iterations in those of its first loop `along`; None without one
    that passes through all that is copied."""
    for place, stmt in enumerate(block):
        if isinstance(stmt, Loop) and base(stmt.axis) == along:
            if (stmt.start, stmt.stop) != (copy.start, copy.stop):
                return None
            row = substitute_block(copy.body, {copy.axis: var(stmt.axis)})
            requests = _requests(row, {stmt.axis: var(stmt.axis) + distance})
            both = replace(stmt, body=(*requests, *row, *stmt.body))
            return (*block[:place], both, *block[place + 1 :])
    return None


def _requests(row: Block, ahead: dict[str, Expr]) -> list[Stmt]:
    """Requests for the lines that the copy of a row reads, in the row that is `ahead`."""
    lanes = [stmt for stmt in walk(row) if isinstance(stmt, Loop)]
    (load,) = (stmt.value for stmt in walk(row) if isinstance(stmt, Store))
    assert isinstance(load, Load)
    start = ahead | {lane.axis: index(0) for lane in lanes}
    *first, last = (substitute_vars(part, start) for part in load.indices)
    return [
        Call(
            prefetch_name(load.dtype),
            (Window(load.buffer, (*first, simplify(last + place, {}))),),
        )
        for place in range(0, prod(map(extent_of, lanes)), LINE_BYTES // load.dtype.bytes)
    ]
