"""Sorting by the threads of a block, rows that its memory has no room for among them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Function, Value, f32
from mlir_lite.ir import run_reference

from ..compiled import Compiled, all_orders
from ..shim import needs_shim


@ml.function(f32[2, 3000])
def few(x: Value) -> tuple[Value, ...]:
    return ml.topk(x, 5)


@ml.function(f32[2, 9000])
def all_of_them(x: Value) -> Value:
    return ml.argsort(x, descending=True)


@needs_shim
@pytest.mark.parametrize("fn", [few, all_of_them], ids=lambda fn: fn.name)
def test_long_rows(fn: Function, tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(-99, 99, fn.params[0].type.static_shape)
    arrays = [x.astype(np.float32)]
    found = all_orders(Compiled.of(fn, tmp_path), arrays)
    for have, want in zip(found, run_reference(fn, arrays), strict=True):
        np.testing.assert_array_equal(have, want)
