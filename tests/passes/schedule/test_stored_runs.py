"""Neighbours that a bound kernel stores one by one are stored at once where that is the same."""

from __future__ import annotations

import numpy as np
import pytest

from mlir_lite.passes.schedule.gpu.stored_runs import with_stored_runs
from mlir_lite.tile.checks.verify import verify_kernel
from mlir_lite.tile.interpreter import run_kernel
from mlir_lite.tile.nodes import Kernel
from mlir_lite.tile.parser import parse_kernel


def stores(body: str, depth: int = 24, alignment: int = 16) -> Kernel:
    """A kernel whose threads store what four neighbours are."""
    lines = "\n".join(f"        {line}" for line in body.splitlines())
    return parse_kernel(
        f"""kernel @f(%x: align(16) f32[5, {depth}], %y: out align({alignment}) f32[5, {depth}]) {{
  block b in 0..5 {{
    thread t in 0..8 {{
      unroll e in 0..4 {{
{lines}
      }}
    }}
  }}
}}"""
    )


PLAIN = "let c = t * 4 + e\nif b < 4 and c < 24 {\n  y[b, c] = x[b, c] * 2.0\n}"


def check(before: Kernel, run: bool) -> None:
    after = with_stored_runs(before)
    verify_kernel(after)
    assert ("call @store_f32x4(y" in str(after)) is run
    assert ("call @load_f32x4(" in str(after)) is run
    x = np.arange(np.prod(before.params[0].shape), dtype=np.float32)
    given = {"x": x.reshape(before.params[0].shape)}
    (wanted,), (found,) = (run_kernel(kernel, given).values() for kernel in (before, after))
    np.testing.assert_array_equal(found, wanted)


def test_conditions_that_are_one_for_a_run_stand_around_it() -> None:
    check(stores(PLAIN), run=True)


@pytest.mark.parametrize(
    ("depth", "alignment", "changed"),
    [
        (23, 16, ("c < 24", "c < 23")),  # the last run is not whole
        (26, 16, ("c < 24", "c < 26")),  # nor do rows begin at multiples of a run
        (24, 4, ("", "")),  # nor does memory
        (24, 16, ("b < 4", "e < 3")),
        (24, 16, ("t * 4 + e", "t * 5 + e")),
    ],
)
def test_other_neighbours_are_stored_one_by_one(
    depth: int, alignment: int, changed: tuple[str, str]
) -> None:
    body = PLAIN.replace(*changed) if changed[0] else PLAIN
    check(stores(body, depth, alignment), run=False)
