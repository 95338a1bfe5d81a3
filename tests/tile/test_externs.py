"""C functions in Tile IR: their text, what the verifier sees of them, their meaning, their work."""

from __future__ import annotations

import numpy as np
import pytest

from mlir_lite.errors import VerifyError
from mlir_lite.tile.analyses.count import work_of
from mlir_lite.tile.analyses.in_place import is_elementwise
from mlir_lite.tile.checks.verify import verify_kernel
from mlir_lite.tile.interpreter import run_kernel
from mlir_lite.tile.nodes import Kernel
from mlir_lite.tile.parser import parse_kernel

_TEXT = """kernel @f(%x: f64[5, 3, 3], %y: out f64[5, 3, 3], %info: out i32[5]) {
  extern @factor = dpotrf("U", 3, inout %a: f64[3, 3], 3, out %status: i32[1]) 9
  parallel b in 0..5 {
    for i in 0..3 {
      for j in 0..3 {
        y[b, i, j] = select(j <= i, x[b, i, j], 0.0)
      }
    }
    call @factor(y[b, 0, 0], info[b])
  }
}
"""


def _kernel(old: str = "", new: str = "") -> Kernel:
    assert old in _TEXT
    return parse_kernel(_TEXT.replace(old, new) if old else _TEXT)


def test_the_text_is_read_back() -> None:
    assert str(_kernel()) == _TEXT


def test_a_right_call_passes() -> None:
    verify_kernel(_kernel(), strict=True)


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("y[b, 0, 0], info", "y[b, 1, 0], info", "dimension 1 of 'y'"),
        ("y[b, 0, 0], info", "x[b, 0, 0], info", "'x' is written, but is no output"),
        ("y[b, 0, 0], info[b]", "y[0, 0, 0], info[b]", "race|iterations"),
        ("%a: f64[3, 3]", "%a: f64[3, 2]", "the window of 'y' is not contiguous"),
        ("%a: f64[3, 3]", "%a: f32[3, 3]", "'y' holds f64, not f32"),
        ("call @factor", "call @factory", "nothing is called 'factory'"),
    ],
)
def test_a_wrong_call_is_found(old: str, new: str, message: str) -> None:
    with pytest.raises(VerifyError, match=message):
        verify_kernel(_kernel(old, new))


@pytest.mark.parametrize("vectorise", [True, False])
def test_the_interpreter_does_what_the_function_does(vectorise: bool) -> None:
    x = np.random.default_rng(0).standard_normal((5, 3, 3))
    x = x @ np.swapaxes(x, 1, 2) + np.eye(3)
    x[2, 1, 1] = -1
    found = run_kernel(_kernel(), {"x": x}, vectorise=vectorise)
    np.testing.assert_array_equal(found["info"], [0, 0, 2, 0, 0])
    good = [0, 1, 3, 4]
    np.testing.assert_allclose(found["y"][good], np.linalg.cholesky(x[good]), rtol=1e-14)


def test_an_unknown_function_is_an_error() -> None:
    with pytest.raises(VerifyError, match="no C function is called 'dpotri'"):
        run_kernel(_kernel("dpotrf", "dpotri"), {"x": np.ones((5, 3, 3))})


def test_its_work_counts() -> None:
    assert work_of(_kernel()).operations == 5 * 9
    assert work_of(_kernel()).accesses["info"] == 5


def test_a_result_may_lie_where_the_operand_was_until_it_is_read() -> None:
    kernel = _kernel()
    x, y, _ = kernel.params
    assert is_elementwise(kernel, x, y)
    late = _kernel("y[b, 0, 0], info[b])", "y[b, 0, 0], info[b])\n    y[b, 2, 2] = x[b, 0, 0]")
    assert not is_elementwise(late, x, y)
