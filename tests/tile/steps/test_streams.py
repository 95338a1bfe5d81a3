"""Sums of columns as sums of rows, and products of many terms in blocks."""

from __future__ import annotations

import numpy as np
import pytest

from mlir_lite.expr import const
from mlir_lite.tile.checks.verify import verify_kernel
from mlir_lite.tile.nodes import Buffer, Kernel, Space
from mlir_lite.tile.parser import parse_kernel
from mlir_lite.tile.steps.streams import stream, stream_blocks, stream_loops
from mlir_lite.types import f32

from ..building import acc, both, ld, loop, normal, st, v
from .stepping import expect_step, same_kernel


def product(extent: int) -> Kernel:
    """A kernel of `y[3] = 2 * sum_k a[k] * b[k, 3]`."""
    total = acc("acc", (), ld("a", v("k")) * ld("b", v("k"), v("n")))
    body = (
        st("acc", (), const(0.0, f32)),
        loop("k", extent, total),
        st("y", (v("n"),), ld("acc") * 2.0),
    )
    shapes = {"a": (extent,), "b": (extent, 3), "y": (3,)}
    params = tuple(Buffer(name, f32, shape) for name, shape in shapes.items())
    local = (Buffer("acc", f32, (), Space.REGISTER),)
    return Kernel("product", params, ("y",), (loop("n", 3, *body),), local)


def test_rows_are_added_to_totals_in_memory() -> None:
    assert str(stream(product(8), "n", 4)) == (
        "kernel @product(%a: f32[8], %b: f32[8, 3], %y: out f32[3]) {\n"
        "  buffer acc: register f32[]\n"
        "  buffer total: shared f32[3]\n"
        "  for n in 0..3 {\n"
        "    total[n] = 0.0\n"
        "  }\n"
        "  for k.o in 0..2 {\n"
        "    for n$1 in 0..3 {\n"
        "      acc[] = total[n$1]\n"
        "      for k.i in 0..4 {\n"
        "        acc[] += a[k.o * 4 + k.i] * b[k.o * 4 + k.i, n$1]\n"
        "      }\n"
        "      total[n$1] = acc[]\n"
        "    }\n"
        "  }\n"
        "  for n$2 in 0..3 {\n"
        "    acc[] = total[n$2]\n"
        "    y[n$2] = acc[] * 2.0\n"
        "  }\n"
        "}\n"
    )


@pytest.mark.parametrize("extent", [1, 3, 4, 5, 8, 11])
def test_the_order_of_additions_stays(extent: int) -> None:
    kernel = product(extent)
    streamed = stream(kernel, "n", 4)
    verify_kernel(streamed)
    a, b = normal(extent), normal(extent, 3)
    np.testing.assert_array_equal(both(streamed, a=a, b=b)["y"], both(kernel, a=a, b=b)["y"])


@pytest.mark.parametrize("extent", [1, 3, 4, 5, 8, 11])
def test_rows_of_several_products_are_read_apart(extent: int) -> None:
    kernel = parse_kernel(f"""
        kernel @k(%a: f32[2, {extent}], %b: f32[{extent}, 3], %y: out f32[2, 3]) {{
          buffer acc: register f32[]
          for m in 0..2 {{ for n in 0..3 {{
            acc[] = 0.0
            for k in 0..{extent} {{ acc[] += a[m, k] * b[k, n] }}
            y[m, n] = acc[] * 2.0
          }} }}
        }}""")
    streamed = stream(kernel, "m", 4, apart=True)
    verify_kernel(streamed)
    assert ("b[k.o + k.i * 2, n$1]" in str(streamed)) == (extent in (8, 11))
    a, b = normal(2, extent), normal(extent, 3)
    got, want = both(streamed, a=a, b=b)["y"], both(kernel, a=a, b=b)["y"]
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)  # sums of a few terms


def test_loops_without_a_sum_stay() -> None:
    params = (Buffer("x", f32, (4,)), Buffer("y", f32, (4,)))
    copy = loop("n", 4, st("y", (v("n"),), ld("x", v("n"))))
    kernel = Kernel("copy", params, ("y",), (copy,))
    assert stream(kernel, "n", 4) == kernel


