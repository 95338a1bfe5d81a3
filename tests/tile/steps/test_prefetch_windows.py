"""prefetch_below: the rows of the next iteration, and nothing that this one has read."""

from __future__ import annotations

from mlir_lite.tile.steps.prefetch_windows import prefetch_below

from .stepping import expect_step


def kernel(requests: str) -> str:
    return f"""
        kernel @rows(%x: f32[11, 4, 16], %w: f32[3, 16], %y: out f32[4, 4, 16]) {{
          buffer acc: register f32[16]
          for i in 0..4 {{
            for q in 0..4 {{
              {requests}
              vector c in 0..16 {{
                acc[c] = 0.0
              }}
              unroll t in 0..3 {{
                vector c$1 in 0..16 {{
                  if t < 2 or i < 3 {{
                    acc[c$1] += x[i * 2 + t, q, c$1] * w[t, c$1]
                  }}
                }}
              }}
              vector c$2 in 0..16 {{
                y[i, q, c$2] = acc[c$2]
              }}
            }}
          }}
        }}"""


def test_rows_that_are_new_in_the_next_iteration_are_asked_for() -> None:
    asked = "call @prefetch_f32(x[i * 2 + 3, q, 0])  call @prefetch_f32(x[i * 2 + 4, q, 0])"
    expect_step(lambda each: prefetch_below(each, "i"), kernel(""), kernel(asked))


def test_other_loops_ask_for_nothing() -> None:
    expect_step(lambda each: prefetch_below(each, "j"), kernel(""))
