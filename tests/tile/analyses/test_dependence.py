"""Which loops have iterations of their own, by the linear form of their indices."""

from __future__ import annotations

import pytest

from mlir_lite.tile.analyses.dependence import Dependences, Mode
from mlir_lite.tile.parser import parse_kernel


def mode_of(axis: str, *places: str, rows: int = 8, columns: int = 4) -> Mode:
    """The mode of a loop around stores at these places."""
    stores = "\n".join(f"x[{place}] = 1.0" for place in places)
    kernel = parse_kernel(f"""
        kernel @stores(%x: out f32[256]) {{
          for i in 0..{rows} {{
            for j in 0..{columns} {{
              {stores}
            }}
          }}
        }}""")
    return Dependences(kernel.body, kernel.params, {}).modes[axis]


@pytest.mark.parametrize("axis", ["i", "j"])
def test_stores_that_are_further_apart_than_the_loops_reach_are_independent(axis: str) -> None:
    """Quarters of a result: the second begins where the first ends."""
    assert mode_of(axis, "i * 4 + j", "i * 4 + j + 32") is Mode.INDEPENDENT


@pytest.mark.parametrize("between", [4, 12, 28, 31])
def test_stores_that_a_later_iteration_meets_are_not(between: int) -> None:
    assert mode_of("i", "i * 4 + j", f"i * 4 + j + {between}") is Mode.SERIAL


def test_stores_between_those_of_an_iteration_meet_none() -> None:
    """Even and odd places, however far apart."""
    assert mode_of("j", "j * 2", "j * 2 + 7") is Mode.INDEPENDENT
    assert mode_of("j", "j * 2", "j * 2 + 6") is Mode.SERIAL


def test_a_single_iteration_is_independent() -> None:
    assert mode_of("i", "j", rows=1) is Mode.INDEPENDENT
    assert mode_of("i", "j", rows=2) is Mode.SERIAL


def test_places_that_a_condition_chooses_are_tried() -> None:
    """The last column first, then the others row by row: the tiles of an image."""
    place = "select(j < 3, i * 3 + j + {}, i)"
    for axis in "ij":
        assert mode_of(axis, place.format(8)) is Mode.INDEPENDENT
    assert mode_of("i", place.format(7)) is Mode.SERIAL
    assert mode_of("i", place.format(8), place.format(9)) is Mode.SERIAL
    assert mode_of("j", "select(j < 3, j, i)") is Mode.SERIAL


def test_places_in_too_large_loops_are_not_tried() -> None:
    assert mode_of("i", "select(i < 3, i + 1, i + 2)", rows=1 << 14) is Mode.INDEPENDENT
    assert mode_of("i", "select(i < 3, i + 1, i + 2)", rows=1 + (1 << 14)) is Mode.SERIAL
