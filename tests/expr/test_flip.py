"""Exclusive ors of indices: what lies above the bits that are flipped comes out of them."""

from __future__ import annotations

import pytest

from mlir_lite.expr import Expr, apply, index, simplify
from mlir_lite.tile.tree import var

BOUNDS = {"k": (0, 7), "half": (0, 1), "turn": (0, 1), "row": (0, 7), "any": (-8, 7)}
K, HALF, TURN, ROW, ANY = map(var, BOUNDS)


def flip(left: Expr, right: Expr) -> Expr:
    return apply("xor", left, right)


@pytest.mark.parametrize(
    ("expr", "wanted"),
    [
        (flip(K, index(0)), K),
        (flip(index(0), ROW), ROW),
        (flip(K * 2 + HALF, TURN), K * 2 + flip(HALF, TURN)),
        (flip(TURN, K * 2 + HALF), K * 2 + flip(HALF, TURN)),
        (flip(K * 8 + 19, ROW), K * 8 + flip(index(3), ROW) + 16),
        (flip(K * 8 - 8, ROW), K * 8 + ROW - 8),
    ],
)
def test_what_lies_above_comes_out(expr: Expr, wanted: Expr) -> None:
    assert simplify(expr, BOUNDS) == simplify(wanted, BOUNDS)
    assert simplify(simplify(expr, BOUNDS), BOUNDS) == simplify(expr, BOUNDS)


@pytest.mark.parametrize(
    "expr",
    [flip(K * 2 + HALF, ROW), flip(K * 8 + ANY, ROW), flip(K * 8, ANY), flip(K * 8 + ROW + 1, ROW)],
)
def test_what_is_flipped_stays(expr: Expr) -> None:
    assert simplify(expr, BOUNDS) == expr
