"""canonicalize: padded tensors that lie side by side are joined, others stay a sum."""

from __future__ import annotations

import pytest

import mlir_lite as ml
from mlir_lite import Value, f32
from mlir_lite.passes.simplify.canonicalize import canonicalize

from ..expect import expect, operations

PARTS = """
    func @f(%a: tensor<2x3xf32>, %b: tensor<2x2xf32>, %c: tensor<2x1xf32>) -> tensor<2x6xf32> {
      %0 = pad %a {low = [0, 0], high = [0, 3], value = 0.0} : tensor<2x6xf32>
      %1 = pad %b {low = [0, 4], high = [0, 0], value = 0.0} : tensor<2x6xf32>
      %2 = add %0, %1 : tensor<2x6xf32>
      %3 = pad %c {low = [0, 3], high = [0, 2], value = 0.0} : tensor<2x6xf32>
      %4 = add %3, %2 : tensor<2x6xf32>
      return %4
    }"""


def test_parts_in_any_order_are_joined() -> None:
    expect(
        canonicalize,
        before=PARTS,
        after="""
            func @f(%a: tensor<2x3xf32>, %b: tensor<2x2xf32>, %c: tensor<2x1xf32>)
                -> tensor<2x6xf32> {
              %0 = concat [%a, %c, %b] {axis = 1} : tensor<2x6xf32>
              return %0
            }""",
    )


@pytest.mark.parametrize(
    "found, put",
    [
        ("%c {low = [0, 3], high = [0, 2]", "%c {low = [0, 2], high = [0, 3]"),  # over another
        ("value = 0.0} : tensor<2x6xf32>\n      %1", "value = 1.0} : tensor<2x6xf32>\n      %1"),
        ("add %3, %2", "add %3, %0"),  # a gap
    ],
)
def test_parts_that_do_not_fit_stay_a_sum(found: str, put: str) -> None:
    assert found in PARTS
    assert "concat" not in operations(canonicalize(ml.parse(PARTS.replace(found, put))))


def test_the_gradient_of_a_cut_is_a_concatenation() -> None:
    @ml.function(f32[2, 6])
    def loss(x: Value) -> Value:
        one, other = ml.split(x, 2, axis=1)
        return (ml.exp(one) * ml.sin(other)).sum()

    found = operations(canonicalize(ml.grad(loss)))
    assert "concat" in found
    assert "pad" not in found
