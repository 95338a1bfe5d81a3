"""What a person is told who errs in a text: the whole message, with the line and the caret."""

from __future__ import annotations

import pytest

import mlir_lite as ml
from mlir_lite.errors import ParseError

TEXT = """\
func @net(%x: tensor<2x3xf32>, %w: tensor<3x4xf32>) -> tensor<2x4xf32> {
  %0 = matmul %x, %w : tensor<2x4xf32>
  return %0
}
"""

# What is changed in the text, the message, and the line with its caret.
MISTAKES = {
    ("matmul", "matmull"): (
        "2:8: there is no operation 'matmull'; "
        "did you mean 'matmul' or 'dot_matmul' or 'panel_matmul'?",
        "    %0 = matmull %x, %w : tensor<2x4xf32>",
        "         ^~~~~~~",
    ),
    ("%x, %w :", "%x %w :"): (
        "2:18: 'matmul' needs a comma and the operand 'rhs', got '%w'",
        "    %0 = matmul %x %w : tensor<2x4xf32>",
        "                   ^~",
    ),
    ("2x4xf32>\n  ret", "2x5xf32>\n  ret"): (
        "2:24: 'matmul' gives tensor<2x4xf32>, the text says tensor<2x5xf32>",
        "    %0 = matmul %x, %w : tensor<2x5xf32>",
        "                         ^~~~~~~~~~~~~~~",
    ),
    ("%x, %w :", "%w, %x :"): (
        "2:8: 'matmul' (tensor<3x4xf32>, tensor<2x3xf32>): "
        "the inner sizes differ: 4 columns and 2 rows",
        "    %0 = matmul %w, %x : tensor<2x4xf32>",
        "         ^~~~~~",
    ),
    (" : tensor<2x4xf32>\n", "\n"): (
        "3:3: expected ':' and the types that 'matmul' gives, got 'return'",
        "    return %0",
        "    ^~~~~~",
    ),
    ("return %0", "return %y"): (
        "3:10: %y is not defined here",
        "    return %y",
        "           ^~",
    ),
    ("  return %0\n", ""): (
        "3:1: expected an operation or 'return', got '}'",
        "  }",
        "  ^",
    ),
    ("2x4xf32>\n", "2x4xfloat>\n"): (
        "2:24: there is no element type 'float'; "
        "there are f64, f32, f16, bf16, i64, i32, i16, i8, u8, bool",
        "    %0 = matmul %x, %w : tensor<2x4xfloat>",
        "                         ^~~~~~~~~~~~~~~~~",
    ),
    ("matmul %x, %w", "transpose %w {perm = 1}"): (
        "2:22: the attribute 'perm' is not of the kind [integer, …]",
        "    %0 = transpose %w {perm = 1} : tensor<2x4xf32>",
        "                       ^~~~",
    ),
}


@pytest.mark.parametrize(("change", "message"), MISTAKES.items())
def test_a_mistake_is_shown_where_it_is(
    change: tuple[str, str], message: tuple[str, str, str]
) -> None:
    assert change[0] in TEXT
    with pytest.raises(ParseError) as caught:
        ml.parse(TEXT.replace(*change), file="net.mlir")
    first, line, caret = message
    assert str(caught.value).splitlines() == [f"net.mlir:{first}", line, caret]
