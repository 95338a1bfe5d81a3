"""Which taps of its window a row sees, found once for all steps: a bit for each place that a tap
has along an axis, set where it is outside of what is read.

    i + k - 1 >= 0 and i + k - 1 < 56 and j + l - 1 >= 0 and j + l - 1 < 56
      ->  let outside = (0 <= i - 1 < 56 ? 0 : 1) | .. | (0 <= j + 1 < 56 ? 0 : 32)
          outside & (1 << k | 8 << l) = 0
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce

from .....expr import (
    Expr,
    Var,
    all_of,
    apply,
    cast,
    const,
    has_loads,
    select,
    substitute_vars,
    vars_of,
)
from .....tile.nodes import Let, Loop
from .....tile.steps.lift_guards import conjuncts
from .....tile.tree import extent_of
from .....types import i32

BITS = 31  # of a register, but for its sign


def by_bits(
    guard: Expr, taps: Sequence[Loop], axes: Mapping[str, Expr], name: str
) -> tuple[Let, Expr] | None:
    """What names the bits of a row, and the condition; `axes` are the places of all axes, those of
    `taps` the same for all rows. None where a condition is not of one tap alone, and where taps
    have one place, or more than there are bits."""
    along: dict[str, list[Expr]] = {}
    of_taps = {loop.axis: loop for loop in taps}
    for part in conjuncts(guard):
        own = tuple(vars_of(part) & of_taps.keys())
        if len(own) != 1 or has_loads(part):
            return None
        along.setdefault(own[0], []).append(part)
    extents = {axis: extent_of(of_taps[axis]) for axis in along}
    if not 1 < sum(extents.values()) <= BITS:
        return None
    outside: list[Expr] = []
    asked: list[Expr] = []
    for axis, conditions in along.items():
        start = of_taps[axis].start
        bit = const(1 << len(outside), i32)
        asked.append(apply("shl", bit, cast(axes[axis] - start, i32)))
        for place in range(extents[axis]):
            inside = substitute_vars(all_of(*conditions), {**axes, axis: start + place})
            outside.append(select(inside, const(0, i32), const(1 << len(outside), i32)))
    bits = Var(i32, name)
    seen = apply("and", bits, _either(asked)).eq(const(0, i32))
    return Let(name, _either(outside)), seen


def _either(parts: Sequence[Expr]) -> Expr:
    return reduce(lambda one, other: apply("or", one, other), parts)
