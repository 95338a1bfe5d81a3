"""cut_reduction, cut_sums, interleave and finish_apart: long sums in pieces, and what follows."""

from __future__ import annotations

import numpy as np
import pytest

from mlir_lite.tile.checks.verify import verify_kernel
from mlir_lite.tile.nodes import Kernel
from mlir_lite.tile.parser import parse_kernel
from mlir_lite.tile.steps.partials import cut_reduction, cut_sums, finish_apart, interleave

from ..building import both
from .stepping import expect_step


def total(extent: int) -> Kernel:
    return parse_kernel(f"""
        kernel @k(%x: f32[{extent}], %y: out f32[]) {{
          buffer acc: register f32[]
          acc[] = 0.0
          for k in 0..{extent} {{ acc[] += x[k] }}
          y[] = acc[] * 2.0
        }}""")


def test_pieces_are_summed_then_joined_then_the_rest() -> None:
    expect_step(
        lambda kernel: cut_reduction(kernel, "k", 3, multiple=2),
        str(total(14)),
        """
        kernel @k(%x: f32[14], %y: out f32[]) {
          buffer acc: register f32[]
          buffer piece: register f32[]
          buffer partial: shared f32[3]
          for k.c in 0..3 {
            piece[] = 0.0
            for k in 0..4 { piece[] += x[k.c * 4 + k] }
            partial[k.c] = piece[]
          }
          acc[] = 0.0
          for k.p in 0..3 { acc[] += partial[k.p] }
          for k$1 in 0..2 { acc[] += x[k$1 + 12] }
          y[] = acc[] * 2.0
        }""",
    )


@pytest.mark.parametrize("extent", [1, 2, 3, 4, 7, 12, 25])
def test_the_sum_stays(extent: int) -> None:
    cut = cut_reduction(total(extent), "k", 3)
    verify_kernel(cut)
    x = np.arange(extent, dtype=np.float32)  # sums of small integers are exact in any order
    np.testing.assert_array_equal(both(cut, x=x)["y"], 2 * x.sum())


def test_a_reduction_shorter_than_its_pieces_stays() -> None:
    assert cut_reduction(total(5), "k", 3, multiple=2) == total(5)


def test_a_reduction_under_another_loop_stays() -> None:
    kernel = parse_kernel("""
        kernel @k(%x: f32[4, 9], %y: out f32[4]) {
          buffer acc: register f32[]
          for i in 0..4 {
            acc[] = 0.0
            for k in 0..9 { acc[] += x[i, k] }
            y[i] = acc[]
          }
        }""")
    assert cut_reduction(kernel, "k", 3) == kernel


def columns(extent: int) -> Kernel:
    return parse_kernel(f"""
        kernel @k(%a: f32[{extent}], %b: f32[{extent}, 5], %y: out f32[5]) {{
          buffer acc: register f32[]
          for n in 0..5 {{
            acc[] = 0.0
            for k in 0..{extent} {{ acc[] += a[k] * b[k, n] }}
            y[n] = acc[] * 2.0
          }}
        }}""")


def test_sums_of_columns_are_cut_between_rows() -> None:
    expect_step(
        lambda kernel: cut_sums(kernel, "n", 3),
        str(columns(12)),
        """
        kernel @k(%a: f32[12], %b: f32[12, 5], %y: out f32[5]) {
          buffer acc: register f32[]
          buffer partial: shared f32[3, 5]
          for k.c in 0..3 {
            for n in 0..5 {
              acc[] = 0.0
              for k in 0..4 { acc[] += a[k.c * 4 + k] * b[k.c * 4 + k, n] }
              partial[k.c, n] = acc[]
            }
          }
          for n.p in 0..5 {
            acc[] = 0.0
            for k.p in 0..3 { acc[] += partial[k.p, n.p] }
            y[n.p] = acc[] * 2.0
          }
        }""",
    )


