"""`ml.linalg` as a user sees it: NumPy's shapes and names, errors with the user's line, threads."""

from __future__ import annotations

import builtins
import inspect
from collections.abc import Callable, Mapping

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import (
    DType,
    InputError,
    MissingExtraError,
    RunError,
    TypeRuleError,
    Value,
    f16,
    f32,
    f64,
)
from mlir_lite.backends.llvm.machine import routines
from mlir_lite.ops.base.elements import emit
from mlir_lite.ops.linalg.systems import Solve

from ..sample import normal
from ..samples.linalg import positive, separated


def _line() -> int:
    frame = inspect.currentframe()
    assert frame is not None and frame.f_back is not None
    return frame.f_back.f_lineno


def _mirrored(x: Value) -> Value:
    return x @ x.transpose(0, 2, 1)


_SINGULAR: Mapping[str, Callable[[Value], Value]] = {
    "cholesky: the matrix is not positive definite": lambda x: ml.linalg.cholesky(x - 9),
    "solve or inverse: the matrix is singular": ml.linalg.inverse,
    "triangular_solve: the matrix is singular": lambda x: ml.linalg.triangular_solve(x, x),
}


@pytest.mark.parametrize("target, batch", [("cpu", 3), ("reference", 3), ("cpu", 9)])
@pytest.mark.parametrize("message", _SINGULAR)
def test_a_singular_matrix_in_a_batch_is_an_error_at_the_users_line(
    message: str, target: str, batch: int
) -> None:
    """Of few matrices, and of enough to fill a vector."""
    compute = _SINGULAR[message]

    @ml.function(f64[batch, 2, 2])
    def f(x: Value) -> Value:
        return compute(x) + 0

    line = _line() - 2
    run = ml.compile(f, target=target)
    good = np.tile(np.array([[12.0, 1], [1, 14]]), (batch, 1, 1))
    bad = good.copy()
    bad[1] = 0
    if "cholesky" not in message:
        run(good)
    with pytest.raises(RunError, match=message) as error:
        run(bad)
    places = f"test_linalg.py:{line}", "test_linalg.py:"
    assert any(place in str(error.value) for place in places)
    if "cholesky" not in message:
        run(good)  # a fault is forgotten


def test_the_error_names_the_very_line() -> None:
    @ml.function(f64[2, 2])
    def f(x: Value) -> Value:
        y = x + 1
        return ml.linalg.solve(y, x)

    line = _line() - 2
    with pytest.raises(RunError, match=rf"test_linalg\.py:{line}: solve or inverse"):
        ml.compile(f)(np.zeros((2, 2)))


def test_the_oracle_finds_a_singular_matrix_too() -> None:
    @ml.function(f64[2, 2])
    def f(x: Value) -> Value:
        return ml.linalg.solve(x, x)

    with pytest.raises(RunError, match=r"test_linalg\.py:\d+: solve or inverse"):
        ml.evaluate(f, np.zeros((2, 2)))


def test_a_constant_singular_matrix_is_an_error_of_the_run() -> None:
    @ml.function(f64[2, 2])
    def f(x: Value) -> Value:
        return x + ml.linalg.inverse(np.zeros((2, 2)))

    run = ml.compile(f)
    with pytest.raises(RunError, match="the matrix is singular"):
        run(np.zeros((2, 2)))


def test_random_inputs_that_are_a_fault_compare_no_passes() -> None:
    @ml.function(f64[3, 3])
    def f(x: Value) -> Value:
        return ml.linalg.cholesky(x)

    with pytest.raises(InputError, match=r"random inputs are a fault of @f: .*test_linalg\.py:\d+"):
        ml.compile(f, verify="each-pass")


def test_determinants_of_singular_matrices_are_no_error() -> None:
    @ml.function(f64[2, 2])
    def f(x: Value) -> tuple[Value, ...]:
        return ml.linalg.det(x), *ml.linalg.slogdet(x)

    assert [float(x) for x in ml.compile(f)(np.zeros((2, 2)))] == [0, 0, -np.inf]


def test_vectors_and_batches_are_numpys() -> None:
    a, vector = separated((4, 4), f64), normal((4,), f64)
    stack = normal((3, 4, 2), f64, 1)

    @ml.function(f64[4, 4], f64[4], f64[3, 4, 2])
    def f(a: Value, vector: Value, stack: Value) -> tuple[Value, ...]:
        x, sums, rank, values = ml.linalg.lstsq(a[:, :2], vector)
        upper = ml.linalg.cholesky(a @ a.T, upper=True)
        return ml.linalg.solve(a, vector), ml.linalg.solve(a, stack), x, sums, rank, values, upper

    found = ml.compile(f)(a, vector, stack)
    least = np.linalg.lstsq(a[:, :2], vector)
    expected = (
        np.linalg.solve(a, vector),
        np.linalg.solve(a, stack),
        *(least[0], least[1][0], least[2], least[3]),
        np.linalg.cholesky(a @ a.T).T,
    )
    for have, want in zip(found, expected, strict=True):
        assert have.shape == np.shape(want)
        np.testing.assert_allclose(have, want, rtol=1e-12, atol=1e-13)