def blocked(steps: int) -> tuple[Kernel, Kernel]:
    """`y = 2 * a @ b` of twelve terms, and that in blocks of these."""
    before = parse_kernel("""
kernel @k(%a: f32[5, 12], %b: f32[12, 3], %y: out f32[5, 3]) {
  buffer acc: register f32[]
  for m in 0..5 {
    for n in 0..3 {
      acc[] = 0.0
      for k in 0..12 { acc[] += a[m, k] * b[k, n] }
      y[m, n] = acc[] * 2.0
    }
  }
}""")
    return before, stream_blocks(before, "m", "k", steps)


def test_blocks_of_terms_are_added_to_sums_in_memory() -> None:
    _, after = blocked(4)
    assert str(after) == str(parse_kernel("""
kernel @k(%a: f32[5, 12], %b: f32[12, 3], %y: out f32[5, 3]) {
  buffer acc: register f32[]
  buffer sums: shared f32[5, 3]
  for m in 0..5 { for n in 0..3 { sums[m, n] = 0.0 } }
  for k.b in 0..3 {
    for m$1 in 0..5 {
      for n$1 in 0..3 {
        acc[] = 0.0
        for k$1 in 0..4 { acc[] += a[m$1, k.b * 4 + k$1] * b[k.b * 4 + k$1, n$1] }
        sums[m$1, n$1] += acc[]
      }
    }
  }
  for m$2 in 0..5 {
    for n$2 in 0..3 {
      acc[] = sums[m$2, n$2]
      y[m$2, n$2] = acc[] * 2.0
    }
  }
}"""))


@pytest.mark.parametrize("steps", [1, 3, 6])
def test_blocks_of_any_size_give_the_same(steps: int) -> None:
    same_kernel(*blocked(steps))


def test_all_terms_are_no_block() -> None:
    before, after = blocked(12)
    assert after == before


NESTED = """
kernel @k(%a: f32[3, 4, 5], %b: f32[3, 4, 2], %y: out f32[5, 2]) {
  buffer acc: register f32[]
  for m in 0..5 {
    for n in 0..2 {
      acc[] = 0.0
      for p in 0..3 { for q in 0..4 { acc[] += a[p, q, m] * b[p, q, n] } }
      y[m, n] = acc[] * 2.0
    }
  }
}"""


def test_outer_loops_of_a_sum_go_around_its_nest() -> None:
    expect_step(
        lambda kernel: stream_loops(kernel, "m", "q"),
        NESTED,
        """
kernel @k(%a: f32[3, 4, 5], %b: f32[3, 4, 2], %y: out f32[5, 2]) {
  buffer acc: register f32[]
  buffer sums: shared f32[5, 2]
  for m in 0..5 { for n in 0..2 { sums[m, n] = 0.0 } }
  for p in 0..3 {
    for m$1 in 0..5 {
      for n$1 in 0..2 {
        acc[] = 0.0
        for q$1 in 0..4 { acc[] += a[p, q$1, m$1] * b[p, q$1, n$1] }
        sums[m$1, n$1] += acc[]
      }
    }
  }
  for m$2 in 0..5 {
    for n$2 in 0..2 {
      acc[] = sums[m$2, n$2]
      y[m$2, n$2] = acc[] * 2.0
    }
  }
}""",
    )


def test_rows_of_sums_may_be_whole_vectors_apart() -> None:
    kernel = parse_kernel(NESTED)
    apart = stream_loops(kernel, "m", "q", multiple=4)
    assert [local.shape for local in apart.locals if local.name == "sums"] == [(5, 4)]
    same_kernel(kernel, apart)


@pytest.mark.parametrize("inner", ["p", "k"])
def test_no_loop_is_around_the_first_one(inner: str) -> None:
    kernel = parse_kernel(NESTED)
    assert stream_loops(kernel, "m", inner) == kernel
