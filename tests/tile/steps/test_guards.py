"""share_guards: what has one guard stands under it together, each sum in the order it had."""

from __future__ import annotations

from mlir_lite.tile.nodes import Kernel
from mlir_lite.tile.steps.guards import share_guards

from .stepping import expect_step


def shared(kernel: Kernel) -> Kernel:
    return share_guards(kernel, "k")


def blur(body: str) -> str:
    return f"""
        kernel @blur(%x: f32[9, 4], %w: f32[3], %y: out f32[8, 4]) {{
          buffer acc: register f32[2, 4]
          for i in 0..4 {{
            unroll r in 0..2 {{
              unroll q in 0..4 {{
                acc[r, q] = 0.0
              }}
            }}
            {body}
            unroll r$1 in 0..2 {{
              unroll q$1 in 0..4 {{
                y[i * 2 + r$1, q$1] = acc[r$1, q$1]
              }}
            }}
          }}
        }}"""


def term(row: str, position: str, tap: str) -> str:
    return f"acc[{row}] += x[{position}] * w[{tap}]"


def test_a_row_is_tested_once_for_all_that_read_it() -> None:
    """Row -1 of the first tile is not there; the others always are, and no test of them is left."""
    expect_step(
        shared,
        blur(f"""
            for k in 0..3 {{
              unroll r$2 in 0..2 {{
                unroll q$2 in 0..4 {{
                  if i * 2 + r$2 + k - 1 >= 0 {{
                    {term("r$2, q$2", "i * 2 + r$2 + k - 1, q$2", "k")}
                  }}
                }}
              }}
            }}"""),
        blur(f"""
            if i * 2 - 1 >= 0 {{
              unroll q$3 in 0..4 {{
                {term("0, q$3", "i * 2 - 1, q$3", "0")}
              }}
            }}
            unroll q$4 in 0..4 {{
              {term("1, q$4", "i * 2, q$4", "0")}
            }}
            unroll q$5 in 0..4 {{
              {term("0, q$5", "i * 2, q$5", "1")}
            }}
            unroll q$6 in 0..4 {{
              {term("1, q$6", "i * 2 + 1, q$6", "1")}
            }}
            unroll q$7 in 0..4 {{
              {term("0, q$7", "i * 2 + 1, q$7", "2")}
            }}
            unroll q$8 in 0..4 {{
              {term("1, q$8", "i * 2 + 2, q$8", "2")}
            }}"""),
    )


def test_what_is_never_there_vanishes() -> None:
    """Of every other row, a tap each; the others would stand in the way of the order."""
    expect_step(
        shared,
        blur(f"""
            for k in 0..3 {{
              unroll r$2 in 0..2 {{
                unroll q$2 in 0..4 {{
                  if i + k - 2 >= 0 and (r$2 - k) mod 2 == 0 {{
                    {term("r$2, q$2", "i + k, q$2", "k")}
                  }}
                }}
              }}
            }}"""),
        blur(f"""
            if i - 2 >= 0 {{
              unroll q$3 in 0..4 {{
                {term("0, q$3", "i, q$3", "0")}
              }}
            }}
            if i - 1 >= 0 {{
              unroll q$4 in 0..4 {{
                {term("1, q$4", "i + 1, q$4", "1")}
              }}
            }}
            unroll q$5 in 0..4 {{
              {term("0, q$5", "i + 2, q$5", "2")}
            }}"""),
    )


def test_a_loop_without_a_guard_is_unrolled() -> None:
    loop = f"""
        {{kind}} k in 0..2 {{{{
          unroll r$2 in 0..2 {{{{
            unroll q$2 in 0..4 {{{{
              {term("r$2, q$2", "i * 2 + r$2 + k, q$2", "k")}
            }}}}
          }}}}
        }}}}"""
    expect_step(shared, blur(loop.format(kind="for")), blur(loop.format(kind="unroll")))


def test_guards_that_would_change_a_sums_order_stay() -> None:
    """Taps 0 and 2 have one guard, tap 1 another: together, 0 and 2 would go before 1."""
    expect_step(
        shared,
        blur(f"""
            for k in 0..3 {{
              unroll r$2 in 0..2 {{
                unroll q$2 in 0..4 {{
                  if i * 2 + k mod 2 - 1 >= 0 {{
                    {term("r$2, q$2", "i * 2 + r$2, q$2", "k")}
                  }}
                }}
              }}
            }}"""),
    )


def test_what_masks_lanes_stays_within() -> None:
    """A guard on the lanes of a vector is not one for all of them."""
    expect_step(
        shared,
        blur(f"""
            for k in 0..2 {{
              unroll r$2 in 0..2 {{
                vector q$2 in 0..4 {{
                  if q$2 < 3 {{
                    if i * 2 + r$2 + k - 1 >= 0 {{
                      {term("r$2, q$2", "i * 2 + r$2 + k - 1, q$2", "k")}
                    }}
                  }}
                }}
              }}
            }}"""),
        blur(f"""
            if i * 2 - 1 >= 0 {{
              vector q$3 in 0..4 {{
                if q$3 < 3 {{
                  {term("0, q$3", "i * 2 - 1, q$3", "0")}
                }}
              }}
            }}
            vector q$4 in 0..4 {{
              if q$4 < 3 {{
                {term("1, q$4", "i * 2, q$4", "0")}
              }}
            }}
            vector q$5 in 0..4 {{
              if q$5 < 3 {{
                {term("0, q$5", "i * 2, q$5", "1")}
              }}
            }}
            vector q$6 in 0..4 {{
              if q$6 < 3 {{
                {term("1, q$6", "i * 2 + 1, q$6", "1")}
              }}
            }}"""),
    )
