"""Schedule steps that go through a reduction in pieces, with all accumulators in memory in between:
sums of columns as sums of rows, so that a matrix is read in the order of its memory, and products
of many terms in blocks of these.
"""

from __future__ import annotations

from dataclasses import replace

from ...expr import Bounds, Const, Expr, Load, index
from ..nodes import Accumulate, Block, Buffer, Kernel, Kind, Loop, Ref, Space, Stmt, Store
from ..traverse import substitute_block
from ..tree import (
    Names,
    base,
    chain,
    copy_block,
    extent_of,
    has_constant_limits,
    nest,
    rewrite_loops,
    tidy,
    var,
)


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


def stream_blocks(kernel: Kernel, axis: str, reduction: str, steps: int) -> Kernel:
    """Go through a sum in blocks of `steps` terms, which divide it, for each of them through all of
    the nest of `axis`. The blocks' sums are added up.

    for m: for n: {acc = 0;  for k: acc += a[m, k] * b[k, n];  y[m, n] = f(acc)}
      ->  for m: for n: sums[m, n] = 0;
          for k.b: for m: for n: {acc = 0;  for k: acc += a[m, k.b * steps + k] * ..;
                                  sums[m, n] += acc};
          for m: for n: {acc = sums[m, n];  y[m, n] = f(acc)}
    """
    names = Names(kernel)
    added: list[Buffer] = []

    def change(loop: Loop, _: Bounds) -> Block:
        loops, body = chain(loop)
        match body:
            case (Store(target=acc, value=Const(value=0)) as first,
                  Loop(axis=summed, body=(Accumulate("sum", (place,)),)) as terms, *rest) if (
                acc == place and base(summed) == reduction
            ):
                pass
            case _:
                return (loop,)
        if not all(map(has_constant_limits, (*loops, terms))) or extent_of(terms) <= steps:
            return (loop,)
        buffer = kernel.buffers[acc.buffer]
        shape = tuple(map(extent_of, loops))
        sums = Buffer(names.fresh("sums"), buffer.dtype, shape, Space.SHARED)
        added.append(sums)
        at = tuple(var(entry.axis) - entry.start for entry in loops)
        place = Ref(sums.name, at)
        load = Store(acc, Load(buffer.dtype, sums.name, at))
        add = Accumulate("sum", (place,), (Load(buffer.dtype, acc.buffer, acc.indices),))
        blocks = names.copy(f"{base(terms.axis)}.b")
        moved = {terms.axis: terms.start + var(blocks) * steps + var(terms.axis)}
        part = replace(
            terms, start=index(0), stop=index(steps), body=substitute_block(terms.body, moved)
        )

        def along(*body: Stmt) -> Block:
            return copy_block(nest(loops, body), names)

        return (
            *nest(loops, (replace(first, target=place),)),
            Loop(blocks, index(0), index(extent_of(terms) // steps), along(first, part, add)),
            *along(load, *rest),
        )

    changed = rewrite_loops(kernel, (axis,), change)
    return tidy(replace(changed, locals=kernel.locals + tuple(added)))


def _rows(sums: Loop, first: Expr, count: int) -> Loop:
    """`count` iterations of a reduction, from the `first` one on, side by side."""
    inner = f"{base(sums.axis)}.i"
    body = substitute_block(sums.body, {sums.axis: sums.start + first + var(inner)})
    return Loop(inner, index(0), index(count), body, Kind.UNROLL)
