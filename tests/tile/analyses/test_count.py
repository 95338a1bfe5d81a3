"""The counts of arithmetic and accesses are those of running the loops one by one."""

from __future__ import annotations

import pytest

from mlir_lite.tile.analyses.count import work_of
from mlir_lite.tile.parser import parse_kernel


@pytest.mark.parametrize(
    ("body", "operations", "of_x", "of_y"),
    [
        # A sum of products: a multiplication and an addition each.
        ("for i in 0..8 { for k in 0..5 { y[i] += x[i, k] * x[k, i] } }", 80, 80, 40),
        # A triangle: 0 + 1 + … + 7 times.
        ("for i in 0..8 { for k in 0..i { y[i] += x[i, k] } }", 28, 28, 28),
        # Taps that fall on padding do not run: the first has no left neighbour, nor right.
        (
            "for i in 0..8 { for k in 0..3 {"
            " if i + k - 1 >= 0 and i + k - 1 < 8 { y[i] += x[i + k - 1, 0] } } }",
            22, 22, 22,
        ),
        # Both branches, each where it runs.
        (
            "for i in 0..8 { if i < 3 { y[i] = x[i, 0] + 1.0 } else { y[i] = -(x[i, 1] * 2.0) } }",
            3 + 2 * 5, 8, 8,
        ),
        # The last vector is half empty.
        ("for i in 0..2 { vector l in 0..8 { if i * 8 + l < 12 { y[0] = x[i, l] * 2.0 } } }",
         12, 12, 12),
        # A name for an index decides, too.
        ("for i in 0..8 { let j = i * 2  if j < 8 { y[i] = x[j, 0] + 1.0 } }", 4, 4, 4),
        # Indices, comparisons and choices are no arithmetic; what depends on data is met.
        ("for i in 0..8 { if x[i, 0] > 0.0 { y[i] = select(x[i, 1] > 0.0, exp(x[i, 1]), 0.0) } }",
         8, 8 + 16, 8),
        # A fused multiply-add is two.
        ("for i in 0..8 { y[i] = fma(x[i, 0], x[i, 1], 1.0) }", 16, 16, 8),
        # A loop that does not run.
        ("for i in 5..5 { y[i] = x[i, 0] + 1.0 }", 0, 0, 0),
    ],
    ids=["product", "triangle", "padding", "branches", "tail", "let", "data", "fused", "empty"],
)  # fmt: skip
def test_counts(body: str, operations: int, of_x: int, of_y: int) -> None:
    work = work_of(parse_kernel(f"kernel @k(%x: f32[8, 8], %y: out f32[8]) {{ {body} }}"))
    assert work.operations == operations
    assert work.accesses["x"] == of_x
    assert work.accesses["y"] == of_y


def test_calls_count_what_they_do_to_the_callers_buffers() -> None:
    kernel = parse_kernel(
        """
        kernel @k(%a: u8[2, 64], %b: i8[2, 64], %y: out i32[2, 16]) {
          for i in 0..2 {
            call @vpdpbusd(y[i, 0], a[i, 0], b[i, 0])
          }
        }"""
    )
    work = work_of(kernel)
    assert work.operations == 2 * 16 * 4 * 2  # calls, lanes, products, and an addition each
    assert work.accesses == {"a": 128, "b": 128, "y": 128}
