"""`ml.sparse` against dense matrices in f64; threads, faults, what is sorted when."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
import scipy.sparse

import mlir_lite as ml
from mlir_lite import DType, RunError, TypeRuleError, Value, f32, f64, i32, i64
from mlir_lite.types import Array


def _graph(rows: int, columns: int, stored: int, dtype: DType = f32) -> ml.sparse.Csr:
    """Rows whose numbers of elements fall by a power law, the longest first; many are empty."""
    random = np.random.default_rng(0)
    share = (np.arange(rows) + 1.0) ** -1.2
    counts = np.bincount(random.choice(rows, stored, p=share / share.sum()), minlength=rows)
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    picked = random.integers(0, columns, stored).astype(np.int32)
    values = random.standard_normal(stored).astype(dtype.numpy)
    return ml.sparse.Csr(values, picked, starts, (rows, columns))


def _dense(a: ml.sparse.Csr) -> Array:
    """In f64; duplicates are added."""
    values, columns, starts = (np.asarray(part) for part in a)
    total = np.zeros(a.shape)
    rows = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    np.add.at(total, (rows, columns), values.astype(np.float64))
    return total


def _normal(*shape: int, dtype: DType = f32) -> Array:
    return np.random.default_rng(1).standard_normal(shape).astype(dtype.numpy)


# Rows enough for blocks of several; one column, a vector and one more, past a row's registers.
@pytest.mark.parametrize("width", [1, 17, 150])
@pytest.mark.parametrize("dtype", [f32, f64], ids=str)
def test_a_product_is_right_and_the_same_on_any_number_of_threads(
    width: int, dtype: DType
) -> None:
    a = _graph(3001, 700, 60_000, dtype)

    @ml.function(ml.sparse.csr_type(dtype[3001, 700], 60_000), dtype[700, width])
    def product(a: ml.sparse.Csr, x: Value) -> Value:
        return a @ x

    ml.compile(product, target="reference")  # which verifies that pieces of rows do not meet

    x = _normal(700, width, dtype=dtype)
    found, again = (np.asarray(ml.compile(product, threads=count)(*a, x)) for count in (1, 2))
    assert np.array_equal(found, again)
    # Sums of up to 7000 terms, in an order of their own: their roots' growth, not their number's.
    expected = _dense(a) @ x
    limit = 200 * np.finfo(dtype.numpy).eps * np.abs(expected).max()
    assert np.abs(found - expected).max() < limit


@pytest.mark.parametrize("target", ["cpu", "reference"])
@pytest.mark.parametrize("width", [17, 150])
def test_what_follows_a_product_is_computed_in_its_kernel(target: str, width: int) -> None:
    a = _graph(60, 50, 400)

    @ml.function(ml.sparse.csr_type(f32[60, 50], 400), f32[50, width], f32[width])
    def layer(a: ml.sparse.Csr, x: Value, bias: Value) -> Value:
        return ml.relu(a @ x + bias)

    run, x, bias = ml.compile(layer, target=target), _normal(50, width), _normal(width)
    assert run.stages["fused"].count("group") <= 2  # its name and its region's
    expected = np.maximum(_dense(a) @ x + bias, 0)
    np.testing.assert_allclose(run(*a, x, bias), expected, atol=1e-4)


@pytest.mark.parametrize("lengths", ["equal", "different"])
def test_short_rows_of_a_large_matrix_are_asked_for_ahead(lengths: str) -> None:
    rows, stored = 60_001, 300_005
    cuts = np.random.default_rng(2).integers(0, stored + 1, rows - 1)
    starts = np.arange(rows + 1) * 5 if lengths == "equal" else [0, *np.sort(cuts), stored]
    picked = np.random.default_rng(3).integers(0, 1000, stored).astype(np.int32)
    starts = np.asarray(starts, np.int32)
    a = scipy.sparse.csr_array((_normal(stored), picked, starts), (rows, 1000))
    given = ml.sparse.csr(a)

    @ml.function(ml.sparse.csr_type(f32[a.shape], stored), f32[1000])
    def product(a: ml.sparse.Csr, x: Value) -> Value:
        return a @ x

    run, x = ml.compile(product), _normal(1000)
    expected = a.astype(np.float64) @ x
    assert np.abs(np.asarray(run(*given, x)) - expected).max() < 1e-5 * np.abs(expected).max()
    asked = {"values", "columns", "starts"}
    assert set(re.findall(r"prefetch_soon_\w+\((\w+)\[", run.stages["tile"])) == asked


def test_rows_are_summed_on_several_threads() -> None:
    a = _graph(3001, 700, 40_000, f64)

    @ml.function(ml.sparse.csr_type(f64[3001, 700], 40_000))
    def sums(a: ml.sparse.Csr) -> Value:
        return a.sum(1)

    ml.compile(sums, target="reference")
    found = ml.compile(sums, threads=2)(*a)
    np.testing.assert_allclose(found, _dense(a).sum(1), rtol=1e-9, atol=1e-9)


_A = _graph(50, 40, 200, f64)
_D = _dense(_A)
_X, _Y = _normal(40, 5, dtype=f64), _normal(3, 50, dtype=f64)
_ONCE = ml.sparse.csr(_D)  # nothing stored twice: what is no linear function of the values

_OPERATORS: dict[str, tuple[Callable[[Value, Value], Value], Array]] = {
    "A @ x": (lambda x, y: _A @ x, _D @ _X),
    "A @ vector": (lambda x, y: _A @ x[:, 0], _D @ _X[:, 0]),
    "A @ array": (lambda x, y: _A @ _X, _D @ _X),
    "y @ A": (lambda x, y: y @ _A, _Y @ _D),
    "vector @ A": (lambda x, y: y[0] @ _A, _Y[0] @ _D),
    "array @ A": (lambda x, y: _Y @ _A, _Y @ _D),
    "A.T": (lambda x, y: _A.T.to_dense(), _D.T),
    "A.T.T": (lambda x, y: _A.T.T.to_dense(), _D),
    "A * 2": (lambda x, y: (_A * 2).to_dense(), _D * 2),
    "2 * A / 4": (lambda x, y: (2 * _A / 4).to_dense(), _D / 2),
    "scalar * A": (lambda x, y: (x[0, 0] * _A).to_dense(), _D * _X[0, 0]),
    "-A": (lambda x, y: (-_A).to_dense(), -_D),
    "A * columns": (lambda x, y: (_A * x[:, 0]).to_dense(), _D * _X[:, 0]),
    "A * rows": (lambda x, y: (_A * y.T[:, :1]).to_dense(), _D * _Y.T[:, :1]),
    "A.sum()": (lambda x, y: _A.sum(), np.asarray(_D.sum())),
    "A.sum(0)": (lambda x, y: _A.sum(0), _D.sum(0)),
    "A.sum(1)": (lambda x, y: _A.sum(1), _D.sum(1)),
    "with_values(1)": (lambda x, y: _ONCE.with_values(1).to_dense(), (_D != 0) * 1.0),
    "map": (lambda x, y: _ONCE.map(ml.exp).to_dense(), np.exp(_D) * (_D != 0)),
    "softmax": (
        lambda x, y: _ONCE.softmax().to_dense(),
        np.exp(_D) * (_D != 0) / np.maximum((np.exp(_D) * (_D != 0)).sum(1, keepdims=True), 1e-9),
    ),
    "sampled": (
        lambda x, y: ml.sparse.sampled_matmul(y.T, x[:, :3], _ONCE).to_dense(),
        _Y.T @ _X[:, :3].T * (_D != 0),
    ),
}


@pytest.mark.parametrize("name", _OPERATORS)
def test_operators_are_those_of_the_dense_matrix(name: str) -> None:
    body, expected = _OPERATORS[name]
    fn = ml.function(f64[40, 5], f64[3, 50])(body)
    found = ml.compile(fn)(_X, _Y)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("form", ["coo", "csc", "csr", "lil", "dia", "bsr"])
def test_scipys_matrices_of_every_format_are_taken(form: str) -> None:
    dense = np.triu(_normal(6, 6))
    a = ml.sparse.csr(scipy.sparse.csr_matrix(dense).asformat(form))
    fn = ml.function()(lambda: a.to_dense())
    assert np.array_equal(ml.compile(fn)(), dense)


def test_named_sizes_are_those_of_the_matrix() -> None:
    @ml.function(ml.sparse.csr_type(f64["n", "m"], "stored", index=i64), f64["m", 2])
    def product(a: ml.sparse.Csr, x: Value) -> Value:
        return a @ x

    run = ml.compile(product)
    for rows, stored in ((9, 20), (4, 0)):
        values, *places = (np.asarray(part) for part in _graph(rows, 7, stored, f64))
        given = (values, *(part.astype(np.int64) for part in places), _normal(7, 2, dtype=f64))
        np.testing.assert_allclose(run(*given), ml.evaluate(product, *given), rtol=1e-12)


def test_a_constant_matrix_is_transposed_before_the_program_runs() -> None:
    """Also a large one, whose columns must be looked at for that."""
    a = _graph(3001, 700, 40_000)

    @ml.function(f32[3001, 4])
    def product(x: Value) -> Value:
        return a.T @ x

    run = ml.compile(product)
    assert "sparse_transpose" in str(product)
    assert "sparse_transpose" not in run.stages["fused"]
    assert "gather" not in run.stages["fused"]
    x = _normal(3001, 4)
    np.testing.assert_allclose(run(x), _dense(a).T @ x, rtol=1e-3, atol=1e-3)


def test_a_constant_matrix_is_looked_at_once() -> None:
    """While compiling; one that is broken is still an error of the run, at the user's line."""
    a = _graph(3001, 700, 40_000)
    broken = ml.sparse.Csr(a.values, np.asarray(a.columns) + 1, a.starts, a.shape)

    def product(a: ml.sparse.Csr) -> ml.Executable:
        return ml.compile(ml.function(f32[700, 4])(lambda x: a @ x))

    assert "check_sparse_matmul" not in product(a).stages["tile"]
    run = product(broken)
    assert "check_sparse_matmul" in run.stages["tile"]
    with pytest.raises(RunError, match=r"test_sparse\.py:\d+: a column"):
        run(_normal(700, 4))


