"""Limits of index expressions where conditions on them are known to hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ...expr import INDEX, Apply, Bounds, Expr, Var, apply, bounds_of
from ...expr.simplify import Linear, linear, sum_bounds
from ..nodes import Loop


def conditional_bounds(part: Expr, conditions: Iterable[Expr], bounds: Bounds) -> tuple[int, int]:
    """Inclusive limits of an index expression where all conditions hold."""
    return bounds_under(linear(part), bounds_of(part, bounds), excesses_of(conditions), bounds)


def excesses_of(conditions: Iterable[Expr]) -> list[Linear]:
    """Sums that are zero or less where all conditions hold."""
    return [linear(excess) for condition in conditions for excess in _not_positive(condition)]


def bounds_under(
    part: Linear, limits: tuple[int, int], excesses: Iterable[Linear], bounds: Bounds
) -> tuple[int, int]:
    """Inclusive limits of a sum, which lies within `limits`, where no excess is above zero."""
    low, high = limits
    for excess in excesses:
        for count in _multiples(part, excess):
            # excess <= 0, so that part + count * excess <= part <= part - count * excess.
            low = max(low, sum_bounds(plus(part, excess, count), bounds)[0])
            high = min(high, sum_bounds(plus(part, excess, -count), bounds)[1])
    return low, high


def plus(left: Linear, right: Linear, count: int) -> Linear:
    """`left + count * right`."""
    total = dict(left)
    for term, factor in right.items():
        total[term] = total.get(term, 0) + count * factor
        if not total[term]:
            del total[term]
    return total


def loop_conditions(loop: Loop) -> Iterator[Expr]:
    """What holds in every iteration of a loop."""
    axis = Var(INDEX, loop.axis)
    yield apply("ge", axis, loop.start)
    yield apply("lt", axis, loop.stop)


def _multiples(part: Linear, excess: Linear) -> set[int]:
    """How often to add a sum to another for one of their common terms to cancel out."""
    return {1} | {
        abs(part[term] // factor)
        for term, factor in excess.items()
        if term in part and term is not None and part[term] % factor == 0
    }


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
                    yield from _not_above(left + 1, right)
                case "le":
                    yield from _not_above(left, right)
                case "gt":
                    yield from _not_above(right + 1, left)
                case "ge":
                    yield from _not_above(right, left)
                case "eq":
                    yield left - right
                    yield right - left


def _not_above(left: Expr, right: Expr) -> Iterator[Expr]:
    """Where left <= right: their difference, for each operand of a minimum on the right."""
    match right:
        case Apply(function="min", args=args):
            for part in args:
                yield from _not_above(left, part)
        case _:
            yield left - right
