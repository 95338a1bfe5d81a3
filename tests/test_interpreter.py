"""`ml.evaluate`: the oracle and its border."""

from __future__ import annotations

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import InputError, Value, f32, i64

X = np.array([[1, -2], [3, 4]], np.float32)


@ml.function(f32["rows", 2], f32[2])
def scaled(x: Value, factor: Value) -> Value:
    return ml.relu(x * factor)


def test_named_sizes_come_from_the_arrays() -> None:
    y = ml.evaluate(scaled, X, np.array([2, 3], np.float32))
    np.testing.assert_array_equal(y, [[2, 0], [6, 12]])


def test_arrays_by_name() -> None:
    y = ml.evaluate(scaled, np.ones(2, np.float32), x=X)
    np.testing.assert_array_equal(y, np.maximum(X, 0))


def test_several_results_are_a_tuple() -> None:
    fn = ml.function(f32[2, 2])(lambda x: (x, x.sum()))
    assert [np.shape(result) for result in ml.evaluate(fn, X)] == [(2, 2), ()]


def test_static_parameters_are_given_like_others() -> None:
    fn = ml.function(f32[2, 2], i64[()], static=["n"])(lambda x, n: n + 1)
    assert ml.evaluate(fn, X, np.int64(3)) == 4


def test_results_share_no_memory_with_inputs() -> None:
    fn = ml.function(f32[2, 2])(lambda x: (x, x.T, ml.broadcast(x, (3, 2, 2))))
    for result in ml.evaluate(fn, X):
        assert not np.shares_memory(result, X)
        assert result.flags.writeable


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ([X], r"@scaled takes 2 arrays \(x, factor\), got 1"),
        ([X, X[0], X], r"@scaled takes 2 arrays \(x, factor\), got 3"),
        ([X, [1.0, 2.0]], r"'factor' of @scaled is tensor<2xf32>, got a list of float64; write"),
        ([X[:, :1], X[0]], r"'x' of @scaled is tensor<\[rows\]x2xf32>, got .* \(2, 1\)"),
    ],
)
def test_what_does_not_fit(arrays: list[object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ml.evaluate(scaled, *arrays)  # type: ignore[arg-type]


def test_an_unknown_name() -> None:
    with pytest.raises(InputError, match=r"no parameter 'factr' \(near: 'factor'\)"):
        ml.evaluate(scaled, X, factr=X[0])