def _broken(columns: list[int], starts: list[int]) -> tuple[Array, ...]:
    return np.ones(3, np.float32), np.array(columns, np.int32), np.array(starts, np.int32)


@pytest.mark.parametrize(
    ("columns", "starts"),
    [
        ([0, 5, 1], [0, 1, 3]),
        ([0, -1, 1], [0, 1, 3]),
        ([0, 1, 2], [1, 2, 3]),
        ([0, 1, 2], [0, 2, 2]),
        ([0, 1, 2], [0, 5, 3]),
        ([0, 1, 2], [0, -2, 3]),
        ([0, 1, 2], [0, 2_000_000_000, 3]),
    ],
    ids=str,
)
@pytest.mark.parametrize("target", ["cpu", "reference"])
def test_a_broken_matrix_is_an_error_at_the_users_line(
    columns: list[int], starts: list[int], target: str
) -> None:
    @ml.function(ml.sparse.csr_type(f32[2, 5], 3), f32[5, 1])
    def product(a: ml.sparse.Csr, x: Value) -> Value:
        return (a @ x) * a.T.sum()

    run = ml.compile(product, target=target)
    with pytest.raises(RunError, match=r"test_sparse\.py:\d+: a column .* the starts of"):
        run(*_broken(columns, starts), np.ones((5, 1), np.float32))
    found = run(*_broken([4, 4, 0], [0, 1, 3]), np.ones((5, 1), np.float32))
    assert np.array_equal(found, [[3], [6]])


