"""Sums of an index's quotients and remainders, put together again where their factors allow it: so
few operations find the place of an element that nested loops over its axes reach one after another.

    s // 2 // 3 * 12288 + s // 2 % 3 * 4096 + s % 2 * 2048   ->   s * 2048
    s // 2 // 3 * 3584 + s // 2 % 3 * 64 + s % 2 * 32        ->   s // 6 * 3584 + s % 6 * 32
"""

from __future__ import annotations

from ....expr import Apply, Const, Expr, index
from ....expr.simplify import Linear, linear


def joined_quotients(terms: Linear) -> Linear:
    """An equal sum of multiples, with fewer of them."""
    found: dict[Expr | None, int] = {}
    for term, factor in terms.items():
        flat = None if term is None else _flat(term)
        found[flat] = found.get(flat, 0) + factor
    while (joined := _joined(found)) is not None:
        found = joined
    return found


def _joined(terms: dict[Expr | None, int]) -> dict[Expr | None, int] | None:
    """The sum with one remainder less."""
    for term, factor in terms.items():
        match term:
            case Apply(function="mod", args=(value, Const(value=by))) if by > 0:
                quotient, per = _flat(value // index(int(by))), factor * int(by)
            case _:
                continue
        for other, its_factor in terms.items():
            if its_factor != per or other is None:
                continue
            whole = _together(other, quotient, value, int(by))
            if whole is not None:
                rest = {key: n for key, n in terms.items() if key not in (term, other)}
                for part, times in linear(whole).items():
                    rest[part] = rest.get(part, 0) + times * factor
                return {key: n for key, n in rest.items() if n}
    return None


def _together(other: Expr, quotient: Expr, value: Expr, by: int) -> Expr | None:
    """`other * by + value % by`, where `other` is the value's quotient or a remainder of that."""
    if other == quotient:
        return value
    match other:
        case Apply(function="mod", args=(divided, Const(value=more))) if divided == quotient:
            return value % index(by * int(more))
    return None


def _flat(term: Expr) -> Expr:
    """Quotients of quotients as one, and those of remainders as remainders of quotients."""
    match term:
        case Apply(function="floordiv", args=(Apply(args=(value, Const(value=by))) as inner, then)):
            match inner.function, then:
                case "floordiv", Const(value=more) if by > 0 and more > 0:
                    return _flat(value // index(int(by) * int(more)))
                case "mod", Const(value=part) if by > 0 and part > 0 and by % part == 0:
                    return _flat(value // then) % index(int(by) // int(part))
        case Apply(function="mod", args=(value, Const() as by)):
            return _flat(value) % by
    return term
