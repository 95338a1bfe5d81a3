"""Whole numbers that are made bytes only to be wide again, and those that are needed as bytes."""

from __future__ import annotations

import numpy as np
import pytest

from mlir_lite.tile.interpreter import run_kernel
from mlir_lite.tile.parser import parse_kernel
from mlir_lite.tile.steps.stay_wide import stay_wide

from .stepping import expect_step

KERNEL = """
kernel @k(%x: f32[{count}], %z: u8[{count}], %y: out {dtype}[{count}]) {{
  for i in 0..{count} {{ y[i] = {value} }}
}}"""


def kernel(value: str, dtype: str = "f32", count: int = 9) -> str:
    return KERNEL.format(value=value, dtype=dtype, count=count)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("f32(i32(u8(W + 9.0)) - 9)", "min(select(W > -9.0, W, -9.0), 246.0)"),
        ("f32(i32(u8(W + 9.0)) + 7) * 0.5", "(min(select(W > -9.0, W, -9.0), 246.0) + 16.0) * 0.5"),
        ("f32(i32(u8(W)))", "min(select(W > 0.0, W, 0.0), 255.0)"),
        ("f32(i32(u8(W - 3.0)) - 9)", "min(select(W > 3.0, W, 3.0), 258.0) + -12.0"),
    ],
)
def test_whole_numbers_stay_wide(before: str, after: str) -> None:
    given, wanted = (kernel(text.replace("W", "round(x[i] * 99.0)")) for text in (before, after))
    expect_step(stay_wide, given, wanted)


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        ("u8(round(x[i]) + 9.0)", "u8"),
        ("f32(i32(z[i]) - 9)", "f32"),  # of memory
        ("f32(i32(u8(x[i])) - 9)", "f32"),  # has a fraction, which is cut off
        ("f32(i32(u8(round(x[i]) + 0.5)) - 9)", "f32"),
        ("f32(i32(i8(round(x[i]))) - 9)", "f32"),  # of NaN comes 0, not the least
        ("f32(i32(u8(round(x[i]))) - 99999999)", "f32"),  # rounded in f32
    ],
)
def test_others_stay(value: str, dtype: str) -> None:
    expect_step(stay_wide, kernel(value, dtype), kernel(value, dtype))


def test_limits_and_what_is_no_number_come_out_the_same() -> None:
    x = np.array([np.nan, np.inf, -np.inf, -0.0, 0.5, -9, -9.5, 245.5, 246.5, 1e30, -1e30], "f4")
    for value in ("f32(i32(u8(round(x[i]) + 9.0)) - 9)", "f32(i32(u8(round(x[i]))))"):
        given = parse_kernel(kernel(value, count=len(x)))
        want, got = (
            run_kernel(each, {"x": x, "z": np.zeros(len(x), "u1")})["y"]
            for each in (given, stay_wide(given))
        )
        assert stay_wide(given) != given
        np.testing.assert_array_equal(got, want)
