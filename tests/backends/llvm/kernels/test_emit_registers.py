"""Register buffers in machine code: tiles that are written by rows and read by columns."""

from __future__ import annotations

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Value
from mlir_lite.types import DType, bf16, bool_, f16, f32, f64, i8, i32, i64, u8


@pytest.mark.parametrize("dtype", [f32, f64, f16, bf16, i8, u8, i32, i64, bool_], ids=str)
@pytest.mark.parametrize("shape", [(16, 16), (35, 50), (3, 33), (64, 5), (130, 17)], ids=str)
def test_tiles_turned_in_registers(dtype: DType, shape: tuple[int, int]) -> None:
    @ml.function(dtype[shape])
    def turn(x: Value) -> Value:
        return ml.transpose(x, (1, 0))

    executable = ml.compile(turn, threads=1)
    x = np.random.default_rng(3).integers(0, 100, shape).astype(dtype.numpy)
    result = executable(x)
    assert isinstance(result, np.ndarray)
    np.testing.assert_array_equal(result, np.ascontiguousarray(x.T))
