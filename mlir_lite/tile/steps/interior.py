"""A schedule step for guarded code that is too long to copy for each edge: one copy without the
guards for the interior, one with them for all the rest.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from ...expr import Bounds, Expr, all_of, simplify
from ..nodes import Block, If, Kernel, Loop
from ..traverse import map_expressions
from ..tree import Names, chain, copy_block, rewrite_loops, tidy, var
from .loops import condition_points, extent_limits


def split_interior(kernel: Kernel, axis: str) -> Kernel:
    """Run the body of a loop without the conditions that hold in the interior of it and of the
    perfectly nested loops around it.

    for i: for j: s[c(i), c(j)]
      ->  for i: for j: if p <= i and i < q and r <= j and j < s: s[true] else: s[c(i), c(j)]
    """
    names = Names(kernel)

    def change(outermost: Loop, _: Bounds) -> Block:
        loops = chain(outermost)[0]
        depth = next((n for n, loop in enumerate(loops) if loop.axis == axis), None)
        if depth is None:
            return (outermost,)
        limits = {loop.axis: interior_of(kernel, loop) for loop in loops[: depth + 1]}
        decided = {name: (low, high - 1) for name, (low, high) in limits.items()}
        body = loops[depth].body
        plain = map_expressions(body, lambda expr: simplify(expr, decided))
        if plain == body:
            return (outermost,)
        conditions: list[Expr] = []
        for loop in loops[: depth + 1]:
            low, high = limits[loop.axis]
            conditions += [var(loop.axis) >= low, var(loop.axis) < high]
        inside: Block = (If(all_of(*conditions), plain, copy_block(body, names)),)
        for loop in reversed(loops[: depth + 1]):
            inside = (replace(loop, body=inside),)
        return inside

    outer = [stmt.axis for stmt in kernel.body if isinstance(stmt, Loop)]
    return tidy(rewrite_loops(kernel, outer, change))


def interior_of(kernel: Kernel, loop: Loop) -> tuple[int, int]:
    """The longest stretch of a loop in which no condition on its axis changes: start and stop."""
    low, high = extent_limits(loop)
    points = [point for point in condition_points(kernel, loop.axis) if low < point < high]
    return max(pairwise([low, *points, high]), key=lambda piece: piece[1] - piece[0])
