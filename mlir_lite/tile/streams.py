"""The schedule step that turns sums of columns into sums of rows, so that a matrix is read in the
order of its memory.
"""

from __future__ import annotations

from dataclasses import replace

from ..expr import Bounds, Expr, Load, index
from .nodes import (
    Accumulate,
    Block,
    Buffer,
    Kernel,
    Kind,
    Loop,
    Ref,
    Space,
    Stmt,
    Store,
    substitute_block,
)
from .tree import Names, base, copy_block, extent_of, has_constant_limits, rewrite_loops, tidy, var


def stream(kernel: Kernel, axis: str, rows: int) -> Kernel:
    """Go through a reduction a few `rows` at a time, for each of them along the whole `axis`; the
    accumulator is kept in memory between them. The order of additions stays what it was.

    for n: {acc = 0;  for k: acc += b[k, n];  y[n] = f(acc)}
      ->  for n: total[n] = 0;
          for k.o: for n: {acc = total[n];  unroll k.i: acc += b[k.o * rows + k.i, n];
                           total[n] = acc};
          for n: {acc = total[n];  y[n] = f(acc)}
    """
    names = Names(kernel)
    added: list[Buffer] = []

    def change(loop: Loop, _: Bounds) -> Block:
        match loop.body:
            case (Store(target=acc) as first, Loop(body=(Accumulate(targets=(place,)),)) as sums,
                  *rest) if acc == place and has_constant_limits(sums):
                pass
            case _:
                return (loop,)
        buffer = kernel.buffers[acc.buffer]
        total = Buffer(names.fresh("total"), buffer.dtype, (extent_of(loop),), Space.SHARED)
        added.append(total)
        at = (var(loop.axis) - loop.start,)
        load = Store(acc, Load(buffer.dtype, total.name, at))
        save = Store(Ref(total.name, at), Load(buffer.dtype, acc.buffer, acc.indices))

        def along(*body: Stmt) -> Block:
            return copy_block((replace(loop, body=body),), names)

        count, left = divmod(extent_of(sums), rows)
        outer = names.copy(f"{base(sums.axis)}.o")
        pieces: list[Stmt] = [replace(loop, body=(replace(save, value=first.value),))]
        if count:
            part = _rows(sums, var(outer) * rows, rows)
            pieces.append(Loop(outer, index(0), index(count), along(load, part, save)))
        if left:
            pieces += along(load, _rows(sums, index(count * rows), left), save)
        return (*pieces, *along(load, *rest))

    changed = rewrite_loops(kernel, (axis,), change)
    return tidy(replace(changed, locals=kernel.locals + tuple(added)))


def _rows(sums: Loop, first: Expr, count: int) -> Loop:
    """`count` iterations of a reduction, from the `first` one on, side by side."""
    inner = f"{base(sums.axis)}.i"
    body = substitute_block(sums.body, {sums.axis: sums.start + first + var(inner)})
    return Loop(inner, index(0), index(count), body, Kind.UNROLL)
