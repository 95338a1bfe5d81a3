"""Places in tiles whose chunks change places by an exclusive or: one base for a written-out loop.

    tile[(i * 2 + half ^ row) * 8 + row * 64]   ->   tile[(half ^ row) * 8 + row * 64 ^ i * 16]

As `i` is a constant where the loop is written out, each of its places takes one instruction from
the same base, or none where that does not change from step to step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ....expr import Apply, Bounds, Expr, apply, bounds_of
from ....expr.simplify import Linear, from_linear, linear


@dataclass(frozen=True)
class Flipped:
    """The sum `near + (base ^ flips)`, of which loops that are written out have `near` and
    `flips`."""

    near: Linear
    base: Linear
    flips: Linear


def flipped(
    terms: Linear, bounds: Bounds, is_unrolled: Callable[[Expr], bool]
) -> Flipped | None:
    """A sum of multiples so; None where it has no exclusive or to which written-out loops
    contribute whole bits."""
    found = [(term, factor) for term, factor in terms.items() if _is_xor(term)]
    if len(found) != 1:
        return None
    ((term, factor),) = found
    assert isinstance(term, Apply)
    left, right = term.args
    parts = linear(left)
    flips = {
        part: count
        for part, count in parts.items()
        if part is not None and count > 0 and is_unrolled(part)
    }
    rest = {part: count for part, count in parts.items() if part not in flips}
    unit = min((count & -count for count in flips.values()), default=0)
    if not flips or not _is_within(rest, unit, bounds):
        return None
    outer = {part: count for part, count in terms.items() if part != term}
    near = {part: count for part, count in outer.items() if part is None or is_unrolled(part)}
    far = {part: count for part, count in outer.items() if part not in near}
    width = factor << bounds_of(term, bounds)[1].bit_length()
    below = {part: count for part, count in far.items() if count % width}
    if factor & (factor - 1) or not _is_within(below, factor, bounds):
        return None
    base = {**far, apply("xor", from_linear(rest), right): factor}
    return Flipped(near, base, {part: count * factor for part, count in flips.items()})


def _is_xor(term: Expr | None) -> bool:
    return isinstance(term, Apply) and term.function == "xor"


def _is_within(terms: Linear, limit: int, bounds: Bounds) -> bool:
    """Whether a sum is at least 0 and less than a limit."""
    low, high = bounds_of(from_linear(terms), bounds)
    return low >= 0 and high < limit
