"""The states of a few neighbours of a row, had at once: a thread joins them to what it has seen
with one quotient or power for all of them instead of one for each.

    top, acc softmax= x[e], 1   ->   let most = max(x[0], ..);
                                     top, acc softmax= most, exp(x[0] - most) + ..
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import reduce
from operator import add

from .....expr import Const, Expr, Load, Var, apply, const, index, select
from .....tile.nodes import Accumulate, Block, Buffer, Let, Ref
from .....tile.tree import Names


def joins_runs(update: Accumulate) -> bool:
    """Whether the states of runs are had at once: where single elements are joined, not states of
    several."""
    others = tuple(value.value for value in update.values[1:] if isinstance(value, Const))
    return others == _SINGLE.get(update.combiner)


def passes_over(update: Accumulate) -> bool:
    """Whether a run may hold, in places of elements that are not there, what changes no state."""
    return update.combiner == "softmax" and joins_runs(update)


def joined_run(combiner: str, run: Buffer, targets: tuple[Ref, ...], names: Names) -> Block:
    """Join the elements in registers to states."""
    (width,) = run.shape
    elements: list[Expr] = [Load(run.dtype, run.name, (index(e),)) for e in range(width)]
    return _STATES[combiner](elements, targets, names)


def _softmax(elements: list[Expr], targets: tuple[Ref, ...], names: Names) -> Block:
    """Their maximum, and the sum of powers of what is left without it."""
    dtype = elements[0].dtype
    top = Let(names.fresh("top"), reduce(lambda a, b: apply("max", a, b), elements))
    most, lowest = Var(dtype, top.name), const(-math.inf, dtype)
    # All at -inf, they are nothing yet: the powers are to be 0, not those of -inf less -inf.
    base = Let(names.fresh("base"), select(most > lowest, most, const(0, dtype)))
    shifted = (apply("exp", element - Var(dtype, base.name)) for element in elements)
    update = Accumulate("softmax", targets, (most, reduce(add, shifted)))
    return (top, base, update)


def _moments(elements: list[Expr], targets: tuple[Ref, ...], names: Names) -> Block:
    """Their mean, the sum of squared distances from it, and how many they are."""
    dtype, count = elements[0].dtype, len(elements)
    mean = Let(names.fresh("own"), reduce(add, elements) * const(1 / count, dtype))
    own = Var(dtype, mean.name)
    squares = reduce(add, ((element - own) * (element - own) for element in elements))
    return (mean, Accumulate("moments", targets, (own, squares, const(count, dtype))))


_SINGLE = {"softmax": (1,), "moments": (0, 1)}  # the further states of one element
_STATES: Mapping[str, Callable[[list[Expr], tuple[Ref, ...], Names], Block]] = {
    "softmax": _softmax,
    "moments": _moments,
}