def test_named_sizes_take_their_values_from_the_arrays() -> None:
    @ml.function(f64["b", "n", "n"])
    def f(x: Value) -> Value:
        return ml.linalg.inverse(x)

    run = ml.compile(f)
    for shape in ((2, 3, 3), (1, 1, 1), (0, 4, 4)):
        x = separated(shape, f64)
        np.testing.assert_allclose(run(x), np.linalg.inv(x), atol=1e-13)


@pytest.mark.parametrize("dtype", [f32, f64], ids=str)
@pytest.mark.parametrize("batch, n, columns", [(17, 1, 1), (33, 17, 1), (16, 33, 5), (8, 64, 20)])
def test_many_small_systems_are_solved_as_numpy_does(
    batch: int, n: int, columns: int, dtype: DType
) -> None:
    x, right = positive((batch, n, n), dtype), normal((batch, n, columns), dtype, 1)

    @ml.function(dtype[batch, n, n], dtype[batch, n, columns])
    def f(x: Value, right: Value) -> tuple[Value, ...]:
        factor = ml.linalg.cholesky(x)
        return factor, ml.linalg.cho_solve(factor, right)

    factor, solution = ml.compile(f)(x, right)
    eps = np.finfo(dtype.numpy).eps
    # Relative to the largest element the errors are some eps, times the condition n.
    np.testing.assert_allclose(factor, np.linalg.cholesky(x), atol=8 * eps * n)
    wanted = np.linalg.solve(x.astype(np.float64), right)
    np.testing.assert_allclose(solution, wanted, atol=8 * eps * n * np.abs(wanted).max())


@pytest.mark.parametrize("batch, n", [(64, 12), (3, 130)])
def test_bits_are_the_same_at_any_number_of_threads(batch: int, n: int) -> None:
    """Also where the library has threads of its own."""

    @ml.function(f32[batch, n, n])
    def f(x: Value) -> tuple[Value, ...]:
        spd = _mirrored(x) + n * ml.eye(n)
        values, vectors = ml.linalg.eigh(spd)
        return ml.linalg.cholesky(spd), ml.linalg.inverse(x), *ml.linalg.qr(x), values, vectors

    x = normal((batch, n, n), f32)
    one, two = (ml.compile(f, threads=threads) for threads in (1, 2))
    first, *others = (tuple(run(x)) for run in (one, two, two, one))
    for results in others:
        assert all(np.array_equal(a, b) for a, b in zip(results, first, strict=True))


def test_large_matrices_use_memory_of_the_arena() -> None:
    x = positive((200, 200), f64)

    @ml.function(f64[200, 200])
    def f(x: Value) -> tuple[Value, ...]:
        return ml.linalg.eigh(x)

    values, vectors = ml.compile(f)(x)
    np.testing.assert_allclose(values, 1 + np.arange(200), rtol=1e-12)
    np.testing.assert_allclose((vectors * values) @ vectors.T, x, atol=1e-11)


def test_solving_with_the_transpose_uses_the_same_factors() -> None:
    @ml.function(f64[3, 3], f64[3, 2])
    def f(a: Value, b: Value) -> Value:
        return ml.linalg.solve(a, b) + emit(Solve(a, b, transpose=True))

    assert ml.compile(f).stages["fused"].count("lu_factor") == 1


@pytest.mark.parametrize(
    "build, message",
    [
        (lambda x, _: ml.linalg.cholesky(x), "takes square matrices, not 2x3"),
        (lambda _, h: ml.linalg.inverse(h), "takes f32 or f64, not f16; write x.astype"),
        (lambda x, _: ml.linalg.det(x[0]), "takes matrices: rank 2 or more, not 1"),
        (lambda x, _: ml.linalg.qr(x[:0])[0], "one row and one column at least"),
        (lambda x, _: ml.linalg.solve(x[:, :2], x.T), "other sizes"),
    ],
)
def test_operands_that_do_not_fit(
    build: Callable[[Value, Value], Value], message: str
) -> None:
    with pytest.raises(TypeRuleError, match=message):

        @ml.function(f32[2, 3], f16[2, 2])
        def f(x: Value, half: Value) -> Value:
            return build(x, half)


def test_without_scipy_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    routines._address.cache_clear()
    imported = builtins.__import__

    def missing(name: str, *args: object, **options: object) -> object:
        if name.startswith("scipy"):
            raise ImportError(name)
        return imported(name, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", missing)

    @ml.function(f64[3, 3])
    def f(x: Value) -> Value:
        return ml.linalg.cholesky(x) * 1.25

    with pytest.raises(MissingExtraError, match=r"pip install 'mlir-lite\[linalg\]'"):
        ml.compile(f)
