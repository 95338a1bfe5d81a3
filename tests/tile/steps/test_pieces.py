"""Cutting loops into pieces for threads: what is left over stays inside, pieces are numbered once.
"""

from __future__ import annotations

from itertools import product

import pytest

from mlir_lite.tile.nodes import Kernel, Kind
from mlir_lite.tile.parser import parse_kernel
from mlir_lite.tile.steps.loops import mark
from mlir_lite.tile.steps.pieces import flatten, split_in_chunks, split_last

from .stepping import expect_step, same_kernel


def plus_one(body: str) -> str:
    return f"kernel @k(%x: f32[10], %y: out f32[10]) {{\n{body}\n}}"


def matrix(rows: int, columns: int) -> Kernel:
    size = f"[{rows}, {columns}]"
    return parse_kernel(f"""
kernel @k(%x: f32{size}, %y: out f32{size}) {{
  for j in 0..{columns} {{ for i in 0..{rows} {{ y[i, j] = x[i, j] + 1.0 }} }}
}}""")


def test_the_last_piece_has_a_shorter_loop() -> None:
    expect_step(
        lambda kernel: split_last(kernel, "i", 4),
        plus_one("for i in 0..10 { y[i] = x[i] + 1.0 }"),
        plus_one("""for i.o in 0..3 {
          if i.o < 2 { for i.i in 0..4 { y[i.o * 4 + i.i] = x[i.o * 4 + i.i] + 1.0 } }
          else { for i.i$1 in 0..2 { y[i.o * 4 + i.i$1] = x[i.o * 4 + i.i$1] + 1.0 } }
        }"""),
    )


def test_without_a_rest_all_pieces_are_alike() -> None:
    expect_step(
        lambda kernel: split_last(kernel, "i", 5),
        plus_one("for i in 0..10 { y[i] = x[i] + 1.0 }"),
        plus_one("""for i.o in 0..2 {
          for i.i in 0..5 { y[i.o * 5 + i.i] = x[i.o * 5 + i.i] + 1.0 }
        }"""),
    )


def test_chunks_of_tiles_go_outside_and_the_last_has_the_rest() -> None:
    got = split_in_chunks(matrix(10, 3), "i", 3, 2, "j")
    assert str(got) == str(parse_kernel("""
kernel @k(%x: f32[10, 3], %y: out f32[10, 3]) {
  for i.c in 0..2 {
    for j in 0..3 {
      for i.o in 0..min(2, i.c * -2 + 3) {
        for i.i in 0..3 {
          y[i.c * 6 + i.o * 3 + i.i, j] = x[i.c * 6 + i.o * 3 + i.i, j] + 1.0
        }
      }
      if i.c == 1 {
        y[i.c * 6 + 3, j] = x[i.c * 6 + 3, j] + 1.0
      }
    }
  }
}"""))


@pytest.mark.parametrize(("rows", "size"), [*product((1, 5, 6, 7, 12, 13, 25), (1, 2, 3))])
def test_pieces_of_both_axes_are_independent(rows: int, size: int) -> None:
    """All elements are written, each by one piece: the verifier looks for races."""
    naive = matrix(rows, 10)
    kernel = split_last(naive, "j", 4)
    kernel = split_in_chunks(kernel, "i", min(rows, 3), size, "j.o")
    kernel = flatten(kernel, "i.c", "j.o")
    for axis in ("i.c.f", "i.c", "j.o"):
        kernel = mark(kernel, axis, Kind.PARALLEL)
    same_kernel(naive, kernel)


def test_two_loops_are_numbered_as_one() -> None:
    expect_step(
        lambda kernel: flatten(kernel, "j", "i"),
        str(matrix(2, 3)),
        """
kernel @k(%x: f32[2, 3], %y: out f32[2, 3]) {
  for j.f in 0..6 {
    let j = j.f floordiv 2
    let i = j.f mod 2
    y[i, j] = x[i, j] + 1.0
  }
}""",
    )


def test_loops_with_something_between_them_stay() -> None:
    expect_step(
        lambda kernel: flatten(kernel, "i", "j"),
        plus_one("for i in 0..2 { y[i] = 0.0  for j in 0..5 { y[i * 5 + j] = x[j] } }"),
    )
