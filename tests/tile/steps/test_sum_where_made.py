"""Terms that are summed in the loop that makes them."""

from __future__ import annotations

import pytest

from mlir_lite.tile.parser import parse_kernel
from mlir_lite.tile.steps.sum_where_made import sum_where_made

from .stepping import expect_step


def test_a_sum_runs_in_the_loop_of_its_terms() -> None:
    expect_step(
        lambda kernel: sum_where_made(kernel, 1),
        """
        kernel @k(%x: f32[4, 5], %y: out f32[4]) {
          buffer t: shared f32[4, 5]
          buffer acc: register f32[]
          for i in 0..4 { for j in 0..5 { t[i, j] = x[i, j] * 2.0 } }
          for p in 0..4 {
            acc[] = 0.0
            for k in 0..5 { acc[] += t[p, k] * x[p, k] }
            y[p] = acc[]
          }
        }""",
        """
        kernel @k(%x: f32[4, 5], %y: out f32[4]) {
          buffer t: shared f32[4, 5]
          buffer acc: register f32[]
          for i in 0..4 {
            acc[] = 0.0
            for j in 0..5 {
              t[i, j] = x[i, j] * 2.0
              acc[] += t[i, j] * x[i, j]
            }
            y[i] = acc[]
          }
        }""",
    )


UNSUITABLE = {
    "another order": ("t[i, j] = x[i, j]", "for k in 0..4 { acc[] += t[p, 3 - k] }"),
    "another length": ("t[i, j] = x[i, j]", "for k in 0..3 { acc[] += t[p, k] }"),
    "terms stored over one another": ("t[i, 0] = x[i, j]", "for k in 0..4 { acc[] += t[p, 0] }"),
    "nothing of what is made": ("t[i, j] = x[i, j]", "for k in 0..4 { acc[] += x[p, k] }"),
    "terms of the sum before": ("t[i, j] = acc[]", "for k in 0..4 { acc[] += t[p, k] }"),
}


@pytest.mark.parametrize(("made", "summed"), UNSUITABLE.values(), ids=UNSUITABLE)
def test_a_sum_stays_where_it_is_with(made: str, summed: str) -> None:
    kernel = parse_kernel(f"""
        kernel @k(%x: f32[4, 4], %y: out f32[4]) {{
          buffer t: shared f32[4, 4]
          buffer acc: register f32[]
          for i in 0..4 {{ for j in 0..4 {{ {made} }} }}
          for p in 0..4 {{
            acc[] = 0.0
            {summed}
            y[p] = acc[]
          }}
        }}""")
    assert sum_where_made(kernel, 1) == kernel
