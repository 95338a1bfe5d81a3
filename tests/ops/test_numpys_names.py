"""Functions of NumPy's (and torch's) names that are written with operations: what NumPy gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Value, f32, f64
from mlir_lite.errors import TypeRuleError
from mlir_lite.ir import run_reference
from mlir_lite.types import Array, bf16, f16, i32, i64

from .sample import normal, value_like
from .traced import run, trace, type_of

Case = tuple[Callable[..., Any], Callable[..., Any], tuple[Array, ...]]

X = normal((3, 5), f64)
CUBE = normal((2, 3, 4), f64)
EMPTY = normal((0, 5), f64)
WHOLE = np.arange(15, dtype=np.int64).reshape(3, 5) % 7


def case(name: str, *arrays: Array, **options: Any) -> Any:
    """A function of the same name, arguments and options here and in NumPy."""
    both = getattr(ml, name), getattr(np, name)
    text = ", ".join([*(str(array.shape) for array in arrays), *map(str, options.values())])
    whole = tuple(np.ascontiguousarray(array) for array in arrays)
    return pytest.param(*both, whole, options, id=f"{name} {text}")


CASES = [
    *(case("roll", X, shift=k, axis=1) for k in (0, 1, -2, 5, 13)),
    case("roll", X, shift=(1, -1), axis=(0, 1)),
    case("roll", X, shift=2, axis=(0, -1)),
    case("roll", X, shift=7),
    case("roll", EMPTY, shift=1, axis=0),
    *(case("diff", X, n=n) for n in (0, 1, 2, 4, 5, 6)),
    case("diff", X, axis=0),
    case("diff", X > 0),
    case("diff", WHOLE),
    case("diff", EMPTY, axis=0),
    case("take_along_axis", X, WHOLE[:, :2] % 3, axis=1),
    case("take_along_axis", X, WHOLE[:1] % 3, axis=0),
    case("take_along_axis", X[:1], WHOLE[:, :2] % 3, axis=1),
    case("take_along_axis", X, -1 - WHOLE[:, :1] % 3, axis=-1),
    *(case("diagonal", X, offset=k) for k in (0, 1, -1, 4, 5, 9, -2, -3, -9)),
    case("diagonal", CUBE, axis1=2, axis2=0),
    case("diagonal", CUBE, offset=1, axis1=-2, axis2=-1),
    case("diagonal", EMPTY),
    *(case("diag", X[0], k=k) for k in (0, 2, -1)),
    case("diag", X, k=1),
    case("diag", WHOLE[0]),
    case("trace", X),
    case("trace", CUBE, offset=-1),
    *(case("meshgrid", X[0], X[:, 0], indexing=i) for i in ("xy", "ij")),
    case("meshgrid", X[0], X[:, 0], WHOLE[0]),
    case("meshgrid", X[0]),
    case("tensordot", CUBE, normal((3, 4, 5), f64)),
    case("tensordot", CUBE, normal((4, 3, 5), f64), axes=((1, -1), (1, 0))),
    case("tensordot", CUBE, X, axes=(1, 0)),
    case("tensordot", X, CUBE, axes=0),
    case("tensordot", X, EMPTY, axes=(1, 1)),
    case("outer", X, CUBE),
    case("outer", X[0], X[:, 0]),
    case("inner", X, CUBE[..., :1] + normal((2, 3, 5), f64)),
    case("inner", X[0], X[1]),
    case("kron", X, CUBE),
    case("kron", CUBE, X[0]),
    case("kron", X[0], X[1]),
    case("median", X),
    case("median", X, axis=0),
    case("median", CUBE, axis=(0, 2), keepdims=True),
    case("median", X[:, :4], axis=-1),
    *(case("quantile", X, q=q, axis=1) for q in (0, 0.1, 0.25, 0.9, 1)),
    case("quantile", CUBE, q=0.3, axis=(0, 1)),
    case("logaddexp", X, CUBE[0, :, :1]),
    case("nan_to_num", np.array([np.nan, np.inf, -np.inf, 1.5, -0.0])),
    case("nan_to_num", np.array([np.nan, np.inf, -np.inf]), nan=1.0, posinf=2.0, neginf=3.0),
    case("nan_to_num", WHOLE),
]


@pytest.mark.parametrize(("ours", "numpys", "arrays", "options"), CASES)
def test_it_is_numpys(
    ours: Callable[..., Any],
    numpys: Callable[..., Any],
    arrays: tuple[Array, ...],
    options: dict[str, Any],
) -> None:
    wanted = numpys(*arrays, **options)
    fn = ml.function(*(value_like("x", array).type for array in arrays))(
        lambda *values: ours(*values, **options)
    )
    results = fn.results
    wanted = wanted if isinstance(wanted, (tuple, list)) else (wanted,)
    assert [result.shape for result in results] == [np.shape(one) for one in wanted]
    if not results:
        return
    found = ml.compile(fn)(*arrays)
    for have, want in zip(found if len(results) > 1 else (found,), wanted, strict=True):
        assert have.dtype == want.dtype
        # Sums of a few products in f64.
        np.testing.assert_allclose(have, want, rtol=1e-14, atol=1e-14)


SMOOTH = [
    entry
    for entry in CASES
    if all(array.dtype == np.float64 for array in entry.values[2])
    and entry.values[2]
    and "nan_to_num" not in str(entry.id)
]


@pytest.mark.parametrize(("ours", "numpys", "arrays", "options"), SMOOTH)
def test_its_gradient_is_that_of_differences(
    ours: Callable[..., Any],
    numpys: Callable[..., Any],
    arrays: tuple[Array, ...],
    options: dict[str, Any],
) -> None:
    def first(*values: Value) -> Value:
        found: Value | tuple[Value, ...] = ours(*values, **options)
        return found[0] if isinstance(found, tuple) else found

    fn = trace(first, *(value_like(f"x{k}", array) for k, array in enumerate(arrays)))
    shape = fn.results[0].type.static_shape
    weights = normal(shape, f64)
    _, *gradients = run_reference(ml.vjp(fn), [*arrays, weights])
    step = 1e-6
    directions = [normal(array.shape, f64) for array in arrays]

    def total(scale: float) -> float:
        moved = [a + scale * d for a, d in zip(arrays, directions, strict=True)]
        return float(np.sum(run_reference(fn, moved)[0] * weights))

    wanted = (total(step) - total(-step)) / (2 * step)
    found = sum(float(np.sum(g * d)) for g, d in zip(gradients, directions, strict=True))
    # The differences' own error: step² times third derivatives, and eps / step.
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-7)


def test_rolling_by_a_named_size_goes_around_as_often_as_it_must() -> None:
    fn = ml.function(f32["n", 3])(lambda x: (ml.roll(x, 5, 0), ml.roll(x, -1, 0)))
    run_ = ml.compile(fn)
    for n in (1, 2, 7):
        x = normal((n, 3), f32)
        for found, shift in zip(run_(x), (5, -1), strict=True):
            np.testing.assert_array_equal(found, np.roll(x, shift, 0))


@pytest.mark.parametrize("dtype", [f64, f32, f16, bf16])
@pytest.mark.parametrize(("start", "stop", "num"), [(0, 1, 7), (-3, 5, 1), (1, 1, 4), (2, 0, 0)])
@pytest.mark.parametrize("endpoint", [True, False])
def test_linspace_is_numpys(dtype: Any, start: int, stop: int, num: int, endpoint: bool) -> None:
    found = run(lambda: ml.linspace(start, stop, num, endpoint=endpoint, dtype=dtype))
    wanted = np.linspace(start, stop, num, endpoint=endpoint).astype(dtype.numpy)
    np.testing.assert_array_equal(found, wanted)


CLOSE = np.array([1.0, 1.0 + 1e-6, 1.1, np.inf, -np.inf, np.nan, 0.0, 1e-9])


@pytest.mark.parametrize("equal_nan", [False, True])
def test_isclose_is_numpys(equal_nan: bool) -> None:
    x, y = np.repeat(CLOSE, len(CLOSE)), np.tile(CLOSE, len(CLOSE))
    found = run(lambda x, y: ml.isclose(x, y, equal_nan=equal_nan), x, y)
    np.testing.assert_array_equal(found, np.isclose(x, y, equal_nan=equal_nan))
    assert run(ml.allclose, CLOSE[:2], CLOSE[1::-1])
    assert not run(ml.allclose, x, y)


def test_a_quantile_of_nan_is_nan() -> None:
    x = np.array([[1.0, np.nan, 2.0], [3.0, 4.0, 5.0]])
    np.testing.assert_array_equal(run(lambda x: ml.median(x, 1), x), [np.nan, 4.0])


@pytest.mark.parametrize("dtype", [f64, f32, f16, bf16])
def test_normalized_vectors_have_length_one_and_zeros_stay(dtype: Any) -> None:
    x = np.array([[3.0, 4.0], [0.0, 0.0]]).astype(dtype.numpy)
    found = ml.compile(ml.function(value_like("x", x).type)(ml.normalize))(x)
    wanted = np.array([[0.6, 0.8], [0.0, 0.0]])
    np.testing.assert_allclose(found.astype(f64.numpy), wanted, rtol=2.0**-8)  # bf16's rounding
    fn = trace(ml.normalize, value_like("x", x))
    _, gradient = run_reference(ml.vjp(fn), [x, np.ones_like(x)])
    assert np.isfinite(gradient[0].astype(f64.numpy)).all()


def test_the_cosine_of_vectors() -> None:
    x, y = np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]]), np.array([2.0, 0.0])
    found = run(ml.cosine_similarity, x, y)
    np.testing.assert_allclose(found, [1, np.sqrt(0.5), 0], rtol=1e-15)


def test_log_sigmoid_is_finite_where_sigmoid_is_zero() -> None:
    x = np.array([-1000.0, 0.0, 1000.0])
    np.testing.assert_allclose(run(ml.log_sigmoid, x), [-1000, -np.log(2), 0], rtol=1e-15)


MISTAKES: list[tuple[Callable[[Value], Any], str]] = [
    (lambda x: ml.roll(x, (1, 2), 0), "2 shifts for 1 axes"),
    (lambda x: ml.roll(x, (1, 2)), "roll without an axis takes one shift"),
    (lambda x: ml.take_along_axis(x, np.zeros(3, np.int64)), "x has rank 2, the indices have 1"),
    (lambda x: ml.take_along_axis(x, np.zeros((2, 3), np.int64)), r"\(3, 5\) and \(2, 3\) do not"),
    (lambda x: ml.diagonal(x, axis2=0), "the two axes of a diagonal are one"),
    (lambda x: ml.meshgrid(x), "a grid is made of vectors, not of tensor<3x5xf32>"),
    (lambda x: ml.tensordot(x, x, 3), "3 axes of tensors of rank 2 and 2"),
    (lambda x: ml.tensordot(x, x, ((0, 0), (0, 1))), "an axis is repeated"),
    (lambda x: ml.quantile(x, 1.5), "a quantile is from 0 to 1, not 1.5"),
    (lambda x: ml.median(x.astype(i32)), r"takes floats, not i32; write x.astype\(ml.f32\)"),
    (lambda x: ml.median(x[:0]), "there is no quantile of no elements"),
    (lambda x: ml.isclose(x.astype(i64), 1), "takes floats, not i64"),
    (lambda x: ml.linspace(0, 1, 3, dtype=i32), "the numbers of linspace are floats"),
    (lambda x: ml.diff(x, -1), "differences are taken -1 times"),
]


@pytest.mark.parametrize(("body", "message"), MISTAKES)
def test_mistakes_are_told(body: Callable[[Value], Any], message: str) -> None:
    with pytest.raises(TypeRuleError, match=message):
        type_of(body, f32[3, 5])
