"""Constants of every element type survive the file beside a text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mlir_lite.ir import ConstantData, InFile
from mlir_lite.ir.resource_file import constants_bytes, read_constants
from mlir_lite.types import DTYPES, DType


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=str)
@pytest.mark.parametrize("shape", [(5, 7), (), (0, 3), (1,)], ids=str)
def test_constants_survive(dtype: DType, shape: tuple[int, ...], tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 2, shape).astype(dtype.numpy)
    other = np.arange(3, dtype=np.int64)  # so that the data does not start where the file does
    given = {"b.weight": ConstantData.of(array), "a": ConstantData.of(other)}
    path = tmp_path / "constants.safetensors"
    path.write_bytes(constants_bytes(given))
    found = read_constants(path)
    assert {name: data.type for name, data in found.items()} == {
        name: data.type for name, data in given.items()
    }
    for name, data in found.items():
        assert isinstance(data.source, InFile)
        np.testing.assert_array_equal(data.array(), given[name].array())
