"""Sums that begin with what is added to them."""

from __future__ import annotations

import pytest

from mlir_lite.tile.nodes import Kernel, Loop
from mlir_lite.tile.steps.addends import start_with_addend
from mlir_lite.tile.tree import chain

from .stepping import expect_step

PRODUCT = """
kernel @k(%a: i32[3, 5], %b: i32[5, 4], %c: i32[4], %d: i32[3], %y: out i32[3, 4]) {{
  buffer acc: register i32[]
  for m in 0..3 {{
    for n in 0..4 {{
      acc[] = {start}
      for k in 0..5 {{ acc[] += a[m, k] * b[k, n] }}
      y[m, n] = {value}
    }}
  }}
}}"""


def product(value: str, start: str = "0") -> str:
    return PRODUCT.format(value=value, start=start)


def started(kernel: Kernel) -> Kernel:
    (loop,) = kernel.body
    assert isinstance(loop, Loop)
    _, body = chain(loop)
    changed, now = start_with_addend(kernel, body, "n")
    (loop,) = changed.body
    assert isinstance(loop, Loop)
    assert chain(loop)[1] == now
    return changed


@pytest.mark.parametrize(
    ("before", "start", "after"),
    [
        ("max(acc[] + c[n], 0)", "c[n]", "max(acc[], 0)"),
        ("c[n] + acc[]", "c[n]", "acc[]"),
        ("(acc[] - c[n]) * d[m]", "-c[n]", "acc[] * d[m]"),
        ("(acc[] + c[n]) * max(acc[] + c[n], 3)", "c[n]", "acc[] * max(acc[], 3)"),
    ],
)
def test_what_all_rows_add_comes_first(before: str, start: str, after: str) -> None:
    expect_step(started, product(before), product(after, start), indices=9)


@pytest.mark.parametrize(
    "value",
    [
        "acc[] + d[m]",  # no vector of it would be read for several rows
        "acc[] * c[n]",
        "c[n] - acc[]",
        "(acc[] + c[n]) * acc[]",  # read without it, too
        "(acc[] + c[n]) * (acc[] - c[n])",
        "max(acc[], 0) + c[n]",
        "acc[] + 3",
    ],
)
def test_other_sums_begin_at_zero(value: str) -> None:
    expect_step(started, product(value), indices=9)
