"""Sorting as functions: values, their gradients, and a block that sorts a piece at a time."""

from __future__ import annotations

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Value, ops
from mlir_lite.errors import TypeRuleError
from mlir_lite.ir import run_reference
from mlir_lite.ops.sorting.block_sort import block_merge_kernel
from mlir_lite.ops.sorting.sort_order import Rows
from mlir_lite.tile.checks.verify import verify_kernel
from mlir_lite.tile.interpreter import run_kernel
from mlir_lite.types import Array, TensorType, f32, f64

from ..sample import normal, value_like
from ..traced import run, trace, type_of

_X = normal((3, 7), f64)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_sort_is_numpys(axis: int) -> None:
    np.testing.assert_array_equal(run(lambda x: ops.sort(x, axis), _X), np.sort(_X, axis))
    np.testing.assert_array_equal(run(lambda x: ops.argsort(x, axis), _X), np.argsort(_X, axis))
    falling = run(lambda x: ops.sort(x, axis, descending=True), _X)
    np.testing.assert_array_equal(falling, np.flip(np.sort(_X, axis), axis))


def test_nan_is_the_largest() -> None:
    x = np.array([1.0, np.nan, np.inf, -np.inf, np.nan])
    assert run(ops.argsort, x).tolist() == [3, 0, 2, 1, 4]
    assert run(lambda x: ops.argsort(x, descending=True), x).tolist() == [1, 4, 2, 0, 3]
    assert run(lambda x: ops.topk(x, 3)[1], x).tolist() == [1, 4, 2]


@pytest.mark.parametrize("largest", [False, True])
def test_topk_gives_values_and_places(largest: bool) -> None:
    order = np.argsort(-_X if largest else _X, 0)[:2]
    values = run(lambda x: ops.topk(x, 2, 0, largest=largest)[0], _X)
    np.testing.assert_array_equal(values, np.take_along_axis(_X, order, 0))
    places = run(lambda x: ops.topk(x, 2, 0, largest=largest)[1], _X)
    np.testing.assert_array_equal(places, order)


def test_gradients_go_to_where_the_elements_were() -> None:
    def weighted(x: Value) -> Value:
        values, _ = ops.topk(x, 3)
        return values * values

    fn = trace(weighted, value_like("x", _X))
    _, found = run_reference(ml.vjp(fn), [_X, np.ones((3, 3))])
    left_out = np.sort(_X, -1)[:, 4:5] > _X
    np.testing.assert_array_equal(found, np.where(left_out, 0, 2 * _X))


def test_named_sizes_pass_through() -> None:
    rows = f32["n", "m"]
    assert type_of(ops.sort, rows) == rows
    assert type_of(lambda x: ops.topk(x, 3)[0], rows) == f32["n", 3]


@pytest.mark.parametrize("count", [-1, 8])
def test_there_are_no_more_elements_than_there_are(count: int) -> None:
    with pytest.raises(TypeRuleError, match=f"no first {count} of 7 elements"):
        type_of(lambda x: ops.topk(x, count)[0], TensorType((3, 7), f32))


def pieces() -> list[Array]:
    rising = np.arange(41, dtype=np.float32)
    return [normal((41,), f32), rising, rising[::-1].copy(), rising // 5, rising * np.nan]


@pytest.mark.parametrize("count", [1, 3, 8])
@pytest.mark.parametrize("x", pieces(), ids=["any", "rising", "falling", "equals", "nan"])
def test_a_block_sorts_pieces_with_the_best_so_far(x: Array, count: int) -> None:
    kernel = block_merge_kernel("sort", Rows(x.shape, f32, 0, count, descending=True), piece=16)
    verify_kernel(kernel)
    wanted = run(lambda x: ops.argsort(x, descending=True), x)[:count]
    np.testing.assert_array_equal(run_kernel(kernel, {"x": x})["out"], wanted)


def test_rows_that_places_cannot_count_are_refused() -> None:
    with pytest.raises(TypeRuleError, match=r"fewer than 2\*\*31 elements, not 2147483648"):
        type_of(ops.sort, f32[2**31])
    assert type_of(ops.argsort, f32[2**31 - 1]).shape == (2**31 - 1,)
