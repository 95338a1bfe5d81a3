"""Sums leave out what zeros give: the same numbers from fewer operations, in the same order."""

from __future__ import annotations

import numpy as np
import pytest

from mlir_lite.tile.analyses.count import work_of
from mlir_lite.tile.checks.verify import verify_kernel
from mlir_lite.tile.interpreter import run_kernel
from mlir_lite.tile.nodes import Kernel
from mlir_lite.tile.parser import parse_kernel
from mlir_lite.tile.steps.skip_zeros import skip_zeros
from mlir_lite.types import Array

from .stepping import sample


def rows(taps: str, step: int = 1) -> Kernel:
    """Five rows of results, in steps, each of three taps on rows of sixteen."""
    return parse_kernel(f"""
kernel @k(%x: f32[{5 * step + 2}, 16], %w: f32[3, 16], %y: out f32[5, 16]) {{
  buffer acc: register f32[16]
  for i in 0..5 {{
    vector n in 0..16 {{ acc[n] = 0.0 }}
    {taps}
    vector n$2 in 0..16 {{ y[i, n$2] = acc[n$2] }}
  }}
}}""")


def term(step: int, k: str = "k") -> str:
    place = "i" if step == 1 else f"i * {step}"
    return f"vector n$1 in 0..16 {{ acc[n$1] += x[{place} + {k}, n$1] * w[{k}, n$1] }}"


def columns(taps: str) -> Kernel:
    """Four results side by side, of three taps on two channels."""
    return parse_kernel(f"""
kernel @k(%x: f32[6, 2], %w: f32[3, 2, 16], %y: out f32[4, 16]) {{
  buffer acc: register f32[4, 16]
  unroll j in 0..4 {{ vector n in 0..16 {{ acc[j, n] = 0.0 }} }}
  {taps}
  unroll j$2 in 0..4 {{ vector n$2 in 0..16 {{ y[j$2, n$2] = acc[j$2, n$2] }} }}
}}""")


def tile(k: str, c: str, j: str, n: str, turns: str) -> str:
    return f"""for {c} in 0..2 {{ unroll {j} in {turns} {{ vector {n} in 0..16 {{
        acc[{j}, {n}] += x[{j} + {k}, {c}] * w[{k}, {c}, {n}]
    }} }} }}"""


def results(kernel: Kernel, first: int, last: int) -> Array:
    """With zeros before `first` and from `last` on."""
    verify_kernel(kernel)
    inputs = {param.name: sample(param, 1) for param in kernel.params if param.name != "y"}
    inputs["x"][:first], inputs["x"][last:] = 0, 0
    return run_kernel(kernel, inputs)["y"]


def expect_skipped(before: Kernel, after: Kernel, first: int, last: int) -> None:
    got = skip_zeros(before, "x", 0, first, last)
    assert str(got) == str(after)
    np.testing.assert_array_equal(results(got, first, last), results(before, first, last))
    if got != before:
        assert work_of(got).operations < work_of(before).operations


def test_loops_over_taps_begin_and_end_where_rows_are_not_zero() -> None:
    before = rows(f"for k in 0..3 {{ {term(1)} }}")
    limits = "max(0, i * -1 + 1)..min(3, i * -1 + 6)"
    expect_skipped(before, rows(f"for k in {limits} {{ {term(1)} }}"), 1, 6)


def test_rows_in_steps() -> None:
    """The last row of results sees rows 8 to 10 of twelve: only the first one is zero."""
    before = rows(f"for k in 0..3 {{ {term(2)} }}", 2)
    after = rows(f"for k in max(0, i * -2 + 1)..3 {{ {term(2)} }}", 2)
    expect_skipped(before, after, 1, 11)


def test_what_is_asked_for_is_asked_for_still() -> None:
    def asked(k: str) -> str:
        return f"call @prefetch_f32(w[{k} + 3, 0])"

    before = rows(f"for k in 0..3 {{ {asked('k')} {term(1)} }}")
    after = rows(f"""
    for k$1 in 0..max(0, i * -1 + 1) {{ {asked("k$1")} }}
    for k in max(0, i * -1 + 1)..3 {{ {asked("k")} {term(1)} }}""")
    expect_skipped(before, after, 1, 7)


def test_each_tap_has_the_results_that_see_more_than_zeros() -> None:
    before = columns(f"for k in 0..3 {{ {tile('k', 'c', 'j$1', 'n$1', '0..4')} }}")
    after = columns(f"""
    for k in 0..1 {{ {tile("k", "c", "j$1", "n$1", "1..4")} }}
    for k$1 in 1..2 {{ {tile("k$1", "c$1", "j$3", "n$3", "0..4")} }}
    for k$2 in 2..3 {{ {tile("k$2", "c$2", "j$4", "n$4", "0..3")} }}""")
    expect_skipped(before, after, 1, 5)


def test_instructions_that_see_several_places_stay() -> None:
    """The first tap of a result sees zero and what is beside it."""
    before = parse_kernel("""
kernel @k(%x: u8[12], %w: i8[2, 16, 4], %y: out i32[5, 16]) {
  buffer acc: register i32[5, 16]
  unroll j in 0..5 { vector n in 0..16 { acc[j, n] = 0 } }
  for k in 0..2 { unroll j$1 in 0..5 { call @vpdpbusd(acc[j$1, 0], x[j$1 + k * 4], w[k, 0, 0]) } }
  unroll j$2 in 0..5 { vector n$2 in 0..16 { y[j$2, n$2] = acc[j$2, n$2] } }
}""")
    assert skip_zeros(before, "x", 0, 3, 9) == before


def test_little_is_not_worth_more_code() -> None:
    """A turn of 3 * 32 is left out."""
    text = str(columns(f"for k in 0..3 {{ {tile('k', 'c', 'j$1', 'n$1', '0..4')} }}"))
    wider = {"f32[6, 2]": "f32[34, 2]", "f32[4, 16]": "f32[32, 16]", "0..4": "0..32"}
    for few, many in wider.items():
        text = text.replace(few, many)
    before = parse_kernel(text)
    expect_skipped(before, before, 1, 34)


@pytest.mark.parametrize(
    "taps",
    [
        "for k in 0..3 { vector n$1 in 0..16 { acc[n$1] max= x[i + k, n$1] * w[k, n$1] } }",
        "for k in 0..3 { vector n$1 in 0..16 { acc[n$1] += x[i + k, n$1] + w[k, n$1] } }",
        "for k in 0..3 { vector n$1 in 0..16 { acc[n$1] += exp(x[i + k, n$1]) * w[k, n$1] } }",
        "for k in 0..3 { vector n$1 in 0..16 { acc[n$1] = x[i + k, n$1] * w[k, n$1] } }",
    ],
)
def test_what_zeros_change_stays(taps: str) -> None:
    expect_skipped(rows(taps), rows(taps), 1, 6)
