"""Asking, in the nest before, for what a nest that writes results reads; no value changes."""

from __future__ import annotations

import pytest

from mlir_lite.tile.steps.prefetch_blocks import prefetch_for_results

from .stepping import expect_step


def block(asked: str = "", read: str = "x[m * 5 + r, c * 16 + l]") -> str:
    """Blocks of five rows: sums of two products, and what is made of them."""
    return f"""
kernel @k(%x: f32[10, 32], %b: f32[32], %a: f32[2, 5, 32], %y: out f32[10, 32]) {{
  buffer sums: shared f32[5, 32]
  for m in 0..2 {{
    for p in 0..2 {{
      {asked}
      for i in 0..5 {{
        for j in 0..2 {{
          vector v in 0..16 {{
            sums[i, j * 16 + v] = a[p, i, j * 16 + v] + b[j * 16 + v]
          }}
        }}
      }}
    }}
    for r in 0..5 {{
      for c in 0..2 {{
        vector l in 0..16 {{
          y[m * 5 + r, c * 16 + l] = {read} + sums[r, c * 16 + l]
        }}
      }}
    }}
  }}
}}"""


def test_each_iteration_asks_for_a_share_of_the_rows() -> None:
    """Three rows and two; the last one twice."""
    asked = """
      for r$1 in 0..3 {
        for c$1 in 0..2 {
          call @prefetch_f32(x[m * 5 + min(p * 3 + r$1, 4), c$1 * 16])
        }
      }"""
    expect_step(prefetch_for_results, block(), block(asked))


@pytest.mark.parametrize("read", ["b[c * 16 + l]", "x[r, 7]"])
def test_what_all_rows_share_or_lanes_do_not_is_not_asked_for(read: str) -> None:
    expect_step(prefetch_for_results, block(read=read), block(read=read))
