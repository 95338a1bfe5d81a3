"""Arithmetic on sizes that are named: what holds for every size, and nothing else, is decided."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from mlir_lite.errors import ParseError
from mlir_lite.frontends.onnx.fit import solve
from mlir_lite.frontends.onnx.sizes import (
    compare,
    less,
    maximum,
    minimum,
    quotient,
    reshape_target,
    window,
)
from mlir_lite.sizes import Dim, Size, substitute

N, M = Dim.named("n"), Dim.named("m")


@pytest.mark.parametrize(
    ("a", "b", "sign"),
    [
        (N, -1, 1),
        (N, N, 0),
        (N + 3, N, 1),
        (N, N * 2 + 1, -1),
        (N, 0, None),
        (N, M, None),
        (N * 2, N, None),
        ((N + 1) // 2, -1, 1),
        (N - 5, 0, None),
    ],
)
def test_a_sign_is_known_only_if_all_sizes_have_it(a: Size, b: Size, sign: int | None) -> None:
    assert compare(a, b) == sign


def test_bounds_that_touch_still_decide() -> None:
    assert less(N, 0) is False
    assert (minimum(N, 0), maximum(N, 0)) == (0, N)
    assert minimum(N, M) is None


@pytest.mark.parametrize(("a", "b"), list(itertools.product([7, -7, 0], [2, -2, 3])))
def test_integers_divide_towards_zero(a: int, b: int) -> None:
    assert quotient(a, b) == int(a / b)


@pytest.mark.parametrize(("a", "b"), [(N - 1, 2), (N, M - 1), (3, 0)])
def test_a_quotient_whose_rounding_is_not_known_is_left_alone(a: Size, b: Size) -> None:
    assert quotient(a, b) is None


BOUNDS = [-(2**63), -9, -3, -1, 0, 2, 5, 9, 2**31 - 1, 2**63 - 1]


@pytest.mark.parametrize("step", [1, 2, 3, -1, -2, -7])
@pytest.mark.parametrize("extent", [0, 1, 5, 6])
def test_windows_are_those_of_numpy(step: int, extent: int) -> None:
    data = np.arange(extent)
    for start, end in itertools.product(BOUNDS, BOUNDS):
        part = window(start, end, step, extent)
        assert isinstance(part.start, int) and isinstance(part.size, int)
        found = [part.start + place * part.step for place in range(part.size)]
        assert found == data[start:end:step].tolist(), (start, end)


@pytest.mark.parametrize(
    ("start", "end", "step"),
    [(0, 2**63 - 1, 1), (2, -1, 1), (-3, 9 * 10**18, 2), (-1, -(2**63), -1), (4, 0, -2)],
)
def test_windows_of_a_named_size_hold_for_large_ones(start: int, end: int, step: int) -> None:
    part = window(start, end, step, N)
    for extent in (6, 7, 20):
        expected = np.arange(extent)[start:end:step]
        assert substitute(part.size, {"n": extent}) == len(expected)
        assert substitute(part.start, {"n": extent}) == expected[0]


def test_reshape_cancels_sizes_before_it_divides() -> None:
    half = (N + 1) // 2
    assert reshape_target((M, half + 1, 6), [M, half + 1, -1, 2], keep_zeros=False)[2] == 3
    assert reshape_target((M, 4, N), [0, -1], keep_zeros=False) == (M, 4 * N)
    assert reshape_target((0, 4), [0, 7], keep_zeros=True) == (0, 7)


def test_reshape_of_two_open_sizes_is_refused() -> None:
    with pytest.raises(ParseError, match="-1 more than once"):
        reshape_target((2, 3), [-1, -1], keep_zeros=False)


@pytest.mark.parametrize(
    ("a", "b", "found"),
    [
        (16 * ((N + 31) // 32), N, {"n": 32 * N}),
        (N * M * 120, M * 120, {"n": 1}),
        (2 * N, 96, {"n": 48}),
        (N, M, {"n": M}),
        (N + M, 3, {}),
        (N, -2, {}),
        (3 * N, 7, {}),
    ],
)
def test_what_a_size_must_be(a: Size, b: Size, found: dict[str, Size]) -> None:
    assert solve(a, b) in (found, {"m": N} if found == {"n": M} else found)


def test_sizes_found_on_different_ways_are_equal() -> None:
    """Windows of stride 2, twice, against one of stride 4; and what multiples make of them."""
    twice = ((N - 1) // 2 + 1 - 1) // 2 + 1
    assert twice == (N + 3) // 4
    assert substitute(twice, {"n": 4 * M}) == M


def test_floor_division_of_sizes_is_that_of_integers() -> None:
    random = np.random.default_rng(0)
    for _ in range(500):
        steps = [
            (int(kind), int(k)) for kind, k in zip(*random.integers(1, 5, (2, 5)), strict=True)
        ]

        def walk(size: Size, steps: list[tuple[int, int]] = steps) -> Size:
            for kind, k in steps:
                size = {1: size + k, 2: size - k, 3: size * k}.get(kind, size // k)
            return size

        for extent in (0, 1, 7, 31, 100):
            assert substitute(walk(N), {"n": extent}) == walk(extent)
