"""Simplification of index expressions: linear normal form, bounds, quotients that come out.

`simplify((n_o * 64 + n_i) // 64, {n_i: (0, 63)})  ->  n_o`
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from operator import is_not
from typing import TypeAlias

from .nodes import FALSE, INDEX, TRUE, Apply, Const, Expr, Var, apply, index
from .traverse import children, vars_of, with_children

# Inclusive limits of each variable.
Bounds: TypeAlias = Mapping[str, tuple[int, int]]
# Sum of factor * term; the term `None` is the constant.
Linear: TypeAlias = dict[Expr | None, int]

_UNBOUNDED = (-(2**62), 2**62)


_SUMS = frozenset(("add", "sub", "mul", "neg"))
_COMPARISONS = frozenset(("lt", "le", "gt", "ge", "eq", "ne"))


def linear(expr: Expr) -> Linear:
    """The expression as a sum of integer multiples of terms that are not sums."""
    terms: Linear = {}
    _gather(expr, 1, terms, None)
    return terms


def linear_sum(parts: Iterable[tuple[Expr, int]], bounds: Bounds | None = None) -> Linear:
    """The sum of these multiples of expressions, simplified by the limits of their variables if
    they are given."""
    terms: Linear = {}
    for expr, factor in parts:
        _gather(expr, factor, terms, bounds)
    return terms


def _gather(expr: Expr, factor: int, terms: Linear, bounds: Bounds | None) -> None:
    """Add a multiple of an expression to `terms`; given bounds, with its atoms simplified."""
    if isinstance(expr, Const):
        _count(None, factor * int(expr.value), terms)
        return
    if not isinstance(expr, Apply) or expr.function not in _SUMS:
        atom = expr if bounds is None else simplify(expr, bounds)
        if atom is expr:
            _count(expr, factor, terms)
        else:
            _gather(atom, factor, terms, None)
        return
    if expr.function == "mul":
        _gather_product(expr, factor, terms, bounds)
        return
    first = -factor if expr.function == "neg" else factor
    second = -factor if expr.function == "sub" else factor
    _gather(expr.args[0], first, terms, bounds)
    for right in expr.args[1:]:
        _gather(right, second, terms, bounds)


def _gather_product(expr: Apply, factor: int, terms: Linear, bounds: Bounds | None) -> None:
    left, right = expr.args
    if isinstance(right, Const):
        _gather(left, factor * int(right.value), terms, bounds)
    elif isinstance(left, Const):
        _gather(right, factor * int(left.value), terms, bounds)
    elif bounds is None:
        _count(expr, factor, terms)
    else:
        _gather(apply("mul", simplify(left, bounds), simplify(right, bounds)), factor, terms, None)


def _count(term: Expr | None, factor: int, terms: Linear) -> None:
    total = terms.get(term, 0) + factor
    if total:
        terms[term] = total
    else:
        terms.pop(term, None)


def _difference(left: Expr, right: Expr) -> Linear:
    terms: Linear = {}
    _gather(left, 1, terms, None)
    _gather(right, -1, terms, None)
    return terms


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
    if isinstance(expr, Const):
        return int(expr.value), int(expr.value)
    if isinstance(expr, Var):
        return bounds.get(expr.name, _UNBOUNDED)
    match expr:
        case Apply(function="mul", args=(left, right)) if not (
            isinstance(left, Const) or isinstance(right, Const)
        ):
            return _UNBOUNDED
        case Apply(function="add" | "sub" | "neg" | "mul"):
            return sum_bounds(linear(expr), bounds)
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
        case Apply(function="xor", args=(left, right)):
            ends = (*bounds_of(left, bounds), *bounds_of(right, bounds))
            return (0, (1 << max(ends).bit_length()) - 1) if min(ends) >= 0 else _UNBOUNDED
        case Apply(function="select", args=(_, left, right)):
            a, b = bounds_of(left, bounds), bounds_of(right, bounds)
            return min(a[0], b[0]), max(a[1], b[1])
    return _UNBOUNDED


def sum_bounds(terms: Linear, bounds: Bounds) -> tuple[int, int]:
    """Inclusive limits of a sum, as `bounds_of` those of an expression."""
    low = high = terms.get(None, 0)
    for term, factor in terms.items():
        if term is None:
            continue
        least, most = bounds_of(term, bounds)
        if factor < 0:
            least, most = most, least
        low, high = low + factor * least, high + factor * most
    return max(low, _UNBOUNDED[0]), min(high, _UNBOUNDED[1])


def simplify(expr: Expr, bounds: Bounds) -> Expr:
    """An equal expression, shorter where the limits of its variables allow it."""
    if isinstance(expr, (Const, Var)):
        return expr
    if isinstance(expr, Apply) and expr.function in _SUMS and expr.dtype == INDEX:
        if _is_plain_sum(expr):
            return expr
        terms: Linear = {}
        _gather(expr, 1, terms, bounds)
        return from_linear(terms)
    parts = children(expr)
    new = tuple([simplify(part, bounds) for part in parts])
    built = with_children(expr, new) if any(map(is_not, new, parts)) else expr
    found = _decided(built, bounds)
    return built if found is None else found


def _is_plain_sum(expr: Expr) -> bool:
    """Whether an expression is what `from_linear` makes of multiples of variables: told sooner than
    made again, and true of most indices."""
    if isinstance(expr, Apply) and expr.function in ("add", "sub"):
        constant = expr.args[1]
        if isinstance(constant, Const):
            if constant.value <= 0:
                return False
            expr = expr.args[0]
    names: set[str] = set()
    term: Expr | None = expr
    while term is not None:
        rest: Expr | None = None
        if isinstance(term, Apply) and term.function in ("add", "sub"):
            rest, term = term.args
        if isinstance(term, Apply) and term.function == "mul":
            term, factor = term.args
            if not isinstance(factor, Const) or factor.value <= 1:
                return False
        if not isinstance(term, Var) or term.name in names:
            return False
        names.add(term.name)
        term = rest
    return True


def _decided(expr: Expr, bounds: Bounds) -> Expr | None:
    """What the limits make of a quotient, a comparison, the lesser or greater of two, or an
    exclusive or."""
    if not isinstance(expr, Apply) or len(expr.args) != 2 or expr.args[0].dtype != INDEX:
        return None
    function, (left, right) = expr.function, expr.args
    if function in ("floordiv", "mod"):
        if isinstance(right, Const) and right.value > 0:
            return _divide(function, left, int(right.value), bounds)
    elif function in _COMPARISONS:
        return _compare(function, left, right, bounds)
    elif function in ("min", "max"):
        return _extreme(function, left, right, bounds)
    elif function == "xor":
        return _flip(left, right, bounds) or _flip(right, left, bounds)
    return None


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
    low, high = sum_bounds(rest, bounds)
    if low >= 0 and high < by:
        return from_linear(multiple) if function == "floordiv" else remaining
    if not multiple:
        return None
    if function == "mod":
        return apply("mod", remaining, index(by))
    _gather(apply("floordiv", remaining, index(by)), 1, multiple, None)
    return from_linear(multiple)


def _flip(value: Expr, by: Expr, bounds: Bounds) -> Expr | None:
    """The exclusive or of a sum with a few low bits: what the sum has above them comes out."""
    unit = 1 << bounds_of(by, bounds)[1].bit_length()
    above: Linear = {}
    rest: Linear = {}
    for term, factor in linear(value).items():
        low = factor % unit if term is None or factor % unit == 0 else factor
        _count(term, low, rest)
        _count(term, factor - low, above)
    least, most = sum_bounds(rest, bounds)
    if least < 0 or most >= unit or bounds_of(by, bounds)[0] < 0 or (rest and not above):
        return None
    _gather(apply("xor", from_linear(rest), by) if rest else by, 1, above, None)
    return from_linear(above)


def _compare(function: str, left: Expr, right: Expr, bounds: Bounds) -> Expr | None:
    low, high = sum_bounds(_difference(left, right), bounds)
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
    low, high = sum_bounds(_difference(left, right), bounds)
    if high <= 0:
        return left if function == "min" else right
    if low >= 0:
        return right if function == "min" else left
    return None


def affine(expr: Expr, name: str) -> tuple[int, Expr] | None:
    """`(factor, rest)` with `expr == factor * name + rest`; None where it is not of that form."""
    terms = linear(expr)
    factor = factor_of(name, terms)
    if factor is None:
        return None
    terms.pop(Var(INDEX, name), None)
    return factor, from_linear(terms)


def factor_of(name: str, terms: Linear) -> int | None:
    """The factor of a variable in a sum; None where another term depends on it."""
    factor = 0
    for term, coefficient in terms.items():
        if isinstance(term, Var):
            factor = coefficient if term.name == name else factor
        elif term is not None and name in vars_of(term):
            return None
    return factor
