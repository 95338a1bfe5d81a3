"""Fourier transforms of a model against NumPy's, of odd and even lengths, cut and filled."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from mlir_lite.frontends.onnx import from_onnx
from mlir_lite.ir import run_reference
from mlir_lite.types import Array


def _transform(x: Array, length: int, *, inverse: bool = False, onesided: bool = False) -> Array:
    """The model's transform along axis 1."""
    text = f"""
        <ir_version: 10, opset_import: ["" : 20]>
        g (double[{", ".join(map(str, x.shape))}] x) => (double y) {{
          n = Constant <value_int = {length}> ()
          a = Constant <value_int = 1> ()
          y = DFT <inverse = {int(inverse)}, onesided = {int(onesided)}> (x, n, a)
        }}"""
    return run_reference(from_onnx(onnx.parser.parse_model(text)), [x])[0]


def _complex(x: Array) -> Array:
    return np.asarray(x[..., 0] + 1j * x[..., 1])


def _check(found: Array, wanted: Array) -> None:
    # Sums of up to nine numbers around 1, in another order.
    np.testing.assert_allclose(found, wanted, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("length", [1, 5, 7, 8, 9])
def test_transforms_are_numpys(length: int) -> None:
    x = np.random.default_rng(0).standard_normal((2, 7, 3, 2))
    forth, back = _transform(x, length), _transform(x, length, inverse=True)
    _check(_complex(forth), np.fft.fft(_complex(x), length, 1))
    _check(_complex(back), np.fft.ifft(_complex(x), length, 1))


@pytest.mark.parametrize("length", [5, 7, 8])
def test_one_side_of_real_signals_leads_there_and_back(length: int) -> None:
    x = np.random.default_rng(1).standard_normal((2, 7, 3, 1))
    half = _transform(x, length, onesided=True)
    _check(_complex(half), np.fft.rfft(x[..., 0], length, 1))
    back = _transform(half, length, inverse=True, onesided=True)
    wanted = np.fft.irfft(_complex(half), length, 1)
    _check(back[..., 0], wanted)
