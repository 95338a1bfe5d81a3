"""autodiff: derivatives as a pass on text."""

from __future__ import annotations

import pytest

import mlir_lite as ml
from mlir_lite.errors import InputError
from mlir_lite.passes.autodiff import autodiff
from mlir_lite.passes.manager import run_passes
from mlir_lite.passes.pipelines import parse_pipeline
from mlir_lite.target import Target

SQUARES = """
func @f(%x: tensor<3xf32>, %w: tensor<3xf32>) -> tensor<f32> {
  %0 = multiply %x, %w : tensor<3xf32>
  %1 = sum %0 {axes = [0]} : tensor<f32>
  return %1
}
"""


def test_the_pass_shows_the_gradient() -> None:
    made = autodiff(ml.parse(SQUARES), wrt="w+x")
    assert str(made) == str(
        ml.parse("""
            func @f_value_and_grad(%x: tensor<3xf32>, %w: tensor<3xf32>)
                -> (tensor<f32>, tensor<3xf32>, tensor<3xf32>) {
              %0 = multiply %x, %w : tensor<3xf32>
              %1 = sum %0 {axes = [0]} : tensor<f32>
              %2 = constant {value = dense<1.0>} : tensor<f32>
              %3 = reshape %2 {shape = [1]} : tensor<1xf32>
              %4 = broadcast %3 {shape = [3]} : tensor<3xf32>
              %5 = multiply %4, %w : tensor<3xf32>
              %6 = multiply %4, %x : tensor<3xf32>
              return %1, %6, %5
            }""")
    )


def test_options_are_read_from_a_pipeline() -> None:
    steps = parse_pipeline("autodiff{wrt=w+x,mode=grad},canonicalize", Target("cpu"))
    made = run_passes(ml.parse(SQUARES), steps, verify="each-pass")
    assert [type_.rank for type_ in made.result_types] == [1, 1]


def test_a_mode_that_there_is_not_is_said() -> None:
    with pytest.raises(InputError, match="no mode 'hessian'; there are grad, jvp"):
        autodiff(ml.parse(SQUARES), mode="hessian")
