"""Schedule steps that cut long reductions into pieces that may run at the same time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ...expr import Bounds, Expr, Load, index
from ..nodes import Accumulate, Block, Buffer, Kernel, Loop, Ref, Space, Store
from ..traverse import rewrite_block, substitute_block
from ..tree import (
    Names,
    base,
    chain,
    copy_block,
    extent_of,
    has_constant_limits,
    map_refs,
    nest,
    rewrite_loops,
    tidy,
    var,
)
from .reductions import only_adds_to


def cut_reduction(kernel: Kernel, axis: str, pieces: int, *, multiple: int = 1) -> Kernel:
    """Reduce the outermost loop `axis` in so many equal pieces, as long as a `multiple` allows,
    and what is left over on its own. The pieces are joined in a fixed order.

    acc = 0;  for k in 0..n: acc += x[k];  y = acc
      ->  for k.c in 0..pieces: {piece = 0;  for k in 0..size: piece += x[k.c * size + k];
                                 partial[k.c] = piece};
          acc = 0;  for k.p in 0..pieces: acc += partial[k.p];  for k$1: acc += x[..];  y = acc
    """
    place = next(
        (at for at, stmt in enumerate(kernel.body) if isinstance(stmt, Loop) and stmt.axis == axis),
        None,
    )
    if place is None:
        return kernel
    loop = kernel.body[place]
    assert isinstance(loop, Loop)
    match loop.body:
        case (Accumulate() as update,) if all(not ref.indices for ref in update.targets):
            pass
        case _:
            return kernel
    size = extent_of(loop) // pieces // multiple * multiple
    starts = {
        stmt.target.buffer: stmt
        for stmt in kernel.body[:place]
        if isinstance(stmt, Store) and stmt.target in update.targets
    }
    if not size or len(starts) != len(update.targets):
        return kernel
    return _Cut(kernel, place, loop, update, starts).into(pieces, size)


def interleave(kernel: Kernel, axis: str, streams: int, run: int) -> Kernel:
    """Read along a reduction in so many `streams` at once, some elements of each in turn. Stays as
    it is where `streams * run` do not divide it.

    for k: acc += x[k]
      ->  for k.r: for k.s in 0..streams: for k.e in 0..run:
            acc += x[k.s * size + k.r * run + k.e]
    """
    names = Names(kernel)

    def change(loop: Loop, _: Bounds) -> Block:
        if not has_constant_limits(loop) or extent_of(loop) % (streams * run):
            return (loop,)
        size = extent_of(loop) // streams
        turn, stream, element = (names.copy(f"{base(axis)}.{part}") for part in "rse")
        first = var(stream) * size + var(turn) * run
        inner = _part(loop, first, run, element)
        each = Loop(stream, index(0), index(streams), (inner,))
        return (Loop(turn, index(0), index(size // run), (each,)),)

    return tidy(rewrite_loops(kernel, (axis,), change))


def cut_sums(kernel: Kernel, axis: str, pieces: int) -> Kernel:
    """Reduce each element of the outermost nest of `axis` in so many equal pieces of its outermost
    reduction loop, and what is left over on its own. They are joined in a fixed order.

    for m: for n: {acc = 0;  for k: acc += b[m, k, n];  y[m, n] = f(acc)}
      ->  for k.c: for m: for n: {acc = 0;  for k: acc += b[m, k.c * size + k, n];
                                  partial[k.c, m, n] = acc};
          for m.p: for n.p: {acc = 0;  for k.p: acc += partial[k.p, m.p, n.p];
                             for k$1: acc += b[..];  y[m.p, n.p] = f(acc)}
    """
    loops, body = _alone(kernel, axis)
    match body:
        case (Store(target=acc) as first, Loop() as sums, *rest) if all(
            map(has_constant_limits, (*loops, sums))
        ):
            size, left = divmod(extent_of(sums), pieces)
        case _:
            return kernel
    if not size or not only_adds_to(sums.body, acc):
        return kernel
    names = Names(kernel)
    dtype = kernel.buffers[acc.buffer].dtype
    shape = (pieces, *map(extent_of, loops))
    partial = Buffer(names.fresh("partial"), dtype, shape, Space.SHARED)
    chunk, join = (names.copy(f"{base(sums.axis)}.{part}") for part in "cp")
    again = {loop.axis: names.copy(f"{base(loop.axis)}.p") for loop in loops}
    at = tuple(var(loop.axis) - loop.start for loop in loops)
    save = Store(Ref(partial.name, (var(chunk), *at)), Load(dtype, acc.buffer, acc.indices))
    part = nest(loops, (first, _part(sums, var(chunk) * size, size), save))
    load = Load(dtype, partial.name, (var(join), *at))
    joined = Loop(join, index(0), index(pieces), (Accumulate("sum", (acc,), (load,)),))
    last: Block = ()
    if left:
        last = copy_block((_part(sums, index(pieces * size), left),), names)
    finished = substitute_block(
        (first, joined, *last, *rest), {old: var(new) for old, new in again.items()}
    )
    finish = nest([replace(loop, axis=again[loop.axis]) for loop in loops], finished)
    body = (Loop(chunk, index(0), index(pieces), part), *finish)
    return tidy(replace(kernel, body=body, locals=(*kernel.locals, partial)))


def finish_apart(kernel: Kernel, axis: str) -> Kernel:
    """Keep the sums of the outermost nest of `axis` as they are, and make its results of them in a
    nest of their own, whose loops have `.p` in their names.

    for m: for n: {acc = 0;  for k: acc += b[m, k, n];  y[n, m] = f(acc)}
      ->  for m: for n: {acc = 0;  for k: acc += b[m, k, n];  total[m, n] = acc};
          for m.p: for n.p: y[n.p, m.p] = f(total[m.p, n.p])
    """
    loops, body = _alone(kernel, axis)
    match body:
        case (Store(target=acc) as first, Loop() as sums, *rest) if (
            all(map(has_constant_limits, loops))
            and all(isinstance(stmt, Store) and stmt.target != acc for stmt in rest)
        ):
            pass
        case _:
            return kernel
    names = Names(kernel)
    dtype = kernel.buffers[acc.buffer].dtype
    shape = tuple(map(extent_of, loops))
    total = Buffer(names.fresh("total"), dtype, shape, Space.SHARED)
    at = tuple(var(loop.axis) - loop.start for loop in loops)
    summed, kept = Load(dtype, acc.buffer, acc.indices), Load(dtype, total.name, at)
    save = Store(Ref(total.name, at), summed)
    again = {loop.axis: names.copy(f"{base(loop.axis)}.p") for loop in loops}
    finished = substitute_block(
        rewrite_block(tuple(rest), lambda node: kept if node == summed else None),
        {old: var(new) for old, new in again.items()},
    )
    finish = nest([replace(loop, axis=again[loop.axis]) for loop in loops], finished)
    body = (*nest(loops, (first, sums, save)), *finish)
    return tidy(replace(kernel, body=body, locals=(*kernel.locals, total)))


def _alone(kernel: Kernel, axis: str) -> tuple[list[Loop], Block]:
    """The loops of the only nest of a kernel, if `axis` is the outermost, and what they hold."""
    match kernel.body:
        case (Loop() as outermost,) if outermost.axis == axis:
            return chain(outermost)
    return [], ()


def _part(loop: Loop, first: Expr, count: int, axis: str = "") -> Loop:
    """`count` iterations of a loop, from the `first` on, counted by `axis`; by its own if empty."""
    axis = axis or loop.axis
    body = substitute_block(loop.body, {loop.axis: loop.start + first + var(axis)})
    return replace(loop, axis=axis, start=index(0), stop=index(count), body=body)


@dataclass(frozen=True)
class _Cut:
    """The work of `cut_reduction` on the loop at `place`, its accumulators set by `starts`."""

    kernel: Kernel
    place: int
    loop: Loop
    update: Accumulate
    starts: Mapping[str, Store]

    def into(self, pieces: int, size: int) -> Kernel:
        names = Names(self.kernel)
        buffers = [self.kernel.buffers[ref.buffer] for ref in self.update.targets]
        piece = [replace(old, name=names.fresh("piece")) for old in buffers]
        partial = [
            Buffer(names.fresh("partial"), old.dtype, (pieces,), Space.SHARED) for old in buffers
        ]
        renamed = {old.name: new.name for old, new in zip(buffers, piece, strict=True)}
        chunk = names.copy(f"{self.loop.axis}.c")
        moved = _part(self.loop, var(chunk) * size, size)
        each = map_refs(
            (*self.starts.values(), moved), lambda ref: Ref(renamed[ref.buffer], ref.indices)
        )
        saves = [
            Store(Ref(part.name, (var(chunk),)), Load(new.dtype, new.name, ()))
            for part, new in zip(partial, piece, strict=True)
        ]
        cut = Loop(chunk, index(0), index(pieces), (*each, *saves))
        joined = names.copy(f"{self.loop.axis}.p")
        loads = tuple(Load(part.dtype, part.name, (var(joined),)) for part in partial)
        join = Loop(joined, index(0), index(pieces), (replace(self.update, values=loads),))
        left = extent_of(self.loop) - pieces * size
        rest: Block = ()
        if left:
            rest = copy_block((_part(self.loop, index(pieces * size), left),), names)
        before, after = self.kernel.body[: self.place], self.kernel.body[self.place + 1 :]
        local = (*self.kernel.locals, *piece, *partial)
        body = (cut, *before, join, *rest, *after)
        return tidy(replace(self.kernel, body=body, locals=local))
