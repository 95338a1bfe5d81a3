"""Reverse mode: what it asks of operations, and of which."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Function, TensorType, UnsupportedError, Value, f64
from mlir_lite.ir import Op, constructor, multi_constructor, op
from mlir_lite.types import Array


def trace(*types: TensorType) -> Callable[[Callable[..., object]], Function]:
    return ml.function(*types)


def results(fn: Function, *arrays: Array) -> tuple[Array, ...]:
    found = ml.evaluate(fn, *arrays)
    return found if isinstance(found, tuple) else (found,)


def assert_equal(found: Sequence[Array], wanted: Sequence[Array]) -> None:
    for have, want in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(have, want)


@op
class Doubled(Op):
    """`2 x`, without a gradient."""

    x: Value

    def infer(self) -> TensorType:
        return self.x.type

    def reference(self, x: Array) -> Array:
        return np.asarray(2 * x)


doubled = constructor(Doubled)


def test_a_missing_gradient_names_operation_and_line() -> None:
    @trace(f64[3])
    def fn(x: Value) -> Value:
        return doubled(x).sum()

    (node,) = [node for node in fn.nodes if node.op.name == "doubled"]
    with pytest.raises(UnsupportedError, match="'doubled' has no gradient") as caught:
        ml.grad(fn)
    assert str(caught.value).startswith(f"{__file__}:{node.location.line}: ")


def test_a_missing_gradient_is_no_error_where_none_flows() -> None:
    @trace(f64[3], f64[3])
    def fn(x: Value, y: Value) -> tuple[Value, Value]:
        return (x * doubled(y)).sum(), doubled(x)

    found = results(ml.value_and_grad(fn, "x"), np.ones(3), np.arange(3.0))
    assert_equal(found[2:], [2 * np.arange(3.0)])


@op
class Saved(Op):
    """`x³`, and `x²` if it is told to save that."""

    x: Value
    saves: bool = False

    def infer(self) -> tuple[TensorType, ...]:
        return (self.x.type,) * (1 + self.saves)

    def reference(self, x: Array) -> tuple[Array, ...]:
        return (x**3, x**2)[: 1 + self.saves]

    def saving(self) -> Op:
        return Saved(self.x, True)

    def gradient(self, y: Value, square: Value, dy: Value, dsquare: None) -> tuple[Value]:
        assert dsquare is None
        return (3.0 * square * dy,)


saved = multi_constructor(Saved)


def test_what_a_gradient_needs_is_saved_only_on_the_way() -> None:
    @trace(f64[3], f64[3])
    def fn(x: Value, y: Value) -> tuple[Value, Value]:
        return (saved(x)[0] + saved(y)[0]).sum(), saved(2.0 * x)[0]

    made = ml.value_and_grad(fn, "x")
    assert [node.op.saves for node in made.nodes if isinstance(node.op, Saved)] == [
        True,
        False,
        False,
    ]
    x, y = np.arange(3.0), np.ones(3)
    assert_equal(results(made, x, y), [np.array(12.0), 8 * x**3, 3 * x**2])


def test_a_decomposition_gives_the_gradient() -> None:
    @op
    class Shifted(Op):
        """`x * y + x`; of two operands that may be one value."""

        x: Value
        y: Value

        def infer(self) -> TensorType:
            return self.x.type

        def reference(self, x: Array, y: Array) -> Array:
            return np.asarray(x * y + x)

        def decompose(self, x: Value, y: Value) -> Value:
            return x * y + x

    shifted = constructor(Shifted)
    fn = trace(f64[3])(lambda x: shifted(x, x).sum())
    x = np.arange(3.0)
    assert_equal(results(ml.grad(fn), x), [2 * x + 1])
