"""fold-norm: batch norms go into the weights of the convolution before, if that is theirs alone."""

from __future__ import annotations

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Function, Value, f32
from mlir_lite.passes.simplify.canonicalize import canonicalize
from mlir_lite.passes.simplify.constant_fold import constant_fold
from mlir_lite.passes.simplify.fold_norm import fold_norm
from mlir_lite.types import Array

from ..expect import operations, same_results

BEFORE = """
func @f(%x: tensor<1x1x2x2xf32>) -> tensor<1x2x2x2xf32> {
  %w = constant {value = dense<[[[[2.0]]], [[[4.0]]]]>} : tensor<2x1x1x1xf32>
  %s = constant {value = dense<[1.0, 3.0]>} : tensor<2xf32>
  %b = constant {value = dense<[5.0, 7.0]>} : tensor<2xf32>
  %m = constant {value = dense<[1.0, 2.0]>} : tensor<2xf32>
  %v = constant {value = dense<[0.75, 2.0]>} : tensor<2xf32>
  %y = conv %x, %w {strides = [1, 1], padding = [[0, 0], [0, 0]], dilations = [1, 1]}
    : tensor<1x2x2x2xf32>
  %n = batch_norm %y, %s, %b, %m, %v {axis = 1, epsilon = 0.25} : tensor<1x2x2x2xf32>
  return %n
}"""
# With variances plus epsilon of 1 and 2.25 the factors are 1 and 3 / 1.5 = 2.
WEIGHTS, SHIFT = [2.0, 8.0], [5 - 1 * 1, 7 - 2 * 2]


def random(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).uniform(0.5, 1.5, shape).astype(np.float32)


def normalised(before: Value, channels: int) -> Value:
    scale, bias, mean, variance = (random(channels) + step for step in range(4))
    return ml.batch_norm(before, scale, bias, mean, variance)


def folded(fn: Function) -> Function:
    """After fold-norm as the pipeline runs it."""
    got = constant_fold(fold_norm(constant_fold(canonicalize(fn))))
    same_results(fn, got)
    return got


def test_weights_take_the_factor_and_a_shift_remains() -> None:
    got = folded(ml.parse(BEFORE))
    conv, shift = (node.op for node in got.nodes if node.op.name == "constant")
    np.testing.assert_allclose(conv.reference().ravel(), WEIGHTS, rtol=1e-6)
    np.testing.assert_allclose(shift.reference().ravel(), SHIFT, rtol=1e-6)
    assert operations(got) == ["conv", "broadcast", "add"]


@pytest.mark.parametrize("size", [5, 64], ids=["small map", "large map"])
def test_a_bias_is_folded_too(size: int) -> None:
    @ml.function(f32[1, 3, size, size])
    def f(x: Value) -> Value:
        return normalised(ml.conv(x, random(4, 3, 1, 1), random(4)), 4)

    assert operations(folded(f)) == ["conv", "broadcast", "add"]


def test_what_is_added_along_another_axis_is_no_bias() -> None:
    """Four channels and four columns: only the place of the axis tells them apart."""

    @ml.function(f32[1, 3, 4, 4])
    def f(x: Value) -> Value:
        return normalised(ml.conv(x, random(4, 3, 1, 1)) + random(4), 4)

    assert "batch_norm" in operations(folded(f))


def test_a_convolution_with_another_user_stays() -> None:
    @ml.function(f32[1, 3, 4, 4])
    def f(x: Value) -> tuple[Value, Value]:
        y = ml.conv(x, random(4, 3, 1, 1))
        return normalised(y, 4), ml.relu(y)

    assert operations(folded(f)) == ["conv", "batch_norm", "relu"]


def test_a_convolution_that_is_a_result_stays() -> None:
    @ml.function(f32[1, 3, 4, 4])
    def f(x: Value) -> tuple[Value, Value]:
        y = ml.conv(x, random(4, 3, 1, 1), random(4))
        return normalised(y, 4), y

    assert "batch_norm" in operations(folded(f))


def test_weights_that_are_parameters_stay() -> None:
    @ml.function(f32[1, 3, 4, 4], f32[4, 3, 1, 1])
    def f(x: Value, w: Value) -> Value:
        return normalised(ml.conv(x, w), 4)

    assert operations(folded(f)) == ["conv", "batch_norm"]