def test_results_are_made_once_all_sums_are_there() -> None:
    expect_step(
        lambda kernel: finish_apart(kernel, "m"),
        """
        kernel @k(%b: f32[4, 7, 5], %c: f32[5], %y: out f32[5, 4], %z: out f32[4, 5]) {
          buffer acc: register f32[]
          for m in 0..4 {
            for n in 0..5 {
              acc[] = 0.0
              for k in 0..7 { acc[] += b[m, k, n] }
              y[n, m] = acc[] * c[n]
              z[m, n] = acc[]
            }
          }
        }""",
        """
        kernel @k(%b: f32[4, 7, 5], %c: f32[5], %y: out f32[5, 4], %z: out f32[4, 5]) {
          buffer acc: register f32[]
          buffer total: shared f32[4, 5]
          for m in 0..4 {
            for n in 0..5 {
              acc[] = 0.0
              for k in 0..7 { acc[] += b[m, k, n] }
              total[m, n] = acc[]
            }
          }
          for m.p in 0..4 {
            for n.p in 0..5 {
              y[n.p, m.p] = total[m.p, n.p] * c[n.p]
              z[m.p, n.p] = total[m.p, n.p]
            }
          }
        }""",
    )


def test_sums_that_are_more_than_stored_are_not_finished_apart() -> None:
    text = """
        kernel @k(%b: f32[4, 7], %y: out f32[4, 7]) {
          buffer acc: register f32[]
          for m in 0..4 {
            acc[] = 0.0
            for k in 0..7 { acc[] += b[m, k] }
            for n in 0..7 { y[m, n] = b[m, n] - acc[] }
          }
        }"""
    kernel = parse_kernel(text)
    assert finish_apart(kernel, "m") == kernel


def test_what_pieces_of_rows_leave_is_summed_last() -> None:
    expect_step(
        lambda kernel: cut_sums(kernel, "m", 2),
        """
        kernel @k(%b: f32[4, 7, 5], %y: out f32[4, 5]) {
          buffer acc: register f32[]
          for m in 0..4 {
            for n in 0..5 {
              acc[] = 0.0
              for k in 0..7 { acc[] += b[m, k, n] }
              y[m, n] = acc[] * 2.0
            }
          }
        }""",
        """
        kernel @k(%b: f32[4, 7, 5], %y: out f32[4, 5]) {
          buffer acc: register f32[]
          buffer partial: shared f32[2, 4, 5]
          for k.c in 0..2 {
            for m in 0..4 {
              for n in 0..5 {
                acc[] = 0.0
                for k in 0..3 { acc[] += b[m, k.c * 3 + k, n] }
                partial[k.c, m, n] = acc[]
              }
            }
          }
          for m.p in 0..4 {
            for n.p in 0..5 {
              acc[] = 0.0
              for k.p in 0..2 { acc[] += partial[k.p, m.p, n.p] }
              acc[] += b[m.p, 6, n.p]
              y[m.p, n.p] = acc[] * 2.0
            }
          }
        }""",
    )


def test_sums_over_several_loops_are_cut_along_the_outermost() -> None:
    expect_step(
        lambda kernel: cut_sums(kernel, "n", 2),
        """
        kernel @k(%b: f32[4, 3, 5], %y: out f32[5]) {
          buffer acc: register f32[]
          for n in 0..5 {
            acc[] = 0.0
            for p in 0..4 { for q in 0..3 { acc[] += b[p, q, n] } }
            y[n] = acc[] * 2.0
          }
        }""",
        """
        kernel @k(%b: f32[4, 3, 5], %y: out f32[5]) {
          buffer acc: register f32[]
          buffer partial: shared f32[2, 5]
          for p.c in 0..2 {
            for n in 0..5 {
              acc[] = 0.0
              for p in 0..2 { for q in 0..3 { acc[] += b[p.c * 2 + p, q, n] } }
              partial[p.c, n] = acc[]
            }
          }
          for n.p in 0..5 {
            acc[] = 0.0
            for p.p in 0..2 { acc[] += partial[p.p, n.p] }
            y[n.p] = acc[] * 2.0
          }
        }""",
    )


def test_fewer_rows_than_pieces_are_not_cut() -> None:
    assert cut_sums(columns(2), "n", 3) == columns(2)


def test_streams_are_read_in_turn() -> None:
    expect_step(
        lambda kernel: interleave(kernel, "k", 2, 3),
        str(total(12)),
        """
        kernel @k(%x: f32[12], %y: out f32[]) {
          buffer acc: register f32[]
          acc[] = 0.0
          for k.r in 0..2 { for k.s in 0..2 { for k.e in 0..3 {
            acc[] += x[k.s * 6 + k.r * 3 + k.e]
          } } }
          y[] = acc[] * 2.0
        }""",
    )


def test_streams_divide_what_is_read() -> None:
    assert interleave(total(13), "k", 2, 3) == total(13)
