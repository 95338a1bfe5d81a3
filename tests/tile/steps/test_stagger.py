"""Rows that are written while the next ones are computed."""

from __future__ import annotations

import pytest

from mlir_lite.tile.parser import parse_kernel
from mlir_lite.tile.steps.stagger import stagger

from .stepping import expect_step


def test_a_row_is_written_in_the_loop_over_the_next() -> None:
    expect_step(
        lambda kernel: stagger(kernel, 3),
        """
        kernel @k(%x: f32[6, 5], %y: out f32[6, 5]) {
          buffer t: shared f32[5]
          buffer top: shared f32[]
          buffer acc: register f32[]
          for i in 0..6 {
            acc[] = 0.0
            for j in 0..5 {
              t[j] = x[i, j] * 2.0
              acc[] += t[j]
            }
            top[] = acc[]
            for k in 0..5 { y[i, k] = t[k] * top[] }
          }
        }""",
        """
        kernel @k(%x: f32[6, 5], %y: out f32[6, 5]) {
          buffer t: shared f32[2, 21]
          buffer top: shared f32[2]
          buffer acc: register f32[]
          for i.o in 0..2 {
            acc[] = 0.0
            for j$1 in 0..5 {
              t[0, j$1] = x[i.o * 3, j$1] * 2.0
              acc[] += t[0, j$1]
            }
            top[0] = acc[]
            for i.i in 1..3 {
              acc[] = 0.0
              for j in 0..5 {
                t[i.i mod 2, j] = x[i.o * 3 + i.i, j] * 2.0
                acc[] += t[i.i mod 2, j]
                y[i.o * 3 + i.i - 1, j] = t[(i.i + 1) mod 2, j] * top[(i.i + 1) mod 2]
              }
              top[i.i mod 2] = acc[]
            }
            for k in 0..5 { y[i.o * 3 + 2, k] = t[0, k] * top[0] }
          }
        }""",
    )


UNSUITABLE = {
    "the last loop reads its row": ("", "t[j] = 1.0", "for k in 0..4 { y[i, k] = x[i, k] + t[k] }"),
    "loops of different lengths": ("", "t[j] = x[i, j]", "for k in 0..3 { y[i, k] = t[k] }"),
    "a result that is read": ("", "t[j] = y[i, j]", "for k in 0..4 { y[i, k] = t[k] }"),
    "a register": ("a[] = x[i, 0]", "t[j] = x[i, j]", "for k in 0..4 { y[i, k] = t[k] + a[] }"),
    "a name": ("let s = x[i, 0]", "t[j] = x[i, j]", "for k in 0..4 { y[i, k] = t[k] + s }"),
    "a sum": ("", "t[j] = x[i, j]", "for k in 0..4 { y[i, 0] += t[k] }"),
    "no loop": ("", "t[j] = x[i, j]", "y[i, 0] = t[0]"),
}


@pytest.mark.parametrize(("first", "made", "last"), UNSUITABLE.values(), ids=UNSUITABLE)
def test_rows_stay_together_with(first: str, made: str, last: str) -> None:
    kernel = parse_kernel(f"""
        kernel @k(%x: f32[4, 4], %y: out f32[4, 4]) {{
          buffer t: shared f32[4]
          buffer a: register f32[]
          for i in 0..4 {{
            {first}
            for j in 0..4 {{ {made} }}
            {last}
          }}
        }}""")
    assert stagger(kernel, 2) == kernel


@pytest.mark.parametrize("count", [1, 3])
def test_blocks_that_do_not_divide_the_rows_or_are_one_change_nothing(count: int) -> None:
    kernel = parse_kernel("""
        kernel @k(%x: f32[4, 4], %y: out f32[4, 4]) {
          buffer t: shared f32[4]
          for i in 0..4 {
            for j in 0..4 { t[j] = x[i, j] }
            for k in 0..4 { y[i, k] = t[k] }
          }
        }""")
    assert stagger(kernel, count) == kernel
