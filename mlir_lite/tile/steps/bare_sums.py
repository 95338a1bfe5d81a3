"""A step that takes the conditions out of a sum that leaves out what lies outside of an array, for
steps that want plain loops; `skip_outside` leaves that out again, loop by loop."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ...expr import Apply, Bounds, Const, Expr, Load, simplify
from ..nodes import Block, If, Kernel, Loop, Stmt
from ..traverse import loads_within, map_blocks, walk
from ..tree import rewrite_loops
from .lift_guards import conjuncts

Inside = dict[int, tuple[int, int]]  # of a dimension: the first place that is read, and the end


@dataclass(frozen=True)
class BareSums:
    """A kernel whose sums also read `buffer` outside of what is `inside`, as if that were zero."""

    kernel: Kernel
    buffer: str
    inside: Inside


def bare_sums(kernel: Kernel, axis: str) -> BareSums | None:
    """The sums over an axis without their conditions, which say where one factor is read; None
    where there are no conditions, or others.

    for k: if 0 <= i + k - 1 and i + k - 1 < 24: acc += x[i + k - 1] * w[k]
      ->  for k: acc += x[i + k - 1] * w[k],  x inside of 0..24
    """
    sums = [loop for loop in walk(kernel.body) if isinstance(loop, Loop) and loop.axis == axis]
    if len(sums) != 1:
        return None
    guards = [stmt for stmt in walk(sums[0].body) if isinstance(stmt, If)]
    if not guards or any(guard.otherwise for guard in guards):
        return None
    conditions = [part for guard in guards for part in conjuncts(guard.condition)]
    for load in loads_within(sums[0].body):
        inside = _inside(kernel, load, conditions)
        if inside is not None:

            def change(loop: Loop, _: Bounds) -> Block:
                return _bare((loop,))

            return BareSums(rewrite_loops(kernel, (axis,), change), load.buffer, inside)
    return None


def _inside(kernel: Kernel, load: Load, conditions: list[Expr]) -> Inside | None:
    """What the conditions say of the places of a load; None where they say something else."""
    shape = kernel.buffers[load.buffer].shape
    found: Inside = {}
    for condition in conditions:
        limits = [*_limits(condition, load)]
        if len(limits) != 1:
            return None
        ((place, first, last),) = limits
        low, high = found.get(place, (0, shape[place]))
        start = low if first is None else max(low, first)
        found[place] = start, high if last is None else min(high, last)
    return found


def _limits(condition: Expr, load: Load) -> Iterator[tuple[int, int | None, int | None]]:
    """The places of a load that a condition is on, each with the first one that meets it, or the
    one where that ends."""
    match condition:
        case Apply(function=("ge" | "gt" | "lt" | "le") as name, args=(left, right)):
            pass
        case _:
            return
    strict = name in ("gt", "le")  # changes between 0 and 1, else between -1 and 0
    for place, at in enumerate(load.indices):
        for upward in (True, False):
            # at = (left - right) + rest, or rest - (left - right)
            moved = at - (left - right) if upward else at + (left - right)
            match simplify(moved, {}):
                case Const(value=rest) if not isinstance(simplify(at, {}), Const):
                    edge = int(rest) + (strict if upward else not strict)
                    starts = (name in ("ge", "gt")) == upward
                    yield place, edge if starts else None, None if starts else edge


def _bare(block: Block) -> Block:
    found: list[Stmt] = []
    for stmt in block:
        found += _bare(stmt.then) if isinstance(stmt, If) else [map_blocks(stmt, _bare)]
    return tuple(found)
