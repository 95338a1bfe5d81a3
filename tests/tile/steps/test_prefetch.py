"""Asking for memory ahead: for what the next iteration reads, and no value changes."""

from __future__ import annotations

from mlir_lite.expr import apply, index, simplify, substitute_vars
from mlir_lite.tile.nodes import Call, Kernel
from mlir_lite.tile.parser import parse_kernel
from mlir_lite.tile.steps.prefetch import prefetch_next, prefetch_rows, prefetch_streams
from mlir_lite.tile.traverse import walk
from mlir_lite.tile.tree import var

from .stepping import expect_step


def product(k_body: str, after: str = "") -> str:
    """Four rows by two panels of 32 columns: a panel is 12 rows of 2 lines."""
    return f"""
kernel @k(%a: f32[4, 12], %b: f32[2, 12, 32], %y: out f32[4, 64]) {{
  buffer acc: register f32[32]
  for n in 0..2 {{
    for m in 0..4 {{
      vector j in 0..32 {{ acc[j] = 0.0 }}
      for k in 0..12 {{
        {k_body}
        vector j$1 in 0..32 {{ acc[j$1] += a[m, k] * b[n, k, j$1] }}
      }}
      vector j$2 in 0..32 {{ y[m, n * 32 + j$2] = acc[j$2] }}
    }}
    {after}
  }}
}}"""


def along_rows(kernel: Kernel) -> Kernel:
    return prefetch_next(kernel, "b", "n", "k", ["m"])


def test_the_next_panel_is_asked_for_a_line_a_step_over_the_rows() -> None:
    """24 lines in 12 steps: two rows do it, the last ones."""
    expect_step(
        along_rows,
        product(""),
        product("call @prefetch_f32(b[n, 0, max(m - 2, 0) * 192 + k * 16 + 384])"),
    )


def test_the_next_panel_may_be_asked_for_at_several_places_in_turn() -> None:
    """Every third step asks in the same third of it: 8 lines of 16 elements."""
    place = "k mod 3 * 128 + max(m - 2, 0) * 64 + k floordiv 3 * 16 + 384"
    expect_step(
        lambda kernel: prefetch_next(kernel, "b", "n", "k", ["m"], places=3),
        product(""),
        product(f"call @prefetch_f32(b[n, 0, {place}])"),
    )


def test_a_panel_may_be_asked_for_over_all_rows() -> None:
    """24 lines in 48 steps: half a line in each."""
    expect_step(
        lambda kernel: prefetch_next(kernel, "b", "n", "k", ["m"], places=4, spread=True),
        product(""),
        product("call @prefetch_f32(b[n, 0, m * 96 + k * 8 + 384])"),
    )


def test_where_all_rows_are_needed_for_that_a_panel_is_asked_for_at_several_places() -> None:
    expect_step(
        lambda kernel: prefetch_next(kernel, "b", "n", "k", [], places=2, spread=True),
        product(""),
        product(
            "call @prefetch_f32(b[n, 0, k mod 2 * 192 + k floordiv 2 * 32 + 384])"
            "call @prefetch_f32(b[n, 0, k mod 2 * 192 + k floordiv 2 * 32 + 400])"
        ),
    )


def test_what_is_asked_for_at_several_places_is_the_whole_of_it() -> None:
    found = prefetch_next(parse_kernel(product("")), "b", "n", "k", ["m"], places=4)
    (request,) = (stmt for stmt in walk(found.body) if isinstance(stmt, Call))
    place = request.windows[0].offsets[-1]
    steps = [{"m": index(m), "k": index(k)} for m in (2, 3) for k in range(12)]
    asked = [simplify(substitute_vars(place, step), {}) for step in steps]
    assert set(asked) == {index(384 + line * 16) for line in range(24)}


def test_without_rows_a_step_asks_for_several_lines() -> None:
    expect_step(
        lambda kernel: prefetch_next(kernel, "b", "n", "k", []),
        product(""),
        product(
            "call @prefetch_f32(b[n, 0, k * 32 + 384])  call @prefetch_f32(b[n, 0, k * 32 + 400])"
        ),
    )


def test_pieces_may_come_in_any_order() -> None:
    """The one after the last is the first."""
    after = {"n": apply("mod", var("n") + 1, index(2))}
    expect_step(
        lambda kernel: prefetch_next(kernel, "b", "n", "k", ["m"], after=after),
        product(""),
        product("call @prefetch_f32(b[(n + 1) mod 2, 0, max(m - 2, 0) * 192 + k * 16])"),
    )


def test_a_piece_may_be_asked_for_itself() -> None:
    expect_step(
        lambda kernel: prefetch_next(kernel, "b", "n", "k", distance=64),
        product(""),
        product(
            "call @prefetch_f32(b[n, 0, k * 32 + 64])  call @prefetch_f32(b[n, 0, k * 32 + 80])"
        ),
    )


