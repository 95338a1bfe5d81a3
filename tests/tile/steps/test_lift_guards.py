"""lift_guards and lower_guards: conditions as far out as they can be, and at each term."""

from __future__ import annotations

from mlir_lite.tile.steps.lift_guards import lift_guards, lower_guards

from .stepping import expect_step


def kernel(body: str) -> str:
    return f"""
        kernel @sum(%x: f32[4, 6], %y: out f32[4]) {{
          buffer acc: register f32[]
          for i in 0..4 {{
            acc[] = 0.0
            {body}
            y[i] = acc[]
          }}
        }}"""


TERM = "acc[] += x[i + j - 1, k]"
LIFTED = kernel(f"""
    for j in 0..3 {{
      if i + j - 1 >= 0 and i + j - 1 < 4 {{
        for k in 0..6 {{
          if i + k < 5 {{
            {TERM}
          }}
        }}
      }}
    }}""")
LOWERED = kernel(f"""
    for j in 0..3 {{
      for k in 0..6 {{
        if i + j - 1 >= 0 and i + j - 1 < 4 and i + k < 5 {{
          {TERM}
        }}
      }}
    }}""")


def test_conditions_around_loops_become_conditions_of_terms() -> None:
    expect_step(lower_guards, LIFTED, LOWERED)


def test_the_way_back_is_the_way_there() -> None:
    expect_step(lift_guards, LOWERED, LIFTED)


def test_conditions_of_what_is_no_reduction_stay() -> None:
    expect_step(lower_guards, kernel("if i > 2 { for k in 0..6 { y[i] = x[i, k] } }"))
