"""`fn.bind(weights)`: parameters become constants."""

from __future__ import annotations

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Function, InputError, Value, f32
from mlir_lite.ir import Constant
from mlir_lite.types import Array

LARGE = np.arange(64 * 32, dtype=np.float32).reshape(64, 32)
SMALL = np.array([1, 2, 3], np.float32)


@ml.function(f32["batch", 64], f32[64, 32], f32[3])
def layer(x: Value, weight: Value, bias: Value) -> tuple[Value, Value]:
    return x @ weight, bias * 2.0


def constants(fn: Function) -> dict[str, Constant]:
    found = [node.op for node in fn.nodes if isinstance(node.op, Constant)]
    return {op.value.name: op for op in found if op.value.name}


def test_bound_parameters_are_gone_and_named_constants_are_there() -> None:
    bound = layer.bind({"weight": LARGE, "bias": SMALL})
    assert [param.name for param in bound.params] == ["x"]
    assert set(constants(bound)) == {"weight", "bias"}


def test_bound_function_gives_the_same_results() -> None:
    x = np.random.default_rng(0).normal(size=(5, 64)).astype(np.float32)
    whole = ml.evaluate(layer, x, LARGE, SMALL)
    bound = ml.evaluate(layer.bind({"weight": LARGE, "bias": SMALL}), x)
    for given, wanted in zip(bound, whole, strict=True):
        np.testing.assert_array_equal(given, wanted)


def test_some_parameters_may_stay() -> None:
    assert [param.name for param in layer.bind({"weight": LARGE}).params] == ["x", "bias"]


def test_large_data_is_kept_by_reference_and_small_data_copied() -> None:
    small = SMALL.copy()
    bound = constants(layer.bind({"weight": LARGE, "bias": small}))
    small[:] = 0
    assert bound["weight"].value.array() is LARGE
    np.testing.assert_array_equal(bound["bias"].value.array(), SMALL)


def test_a_result_that_is_a_parameter_becomes_a_constant() -> None:
    bound = ml.function(f32[3])(lambda x: x).bind({"x": SMALL})
    np.testing.assert_array_equal(ml.evaluate(bound), SMALL)


def test_lines_of_the_user_stay() -> None:
    bound = layer.bind({"weight": LARGE})
    assert [node.location for node in bound.nodes[1:]] == [node.location for node in layer.nodes]


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"wieght": LARGE, "q": SMALL}, r"no parameter 'wieght' \(near: 'weight'\), 'q'"),
        (
            {"bias": SMALL.astype(np.float64)},
            r"parameter 'bias' of @layer is tensor<3xf32>, got an array of float64; "
            r"write array.astype\('float32'\)",
        ),
        ({"bias": SMALL[:2]}, r"is tensor<3xf32>, got an array of shape \(2,\)"),
        ({"bias": SMALL[None]}, r"is tensor<3xf32>, got an array of shape \(1, 3\)"),
        ({"weight": LARGE.reshape(32, 64).T}, "not contiguous; write np.ascontiguousarray"),
        ({"x": LARGE}, "specialise its sizes first"),
    ],
)
def test_what_does_not_fit(weights: dict[str, Array], message: str) -> None:
    with pytest.raises(InputError, match=message):
        layer.bind(weights)
