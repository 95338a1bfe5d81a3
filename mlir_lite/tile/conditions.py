"""Limits of index expressions where conditions on them are known to hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..expr import INDEX, Apply, Bounds, Expr, apply, bounds_of
from ..expr.simplify import from_linear, linear


def conditional_bounds(
    part: Expr, conditions: Sequence[Expr], bounds: Bounds
) -> tuple[int, int]:
    """Inclusive limits of an index expression where all conditions hold."""
    low, high = bounds_of(part, bounds)
    for condition in conditions:
        for excess in _not_positive(condition):
            # excess <= 0, so that part + excess <= part <= part - excess.
            low = max(low, bounds_of(from_linear(linear(part + excess)), bounds)[0])
            high = min(high, bounds_of(from_linear(linear(part - excess)), bounds)[1])
    return low, high


_NEGATED = {"lt": "ge", "ge": "lt", "gt": "le", "le": "gt", "ne": "eq"}


def _not_positive(condition: Expr) -> Iterator[Expr]:
    """Index expressions that are zero or less where the condition holds."""
    match condition:
        case Apply(function="and", args=args):
            for part in args:
                yield from _not_positive(part)
        case Apply(function="not", args=(Apply(function="not", args=(inner,)),)):
            yield from _not_positive(inner)
        case Apply(function="not", args=(Apply(function="or", args=args),)):
            for part in args:
                yield from _not_positive(apply("not", part))
        case Apply(function="not", args=(Apply(function=name, args=args),)) if name in _NEGATED:
            yield from _not_positive(apply(_NEGATED[name], *args))
        case Apply(function=name, args=(left, right)) if left.dtype == INDEX:
            match name:
                case "lt":
                    yield left - right + 1
                case "le":
                    yield left - right
                case "gt":
                    yield right - left + 1
                case "ge":
                    yield right - left
                case "eq":
                    yield left - right
                    yield right - left
