"""Where an element lies: its position in memory, in elements, as a sum of factor * term."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ....expr import Bounds, Expr, Var, bounds_of, simplify, vars_of
from ....expr.simplify import linear_sum
from ....tile.nodes import Buffer


@dataclass(frozen=True)
class Place:
    """The position of `at` in `buffer`, worked out under `limits` of the variables.

    `in_range` says that the limits prove every index within the buffer.
    """

    buffer: Buffer
    at: tuple[Expr, ...]
    terms: Mapping[Expr | None, int]
    in_range: bool
    limits: tuple[tuple[str, tuple[int, int] | None], ...]
    variables: Mapping[Expr | None, frozenset[str]]  # of the terms that are more than one

    def holds(self, bounds: Bounds) -> bool:
        """Whether the variables have these limits still."""
        return all(bounds.get(name) == limit for name, limit in self.limits)


def flat_place(buffer: Buffer, at: tuple[Expr, ...], bounds: Bounds) -> Place:
    """The place of an index, through the buffer's layout, row-major."""
    ranges = (bounds_of(part, bounds) for part in at)
    in_range = all(
        low >= 0 and high < size
        for size, (low, high) in zip(buffer.shape, ranges, strict=True)
    )
    memory = at
    if buffer.layout is not None:
        memory = tuple(simplify(part, bounds) for part in buffer.layout.apply(at))
    terms = linear_sum(zip(memory, buffer.strides, strict=True), bounds)
    names = sorted(frozenset().union(*(vars_of(part) for part in at)))
    limits = tuple((name, bounds.get(name)) for name in names)
    variables: dict[Expr | None, frozenset[str]] = {
        term: vars_of(term) for term in terms if not (term is None or isinstance(term, Var))
    }
    return Place(buffer, at, terms, in_range, limits, variables)
