"""Joining the states of reductions: two of them, or all lanes of a vector in a fixed tree."""

from __future__ import annotations

from collections.abc import Sequence

from ....errors import UnsupportedError
from ....expr import COMBINERS
from ..scalars.rules import Scalars
from ..text.scopes import Value, literal

_BEST = {"argmax": "gt", "argmin": "lt"}


def identities(combiner: str, states: Sequence[Value]) -> list[Value]:
    """The states that change nothing when joined."""
    entry = COMBINERS[combiner]
    return [
        literal(identity(state.dtype), state.dtype, state.lanes)
        for identity, state in zip(entry.identity, states, strict=True)
    ]


def join_states(
    scalars: Scalars, combiner: str, new: Sequence[Value], old: Sequence[Value]
) -> list[Value]:
    """The states of two parts joined."""
    function = COMBINERS[combiner].function
    if function:
        return [scalars.apply(function, new[0], old[0])]
    if combiner not in _BEST:
        raise UnsupportedError(f"the CPU backend has no combiner '{combiner}'")
    take = _is_better(scalars, _BEST[combiner], new, old)
    return [scalars.select(take, a, b) for a, b in zip(new, old, strict=True)]


def _is_better(
    scalars: Scalars, test: str, new: Sequence[Value], old: Sequence[Value]
) -> Value:
    """Whether the new (value, index) wins: NaN before all, then the earlier index."""
    (value, at), (best, best_at) = new, old
    better, equal = scalars.compare(test, value, best), scalars.compare("eq", value, best)
    if value.dtype.is_float:
        nan, best_nan = scalars.apply("isnan", value), scalars.apply("isnan", best)
        first_nan = scalars.binary("and", nan, scalars.apply("not", best_nan))
        better = scalars.binary("or", better, first_nan)
        equal = scalars.binary("or", equal, scalars.binary("and", nan, best_nan))
    earlier = scalars.binary("and", equal, scalars.compare("lt", at, best_at))
    return scalars.binary("or", better, earlier)


def reduce_lanes(scalars: Scalars, combiner: str, states: Sequence[Value]) -> list[Value]:
    """All lanes joined: halves with halves; an odd last lane waits for the end."""
    parts = list(states)
    waiting: list[list[Value]] = []
    while parts[0].lanes > 1:
        lanes = parts[0].lanes
        if lanes % 2:
            waiting.append([scalars.lane(part, lanes - 1) for part in parts])
        half = lanes // 2
        low = [_lanes_of(scalars, part, 0, half) for part in parts]
        high = [_lanes_of(scalars, part, half, half) for part in parts]
        parts = join_states(scalars, combiner, low, high)
    for part in reversed(waiting):
        parts = join_states(scalars, combiner, parts, part)
    return parts


def _lanes_of(scalars: Scalars, value: Value, first: int, count: int) -> Value:
    if count == 1:
        return scalars.lane(value, first)
    lanes = ", ".join(f"i32 {first + lane}" for lane in range(count))
    text = f"shufflevector {value}, {value.type} poison, <{count} x i32> <{lanes}>"
    return Value(scalars.out.define(text), value.dtype, count)