@pytest.mark.parametrize("width", [1, 17])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_large_matrix_is_not_read_where_it_is_broken(width: int, threads: int) -> None:
    a = _graph(3001, 700, 40_000)

    @ml.function(ml.sparse.csr_type(f32[3001, 700], 40_000), f32[700, width])
    def product(a: ml.sparse.Csr, x: Value) -> Value:
        return a @ x

    run, x = ml.compile(product, threads=threads), _normal(700, width)
    for field, place in (("columns", 39_000), ("columns", 7), ("starts", 1), ("starts", 2990)):
        for number in (-(1 << 30), 1 << 30):
            parts = {name: np.array(getattr(a, name)) for name in ("values", "columns", "starts")}
            parts[field][place] = number
            with pytest.raises(RunError, match="a column"):
                run(*parts.values(), x)
    limit = 1e-3 * np.abs(_dense(a) @ x).max()
    assert np.abs(run(*a, x) - _dense(a) @ x).max() < limit


def test_the_transpose_of_a_transpose_is_the_matrix() -> None:
    """So that `x @ w.T`, as layers have it, sorts nothing."""

    @ml.function(ml.sparse.csr_type(f64[50, 40], 200), f64[3, 40])
    def layer(w: ml.sparse.Csr, x: Value) -> Value:
        return x @ w.T

    assert ml.compile(layer).stages["fused"].count("sparse_transpose") == 0
    x = _normal(3, 40, dtype=f64)
    np.testing.assert_allclose(ml.compile(layer)(*_A, x), x @ _D.T, rtol=1e-12, atol=1e-12)


