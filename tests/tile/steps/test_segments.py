"""Sums of many terms in segments."""

from __future__ import annotations

import numpy as np
import pytest

from mlir_lite.tile.interpreter import run_kernel
from mlir_lite.tile.nodes import Kernel
from mlir_lite.tile.parser import parse_kernel
from mlir_lite.tile.steps.segments import sum_in_segments

from .stepping import expect_step, same_kernel

PRODUCT = """
kernel @k(%a: {dtype}[12, 2], %y: out {dtype}[2]) {{
  buffer acc: {space} {dtype}[2]
  unroll n in 0..2 {{ acc[n] = 0.0 }}
  for k in 0..{extent} {{ unroll n$1 in 0..2 {{ acc[n$1] += a[k, n$1] }} }}
  unroll n$2 in 0..2 {{ y[n$2] = acc[n$2] }}
}}"""


def product(*, dtype: str = "f32", space: str = "register", extent: int = 12) -> str:
    return PRODUCT.format(dtype=dtype, space=space, extent=extent)


def segments(kernel: Kernel) -> Kernel:
    return sum_in_segments(kernel, "k", longest=6, steps=5)


def test_a_long_sum_is_made_of_equal_segments() -> None:
    expect_step(
        segments,
        product(),
        """
kernel @k(%a: f32[12, 2], %y: out f32[2]) {
  buffer acc: register f32[2]
  buffer part: register f32[2]
  unroll n in 0..2 { acc[n] = 0.0 }
  for k in 0..4 { unroll n$1 in 0..2 { acc[n$1] += a[k, n$1] } }
  for k.s in 1..3 {
    unroll n$3 in 0..2 { part[n$3] = 0.0 }
    for k$1 in 0..4 { unroll n$4 in 0..2 { part[n$4] += a[k.s * 4 + k$1, n$4] } }
    unroll n$5 in 0..2 { acc[n$5] += part[n$5] }
  }
  unroll n$2 in 0..2 { y[n$2] = acc[n$2] }
}""",
    )


@pytest.mark.parametrize("extent", [7, 8, 11])
def test_what_is_left_is_a_shorter_segment(extent: int) -> None:
    before = parse_kernel(product(extent=extent))
    same_kernel(before, segments(before))


def test_sums_of_some_lanes_keep_their_condition() -> None:
    masked = "if n$1 < 1 { acc[n$1] += a[k, n$1] }"
    before = parse_kernel(product().replace("acc[n$1] += a[k, n$1]", masked))
    after = segments(before)
    assert "if n$5 < 1" in str(after)
    same_kernel(before, after)


def test_terms_side_by_side_are_one_term() -> None:
    """As of instructions that add several products at once."""
    text = """
kernel @k(%a: f32[12, 2, 3], %y: out f32[2]) {
  buffer acc: register f32[2]
  unroll n in 0..2 { acc[n] = 0.0 }
  for k in 0..12 { unroll n$1 in 0..2 { unroll q in 0..3 { acc[n$1] += a[k, n$1, q] } } }
  unroll n$2 in 0..2 { y[n$2] = acc[n$2] }
}"""
    before = parse_kernel(text)
    after = segments(before)
    assert after != before
    same_kernel(before, after)


def test_sums_of_some_terms_stay() -> None:
    masked = "if k < 5 { acc[n$1] += a[k, n$1] }"
    expect_step(segments, product().replace("acc[n$1] += a[k, n$1]", masked))


@pytest.mark.parametrize(
    "text",
    [product(extent=6), product(space="shared"), product(dtype="i32").replace("0.0", "0")],
    ids=["short", "in memory", "of integers"],
)
def test_other_sums_stay(text: str) -> None:
    expect_step(segments, text)


def test_several_sums_in_one_loop_stay() -> None:
    expect_step(segments, product().replace("+= a[k, n$1]", "+= a[k, n$1] acc[0] += a[k, 0]"))


def test_less_is_rounded_away() -> None:
    """Of 2**14 numbers of one size, summed one by one, some tens of units in the last place."""
    text = """
kernel @k(%a: f32[16384], %y: out f32[]) {
  buffer acc: register f32[]
  acc[] = 0.0
  for k in 0..16384 { acc[] += a[k] }
  y[] = acc[]
}"""
    plain = parse_kernel(text)
    a = np.random.default_rng(0).random(16384, np.float32)
    exact = a.astype(np.float64).sum()
    errors = [
        abs(float(run_kernel(kernel, {"a": a})["y"]) - exact)
        for kernel in (plain, sum_in_segments(plain, "k", longest=512, steps=128))
    ]
    assert errors[1] < errors[0] / 4
