"""Which taps a row sees, as bits, is what the conditions of a convolution's padding say."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

import numpy as np
import pytest

from mlir_lite.expr import FUNCTIONS, TRUE, Apply, Cast, Const, Expr, Load, Var, all_of, index
from mlir_lite.passes.schedule.gpu.products.seen_taps import by_bits
from mlir_lite.tile.nodes import Loop
from mlir_lite.tile.tree import var
from mlir_lite.types import i64

ROW, COLUMN, DOWN, ALONG = (var(name) for name in ("row", "column", "down", "along"))
AXES = {"row": ROW, "column": COLUMN, "down": DOWN, "along": ALONG}


def taps(**extents: int) -> list[Loop]:
    return [Loop(axis, index(0), index(extent), ()) for axis, extent in extents.items()]


def window(step: int = 1) -> Expr:
    """The taps of padded windows, those along a row dilated, inside an image of 4 by 5."""
    y, x = ROW * step + DOWN - 1, COLUMN * step + ALONG * 2 - 2
    return all_of(y >= 0, y < 4, x >= 0, x < 5)


def value(expr: Expr, at: Mapping[str, int]) -> int:
    match expr:
        case Const(value=constant):
            return int(constant)
        case Var(name=name):
            return at[name]
        case Cast(value=inner):
            return value(inner, at)
        case Apply(function=function, args=args):
            parts = (np.int64(value(arg, at)) for arg in args)
            return int(FUNCTIONS[function].evaluate(*parts))
    raise TypeError(type(expr).__name__)


@pytest.mark.parametrize("step", [1, 2])
@pytest.mark.parametrize("extents", [(3, 3), (1, 5), (7, 7)])
def test_bits_say_what_the_conditions_do(extents: tuple[int, int], step: int) -> None:
    guard, (high, wide) = window(step), extents
    found = by_bits(guard, taps(down=high, along=wide), AXES, "bits")
    assert found is not None
    let, seen = found
    for row, column in product(range(4), range(5)):
        own = {"row": row, "column": column}
        bits = value(let.value, own)
        for down, along in product(range(high), range(wide)):
            at = {**own, "down": down, "along": along, "bits": bits}
            assert value(seen, at) == value(guard, at)


@pytest.mark.parametrize(
    ("guard", "extents"),
    [
        (TRUE, {"down": 3, "along": 3}),  # nothing is outside
        (window(), {"down": 3}),  # the other tap differs among threads
        (window(), {"down": 20, "along": 20}),  # more than a register has bits
        (ROW + DOWN + ALONG < 9, {"down": 3, "along": 3}),
        (Load(i64, "limits", (DOWN,)) > ROW, {"down": 3, "along": 3}),
    ],
)
def test_other_conditions_stay(guard: Expr, extents: Mapping[str, int]) -> None:
    assert by_bits(guard, taps(**extents), AXES, "bits") is None
