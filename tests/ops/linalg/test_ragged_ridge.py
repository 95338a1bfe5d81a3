"""`ml.linalg.ragged_ridge` against NumPy, row by row; its faults; alternating least squares."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import DType, InputError, RunError, TypeRuleError, Value, f32, f64, i32, i64
from mlir_lite.types import Array


@dataclass(frozen=True)
class Lists:
    """What each of some rows lists of a matrix of factors."""

    factors: Array
    indices: Array
    offsets: Array
    targets: Array
    ridge: Array

    @property
    def arrays(self) -> tuple[Array, ...]:
        return self.factors, self.indices, self.offsets, self.targets, self.ridge

    def expected(self, weights: Array | None = None, base: Array | None = None) -> Array:
        """In f64."""
        x = np.zeros((len(self.ridge), self.factors.shape[1]))
        for row in range(len(x)):
            entries = slice(self.offsets[row], self.offsets[row + 1])
            y = self.factors[self.indices[entries]].astype(np.float64)
            weight = 1 if weights is None else weights[entries, None]
            normal = y.T @ (y * weight) + self.ridge[row] * np.eye(len(x[0]))
            normal += 0 if base is None else base
            x[row] = np.linalg.solve(normal, y.T @ self.targets[entries])
        return x


def _lists(dtype: DType, size: int, rows: int = 19, seed: int = 0) -> Lists:
    """Some rows list nothing, some one entry, some more than there are factors."""
    random = np.random.default_rng(seed)
    counts = random.integers(0, size + 5, rows)
    counts[: min(2, rows)] = [0, 1][:rows]
    offsets = np.concatenate([[0], np.cumsum(counts)])
    entries = int(offsets[-1])
    return Lists(
        random.standard_normal((23, size)).astype(dtype.numpy),
        random.integers(0, 23, entries).astype(np.int32),
        offsets,
        random.standard_normal(entries).astype(dtype.numpy),
        (1 + random.random(rows)).astype(dtype.numpy),
    )


def _function(dtype: DType, lists: Lists) -> ml.Function:
    entries, rows = len(lists.targets), len(lists.ridge)

    lengths = i32[entries], i64[rows + 1], dtype[entries], dtype[rows]

    @ml.function(dtype[lists.factors.shape], *lengths)
    def f(y: Value, indices: Value, offsets: Value, targets: Value, ridge: Value) -> Value:
        return ml.linalg.ragged_ridge(y, indices, offsets, targets, ridge)

    return f


# One, past a block of rows, past a vector of columns, past the columns of a register tile.
@pytest.mark.parametrize("size", [1, 5, 17, 70])
@pytest.mark.parametrize("dtype", [f32, f64], ids=str)
def test_each_row_is_solved_as_numpy_does(dtype: DType, size: int) -> None:
    lists = _lists(dtype, size)
    found = ml.compile(_function(dtype, lists))(*lists.arrays)
    assert isinstance(found, np.ndarray)
    expected = lists.expected()
    # The condition of the normal matrices is below 500.
    limit = 500 * np.finfo(dtype.numpy).eps * np.abs(expected).max()
    assert np.abs(found - expected).max() < limit


@pytest.mark.parametrize("rows", [0, 1, 16, 33])
def test_any_number_of_rows(rows: int) -> None:
    lists = _lists(f64, 3, rows)
    run = ml.compile(_function(f64, lists))
    np.testing.assert_allclose(run(*lists.arrays), lists.expected(), rtol=1e-10, atol=1e-12)


def test_weights_and_a_common_part() -> None:
    """As in alternating least squares of implicit ratings; of `base` the lower triangle is read."""
    lists = _lists(f64, 6)
    random = np.random.default_rng(1)
    weights = random.random(len(lists.targets))
    base = lists.factors.T @ lists.factors
    entries, rows = len(lists.targets), len(lists.ridge)

    @ml.function(
        *(f64[23, 6], i32[entries], i64[rows + 1], f64[entries], f64[rows]),
        *(f64[entries], f64[6, 6]),
    )
    def f(
        y: Value, indices: Value, offsets: Value, targets: Value, ridge: Value, w: Value, b: Value
    ) -> Value:
        return ml.linalg.ragged_ridge(y, indices, offsets, targets, ridge, weights=w, base=b)

    found = ml.compile(f)(*lists.arrays, weights, np.tril(base))
    np.testing.assert_allclose(found, lists.expected(weights, base), rtol=1e-9, atol=1e-12)


def test_bits_are_the_same_at_any_number_of_threads() -> None:
    lists = _lists(f32, 8, rows=200)
    one, two = (ml.compile(_function(f32, lists), threads=count) for count in (1, 2))
    for _ in range(5):
        np.testing.assert_array_equal(one(*lists.arrays), two(*lists.arrays))


def test_what_is_wrong_with_the_data_is_said() -> None:
    lists = _lists(f64, 3)
    y, indices, offsets, targets, ridge = lists.arrays
    run = ml.compile(_function(f64, lists))
    with pytest.raises(RunError, match=r"test_ragged_ridge\.py:\d+: .*out of range"):
        run(y, np.full_like(indices, 23), offsets, targets, ridge)
    for wrong in (offsets + 1, offsets[::-1].copy(), offsets - 1, offsets * 2**40):
        with pytest.raises(RunError, match="offsets are not in order"):
            run(y, indices, wrong, targets, ridge)
    for value in (0.0, np.nan):  # the first row lists nothing: only the ridge is there
        with pytest.raises(RunError, match="not positive definite"):
            run(y, indices, offsets, targets, np.full_like(ridge, value))
    run(*lists.arrays)


def test_operands_that_do_not_fit() -> None:
    with pytest.raises(TypeRuleError, match="one offset more than rows"):

        @ml.function(f32[4, 2], i32[3], i32[5], f32[3], f32[5])
        def f(y: Value, indices: Value, offsets: Value, targets: Value, ridge: Value) -> Value:
            return ml.linalg.ragged_ridge(y, indices, offsets, targets, ridge)


def test_alternating_least_squares_finds_the_factors_of_a_matrix() -> None:
    """Of 60x50 numbers that are a product of rank 3, two thirds are known."""
    random = np.random.default_rng(0)
    whole = random.standard_normal((60, 3)) @ random.standard_normal((3, 50))
    known = random.random(whole.shape) < 2 / 3
    sides: list[tuple[ml.Executable, tuple[Array, ...]]] = []
    for matrix, mask in ((whole, known), (whole.T, known.T)):
        row, column = np.nonzero(mask)
        offsets = np.searchsorted(row, np.arange(len(mask) + 1))
        ridge = np.full(len(mask), 1e-9)
        lists = Lists(
            np.zeros((mask.shape[1], 3)), column.astype(np.int32), offsets, matrix[mask], ridge
        )
        sides.append((ml.compile(_function(f64, lists)), lists.arrays[1:]))
    y = random.standard_normal((50, 3))
    for _ in range(60):
        x = np.asarray(sides[0][0](y, *sides[0][1]))
        y = np.asarray(sides[1][0](x, *sides[1][1]))
    np.testing.assert_allclose((x @ y.T)[~known], whole[~known], atol=1e-4)


def test_a_wrong_array_is_refused_at_the_border() -> None:
    lists = _lists(f64, 3)
    run = ml.compile(_function(f64, lists))
    with pytest.raises(InputError):
        run(np.asfortranarray(lists.factors), *lists.arrays[1:])