def test_a_matrix_is_returned_as_its_three_tensors() -> None:
    @ml.function(ml.sparse.csr_type(f64[50, 40], 200))
    def twice(a: ml.sparse.Csr) -> ml.sparse.Csr:
        return a * 2

    values, columns, starts = (np.asarray(part) for part in ml.compile(twice)(*_A))
    assert np.array_equal(_dense(ml.sparse.Csr(values, columns, starts, (50, 40))), 2 * _D)


def test_what_is_not_sparse_is_an_error_that_says_what_to_write() -> None:
    for body, advice in (
        (lambda x: _A + x, r"got <Csr of 50 x 40>; write \.to_dense\(\)"),
        (lambda x: scipy.sparse.csr_matrix(_D) @ x, r"as ml\.sparse\.csr\(m\)"),
        (lambda x: _A * _D, r"a factor of the rows has the shape \(rows, 1\)"),
    ):
        with pytest.raises(TypeRuleError, match=advice):
            ml.function(f64[40, 40])(body)


def test_shapes_that_do_not_fit_are_an_error_at_the_users_line() -> None:
    with pytest.raises(TypeRuleError, match=r"test_sparse\.py:\d+: 40 columns times 41 rows"):

        @ml.function(f64[41, 2])
        def product(x: Value) -> Value:
            return _A @ x


def test_a_graph_attention_has_the_gradients_of_the_dense_one() -> None:
    """Through softmax of rows, sampled and sparse products: by finite differences."""
    places = ml.sparse.csr((np.random.default_rng(3).random((9, 9)) < 0.4).astype(np.float64))

    @ml.function(f64[9, 3], f64[9, 3], f64[9, 2])
    def loss(q: Value, k: Value, v: Value) -> Value:
        weights = ml.sparse.sampled_matmul(q, k, places).softmax()
        return ml.tanh(weights @ v).sum()

    q = _normal(9, 3, dtype=f64)
    arrays = [q, q[::-1].copy(), _normal(9, 2, dtype=f64)]
    found = ml.compile(ml.grad(loss))(*arrays)
    run, step = ml.compile(loss), 1e-6
    for position, gradient in enumerate(found):
        for at in ((0, 0), (4, 1), (8, 1)):
            ends = []
            for sign in (1, -1):
                moved = [array.copy() for array in arrays]
                moved[position][at] += sign * step
                ends.append(float(np.asarray(run(*moved))))
            assert abs((ends[0] - ends[1]) / (2 * step) - gradient[at]) < 1e-7


def test_i32_is_the_index_type_that_scipy_has() -> None:
    assert ml.sparse.csr_type(f32[2, 2], 1).parts["starts"] == i32[3]
