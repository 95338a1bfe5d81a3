"""Asking, while a tile is summed up, for what its epilogue or the next tile reads; no value
changes."""

from __future__ import annotations

import pytest

from mlir_lite.tile.nodes import Kernel
from mlir_lite.tile.parser import parse_kernel
from mlir_lite.tile.steps.prefetch_tiles import (
    prefetch_epilogue,
    prefetch_left,
    prefetch_next_block,
)

from .stepping import expect_step


def tile(rows: int, before: str = "", inside: str = "", steps: int = 16, piece: int = 0) -> str:
    """Tiles of two vectors a row of `a @ b + x`, whose sums have three times so many steps, in
    pieces of some."""
    cut = f"for k.i in 0..{piece} {{" if piece else ""
    step = f"p * {steps} + " + (f"(k * {piece} + k.i)" if piece else "k")
    return f"""
kernel @k(%a: f32[{2 * rows}, {3 * steps}], %b: f32[{3 * steps}, 32], %x: f32[{2 * rows}, 32],
          %y: out f32[{2 * rows}, 32]) {{
  buffer acc: register f32[{rows}, 2, 16]
  for m in 0..2 {{
    unroll i in 0..{rows} {{
      unroll j in 0..2 {{ vector l in 0..16 {{ acc[i, j, l] = 0.0 }} }}
    }}
    {before}
    for p in 0..3 {{
      for k in 0..{steps // max(piece, 1)} {{
        {inside}
        {cut}
        unroll i$1 in 0..{rows} {{
          unroll j$1 in 0..2 {{
            vector l$1 in 0..16 {{
              acc[i$1, j$1, l$1] += a[m * {rows} + i$1, {step}] * b[{step}, j$1 * 16 + l$1]
            }}
          }}
        }}
        {"}" if cut else ""}
      }}
    }}
    unroll i$2 in 0..{rows} {{
      unroll j$2 in 0..2 {{
        vector l$2 in 0..16 {{
          y[m * {rows} + i$2, j$2 * 16 + l$2] = acc[i$2, j$2, l$2] + x[m * {rows} + i$2, j$2 * 16 + l$2]
        }}
      }}
    }}
  }}
}}"""  # noqa: E501


def asking(kernel: Kernel) -> Kernel:
    return prefetch_epilogue(kernel, "p", {"x"})


def test_few_vectors_are_asked_for_before_the_sums() -> None:
    request = "call @prefetch_f32(x[m * 4 + i$3, j$3 * 16])"
    before = f"unroll i$3 in 0..4 {{ unroll j$3 in 0..2 {{ {request} }} }}"
    expect_step(asking, tile(4), tile(4, before=before))


def test_many_are_asked_for_one_by_one_over_the_steps() -> None:
    """48 steps of two loops for 10 vectors: five steps each."""
    turn = "(p * 16 + k) floordiv 5"
    request = f"call @prefetch_f32(x[m * 5 + {turn} floordiv 2, {turn} mod 2 * 16])"
    expect_step(asking, tile(5), tile(5, inside=request))


def test_more_than_there_are_steps_are_asked_for_row_by_row() -> None:
    """48 steps for 25 rows of two vectors: one for each, and then the last again."""
    request = "call @prefetch_f32(x[m * 25 + min(p * 16 + k, 24), j$3 * 16])"
    expect_step(asking, tile(25), tile(25, inside=f"unroll j$3 in 0..2 {{ {request} }}"))


@pytest.mark.parametrize(
    "rows, steps, piece, row",
    [
        (6, 64, 16, "p * 2 + k floordiv 2"),  # 12 pieces for 12 vectors
        (5, 64, 16, "min(p * 2 + k floordiv 2, 4)"),  # and for 10
    ],
)
def test_a_sum_of_many_steps_may_be_cut_between_requests(
    rows: int, steps: int, piece: int, row: str
) -> None:
    request = f"call @prefetch_f32(x[m * {rows} + ({row}), k mod 2 * 16])"
    expect_step(
        lambda kernel: prefetch_epilogue(kernel, "p", {"x"}, cut=True),
        tile(rows, steps=steps),
        tile(rows, inside=request, steps=steps, piece=piece),
    )


