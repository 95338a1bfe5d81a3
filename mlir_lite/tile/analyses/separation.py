"""Whether iterations of a loop share an element, proven from the linear form of the indices.

    y[i * 4 + j] for j in 0..4      iterations of i lie 4 apart and are 4 wide: they never meet
    y[i * 4 + j] for j in 0..5      the iterations i and i + 1 meet at y[i * 4 + 4]
"""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd, prod
from typing import NamedTuple, TypeAlias

from ...expr import INDEX, Bounds, Expr, Var, apply, bounds_of, has_loads, vars_of
from ...expr import index as literal
from ...expr.nodes import Apply, Const
from ...expr.simplify import linear

Linear: TypeAlias = dict[Expr | None, int]  # factors of terms; that of None is the constant


def recombine(terms: Linear) -> Linear:
    """Undo quotient and remainder: `n * (x // n) + x % n  ->  x`."""
    terms = dict(terms)
    found = _parts_of_one_value(terms)
    while found is not None:
        remainder, quotient, value = found
        factor = terms.pop(remainder)
        del terms[quotient]
        for part, coefficient in linear(value).items():
            terms[part] = terms.get(part, 0) + factor * coefficient
        found = _parts_of_one_value(terms)
    return {term: factor for term, factor in terms.items() if factor}


def _parts_of_one_value(terms: Linear) -> tuple[Expr, Expr | None, Expr] | None:
    """A term that is a remainder, the one of its quotient, and the value that they add up to."""
    for term, factor in terms.items():
        match term:
            case Apply(function="mod", args=(value, Const(value=by))) if by > 0:
                wanted, multiple = _quotient(value, int(by)), factor * by
                for other, coefficient in terms.items():
                    if coefficient == multiple and _as_quotient(other) == wanted:
                        return term, other, value
    return None


def _as_quotient(term: Expr | None) -> tuple[Expr, int] | None:
    match term:
        case Apply(function="floordiv", args=(value, Const(value=by))) if by > 0:
            return _quotient(value, int(by))
    return None


def _quotient(value: Expr, by: int) -> tuple[Expr, int]:
    """`(x // a) // b` is `x // (a * b)`."""
    match value:
        case Apply(function="floordiv", args=(inner, Const(value=first))) if first > 0:
            return _quotient(inner, by * int(first))
    return value, by


def flat_index(indices: tuple[Expr, ...], shape: tuple[int, ...]) -> Linear:
    """The row-major place of an element as a sum."""
    total: Expr = literal(0)
    for axis, part in enumerate(indices):
        total = total + part * literal(prod(shape[axis + 1 :]))
    return recombine(linear(total))


def distinct(
    axis: str,
    indices: Sequence[tuple[Expr, ...]],
    shape: tuple[int, ...],
    inner: frozenset[str],
    bounds: Bounds,
) -> bool:
    """Proven: no two iterations of the loop over `axis` share an element among these accesses.

    `inner` are the names bound in the loop's body. In some dimension, or in the flat memory, the
    indices of iteration `a` lie in `f * a + outer + [low, high]` with one `f` and `outer` for
    all, and no `f * (a - b)` leads from one such interval to another. Where `a // q` and `a % q`
    stand apart, both must separate so.
    """
    return separated(axis, dimensions_of(indices, shape), inner, bounds)


def dimensions_of(
    indices: Sequence[tuple[Expr, ...]], shape: tuple[int, ...]
) -> list[list[Linear]]:
    """The indices of some accesses in each dimension, and last in the flat memory, as sums."""
    dimensions = [[linear(part) for part in at] for at in zip(*indices, strict=True)]
    return [*dimensions, [flat_index(at, shape) for at in indices]]