def test_reductions_over_several_axes_count_as_one() -> None:
    before = """
kernel @k(%b: f32[3, 2, 4, 16], %y: out f32[3, 16]) {
  buffer acc: register f32[16]
  for n in 0..3 {
    vector j in 0..16 { acc[j] = 0.0 }
    for p in 0..2 {
      for q in 0..4 {
        CALL
        vector j$1 in 0..16 { acc[j$1] += b[n, p, q, j$1] }
      }
    }
    vector j$2 in 0..16 { y[n, j$2] = acc[j$2] }
  }
}"""
    expect_step(
        lambda kernel: prefetch_next(kernel, "b", "n", "p", []),
        before.replace("CALL", ""),
        before.replace("CALL", "call @prefetch_f32(b[n, 0, 0, p * 64 + q * 16 + 128])"),
    )


def test_a_second_reduction_over_the_piece_finds_it_asked_for() -> None:
    tail = """
    vector j$3 in 0..32 { acc[j$3] = 0.0 }
    for k$1 in 0..12 {
      vector j$4 in 0..32 { acc[j$4] += a[0, k$1] * b[n, k$1, j$4] }
    }
    vector j$5 in 0..32 { y[0, n * 32 + j$5] = acc[j$5] }"""
    expect_step(
        along_rows,
        product("", tail),
        product("call @prefetch_f32(b[n, 0, max(m - 2, 0) * 192 + k * 16 + 384])", tail),
    )


def test_outside_of_the_axis_nothing_is_asked_for() -> None:
    expect_step(lambda kernel: prefetch_next(kernel, "b", "other", "k", ["m"]), product(""))


def test_a_buffer_that_is_not_read_is_not_asked_for() -> None:
    expect_step(lambda kernel: prefetch_next(kernel, "y", "n", "k", ["m"]), product(""))


def test_streams_are_asked_for_once_and_ahead() -> None:
    """Two vectors of x and one of z an iteration; w is the same at each, y is written."""
    expect_step(
        lambda kernel: prefetch_streams(kernel, 4096),
        """
kernel @k(%x: f32[8, 2048], %z: f32[1024], %w: f32[16], %y: out f32[8, 2048]) {
  parallel i in 0..8 {
    for j in 0..64 {
      unroll u in 0..2 {
        vector l in 0..16 {
          y[i, j * 32 + u * 16 + l] = x[i, j * 32 + u * 16 + l] * w[l] + z[j * 16 + l]
        }
      }
    }
    for j$1 in 0..128 {
      vector l$1 in 0..16 { y[i, j$1 * 16 + l$1] += x[i, j$1 * 16 + l$1] }
    }
  }
}""",
        """
kernel @k(%x: f32[8, 2048], %z: f32[1024], %w: f32[16], %y: out f32[8, 2048]) {
  parallel i in 0..8 {
    for j in 0..64 {
      call @prefetch_f32(x[i, j * 32 + 1024])
      call @prefetch_f32(x[i, j * 32 + 1040])
      call @prefetch_f32(z[j * 16 + 1024])
      unroll u in 0..2 {
        vector l in 0..16 {
          y[i, j * 32 + u * 16 + l] = x[i, j * 32 + u * 16 + l] * w[l] + z[j * 16 + l]
        }
      }
    }
    for j$1 in 0..128 {
      vector l$1 in 0..16 { y[i, j$1 * 16 + l$1] += x[i, j$1 * 16 + l$1] }
    }
  }
}""",
    )


def test_what_is_read_in_another_order_is_no_stream() -> None:
    kernel = """
kernel @k(%x: f32[64, 64], %y: out f32[64, 64]) {
  for i in 0..64 {
    for j in 0..64 { y[i, j] = x[j, i] }
  }
}"""
    expect_step(lambda kernel: prefetch_streams(kernel, 4096), kernel, kernel)


def test_rows_side_by_side_ask_for_as_many_below() -> None:
    rows = """
          vector l in 0..16 {
            unroll k.i in 0..2 { y[k * 2 + k.i, j * 16 + l] = x[k * 2 + k.i, j * 16 + l] }
          }"""
    before = """
    kernel @k(%x: f32[8, 64], %y: out f32[8, 64]) {{
      for k in 0..4 {{ for j in 0..4 {{ {requests} {rows} }} }}
    }}"""
    asked = """
          call @prefetch_f32(x[k * 2 + 2, j * 16])
          call @prefetch_f32(x[k * 2 + 3, j * 16])"""
    expect_step(
        lambda kernel: prefetch_rows(kernel, "x", "k.i"),
        before.format(requests="", rows=rows),
        before.format(requests=asked, rows=rows),
    )