def test_a_sum_of_few_steps_is_not_cut() -> None:
    asked = asking(parse_kernel(tile(5)))
    assert prefetch_epilogue(parse_kernel(tile(5)), "p", {"x"}, cut=True) == asked


def two_tiles(first: str = "", second: str = "") -> str:
    """Tiles of one vector, two after one another."""
    return f"""
kernel @k(%a: f32[2, 48], %b: f32[48, 32], %x: f32[2, 32], %y: out f32[2, 32]) {{
  buffer acc: register f32[16]
  for m in 0..2 {{
    vector l in 0..16 {{ acc[l] = 0.0 }}
    {first}
    for p in 0..48 {{ vector l$1 in 0..16 {{ acc[l$1] += a[m, p] * b[p, l$1] }} }}
    vector l$2 in 0..16 {{ y[m, l$2] = acc[l$2] + x[m, l$2] }}
    vector l$3 in 0..16 {{ acc[l$3] = 0.0 }}
    {second}
    for p$1 in 0..48 {{ vector l$4 in 0..16 {{ acc[l$4] += a[m, p$1] * b[p$1, l$4 + 16] }} }}
    vector l$5 in 0..16 {{ y[m, l$5 + 16] = acc[l$5] + x[m, l$5 + 16] }}
  }}
}}"""


def test_each_tile_asks_for_its_own_epilogue() -> None:
    requests = ("call @prefetch_f32(x[m, 0])", "call @prefetch_f32(x[m, 16])")
    expect_step(asking, two_tiles(), two_tiles(*requests))


@pytest.mark.parametrize("buffers", [set[str](), {"a", "b"}])
def test_other_operands_are_not_asked_for(buffers: set[str]) -> None:
    expect_step(lambda kernel: prefetch_epilogue(kernel, "p", buffers), tile(5), tile(5))


@pytest.mark.parametrize(
    "rows, asked", [(5, ["min(k mod 16, 4)"]), (18, ["k mod 16", "min(k mod 16 + 16, 17)"])]
)
def test_the_rows_of_the_next_tile_are_asked_for_a_line_a_step(rows: int, asked: list[str]) -> None:
    """In 16 steps each row once; rows beyond 16 in the same steps."""
    requests = " ".join(
        f"call @prefetch_f32(a[m * {rows} + {row} + {rows}, p * 16 + k floordiv 16 * 16])"
        for row in asked
    )
    expect_step(
        lambda kernel: prefetch_left(kernel, "p", "a", "i"), tile(rows), tile(rows, inside=requests)
    )


def columns_in_blocks(inside: str) -> str:
    return f"""
kernel @k(%a: f32[3, 5, 12], %b: f32[3, 5, 4], %y: out f32[12, 4]) {{
  buffer acc: register f32[6, 4]
  buffer sums: shared f32[12, 4]
  for i in 0..12 {{ vector l in 0..4 {{ sums[i, l] = 0.0 }} }}
  for p in 0..3 {{
    for m in 0..2 {{
      unroll m.i in 0..6 {{ vector l$1 in 0..4 {{ acc[m.i, l$1] = 0.0 }} }}
      for k in 0..5 {{
        {inside}
        unroll m.i$1 in 0..6 {{
          vector l$2 in 0..4 {{ acc[m.i$1, l$2] += a[p, k, m * 6 + m.i$1] * b[p, k, l$2] }}
        }}
      }}
      unroll m.i$2 in 0..6 {{
        vector l$3 in 0..4 {{ sums[m * 6 + m.i$2, l$3] += acc[m.i$2, l$3] }}
      }}
    }}
  }}
  for i$1 in 0..12 {{ vector l$4 in 0..4 {{ y[i$1, l$4] = sums[i$1, l$4] }} }}
}}"""


def test_a_tile_asks_for_its_columns_of_the_next_block() -> None:
    """In the last one for what lies behind them."""
    expect_step(
        lambda kernel: prefetch_next_block(kernel, "k", "a", "m.i", "p"),
        columns_in_blocks(""),
        columns_in_blocks("call @prefetch_f32(a[p + 1, k, m * 6])"),
    )
