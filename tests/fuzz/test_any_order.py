"""Iterations that meet each other's data are seen by the order in which they run."""

from __future__ import annotations

import numpy as np
import pytest

from mlir_lite.tile.parser import parse_program

from .any_order import depends_on_order

PROGRAM = """
program @row(%x) -> (%y) {{
  parameter %x: tensor<9xf32>
  result %y: tensor<9xf32>
  kernel @row(%x: f32[9], %y: out f32[9]) {{
    for i in 0..9 {{
      y[i] = x[i]
    }}
    parallel j in 0..8 {{
      y[j] = y[{other}] + 1.0
    }}
  }}
  call @row(%x, %y)
}}
"""


@pytest.mark.parametrize("other, depends", [("j", False), ("j + 1", True)])
def test_iterations_that_meet_are_seen(other: str, depends: bool) -> None:
    program = parse_program(PROGRAM.format(other=other))
    assert depends_on_order(program, {}, [np.arange(9, dtype=np.float32)]) == depends
