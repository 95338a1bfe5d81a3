"""Sums that leave out what is outside of an array, without their conditions and with loops that
end where it does: the same numbers, in the same order."""

from __future__ import annotations

import numpy as np
import pytest

from mlir_lite.tile.checks.verify import verify_kernel
from mlir_lite.tile.interpreter import run_kernel
from mlir_lite.tile.nodes import If, Kernel, Kind
from mlir_lite.tile.parser import parse_kernel
from mlir_lite.tile.steps.bare_sums import bare_sums
from mlir_lite.tile.steps.loops import mark
from mlir_lite.tile.steps.sink import sink
from mlir_lite.tile.steps.skip_zeros import skip_outside
from mlir_lite.tile.traverse import walk

from .stepping import sample


def windows(condition: str, results: int = 5) -> Kernel:
    """Results of three taps on six elements, where the condition holds."""
    return parse_kernel(f"""
kernel @k(%x: f32[6], %w: f32[3], %y: out f32[{results}]) {{
  buffer acc: register f32[]
  for i in 0..{results} {{
    acc[] = 0.0
    for k in 0..3 {{ if {condition} {{ acc[] += x[i + k - 1] * w[k] }} }}
    y[i] = acc[]
  }}
}}""")


@pytest.mark.parametrize(
    ("condition", "inside"),
    [
        ("i + k - 1 >= 0 and i + k - 1 < 6", (0, 6)),
        ("i + k - 2 >= 0 and i + k - 1 < 5", (1, 5)),
        ("i + k > 0 and i + k <= 5", (0, 5)),
        ("0 < i + k and 4 >= i + k", (0, 4)),
        ("i + k - 1 >= 0 and 3 - i - k >= 0", (0, 3)),
    ],
)
@pytest.mark.parametrize("unrolled", [False, True])
def test_loops_end_where_the_conditions_would(
    condition: str, inside: tuple[int, int], unrolled: bool
) -> None:
    kernel = windows(condition)
    found = bare_sums(kernel, "k")
    assert found is not None and found.buffer == "x" and found.inside == {0: inside}
    bare = found.kernel
    assert not any(isinstance(stmt, If) for stmt in walk(bare.body))
    if unrolled:
        bare = sink(mark(bare, "i", Kind.UNROLL), ("i",))
    got = skip_outside(bare, "x", 0, *inside)
    assert got is not None
    verify_kernel(got)
    arrays = {param.name: sample(param, 1) for param in kernel.params if param.name != "y"}
    want = run_kernel(kernel, arrays)["y"]
    np.testing.assert_array_equal(run_kernel(got, arrays)["y"], want)


@pytest.mark.parametrize(
    "condition", ["i >= 0", "k * 3 < 2", "i * 2 + k >= 1", "i + k - 1 >= 0 or i + k - 1 < 6"]
)
def test_other_conditions_stay(condition: str) -> None:
    assert bare_sums(windows(condition), "k") is None


def test_what_may_still_be_read_outside_is_told() -> None:
    """Tiles that a loop counts do not all see the same."""
    found = bare_sums(windows("i + k - 1 >= 0 and i + k - 1 < 6"), "k")
    assert found is not None
    kernel = parse_kernel(str(found.kernel).replace("for k in", "unroll k in"))
    assert skip_outside(kernel, "x", 0, 0, 6) is None
