"""Products of many terms are nearly as exact as those of few: they are summed in segments."""

from __future__ import annotations

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Value, f32


@pytest.mark.parametrize("constant", [False, True], ids=["given", "constant"])
@pytest.mark.parametrize("rows", [1, 16, 512])
@pytest.mark.parametrize("terms", [768, 4096])
def test_errors_do_not_grow_with_the_terms(terms: int, rows: int, constant: bool) -> None:
    columns = 200
    random = np.random.default_rng(0)
    x = random.standard_normal((rows, terms), np.float32)
    w = random.standard_normal((terms, columns), np.float32)

    @ml.function(f32[rows, terms], f32[terms, columns])
    def product(x: Value, w: Value) -> Value:
        return x @ w

    run = ml.compile(product.bind({"w": w}) if constant else product)
    y = run(x) if constant else run(x, w)
    exact = x.astype(np.float64) @ w.astype(np.float64)
    # One by one, 768 terms lose up to half as much again, 4096 two to three times as much.
    assert np.abs(y - exact).max() <= 8 * 2**-23 * np.abs(exact).max()
