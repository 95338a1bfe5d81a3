"""A schedule step on kernels of several nests: terms are summed as they are made."""

from __future__ import annotations

from dataclasses import replace

from ...expr import Const, Expr, loads_of
from ..nodes import Accumulate, Kernel, Loop, Stmt, Store
from ..traverse import substitute_block
from ..tree import accesses, chain, extent_of, has_constant_limits, nest, var


def sum_where_made(kernel: Kernel, depth: int) -> Kernel:
    """Reduce what a nest stores in the nest itself, where the next one does so in the same order;
    `depth` loops are shared by both.

    for i: for j: t[i, j] = f;  for i: {acc = 0;  for k: acc += t[i, k];  y[i] = acc}
      ->  for i: {acc = 0;  for j: {t[i, j] = f;  acc += t[i, j]};  y[i] = acc}
    """
    body: list[Stmt] = []
    for stmt in kernel.body:
        joined = _joined(body[-1], stmt, depth) if body else None
        body[len(body) - (joined is not None) :] = [joined or stmt]
    return kernel.with_body(tuple(body))


def _joined(maker: Stmt, reducer: Stmt, depth: int) -> Stmt | None:
    """Both nests as one, where that is possible."""
    if not (isinstance(maker, Loop) and isinstance(reducer, Loop)):
        return None
    loops, made = chain(maker)
    outer, rest = chain(reducer)
    if len(loops) != depth + 1 or len(outer) != depth:
        return None
    renamed: dict[str, Expr] = {
        own.axis: var(common.axis) for own, common in zip(outer, loops, strict=False)
    }
    match made, substitute_block(rest, renamed):
        case (Store() as store,), (Store(value=Const()) as start, Loop() as sums, *finish):
            inside = _inside(loops, store, start, sums)
            if inside is not None:
                return nest(loops[:depth], (start, inside, *finish))[0]
    return None


def _inside(loops: list[Loop], store: Store, start: Store, sums: Loop) -> Loop | None:
    """The loop of the terms with their reduction in it."""
    inner, axes = loops[-1], [var(loop.axis) for loop in loops]
    limits = all(map(has_constant_limits, (inner, sums))) and inner.start == sums.start
    if not limits or extent_of(inner) != extent_of(sums):
        return None
    match substitute_block(sums.body, {sums.axis: axes[-1]}):
        case (Accumulate(targets=(target,), values=values) as update,) if target == start.target:
            pass
        case _:
            return None
    used = {name for name, _, _ in accesses((store,))}
    read = [load for value in values for load in loads_of(value)]
    terms = [load for load in read if load.buffer == store.target.buffer]
    # A term is stored once, so that it is what the later loop would find.
    own = all(axis in store.target.indices for axis in axes)
    same = terms and all(load.indices == store.target.indices for load in terms)
    if target.buffer in used or not (own and same):
        return None
    return replace(inner, body=(store, update))
