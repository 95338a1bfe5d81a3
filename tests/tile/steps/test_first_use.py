"""A panel is copied by the first of the rows that pass through it."""

from __future__ import annotations

import pytest

from mlir_lite.tile.nodes import Kernel
from mlir_lite.tile.steps.first_use import copy_at_first_use

from .stepping import expect_step

COPY = "vector j.p in 0..32 { panel[k.p, j.p] = b[k.p, n * 32 + j.p] }"


def merged(kernel: Kernel) -> Kernel:
    return copy_at_first_use(kernel, "n", "m", "k", distance=3)


def product(body: str) -> str:
    """Four rows by two panels of 32 columns, each copied before it is used."""
    return f"""
kernel @k(%a: f32[4, 12], %b: f32[12, 64], %y: out f32[4, 64]) {{
  buffer acc: register f32[32]
  buffer panel: shared f32[12, 32]
  parallel n in 0..2 {{
    {body}
  }}
}}"""


def rows(depth: int = 12, start: int = 0, axis: str = "m") -> str:
    """The rows from `start` on, whose sums are over so many steps."""
    return f"""
    for {axis} in {start}..4 {{
      vector j in 0..32 {{ acc[j] = 0.0 }}
      for k in 0..{depth} {{
        vector j$1 in 0..32 {{ acc[j$1] += a[{axis}, k] * panel[k, j$1] }}
      }}
      vector j$2 in 0..32 {{ y[{axis}, n * 32 + j$2] = acc[j$2] }}
    }}"""


def test_the_first_row_copies_what_it_meets_and_asks_for_what_follows() -> None:
    first = """
    vector j$3 in 0..32 { acc[j$3] = 0.0 }
    for k$1 in 0..12 {
      call @prefetch_f32(b[k$1 + 3, n * 32])
      call @prefetch_f32(b[k$1 + 3, n * 32 + 16])
      vector j.p in 0..32 { panel[k$1, j.p] = b[k$1, n * 32 + j.p] }
      vector j$4 in 0..32 { acc[j$4] += a[0, k$1] * panel[k$1, j$4] }
    }
    vector j$5 in 0..32 { y[0, n * 32 + j$5] = acc[j$5] }"""
    before = product(f"for k.p in 0..12 {{ {COPY} }} {rows()}")
    expect_step(merged, before, product(first + rows(start=1)))


@pytest.mark.parametrize(
    "body",
    [
        f"for k.p in 0..12 {{ {COPY} }} {rows(depth=11)}",  # the first row leaves some out
        f"for k.p in 0..12 {{ {COPY} }} {rows(axis='other')}",
        rows().replace("panel[k, j$1]", "b[k, n * 32 + j$1]"),  # nothing is copied
    ],
)
def test_other_copies_stay(body: str) -> None:
    expect_step(merged, product(body))
