"""Convolutions in groups as products, one for each group: where a factor asks for the group of a
channel, the loop over channels is cut into one over groups and one over the channels of each.

    for n in 0..64: acc += x[n // 16 * 16 + c] * w[n, c]
      ->  for g in 0..4: for n in 0..16: acc += x[g * 16 + c] * w[g * 16 + n, c]
"""

from __future__ import annotations

from collections.abc import Iterator

from .....expr import Apply, Const, Expr, Var, walk_expr
from .....tile.nodes import Kernel, Loop
from .....tile.steps.loops import split
from .....tile.traverse import expressions_of, walk
from .....tile.tree import extent_of, has_constant_limits, tidy


def by_groups(kernel: Kernel) -> Kernel:
    """The kernel with its loops over channels cut where groups end; itself where there are none."""
    for loop in [stmt for stmt in walk(kernel.body) if isinstance(stmt, Loop)]:
        sizes = set(_group_sizes(kernel, loop.axis)) if has_constant_limits(loop) else set()
        if len(sizes) == 1:
            (size,) = sizes
            if 1 < size < extent_of(loop) and extent_of(loop) % size == 0:
                kernel = tidy(split(kernel, loop.axis, size))
    return kernel


def _group_sizes(kernel: Kernel, axis: str) -> Iterator[int]:
    """What an axis is divided by."""
    for stmt in walk(kernel.body):
        for expr in expressions_of(stmt):
            yield from _divisors(expr, axis)


def _divisors(expr: Expr, axis: str) -> Iterator[int]:
    for node in walk_expr(expr):
        match node:
            case Apply(function="floordiv", args=(Var(name=name), Const(value=by))):
                if name == axis:
                    yield int(by)
