"""Places in swizzled tiles: bits that written-out loops flip come last; nothing else changes."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from functools import reduce
from itertools import product

import pytest

from mlir_lite.backends.cuda.source.flips import flipped
from mlir_lite.expr import Apply, Const, Expr, Var, apply, vars_of
from mlir_lite.expr.simplify import from_linear, linear
from mlir_lite.tile.tree import var

BOUNDS = {"i": (0, 3), "j": (0, 2), "half": (0, 1), "row": (0, 7)}
FLIPPED, NEAR, HALF, ROW = map(var, BOUNDS)
OPERATORS = {"add": operator.add, "mul": operator.mul, "xor": operator.xor}


def chunk(place: Expr, turn: Expr) -> Expr:
    """Where a chunk of eight elements begins."""
    return apply("xor", place, turn) * 8


def is_unrolled(term: Expr) -> bool:
    return vars_of(term) <= {"i", "j"}


def value(expr: Expr, at: Mapping[str, int]) -> int:
    match expr:
        case Const(value=constant):
            return int(constant)
        case Var(name=name):
            return at[name]
        case Apply(function=function, args=args):
            return reduce(OPERATORS[function], (value(arg, at) for arg in args))
    raise TypeError(type(expr).__name__)


@pytest.mark.parametrize(
    "place",
    [
        chunk(FLIPPED * 2 + HALF, ROW) + ROW * 64,
        chunk(FLIPPED * 2 + HALF, ROW) + ROW * 64 + NEAR * 512 + 3,
        chunk(FLIPPED * 2 + HALF, ROW) + ROW * 64 + HALF * 4,
        chunk(FLIPPED * 2, ROW) + HALF * 512 + NEAR * 40,
    ],
)
def test_bits_that_loops_flip_come_last(place: Expr) -> None:
    found = flipped(linear(place), BOUNDS, is_unrolled)
    assert found is not None
    parts = [from_linear(part) for part in (found.near, found.base, found.flips)]
    assert vars_of(parts[1]) == vars_of(place) - {"i", "j"}
    for values in product(*(range(low, high + 1) for low, high in BOUNDS.values())):
        at = dict(zip(BOUNDS, values, strict=True))
        near, base, flips = (value(part, at) for part in parts)
        assert near + (base ^ flips) == value(place, at)


@pytest.mark.parametrize(
    "place",
    [
        ROW * 64 + FLIPPED * 8,
        chunk(FLIPPED + HALF, ROW) + ROW * 64,  # a sum carries
        chunk(FLIPPED * 2 + HALF, ROW) + ROW * 80,  # rows share bits with chunks
        chunk(FLIPPED * 2 + HALF, ROW) + ROW * 64 + HALF * 8,
        chunk(HALF, ROW) + ROW * 64,
    ],
)
def test_other_places_are_sums(place: Expr) -> None:
    assert flipped(linear(place), BOUNDS, is_unrolled) is None
