"""Quotients and remainders of an index are put together again; the sum is the same."""

from __future__ import annotations

import operator
from functools import reduce

import pytest

from mlir_lite.backends.cuda.source.quotients import joined_quotients
from mlir_lite.expr import Apply, Const, Expr, Var
from mlir_lite.expr.simplify import from_linear, linear
from mlir_lite.tile.tree import var

S, T = var("s"), var("t")
OPERATORS = {
    "add": operator.add, "mul": operator.mul, "floordiv": operator.floordiv, "mod": operator.mod
}  # fmt: skip


def value(expr: Expr, s: int, t: int) -> int:
    match expr:
        case Const(value=constant):
            return int(constant)
        case Var(name=name):
            return {"s": s, "t": t}[name]
        case Apply(function=function, args=args):
            return reduce(OPERATORS[function], (value(arg, s, t) for arg in args))
    raise TypeError(type(expr).__name__)


@pytest.mark.parametrize(
    ("place", "joined"),
    [
        (S // 3 * 12 + S % 3 * 4, S * 4),
        (S // 2 // 3 * 12288 + S // 2 % 3 * 4096 + S % 2 * 2048, S * 2048),
        (S // 6 * 12288 + S % 6 // 2 * 4096 + S % 2 * 2048, S * 2048),
        (S // 6 * 3584 + S % 6 // 2 * 64 + S % 2 * 32 + T, S // 6 * 3584 + S % 6 * 32 + T),
        ((S + T) // 3 * 6 + (S + T) % 3 * 2 + S, S * 3 + T * 2),
        (S // 3 * 12 + S % 3 * 5, S // 3 * 12 + S % 3 * 5),
        (S // 3 * 12 + S % 4 * 4, S // 3 * 12 + S % 4 * 4),
        (T // 3 * 12 + S % 3 * 4, T // 3 * 12 + S % 3 * 4),
        (S % 6 // 4 * 4 + S % 4, S % 6 // 4 * 4 + S % 4),  # a quotient of no whole part
    ],
)
def test_sums_are_the_same_and_shorter(place: Expr, joined: Expr) -> None:
    found = joined_quotients(linear(place))
    assert found == linear(joined)
    for s in range(-13, 40):
        for t in (0, 5):
            assert value(from_linear(found), s, t) == value(place, s, t)
