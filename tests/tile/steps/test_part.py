"""A part of a kernel, moved along, does the whole kernel's work."""

from __future__ import annotations

import numpy as np
import pytest

from mlir_lite.tile.interpreter import run_kernel
from mlir_lite.tile.parser import parse_kernel
from mlir_lite.tile.steps.part import part_of

from ..building import normal

PRODUCT = """
kernel @k(%a: f32[6, 5], %b: f32[2, 5, 4], %c: f32[8], %y: out f32[6, 8]) {
  for m in 0..6 {
    for n in 0..8 {
      y[m, n] = c[n]
      for k in 0..5 { y[m, n] += a[m, k] * b[n floordiv 4, k, n mod 4] }
    }
  }
}"""

PART = """
kernel @k(%a: f32[2, 5], %b: f32[1, 5, 4], %c: f32[4], %y: out f32[12]) {
  for m in 0..2 {
    for n in 0..4 {
      y[m * 8 + n] = c[n]
      for k in 0..5 { y[m * 8 + n] += a[m, k] * b[0, k, n] }
    }
  }
}"""


def test_parameters_keep_what_the_part_touches() -> None:
    part = part_of(parse_kernel(PRODUCT), {"m": 2, "n": 4})
    assert part is not None
    assert str(part.kernel) == str(parse_kernel(PART))
    assert part.moves == {
        "m": {"a": 10, "b": 0, "c": 0, "y": 16},
        "n": {"a": 0, "b": 20, "c": 4, "y": 4},
    }


def test_parts_side_by_side_are_the_whole() -> None:
    whole = parse_kernel(PRODUCT)
    part = part_of(whole, {"m": 2, "n": 4})
    assert part is not None
    a, b, c = normal(6, 5), normal(2, 5, 4), normal(8)
    want = run_kernel(whole, {"a": a, "b": b, "c": c})["y"]
    got = np.full(48, np.nan, np.float32)
    for row in range(3):
        for column in range(2):
            arrays = {}
            for name, array in (("a", a), ("b", b), ("c", c), ("y", got)):
                start = row * part.moves["m"][name] + column * part.moves["n"][name]
                buffer = part.kernel.buffers[name]
                arrays[name] = array.reshape(-1)[start : start + buffer.elements]
            out = arrays.pop("y")
            buffers = part.kernel.buffers
            shaped = {name: x.reshape(buffers[name].shape) for name, x in arrays.items()}
            found = run_kernel(part.kernel, shaped)["y"]
            for m in range(2):
                out[m * 8 : m * 8 + 4] = found[m * 8 : m * 8 + 4]
    np.testing.assert_array_equal(got.reshape(6, 8), want)


@pytest.mark.parametrize("columns", [3, 6])
def test_columns_that_cut_a_panel_cannot_be_moved(columns: int) -> None:
    assert part_of(parse_kernel(PRODUCT), {"m": 2, "n": columns}) is None
