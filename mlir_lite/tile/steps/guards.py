"""A schedule step for guarded reductions over a tile: each guard is tested once for all of the
tile that it guards, and what stands under it shares what it loads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations, product

from ...expr import (
    FALSE,
    TRUE,
    Bounds,
    Const,
    Expr,
    all_of,
    index,
    simplify,
    substitute_vars,
    vars_of,
)
from ..nodes import Accumulate, Block, If, Kernel, Kind, Loop, Stmt
from ..traverse import substitute_block, walk
from ..tree import (
    Names,
    chain,
    copy_block,
    extent_of,
    has_constant_limits,
    loop_bounds,
    nest,
    rewrite_loops,
    tidy,
)
from .lift_guards import conjuncts
from .reductions import only_accumulates


def share_guards(kernel: Kernel, axis: str) -> Kernel:
    """Write out a reduction's loop with the tile loops in it that its guard depends on, and put
    what has the same guard together. Each sum is still added up in the order it was.

    for k: unroll r: unroll q: if 0 <= i + r + k - 1: acc[r, q] += x[i + r + k - 1, q] * w[k]
      ->  if 0 <= i - 1: {unroll q: acc[0, q] += x[i - 1, q] * w[0]};
          if 0 <= i: {unroll q: acc[0, q] += x[i, q] * w[1];  unroll q: acc[1, q] += x[i, q] * w[0]}
          ..
    """
    names = Names(kernel)

    def change(loop: Loop, bounds: Bounds) -> Block:
        loops, body = chain(loop)
        if not all(map(has_constant_limits, loops)) or not only_accumulates(body):
            return (loop,)
        conditions, then = _guards(body)
        lanes = {entry.axis for entry in loops if entry.kind is Kind.VECTOR}
        condition = all_of(*(part for part in conditions if not vars_of(part) & lanes))
        if condition == TRUE:
            return (replace(loop, kind=Kind.UNROLL),)
        masks = [part for part in conditions if vars_of(part) & lanes]
        then = (If(all_of(*masks), then),) if masks else then
        used = vars_of(condition)
        decided = [entry for entry in loops if entry.axis in used or entry is loop]
        inside = [entry for entry in loops if entry not in decided]
        limits = dict(bounds) | {entry.axis: loop_bounds(entry, bounds) for entry in loops}
        groups: dict[Expr, list[Mapping[str, Expr]]] = {}
        for place in _places(decided):
            guard = simplify(substitute_vars(condition, place), limits)
            if guard != FALSE:  # there is nothing
                groups.setdefault(guard, []).append(place)
        if not _keeps_order(then, list(groups.values())):
            return (loop,)
        result: list[Stmt] = []
        for guard, places in groups.items():
            copies = [substitute_block(nest(inside, then), place) for place in places]
            block = tuple(part for copy in copies for part in copy_block(copy, names))
            result.extend(block if guard == TRUE else (If(guard, block),))
        return tuple(result)

    return tidy(rewrite_loops(kernel, (axis,), change))


def _guards(block: Block) -> tuple[list[Expr], Block]:
    """The conditions under which all of a block runs, and what they guard."""
    conditions: list[Expr] = []
    while True:
        match block:
            case (If(condition=condition, then=then, otherwise=()),):
                conditions += conjuncts(condition)
                block = then
            case _:
                return conditions, block


def _places(loops: Sequence[Loop]) -> list[Mapping[str, Expr]]:
    """What the axes of these loops are in each iteration, in order."""
    starts = [loop_bounds(loop, {})[0] for loop in loops]
    ranges = [
        range(start, start + extent_of(loop)) for start, loop in zip(starts, loops, strict=True)
    ]
    return [
        {loop.axis: index(value) for loop, value in zip(loops, values, strict=True)}
        for values in product(*ranges)
    ]


def _keeps_order(block: Block, groups: Sequence[Sequence[Mapping[str, Expr]]]) -> bool:
    """Whether iterations that change places, being put in groups, write different elements."""
    moved = [place for group in groups for place in group]
    for early, late in combinations(moved, 2):
        before = [int(_value(part)) for part in early.values()]
        after = [int(_value(part)) for part in late.values()]
        if before > after and not _apart(block, early, late):
            return False
    return True


def _value(part: Expr) -> int:
    assert isinstance(part, Const)
    return int(part.value)


def _apart(block: Block, one: Mapping[str, Expr], other: Mapping[str, Expr]) -> bool:
    """Whether two iterations write different elements: some index differs by a constant."""
    targets = [
        target for stmt in walk(block) if isinstance(stmt, Accumulate) for target in stmt.targets
    ]
    for first, second in product(targets, repeat=2):
        if first.buffer != second.buffer:
            continue
        differences = (
            simplify(substitute_vars(a, one) - substitute_vars(b, other), {})
            for a, b in zip(first.indices, second.indices, strict=True)
        )
        if not any(isinstance(part, Const) and part.value != 0 for part in differences):
            return False
    return True
