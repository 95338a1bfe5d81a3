"""A schedule step that sums many terms in segments, so that less is rounded away.

A sum that is added to again and again is rounded each time. The error of a sum of sums grows with
the length of a segment and the number of segments, not with their product (Higham, Accuracy and
Stability of Numerical Algorithms, section 4.2).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeAlias

from ...expr import Bounds, Expr, Load, const, index, vars_of
from ..nodes import Accumulate, Block, Buffer, If, Kernel, Loop, Ref, Space, Stmt, Store
from ..traverse import expressions_of, map_blocks, substitute_block, walk
from ..tree import Names, base, copy_block, extent_of, has_constant_limits, rewrite_loops, var

Around: TypeAlias = Loop | If


def sum_in_segments(kernel: Kernel, reduction: str, longest: int, steps: int) -> Kernel:
    """Sum what has more than `longest` terms in equal segments of at most `steps`, what is left of
    them in a shorter one. The first segment is summed in place.

    for k in 0..n: acc[i] += a[i, k]
      ->  for k in 0..steps: acc[i] += a[i, k];
          for k.s in 1..n / steps: {part[i] = 0;  for k: part[i] += a[i, k.s * steps + k];
                                    acc[i] += part[i]}
    """
    names = Names(kernel)
    parts: dict[str, Buffer] = {}

    def change(loop: Loop, _: Bounds) -> Block:
        found = _sum_in(loop)
        if found is None or not has_constant_limits(loop) or extent_of(loop) <= longest:
            return (loop,)
        sums, path = found
        (place,) = sums.targets
        total = kernel.buffers[place.buffer]
        if total.space is not Space.REGISTER or not total.dtype.is_float:
            return (loop,)
        if total.name not in parts:
            parts[total.name] = replace(total, name=names.fresh("part"))
        part = Ref(parts[total.name].name, place.indices)

        def each(stmt: Stmt) -> Block:
            return copy_block((_within(path, stmt),), names)

        def segment(first: Expr, count: int) -> Block:
            moved = {loop.axis: loop.start + first + var(loop.axis)}
            body = _summed_into(substitute_block(loop.body, moved), part)
            return (
                *each(Store(part, const(0, total.dtype))),
                *copy_block((replace(loop, start=index(0), stop=index(count), body=body),), names),
                *each(Accumulate("sum", (place,), (Load(total.dtype, part.buffer, part.indices),))),
            )

        extent = extent_of(loop)
        size = -(-extent // -(-extent // steps))
        outer = names.copy(f"{base(loop.axis)}.s")
        whole, left = divmod(extent, size)
        return (
            replace(loop, stop=loop.start + size),
            Loop(outer, index(1), index(whole), segment(var(outer) * size, size)),
            *(segment(index(whole * size), left) if left else ()),
        )

    changed = rewrite_loops(kernel, (reduction,), change)
    return replace(changed, locals=kernel.locals + tuple(parts.values()))


def _sum_in(loop: Loop) -> tuple[Accumulate, list[Around]] | None:
    """The one sum of a loop, and what is around it inside that tells its places apart: not loops
    over further terms. None where there are several sums, or a condition that changes from term to
    term."""
    if sum(isinstance(stmt, Accumulate) for stmt in walk(loop.body)) != 1:
        return None
    found = _path_to_sum(loop.body)
    if found is None:
        return None
    sums, path = found
    places = frozenset().union(*map(vars_of, sums.targets[0].indices))
    kept = [stmt for stmt in path if isinstance(stmt, If) or stmt.axis in places]
    terms = {stmt.axis for stmt in path if isinstance(stmt, Loop)} - places | {loop.axis}
    read = frozenset().union(*(vars_of(part) for stmt in kept for part in expressions_of(stmt)))
    return None if read & terms else (sums, kept)


def _path_to_sum(block: Block) -> tuple[Accumulate, list[Around]] | None:
    for stmt in block:
        match stmt:
            case Accumulate(combiner="sum", targets=(_,)):
                return stmt, []
            case Loop() | If():
                found = _path_to_sum(stmt.body if isinstance(stmt, Loop) else stmt.then)
                if found is not None:
                    sums, path = found
                    return sums, [stmt, *path]
    return None


def _within(path: list[Around], stmt: Stmt) -> Stmt:
    for around in reversed(path):
        if isinstance(around, Loop):
            stmt = replace(around, body=(stmt,))
        else:
            stmt = If(around.condition, (stmt,))
    return stmt


def _summed_into(block: Block, part: Ref) -> Block:
    def visit(stmt: Stmt) -> Stmt:
        if isinstance(stmt, Accumulate):
            (place,) = stmt.targets
            return replace(stmt, targets=(replace(place, buffer=part.buffer),))
        return map_blocks(stmt, lambda inner: tuple(map(visit, inner)))

    return tuple(map(visit, block))
