"""What is done by mistake with values that are being traced, and what NumPy's numbers become."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import f32, i64
from mlir_lite.ir import run_reference

ONES = np.ones((3, 4), np.float32)
# What the functions' types do not allow.
PART: Any = 2.5
NUMPYS: Any = np.float32
WIDTHS: Any = np.array([[0, 1], [1, 0]])
PARTS: Any = np.array([1, 2])


def _write(x: Any) -> Any:
    x[0] = 1.0
    return x


def _count(x: Any) -> Any:
    return sum(x[at] for at in range(x.shape[0]))


MISTAKES: list[tuple[Callable[[Any], object], str]] = [
    (_write, "a traced value is not written into; make a new one: ml.where"),
    (lambda x: x[int(x[0, 0])], "a traced value is no number"),
    (lambda x: float(x[0, 0]), "a traced value is no number"),
    (lambda x: range(x), "a traced value is no number"),
    (lambda x: np.asarray(x), "a traced value is no array"),
    (lambda x: np.exp(x), "np.exp computes arrays, not traced values; the operations are in ml"),
    (lambda x: np.add(x, 1, out=ONES), "np.add computes arrays, not traced values"),
    (lambda x: x if x == x else -x, "a traced value has no truth value while the"),
    (lambda x: x in [x + 1.0], "a traced value has no truth value"),
    (lambda x: x == [1.0, 2.0], r"expected a tensor, an array or a number, got \[1.0, 2.0\]"),
    (_count, "the size n is known by name only: it is no number to count to"),
    (lambda x: x if x.shape[0] > 3 else -x, "not known whether it is more or less than 3"),
    (lambda x: ml.zeros((PART,)), r"its shape is \(2.5,\); expected \[integer or size, …\]"),
    (lambda x: x.sum(1.0), "an axis is a whole number, not 1.0"),
    (lambda x: x.astype("f32"), "its dtype is 'f32'; expected element type, such as ml.f32"),
    (lambda x: ml.zeros(3, NUMPYS), "an element type is one such as ml.f32, not <class"),
    (lambda x: ml.greater(x, 0) * x, r"write x.astype\(ml.f32\)"),
    (lambda x: x * (1 / x.shape[0]), "the size n is known by name only: compute with it beside"),
    (lambda x: x * (x.shape[0] * 0.5), r"or make it one, as in ml.full\(\(\), n\)"),
    (lambda x: x * math.sqrt(x.shape[0]), "compute with it beside a tensor, as in x / n"),
    (lambda x: ml.pad(x, cast(Any, (1, 1))), r"as in \[\(1, 1\), \(1, 1\)\], not \(1, 1\)"),
    (
        lambda x: ml.concat([x, ml.repeat(x[: x.shape[0] // 2], 2, 0)], 1),
        r"differ beside axis 1; where n is a multiple of 2, the type says so by 2 \* ml.Dim.named",
    ),
]


@pytest.mark.parametrize(("body", "message"), MISTAKES)
def test_a_mistake_is_told_with_its_line(body: Callable[[Any], object], message: str) -> None:
    with pytest.raises(ml.TypeRuleError, match=message) as caught:
        ml.function(f32["n", 4])(body)
    assert caught.value.where.startswith(__file__)


@pytest.mark.parametrize(
    "body",
    [
        lambda x, y: x == y,
        lambda x, y: x != y,
        lambda x, y: x == x,  # false of NaN
        lambda x, y: x == 1.0,
        lambda x, y: np.float32(1.0) != x,
        lambda x, y: np.equal(ONES, x) & (x == ONES) | np.not_equal(ONES, y),
    ],
)
def test_equality_is_that_of_elements(body: Callable[[Any, Any], Any]) -> None:
    x = np.array([[0, 1, np.nan, -0.0]] * 3, np.float32)
    y = np.array([[0, 2, np.nan, 0.0]] * 3, np.float32)
    found = ml.compile(ml.function(f32[3, 4], f32[3, 4])(body))(x, y)
    np.testing.assert_array_equal(found, body(x, y))


def test_values_are_keys_and_equal_themselves_alone_after_tracing() -> None:
    fn = ml.function(f32[3, 4], f32[3, 4])(lambda x, y: (x + y, x - y))
    first, second = fn.params
    assert first == first
    assert first != second
    assert {first: 1, second: 2}[second] == 2
    assert fn.results.index(fn.results[1]) == 1


def test_values_are_keys_while_a_function_is_traced() -> None:
    def body(x: Any, y: Any) -> Any:
        assert {x: 1, y: 2}[y] == 2
        assert x in (x, y)
        return x

    ml.function(f32[3, 4], f32[3, 4])(body)


@pytest.mark.parametrize("size", [3, 3000])
def test_an_array_that_is_written_into_later_changes_nothing(size: int) -> None:
    table = np.ones(size, np.float32)

    def body(x: Any) -> Any:
        first = x + table
        table[:] = 2.0
        return first, x + table, x * table

    fn = ml.function(f32["n", size])(body)
    run = ml.compile(fn)
    table[:] = 3.0
    for n in (1, 2):  # the second size is compiled after the first has run
        first, second, third = run(np.ones((n, size), np.float32))
        np.testing.assert_array_equal(first, 2.0)
        np.testing.assert_array_equal(second, 3.0)
        np.testing.assert_array_equal(third, 2.0)
        table[:] = 4.0
    assert len(ml.resources_of(fn)) == (2 if size > 1024 else 0)


def test_an_array_that_nobody_can_write_into_is_not_copied() -> None:
    table = np.ones(3000, np.float32)
    view = table[:]
    for array in (table, view):
        array.flags.writeable = False
    fn = ml.function(f32[3000])(lambda x: x + view)
    (data,) = ml.resources_of(fn).values()
    assert np.shares_memory(data.array(), table)


ZERO: Any = np.int64(0)
ONE: Any = np.int64(1)
TWO: Any = np.int32(2)
THREE: Any = np.int64(3)
HALF: Any = np.float32(0.5)
FALSE: Any = np.bool_(False)
WITH_NUMPYS_NUMBERS: list[Callable[[Any], Any]] = [
    lambda x: ml.zeros((THREE, 4)) + x,
    lambda x: ml.zeros(3) + x.T,
    lambda x: x.reshape(THREE * 2, TWO),
    lambda x: x.reshape(np.array([6, 2])),
    lambda x: ml.broadcast(x, (THREE, THREE, 4)),
    lambda x: x.transpose(np.array([1, 0])),
    lambda x: x.sum(ONE),
    lambda x: ml.pad(x, WIDTHS),
    lambda x: ml.tile(x, (THREE, THREE)),
    lambda x: ml.repeat(x, THREE, ZERO),
    lambda x: ml.eye(THREE, THREE),
    lambda x: ml.split(x, THREE)[0],
    lambda x: ml.split(x, PARTS)[0],
    lambda x: ml.conv2d(x[None, None], np.ones((1, 1, 3, 3), np.float32), padding=ONE),
    lambda x: ml.one_hot(x.astype(ml.i64), THREE),
    lambda x: ml.scan(lambda h, _: (h + 1, h), ml.zeros(()), length=THREE)[1],
    lambda x: x[[0, 2]],
    lambda x: ml.leaky_relu(x, HALF),
    lambda x: ml.leaky_relu(x, 1),
    lambda x: ml.layer_norm(x, epsilon=1),
    lambda x: ml.attention(x, x, x, scale=1, causal=FALSE),
    lambda x: ml.attention(x, x, x, causal=ONE),
]


@pytest.mark.parametrize("body", WITH_NUMPYS_NUMBERS)
def test_numpys_numbers_are_numbers(body: Callable[[Any], Any]) -> None:
    fn = ml.function(f32[3, 4])(body)
    assert str(ml.parse(str(fn), ml.resources_of(fn))).count("\n") == str(fn).count("\n")
    (found,) = run_reference(fn, [ONES])
    assert found.shape == fn.results[0].shape


@pytest.mark.parametrize("array", [ONES, np.float64(2.0), np.array(2.0, np.float32)])
def test_numpys_operators_take_traced_values(array: Any) -> None:
    @ml.function(f32[3, 4])
    def fn(x: Any) -> Any:
        return array * x + array - array

    np.testing.assert_array_equal(ml.compile(fn)(ONES), array * ONES)


@pytest.mark.parametrize(
    ("ours", "numpys"),
    [
        (lambda x: x.var(0, correction=1), lambda x: x.var(0, ddof=1)),
        (lambda x: x.std(1, keepdims=True), lambda x: x.std(1, keepdims=True)),
        (lambda x: x.std(correction=1), lambda x: x.std(ddof=1)),
        (lambda x: (x > 0).any(1), lambda x: (x > 0).any(1)),
        (lambda x: (x > 0).all(0, keepdims=True), lambda x: (x > 0).all(0, keepdims=True)),
    ],
)
def test_methods_are_those_of_numpys_arrays(ours: Any, numpys: Any) -> None:
    x = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)
    found, wanted = np.asarray(ml.compile(ml.function(f32[3, 4])(ours))(x)), numpys(x)
    assert found.dtype == wanted.dtype
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_a_function_of_the_package_has_its_own_name() -> None:
    relu: Any = ml.relu
    with pytest.raises(TypeError, match=r"^relu\(\) missing 1 required positional argument"):
        relu()


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("permute", "it is ml.transpose here"),
        ("exp", "operations are functions, as in ml.exp(x)"),
        ("size", "its sizes are x.shape"),
        ("item", "it has no numbers until the function runs"),
        ("at", "make a new tensor: ml.where"),
    ],
)
def test_what_to_write_instead_of_an_attribute(name: str, advice: str) -> None:
    with pytest.raises(AttributeError) as caught:
        ml.function(f32[2])(lambda x: getattr(x, name))
    assert f"a traced value has no attribute '{name}'; {advice}" in str(caught.value)


def test_sizes_known_by_name_are_numbers_beside_tensors() -> None:
    @ml.function(f32["n", 2], i64[2])
    def numbers(x: Any, counts: Any) -> Any:
        n = x.shape[0]
        return x.sum(0) / n, n * x[0], counts + n // 2, ml.full((2,), n - 1), ml.maximum(n, counts)

    x, counts = np.arange(10, dtype=np.float32).reshape(5, 2), np.array([1, 9])
    expected = x.mean(0), 5 * x[0], counts + 2, np.full(2, 4, np.float32), np.array([5, 9])
    for results in (ml.compile(numbers)(x, counts), ml.evaluate(numbers, x, counts)):
        for result, wanted in zip(results, expected, strict=True):
            assert result.dtype == wanted.dtype
            np.testing.assert_array_equal(result, wanted)
    assert ml.parse(str(numbers)).sizes == {"n"}


def test_gradients_stop() -> None:
    def loss(x: Any) -> Any:
        kept, _ = ml.scan(lambda s, row: (s + ml.stop_gradient(row) * row, s), ml.zeros((2,)), x)
        return (kept + ml.stop_gradient(x * x).sum()).sum()

    gradient = ml.grad(ml.function(f32[3, 2])(loss))
    x = np.arange(6, dtype=np.float32).reshape(3, 2)
    run = ml.compile(gradient)
    np.testing.assert_array_equal(run(x), x)
    assert "stop_gradient" not in run.stages["fused"]
