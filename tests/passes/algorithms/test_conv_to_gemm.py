"""conv-to-gemm: convolutions that look at one pixel at a time are matrix products."""

from __future__ import annotations

import pytest

from mlir_lite.passes.algorithms.conv_to_gemm import conv_to_gemm

from ..expect import expect


def conv(attributes: str, result: str, kernel: str = "1x1", inner: int = 3) -> str:
    return f"""
        func @f(%x: tensor<1x4x4x3xf32>, %w: tensor<6x{inner}x{kernel}xf32>) -> tensor<{result}> {{
          %0 = conv %x, %w {{{attributes}}} : tensor<{result}>
          return %0
        }}"""


PLAIN = "strides = [1, 1], padding = [[0, 0], [0, 0]], dilations = [1, 1]"


def test_a_pointwise_convolution_is_a_product_over_pixels() -> None:
    expect(
        conv_to_gemm,
        before=conv(f'{PLAIN}, layout = "nhwc"', "1x4x4x6xf32"),
        after="""
            func @f(%x: tensor<1x4x4x3xf32>, %w: tensor<6x3x1x1xf32>) -> tensor<1x4x4x6xf32> {
              %0 = reshape %w {shape = [6, 3]} : tensor<6x3xf32>
              %1 = transpose %0 {perm = [1, 0]} : tensor<3x6xf32>
              %2 = matmul %x, %1 : tensor<1x4x4x6xf32>
              return %2
            }""",
    )


@pytest.mark.parametrize(
    "before",
    [
        conv(PLAIN.replace("[1, 1], p", "[2, 2], p") + ', layout = "nhwc"', "1x2x2x6xf32"),
        conv(PLAIN.replace("[0, 0]]", "[1, 0]]") + ', layout = "nhwc"', "1x4x5x6xf32"),
        conv(f'{PLAIN}, groups = 3, layout = "nhwc"', "1x4x4x6xf32", inner=1),
        conv(f'{PLAIN}, layout = "nhwc"', "1x3x4x6xf32", kernel="2x1"),
        conv(PLAIN, "1x6x4x3xf32", inner=4),
    ],
    ids=["strides", "padding", "groups", "kernel", "channels first"],
)
def test_other_convolutions_stay(before: str) -> None:
    expect(conv_to_gemm, before=before)


def gradient(attributes: str, size: int = 4, kernel: str = "1x1", inner: int = 3) -> str:
    return f"""
        func @f(%x: tensor<2x4x4x3xf32>, %d: tensor<2x{size}x4x6xf32>)
            -> tensor<6x{inner}x{kernel}xf32> {{
          %0 = conv_weight_gradient %x, %d
            {{kernel_size = [{kernel.replace("x", ", ")}], {attributes}}}
            : tensor<6x{inner}x{kernel}xf32>
          return %0
        }}"""


def test_the_gradient_of_pointwise_filters_is_a_product_of_pixels() -> None:
    expect(
        conv_to_gemm,
        before=gradient(f'{PLAIN}, layout = "nhwc"'),
        after="""
            func @f(%x: tensor<2x4x4x3xf32>, %d: tensor<2x4x4x6xf32>) -> tensor<6x3x1x1xf32> {
              %0 = reshape %d {shape = [32, 6]} : tensor<32x6xf32>
              %1 = reshape %x {shape = [32, 3]} : tensor<32x3xf32>
              %2 = transpose %0 {perm = [1, 0]} : tensor<6x32xf32>
              %3 = matmul %2, %1 : tensor<6x3xf32>
              %4 = reshape %3 {shape = [6, 3, 1, 1]} : tensor<6x3x1x1xf32>
              return %4
            }""",
    )


@pytest.mark.parametrize(
    "before",
    [
        gradient(PLAIN.replace("[1, 1], p", "[2, 1], p") + ', layout = "nhwc"', size=2),
        gradient(PLAIN.replace("[[0, 0]", "[[1, 0]") + ', layout = "nhwc"', size=5),
        gradient(f'{PLAIN}, groups = 3, layout = "nhwc"', inner=1),
        gradient(f'{PLAIN}, layout = "nhwc"', size=3, kernel="2x1"),
    ],
    ids=["strides", "padding", "groups", "kernel"],
)
def test_gradients_of_other_filters_stay(before: str) -> None:
    expect(conv_to_gemm, before=before)


def spreading(attributes: str, result: str) -> str:
    return f"""
        func @f(%x: tensor<1x2x3x5xf32>, %w: tensor<5x4x2x2xf32>) -> tensor<{result}> {{
          %0 = conv_transpose %x, %w {{{attributes}}} : tensor<{result}>
          return %0
        }}"""


APART = (
    "strides = [2, 2], padding = [[0, 0], [0, 0]], output_padding = [0, 0], dilations = [1, 1], "
    'layout = "nhwc"'
)


def test_filters_that_do_not_overlap_are_a_product_whose_columns_are_spread() -> None:
    expect(
        conv_to_gemm,
        before=spreading(APART, "1x4x6x4xf32"),
        after="""
            func @f(%x: tensor<1x2x3x5xf32>, %w: tensor<5x4x2x2xf32>) -> tensor<1x4x6x4xf32> {
              %0 = transpose %w {perm = [0, 2, 3, 1]} : tensor<5x2x2x4xf32>
              %1 = reshape %0 {shape = [5, 16]} : tensor<5x16xf32>
              %2 = matmul %x, %1 : tensor<1x2x3x16xf32>
              %3 = reshape %2 {shape = [1, 2, 3, 2, 2, 4]} : tensor<1x2x3x2x2x4xf32>
              %4 = transpose %3 {perm = [0, 1, 3, 2, 4, 5]} : tensor<1x2x2x3x2x4xf32>
              %5 = reshape %4 {shape = [1, 4, 6, 4]} : tensor<1x4x6x4xf32>
              return %5
            }""",
    )


@pytest.mark.parametrize(
    "before",
    [
        spreading(APART.replace("strides = [2, 2]", "strides = [1, 1]"), "1x3x4x4xf32"),
        spreading(APART.replace("[[0, 0], [0, 0]]", "[[1, 0], [0, 0]]"), "1x3x6x4xf32"),
        spreading(APART.replace("g = [0, 0]", "g = [1, 0]"), "1x5x6x4xf32"),
    ],
    ids=["overlap", "padding", "output padding"],
)
def test_other_transposed_convolutions_stay(before: str) -> None:
    expect(conv_to_gemm, before=before)
