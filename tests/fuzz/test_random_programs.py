"""Random programs, each run in the ways there are to run it: the truth is float64.

A failure prints the program made small. `python -m pytest -m slow tests/fuzz` is the sweep.
"""

from __future__ import annotations

import pytest

from .checking import WAYS, check
from .programs import FAMILIES, LOOSE, SMOOTH, random_program

_DERIVED = ("gradient", "tangent")
_OTHERS = [way for way in WAYS if way not in (*_DERIVED, "compiled", "interpreted")]


def turn(seed: int) -> str:
    """A way for this seed, so that neighbouring ones are run in all ways."""
    return _OTHERS[seed % len(_OTHERS)]


@pytest.mark.parametrize("seed", range(len(_OTHERS)))
def test_programs(seed: int) -> None:
    program = random_program(seed, most=12)
    check(program, "compiled")
    check(program, turn(seed))


@pytest.mark.parametrize("seed", range(6))
def test_programs_of_special_values(seed: int) -> None:
    program = random_program(seed, LOOSE, special=True, most=8)
    for way in ("compiled", "each pass"):
        check(program, way, special=True)


@pytest.mark.parametrize("seed", range(4))
def test_derivatives(seed: int) -> None:
    check(random_program(seed, SMOOTH, most=5), _DERIVED[seed % 2])


def test_a_program_follows_from_its_seed() -> None:
    one, other = (random_program(7) for _ in range(2))
    assert str(one.fn) == str(other.fn)
    assert all(a.tobytes() == b.tobytes() for a, b in zip(one.arrays, other.arrays, strict=True))


_TENS = pytest.mark.parametrize("ten", range(1, 41))


@pytest.mark.slow
@_TENS
def test_more_programs(ten: int) -> None:
    for seed in range(10 * ten, 10 * ten + 10):
        program = random_program(seed, FAMILIES)
        for way in ("compiled", "each pass", turn(seed)):
            check(program, way)


@pytest.mark.slow
@_TENS
def test_more_programs_of_special_values(ten: int) -> None:
    for seed in range(10 * ten, 10 * ten + 10):
        program = random_program(seed, LOOSE, special=True, most=10)
        for way in ("compiled", "each pass", turn(seed)):
            check(program, way, special=True)


@pytest.mark.slow
@_TENS
def test_more_derivatives(ten: int) -> None:
    for seed in range(10 * ten, 10 * ten + 10):
        for way in _DERIVED:
            check(random_program(seed, SMOOTH, most=8), way)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_programs_in_the_interpreter(seed: int) -> None:
    """Which sees every read out of bounds and every race."""
    check(random_program(seed, most=8), "interpreted")
