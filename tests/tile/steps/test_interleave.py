"""Two kernels in one: each result is what its own kernel gives."""

from __future__ import annotations

import numpy as np
import pytest

from mlir_lite.tile.checks.verify import verify_kernel
from mlir_lite.tile.nodes import Kernel
from mlir_lite.tile.parser import parse_kernel
from mlir_lite.tile.steps.interleave import interleave, pieces_of

from ..building import both, normal


def sums(pieces: int, steps: int, name: str = "sums") -> Kernel:
    """y[p] = sum over k of x[k] * w[p, k]"""
    return parse_kernel(f"""
kernel @{name}(%x: f32[{steps}], %w: f32[{pieces}, {steps}], %y: out f32[{pieces}]) {{
  buffer acc: register f32[1]
  parallel p in 0..{pieces} {{
    acc[0] = 0.0
    for k in 0..{steps} {{ acc[0] += x[k] * w[p, k] }}
    y[p] = acc[0]
  }}
}}""")


MERGED = """
kernel @both(%x: f32[6], %w: f32[4, 6], %y: out f32[4], %x_1: f32[4], %w_1: f32[2, 4],
             %y_1: out f32[2]) {
  buffer acc: register f32[1]
  buffer acc_1: register f32[1]
  parallel p$1 in 0..2 {
    acc_1[0] = 0.0
    for p$2 in 0..2 {
      acc[0] = 0.0
      for k.o in 0..2 {
        unroll k.i in 0..3 {
          acc[0] += x[k.o * 3 + k.i] * w[p$1 * 2 + p$2, k.o * 3 + k.i]
        }
        acc_1[0] += x_1[p$2 * 2 + k.o] * w_1[p$1, p$2 * 2 + k.o]
      }
      y[p$1 * 2 + p$2] = acc[0]
    }
    y_1[p$1] = acc_1[0]
  }
}"""


def test_the_second_works_between_the_sums_of_the_first() -> None:
    merged = interleave(sums(4, 6), sums(2, 4), "both")
    assert str(merged) == str(parse_kernel(MERGED))


@pytest.mark.parametrize(
    "pieces, steps, others, depth",
    [
        (4, 6, 2, 4),  # three steps of the first for each of the second
        (4, 6, 4, 6),  # one for one
        (4, 7, 2, 3),  # some of the first are left over
        (6, 5, 2, 7),  # some of the second
        (8, 40, 1, 9),  # too many to be unrolled
        (1, 4, 1, 1),
    ],
)
def test_both_give_what_they_give_alone(
    pieces: int, steps: int, others: int, depth: int
) -> None:
    first, second = sums(pieces, steps), sums(others, depth)
    merged = interleave(first, second, "both")
    verify_kernel(merged)
    x, w, z, v = normal(steps), normal(pieces, steps), normal(depth), normal(others, depth)
    got = both(merged, x=x, w=w, x_1=z, w_1=v)
    np.testing.assert_array_equal(got["y"], both(first, x=x, w=w)["y"])
    np.testing.assert_array_equal(got["y_1"], both(second, x=z, w=v)["y"])


@pytest.mark.parametrize("count, steps, held", [(2, 12, True), (2, 13, False), (3, 4, False)])
def test_pieces_hold_whole_ones_with_steps_enough(count: int, steps: int, held: bool) -> None:
    pieces = pieces_of(sums(4, 6))
    assert pieces is not None and pieces.hold(count, steps) is held


@pytest.mark.parametrize(
    "body",
    [
        "for p in 0..4 { for k in 0..6 { acc[0] += w[p, k] } y[p] = acc[0] }",  # in order
        "parallel p in 0..4 { y[p] = w[p, 0] }",  # no sums
        "parallel p in 0..4 { for k in 0..6 { y[p] = w[p, k] } }",  # nor these
        """parallel p in 0..4 {
             for k in 0..6 { acc[0] += w[p, k] }
             for l in 0..6 { acc[0] += w[p, l] }
             y[p] = acc[0]
           }""",
    ],
)
def test_other_kernels_have_no_such_pieces(body: str) -> None:
    kernel = f"""
kernel @k(%w: f32[4, 6], %y: out f32[4]) {{
  buffer acc: register f32[1]
  {body}
}}"""
    assert pieces_of(parse_kernel(kernel)) is None
