"""Whether iterations of a loop share an element, found by trying all values of small loops.

    y[select(i < 3, i + 1, 0)] for i in 0..4      iterations of i are all at places of their own
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from ...expr import Apply, Bounds, Expr, has_loads, vars_of, walk_expr
from ..evaluate import evaluate
from ..frame import Frame

MOST = 1 << 14  # values of all names together: as many are tried in less than a millisecond


def differ(
    axis: str, indices: Sequence[tuple[Expr, ...]], inner: frozenset[str], bounds: Bounds
) -> bool:
    """Proven: no two iterations of the loop over `axis` share an element among these accesses, as
    they differ in some dimension, where a condition decides on the index.

    `inner` are the names bound in the loop's body.
    """
    dimensions = [set(parts) for parts in zip(*indices, strict=True)]
    return any(_differ(axis, parts, inner, bounds) for parts in dimensions if _choose(parts))


def _choose(parts: set[Expr]) -> bool:
    """Whether there is a condition, and no loaded value."""
    nodes = [node for part in parts for node in walk_expr(part)]
    chosen = any(isinstance(node, Apply) and node.function == "select" for node in nodes)
    return chosen and not any(map(has_loads, parts))


def _differ(axis: str, parts: set[Expr], inner: frozenset[str], bounds: Bounds) -> bool:
    names = set().union(*map(vars_of, parts))
    if axis not in names or not names <= bounds.keys():
        return False
    outer = sorted(names - inner - {axis})
    order = [*outer, axis, *sorted(names & inner)]
    extents = [max(0, bounds[name][1] - bounds[name][0] + 1) for name in order]
    if prod(extents) > MOST:
        return False
    grid = np.indices(extents).reshape(len(order), -1)
    values = {name: grid[n] + bounds[name][0] for n, name in enumerate(order)}
    frame = Frame("trial", values, {}, (prod(extents),))
    around = np.ravel_multi_index(tuple(grid[: len(outer)]), extents[: len(outer)]) if outer else 0
    tried = [(evaluate(part, frame), around, values[axis]) for part in parts]
    rows = np.concatenate([np.stack(np.broadcast_arrays(*row), 1) for row in tried])
    places = len(np.unique(rows[:, :2], axis=0))
    return places == len(np.unique(rows, axis=0))
