"""Random programs of named sizes, which get several values: the truth is the program of numbers.

`python -m pytest -m slow tests/fuzz/test_sized_programs.py` is the sweep.
"""

from __future__ import annotations

import pytest

from .sized_ways import WAYS, check, random_sized


@pytest.mark.parametrize("seed", range(8))
def test_programs_of_named_sizes(seed: int) -> None:
    check(random_sized(seed, most=8), list(WAYS)[seed % len(WAYS)])


@pytest.mark.slow
@pytest.mark.parametrize("ten", range(1, 41))
def test_more_programs_of_named_sizes(ten: int) -> None:
    for seed in range(10 * ten, 10 * ten + 10):
        for way in WAYS:
            check(random_sized(seed), way)
