"""Indexing is NumPy's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mlir_lite.errors import TypeRuleError, UnsupportedError
from mlir_lite.ir import Value
from mlir_lite.ops.shapes.getitem import getitem
from mlir_lite.types import f32

from ..traced import run, type_of

_X = np.arange(2 * 3 * 5, dtype=np.float32).reshape(2, 3, 5)

_KEYS: list[Any] = [  # what NumPy takes between the brackets
    0,
    -1,
    (1, 2, -5),
    slice(None),
    slice(1, None),
    slice(None, -1),
    slice(5, 9),
    slice(None, None, -1),
    (slice(None), slice(None, None, -2)),
    (..., slice(4, 1, -2)),
    (..., slice(1, 4, 2), 0),
    (..., 3),
    (0, ...),
    (None, 0, None, slice(1, 3)),
    (slice(None), None, ..., None),
    (),
    np.array([1, 0, 1]),
    np.array([[1], [-2]], np.int32),
    np.array(1),
    (slice(None), np.array([2, 0])),
    (0, np.array([2, 0])),
    (slice(None), np.array([2, -3]), 4),
    (np.array([0, 1]), np.array([2, 1])),
    (slice(None), np.array([[0], [1]]), np.array([3, 4, -1])),
    (np.array([0, 1, 1]), np.array(2), slice(1, 3)),
    (np.array(1), slice(None), np.array(3)),
    (None, np.array([1]), slice(None, None, -1), 2)[:3],
]


@pytest.mark.parametrize("key", _KEYS, ids=str)
def test_constant_keys_take_what_numpy_takes(key: Any) -> None:
    np.testing.assert_array_equal(run(lambda x: getitem(x, key), _X), _X[key])


def test_traced_indices_take_what_numpy_takes() -> None:
    rows, columns = np.array([1, -1]), np.array([[2], [0]])
    found = run(lambda x, i, j: x[i, j, ::-2], _X, rows, columns)
    np.testing.assert_array_equal(found, _X[rows, columns, ::-2])
    one = np.array(1)
    np.testing.assert_array_equal(run(lambda x, i: x[:, i], _X, one), _X[:, 1])


def _bad_keys() -> list[tuple[Any, type[Exception], str]]:
    return [
        (2, TypeRuleError, "index 2 is out of range of axis 0, of size 2"),
        ((0, 0, 0, 0), TypeRuleError, "4 indices into a tensor of rank 3"),
        ((..., ...), TypeRuleError, "one `...`"),
        (slice(None, None, 0), TypeRuleError, "not 0"),
        (1.5, TypeRuleError, "1.5 is no index"),
        (True, TypeRuleError, "True is no index"),
        (np.array([1.0]), TypeRuleError, "an integer tensor, not f64"),
        (np.array([True, False]), UnsupportedError, "ml.where"),
        ((np.array([0]), slice(None), 1), UnsupportedError, "in two steps"),
        ((0, slice(None), np.array([0])), UnsupportedError, "in two steps"),
    ]


@pytest.mark.parametrize(("key", "error", "message"), _bad_keys())
def test_what_cannot_be_taken_is_said(key: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        run(lambda x: getitem(x, key), _X)


@pytest.mark.parametrize(
    ("key", "shape"),
    [
        (slice(None), "[n]x4"),
        (slice(1, None), "[n-1]x4"),
        (slice(None, -2), "[n-2]x4"),
        (slice(None, None, -1), "[n]x4"),
        (slice(2, 6), "4x4"),
        (slice(6, 2), "0x4"),
        (slice(None, None, 2), "[((n+1)/(2))]x4"),
        (-1, "4"),
        ((..., 0), "[n]"),
    ],
)
def test_named_sizes_are_sliced(key: Any, shape: str) -> None:
    def take(x: Value) -> Value:
        return getitem(x, key)

    assert str(type_of(take, f32["n", 4])) == f"tensor<{shape}xf32>"