def separated(
    axis: str,
    dimensions: Sequence[Sequence[Linear]],
    inner: frozenset[str],
    bounds: Bounds,
) -> bool:
    """As `distinct`, for accesses whose `dimensions_of` are known."""
    target = Var(INDEX, axis)
    if _separable(target, axis, dimensions, inner, bounds):
        return True
    # Sums that differ wherever the axis does, `turn * 132 + block` of fewer than 132 blocks.
    sums_of_it = {
        term.args[0]
        for sums in dimensions
        for terms in sums
        for term in terms
        if isinstance(term, Apply) and term.function == "mod" and axis in vars_of(term.args[0])
    } - {target}
    return any(
        _separates(target, axis, [linear(sum_)], inner, bounds)
        and _separable(sum_, axis, dimensions, inner, bounds)
        for sum_ in sums_of_it
    )


def _separable(
    target: Expr,
    axis: str,
    dimensions: Sequence[Sequence[Linear]],
    inner: frozenset[str],
    bounds: Bounds,
) -> bool:
    """Do different values of `target` separate the accesses: themselves, or by their quotients and
    remainders where those stand apart?"""
    if any(_separates(target, axis, sums, inner, bounds) for sums in dimensions):
        return True
    divisors = {
        term.args[1]
        for sums in dimensions
        for terms in sums
        for term in terms
        if isinstance(term, Apply) and term.function == "mod" and term.args[0] == target
    }
    return any(
        _separable(_divided(target, by), axis, dimensions, inner, bounds)
        and _separable(apply("mod", target, by), axis, dimensions, inner, bounds)
        for by in divisors
    )


def _divided(value: Expr, by: Expr) -> Expr:
    """`value // by`; `x // 12` for `(x // 4) // 3`."""
    if not isinstance(by, Const):
        return apply("floordiv", value, by)
    inner, whole = _quotient(value, int(by.value))
    return apply("floordiv", inner, literal(whole))


class _Spread(NamedTuple):
    """Where a sum lies in an iteration: in `factor * target + outer + [low, high]`.

    Its large terms within the loop are multiples of `steps`; without them it is `[least, most]`.
    """

    factor: int
    outer: frozenset[tuple[Expr | None, int]]
    low: int
    high: int
    least: int
    most: int
    steps: int


def _spread(
    terms: Linear, target: Expr, axis: str, inner: frozenset[str], bounds: Bounds
) -> _Spread | None:
    """Where a sum lies; None where loaded values decide it."""
    factor = terms.get(target, 0)
    low = high = least = most = terms.get(None, 0)
    steps = 0
    outer: set[tuple[Expr | None, int]] = set()
    for term, coefficient in terms.items():
        if term is None or term == target:
            continue
        if has_loads(term):
            return None
        names = vars_of(term)
        if axis not in names and not names & inner:
            outer.add((term, coefficient))
            continue
        ends = [coefficient * end for end in bounds_of(term, bounds)]  # anything within its limits
        low, high = low + min(ends), high + max(ends)
        if abs(coefficient) < abs(factor):
            least, most = least + min(ends), most + max(ends)
        else:
            steps = gcd(steps, coefficient)
    return _Spread(factor, frozenset(outer), low, high, least, most, steps)


def _separates(
    target: Expr, axis: str, sums: Sequence[Linear], inner: frozenset[str], bounds: Bounds
) -> bool:
    """Do different values of `target`, a term over the axis, give different sums?"""
    spreads = [_spread(terms, target, axis, inner, bounds) for terms in sums]
    found = [spread for spread in spreads if spread is not None]
    if len(found) < len(spreads) or len({(one.factor, one.outer) for one in found}) != 1:
        return False
    factor = abs(found[0].factor)
    first, last = bounds_of(target, bounds)
    if first == last or not factor:
        return first == last
    limits = {(one.low, one.high) for one in found}
    meetings = (
        _reaches(factor, last - first, low - most, high - least)
        for low, high in limits
        for least, most in limits
    )
    if not any(meetings):
        return True
    # `factor * target + little + steps * anything`: different targets leave different remainders.
    little = max(one.most for one in found) - min(one.least for one in found)
    reach = factor * (last - first)
    return little < factor and reach + little < gcd(*(one.steps for one in found))


def _reaches(step: int, steps: int, low: int, high: int) -> bool:
    """Does some number of steps, at least one and at most `steps`, end within [low, high]?"""
    number = max(1, -(-low // step))
    return number <= steps and number * step <= high
