"""canonicalize: what gradients leave over."""

from __future__ import annotations

import pytest

from mlir_lite.passes.simplify.canonicalize import canonicalize

from ..expect import expect
from .test_canonicalize import unary


def test_new_axes_are_made_by_broadcasting() -> None:
    expect(
        canonicalize,
        before=unary(
            """
              %0 = reshape %x {shape = [1, 2, 3]} : tensor<1x2x3xf32>
              %1 = broadcast %0 {shape = [4, 2, 3]} : tensor<4x2x3xf32>""",
            "%1:4x2x3xf32",
        ),
        after=unary(
            "%0 = broadcast %x {shape = [4, 2, 3]} : tensor<4x2x3xf32>", "%0:4x2x3xf32"
        ),
    )


def test_a_sum_of_one_number_is_known() -> None:
    expect(
        canonicalize,
        before=unary(
            """
              %0 = constant {value = dense<0.5>} : tensor<f32>
              %1 = broadcast %0 {shape = [4, 2, 3]} : tensor<4x2x3xf32>
              %2 = sum %1 {axes = [0]} : tensor<2x3xf32>""",
            "%2:2x3xf32",
        ),
        after=unary(
            """
              %0 = constant {value = dense<2.0>} : tensor<f32>
              %1 = broadcast %0 {shape = [2, 3]} : tensor<2x3xf32>""",
            "%1:2x3xf32",
        ),
    )


@pytest.mark.parametrize(("zero", "folds"), [("0.0", True), ("-0.0", False)])
def test_a_choice_of_one_or_zero_is_a_cast(zero: str, folds: bool) -> None:
    before = unary(
        f"""
          %0 = greater %x, %x : tensor<2x3xbool>
          %1 = constant {{value = dense<1.0>}} : tensor<f32>
          %2 = broadcast %1 {{shape = [2, 3]}} : tensor<2x3xf32>
          %3 = constant {{value = dense<{zero}>}} : tensor<f32>
          %4 = broadcast %3 {{shape = [2, 3]}} : tensor<2x3xf32>
          %5 = where %0, %2, %4 : tensor<2x3xf32>""",
        "%5:2x3xf32",
    )
    after = """
      %0 = greater %x, %x : tensor<2x3xbool>
      %1 = cast %0 {dtype = f32} : tensor<2x3xf32>"""
    expect(canonicalize, before=before, after=unary(after, "%1:2x3xf32") if folds else None)


@pytest.mark.parametrize(
    ("body", "folded"),
    [
        ("%1 = add %x, %0", "subtract %x, %x"),
        ("%1 = add %0, %x", "subtract %x, %x"),
        ("%1 = subtract %x, %0", "add %x, %x"),
    ],
)
def test_adding_a_negative_is_subtracting(body: str, folded: str) -> None:
    expect(
        canonicalize,
        before=unary(
            f"%0 = negative %x : tensor<2x3xf32>\n{body} : tensor<2x3xf32>", "%1:2x3xf32"
        ),
        after=unary(f"%0 = {folded} : tensor<2x3xf32>", "%0:2x3xf32"),
    )


def test_two_signs_are_none() -> None:
    expect(
        canonicalize,
        before=unary(
            "%0 = negative %x : tensor<2x3xf32>\n%1 = negative %0 : tensor<2x3xf32>",
            "%1:2x3xf32",
        ),
        after=unary("", "%x:2x3xf32"),
    )
