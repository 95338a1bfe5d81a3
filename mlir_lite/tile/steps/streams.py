"""Schedule steps that go through a reduction in pieces, with all accumulators in memory in between:
sums of columns as sums of rows, so that a matrix is read in the order of its memory, and products
of many terms in blocks of these.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ...expr import Bounds, Const, Expr, Load, index
from ...sizes import round_up
from ..nodes import Accumulate, Block, Buffer, Kernel, Loop, Ref, Space, Stmt, Store
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
from .reductions import only_adds_to


def stream(kernel: Kernel, axis: str, rows: int, *, apart: bool = False) -> Kernel:
    """Go through a reduction a few `rows` at a time, for each of them along all of the nest of
    `axis`; the accumulators are kept in memory between them. The order of additions stays what it
    was, unless the rows of a time lie as far `apart` as they can: then each is followed by the next
    one in memory, and what is left over comes last.

    for m: for n: {acc = 0;  for k: acc += a[m, k] * b[k, n];  y[m, n] = f(acc)}
      ->  for m: for n: total[m, n] = 0;
          for k.o: for m: for n: {acc = total[m, n];
                                  for k.i: acc += a[m, k.o * rows + k.i] * b[k.o * rows + k.i, n];
                                  total[m, n] = acc};
          for m: for n: {acc = total[m, n];  y[m, n] = f(acc)}

    with `k.o + k.i * K // rows` in place of `k.o * rows + k.i` for those apart.
    """
    names = Names(kernel)
    added: list[Buffer] = []

    def change(loop: Loop, _: Bounds) -> Block:
        loops, body = chain(loop)
        match body:
            case (Store(target=acc) as first, Loop(body=(Accumulate(targets=(place,)),)) as sums,
                  *rest) if acc == place and all(map(has_constant_limits, (*loops, sums))):
                pass
            case _:
                return (loop,)
        buffer = kernel.buffers[acc.buffer]
        shape = tuple(map(extent_of, loops))
        total = Buffer(names.fresh("total"), buffer.dtype, shape, Space.SHARED)
        added.append(total)
        at = tuple(var(entry.axis) - entry.start for entry in loops)
        load = Store(acc, Load(buffer.dtype, total.name, at))
        save = Store(Ref(total.name, at), Load(buffer.dtype, acc.buffer, acc.indices))

        def along(*body: Stmt) -> Block:
            return copy_block(nest(loops, body), names)

        count, left = divmod(extent_of(sums), rows)
        outer = names.copy(f"{base(sums.axis)}.o")
        pieces = list(nest(loops, (replace(save, value=first.value),)))
        if count:
            first_row, step = (var(outer), count) if apart else (var(outer) * rows, 1)
            part = along(load, _rows(sums, first_row, step, rows), save)
            pieces.append(Loop(outer, index(0), index(count), part))
        if left:
            pieces += along(load, _rows(sums, index(count * rows), 1, left), save)
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

    def cut(terms: Loop) -> Loop:
        if base(terms.axis) != reduction or len(chain(terms)[0]) > 1 or extent_of(terms) <= steps:
            return terms
        blocks = names.copy(f"{base(terms.axis)}.b")
        moved = {terms.axis: terms.start + var(blocks) * steps + var(terms.axis)}
        body = substitute_block(terms.body, moved)
        inner = replace(terms, start=index(0), stop=index(steps), body=body)
        return Loop(blocks, index(0), index(extent_of(terms) // steps), (inner,))

    return _around(kernel, axis, reduction, cut, names)


def stream_loops(kernel: Kernel, axis: str, inner: str, *, multiple: int = 1) -> Kernel:
    """Go through a sum in blocks which are the loops from `inner` on, for each iteration of those
    around it through all of the nest of `axis`. The blocks' sums are added up, where rows of them
    are a `multiple` of so many elements apart.

    for m: for n: {acc = 0;  for p: for q: acc += a[p, q, m] * b[p, q, n];  y[m, n] = f(acc)}
      ->  for m: for n: sums[m, n] = 0;
          for p: for m: for n: {acc = 0;  for q: acc += a[p, q, m] * ..;  sums[m, n] += acc};
          for m: for n: {acc = sums[m, n];  y[m, n] = f(acc)}
    """
    return _around(kernel, axis, inner, lambda terms: terms, Names(kernel), multiple)


def _around(
    kernel: Kernel,
    axis: str,
    inner: str,
    cut: Callable[[Loop], Loop],
    names: Names,
    multiple: int = 1,
) -> Kernel:
    """The nests of `axis` inside the loops of their sums, once these are `cut`, that are around the
    loop `inner`, if there are any."""
    added: list[Buffer] = []

    def change(loop: Loop, _: Bounds) -> Block:
        loops, body = chain(loop)
        match body:
            case (Store(target=acc, value=Const(value=0)) as first, Loop() as summed, *rest):
                terms, innermost = chain(cut(summed))
            case _:
                return (loop,)
        if not only_adds_to(innermost, acc):
            return (loop,)
        at = next((at for at, each in enumerate(terms) if base(each.axis) == inner), 0)
        if not at or not all(map(has_constant_limits, (*loops, *terms))):
            return (loop,)
        buffer = kernel.buffers[acc.buffer]
        *outer, last = map(extent_of, loops)
        shape = (*outer, round_up(last, multiple))
        sums = Buffer(names.fresh("sums"), buffer.dtype, shape, Space.SHARED)
        added.append(sums)
        place = Ref(sums.name, tuple(var(entry.axis) - entry.start for entry in loops))
        load = Store(acc, Load(buffer.dtype, sums.name, place.indices))
        add = Accumulate("sum", (place,), (Load(buffer.dtype, acc.buffer, acc.indices),))

        def along(*body: Stmt) -> Block:
            return copy_block(nest(loops, body), names)

        part = along(first, *nest(terms[at:], innermost), add)
        before = nest(loops, (replace(first, target=place),))
        return (*before, *nest(terms[:at], part), *along(load, *rest))

    changed = rewrite_loops(kernel, (axis,), change)
    return tidy(replace(changed, locals=kernel.locals + tuple(added)))


def _rows(sums: Loop, first: Expr, step: int, count: int) -> Loop:
    """`count` iterations of a reduction, from the `first` one on, each a `step` further."""
    inner = f"{base(sums.axis)}.i"
    body = substitute_block(sums.body, {sums.axis: sums.start + first + var(inner) * step})
    return Loop(inner, index(0), index(count), body)
