"""Simplification of index expressions: linear normal form, bounds, quotients that come out.

`simplify((n_o * 64 + n_i) // 64, {n_i: (0, 63)})  ->  n_o`
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from .nodes import (
    FALSE,
    INDEX,
    TRUE,
    Apply,
    Const,
    Expr,
    Var,
    apply,
    index,
    rewrite_expr,
    vars_of,
)

# Inclusive limits of each variable.
Bounds: TypeAlias = Mapping[str, tuple[int, int]]
# Sum of factor * term; the term `None` is the constant.
Linear: TypeAlias = dict[Expr | None, int]

_UNBOUNDED = (-(2**62), 2**62)


def linear(expr: Expr) -> Linear:
    """The expression as a sum of integer multiples of terms that are not sums."""
    match expr:
        case Const(value=value):
            return {None: int(value)}
        case Apply(function="add", args=(left, right)):
            return _add(linear(left), linear(right), 1)
        case Apply(function="sub", args=(left, right)):
            return _add(linear(left), linear(right), -1)
        case Apply(function="neg", args=(value,)):
            return _add({}, linear(value), -1)
        case Apply(function="mul", args=(left, Const(value=factor))) | Apply(
            function="mul", args=(Const(value=factor), left)
        ):
            return _add({}, linear(left), int(factor))
    return {expr: 1}


def _add(left: Linear, right: Linear, factor: int) -> Linear:
    total = dict(left)
    for term, coefficient in right.items():
        total[term] = total.get(term, 0) + factor * coefficient
        if total[term] == 0:
            del total[term]
    return total


def from_linear(terms: Linear) -> Expr:
    """The sum as an expression, the constant last."""
    total: Expr | None = None
    for term, factor in terms.items():
        if term is None:
            continue
        if total is not None and factor < 0:
            total = total - term * -factor
            continue
        product = term * factor
        total = product if total is None else total + product
    constant = terms.get(None, 0)
    if total is None:
        return index(constant)
    return total + constant if constant >= 0 else total - (-constant)


def bounds_of(expr: Expr, bounds: Bounds) -> tuple[int, int]:
    """Inclusive limits of an index expression (±2**62 where nothing is known)."""
    match expr:
        case Const(value=value):
            return int(value), int(value)
        case Var(name=name):
            return bounds.get(name, _UNBOUNDED)
        case Apply(function="add" | "sub" | "neg" | "mul"):
            return _linear_bounds(expr, bounds)
        case Apply(function="min", args=(left, right)):
            a, b = bounds_of(left, bounds), bounds_of(right, bounds)
            return min(a[0], b[0]), min(a[1], b[1])
        case Apply(function="max", args=(left, right)):
            a, b = bounds_of(left, bounds), bounds_of(right, bounds)
            return max(a[0], b[0]), max(a[1], b[1])
        case Apply(function="floordiv", args=(left, Const(value=by))) if by > 0:
            low, high = bounds_of(left, bounds)
            return low // int(by), high // int(by)
        case Apply(function="mod", args=(left, Const(value=by))) if by > 0:
            low, high = bounds_of(left, bounds)
            return (low, high) if low >= 0 and high < by else (0, int(by) - 1)
        case Apply(function="select", args=(_, left, right)):
            a, b = bounds_of(left, bounds), bounds_of(right, bounds)
            return min(a[0], b[0]), max(a[1], b[1])
    return _UNBOUNDED


def _linear_bounds(expr: Expr, bounds: Bounds) -> tuple[int, int]:
    terms = linear(expr)
    if list(terms) == [expr]:  # a product of two unknowns
        return _UNBOUNDED
    low = high = terms.get(None, 0)
    for term, factor in terms.items():
        if term is None:
            continue
        ends = [factor * end for end in bounds_of(term, bounds)]
        low, high = low + min(ends), high + max(ends)
    return max(low, _UNBOUNDED[0]), min(high, _UNBOUNDED[1])


def simplify(expr: Expr, bounds: Bounds) -> Expr:
    """An equal expression, shorter where the limits of its variables allow it."""

    def visit(node: Expr) -> Expr | None:
        match node:
            case Apply(function="floordiv" | "mod", args=(value, Const(value=by))) if (
                node.dtype == INDEX and by > 0
            ):
                return _divide(node.function, value, int(by), bounds)
            case Apply(function="lt" | "le" | "gt" | "ge" | "eq" | "ne", args=(left, right)) if (
                left.dtype == INDEX
            ):
                return _compare(node.function, left, right, bounds)
            case Apply(function="min" | "max", args=(left, right)) if node.dtype == INDEX:
                return _extreme(node.function, left, right, bounds)
            case Apply(function="add" | "sub" | "mul" | "neg") if node.dtype == INDEX:
                return from_linear(linear(node))
        return None

    return rewrite_expr(expr, visit)


def _divide(function: str, value: Expr, by: int, bounds: Bounds) -> Expr | None:
    """Split into a multiple of the divisor and a rest; the rest falls out if it is in [0, by)."""
    multiple: Linear = {}
    rest: Linear = {}
    for term, factor in linear(value).items():
        quotient, remainder = divmod(factor, by)
        if term is None or remainder == 0:
            if quotient:
                multiple[term] = quotient
            if remainder:
                rest[term] = remainder
        else:
            rest[term] = factor
    remaining = from_linear(rest)
    low, high = bounds_of(remaining, bounds)
    if low >= 0 and high < by:
        return from_linear(multiple) if function == "floordiv" else remaining
    if not multiple:
        return None
    if function == "mod":
        return apply("mod", remaining, index(by))
    return from_linear(_add(multiple, {apply("floordiv", remaining, index(by)): 1}, 1))


def _compare(function: str, left: Expr, right: Expr, bounds: Bounds) -> Expr | None:
    low, high = bounds_of(from_linear(_add(linear(left), linear(right), -1)), bounds)
    verdicts = {
        "lt": (high < 0, low >= 0),
        "le": (high <= 0, low > 0),
        "gt": (low > 0, high <= 0),
        "ge": (low >= 0, high < 0),
        "eq": (low == high == 0, low > 0 or high < 0),
        "ne": (low > 0 or high < 0, low == high == 0),
    }
    always, never = verdicts[function]
    return TRUE if always else FALSE if never else None


def _extreme(function: str, left: Expr, right: Expr, bounds: Bounds) -> Expr | None:
    low, high = bounds_of(from_linear(_add(linear(left), linear(right), -1)), bounds)
    if high <= 0:
        return left if function == "min" else right
    if low >= 0:
        return right if function == "min" else left
    return None


def affine(expr: Expr, name: str) -> tuple[int, Expr] | None:
    """`(factor, rest)` with `expr == factor * name + rest`; None where it is not of that form."""
    factor = 0
    rest: Linear = {}
    for term, coefficient in linear(expr).items():
        if isinstance(term, Var) and term.name == name:
            factor = coefficient
        elif term is not None and name in vars_of(term):
            return None
        else:
            rest[term] = coefficient
    return factor, from_linear(rest)

