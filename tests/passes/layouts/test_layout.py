"""layout: convolutions channels-last, transposes only where a value is needed channels-first."""

from __future__ import annotations

import numpy as np

import mlir_lite as ml
from mlir_lite import Function, Value, f32
from mlir_lite.passes.layouts.layout import layout as layout_for
from mlir_lite.passes.simplify.canonicalize import canonicalize
from mlir_lite.target import Target
from mlir_lite.types import Array

from ..expect import expect, operations, same_results

X = f32[2, 3, 6, 6]
W = f32[4, 3, 3, 3]


def layout(fn: Function) -> Function:
    return layout_for(fn, target=Target("cpu"))


def moved(fn: Function) -> Function:
    """After layout, with what it leaves over folded."""
    got = canonicalize(layout(fn))
    same_results(fn, got)
    return got


def ones(*shape: int) -> Array:
    return np.ones(shape, np.float32)


def test_a_convolution_stands_between_transposes() -> None:
    conv = "{strides = [1, 1], padding = [[0, 0], [0, 0]], dilations = [1, 1]"
    expect(
        layout,
        before=f"""
            func @f(%x: tensor<1x3x5x5xf32>, %w: tensor<2x3x2x2xf32>) -> tensor<1x2x4x4xf32> {{
              %0 = conv %x, %w {conv}}} : tensor<1x2x4x4xf32>
              return %0
            }}""",
        after=f"""
            func @f(%x: tensor<1x3x5x5xf32>, %w: tensor<2x3x2x2xf32>) -> tensor<1x2x4x4xf32> {{
              %0 = transpose %x {{perm = [0, 2, 3, 1]}} : tensor<1x5x5x3xf32>
              %1 = conv %0, %w {conv}, layout = "nhwc"}} : tensor<1x4x4x2xf32>
              %2 = transpose %1 {{perm = [0, 3, 1, 2]}} : tensor<1x2x4x4xf32>
              return %2
            }}""",
    )


def test_a_function_without_convolutions_stays() -> None:
    fn = ml.function(X)(lambda x: ml.max_pool(ml.relu(x), (2, 2)))
    assert layout(fn) is fn


def test_neighbours_are_carried_along() -> None:
    """One transpose in, one out, whatever stands between two convolutions."""

    @ml.function(X, W, f32[4, 4, 1, 1], f32[4])
    def f(x: Value, w: Value, v: Value, b: Value) -> Value:
        y = ml.relu(ml.conv(x, w, b))
        y = ml.conv(ml.concat([ml.max_pool(y, (2, 2)), ml.average_pool(y, (2, 2))], 0), v)
        return y * ml.sigmoid(y)

    names = operations(moved(f))
    first, *_, last = (name for name in names if name not in ("broadcast", "reshape"))
    assert names.count("transpose") == 2 and (first, last) == ("transpose", "transpose")


def test_a_bias_is_repeated_over_the_last_axis() -> None:
    fn = ml.function(X, W, f32[4])(lambda x, w, b: ml.conv(x, w, b))
    (broadcast,) = (node for node in moved(fn).nodes if node.op.name == "broadcast")
    assert broadcast.op.operands[0].shape == (4,)


def test_two_users_share_one_transpose() -> None:
    fn = ml.function(X, W)(lambda x, w: (ml.conv(x, w), ml.conv(x, w * 2)))
    assert operations(moved(fn)).count("transpose") == 3


def test_what_flattens_gets_channels_first() -> None:
    fn = ml.function(X, W)(lambda x, w: ml.relu(ml.conv(x, w)).flatten(1))
    assert operations(moved(fn))[-2:] == ["transpose", "reshape"]


def test_an_operand_of_lower_rank_is_no_trouble() -> None:
    fn = ml.function(X, W, f32[4])(lambda x, w, b: ml.conv(x, w) + b)
    moved(fn)


def test_a_convolution_of_something_with_itself() -> None:
    """The weight keeps its layout, though it is the input too."""
    moved(ml.function(f32[3, 3, 5, 5])(lambda x: ml.conv(x, x)))


def test_transposed_convolutions_are_moved() -> None:
    fn = ml.function(f32[1, 3, 4, 4], f32[3, 2, 2, 2])(
        lambda x, w: ml.relu(ml.conv_transpose(x, w, strides=2))
    )
    assert operations(moved(fn)) == ["transpose", "conv_transpose", "relu", "transpose"]


def test_one_dimension_and_three() -> None:
    moved(ml.function(f32[2, 3, 9], f32[4, 3, 3])(lambda x, w: ml.conv(x, w)))
    moved(ml.function(f32[1, 2, 4, 4, 4], f32[3, 2, 2, 2, 2])(lambda x, w: ml.conv(x, w)))


def depthwise(channels: int, size: int, groups: int | None = None) -> Function:
    groups = channels if groups is None else groups
    filters = f32[channels, channels // groups, 3, 3]
    return ml.function(f32[1, channels, size, size], filters, f32[channels])(
        lambda x, w, b: ml.relu(ml.conv(x, w, b, padding=1, groups=groups))
    )


def lenet(batch: int, channels: int) -> Function:
    """The loss of a small convolutional net, and its gradients."""

    square = f32[channels, channels, 2, 2]

    @ml.function(f32[batch, 1, 9, 9], f32[channels, 1, 3, 3], f32[channels], square)
    def loss(x: Value, w: Value, b: Value, v: Value) -> Value:
        h = ml.max_pool(ml.relu(ml.conv2d(x, w, b, padding=1)), 2)
        return ml.sum(ml.square(ml.conv2d(h, v)))

    return ml.value_and_grad(loss, wrt=("w", "b", "v"))


def layouts(fn: Function) -> set[object]:
    return {
        node.op.attributes["layout"] for node in fn.nodes if "layout" in node.op.attributes
    }


def test_few_channels_of_many_examples_have_the_batch_last() -> None:
    found = moved(lenet(32, 6))
    assert layouts(found) == {"chwn"}
    # The images, which are padded for the weight's gradient later; weights are not moved.
    assert operations(found).count("transpose") == 1


def test_many_channels_come_last() -> None:
    assert layouts(moved(lenet(32, 64))) == {"nhwc"}


def test_one_example_does_not_come_last() -> None:
    assert layouts(moved(lenet(1, 6))) == {"nhwc"}


def test_constant_filters_are_for_channels_last() -> None:
    fn = ml.function(f32[64, 1, 9, 9])(lambda x: ml.conv2d(x, ones(6, 1, 3, 3)))
    assert layouts(moved(fn)) == {"nhwc"}


def test_a_depthwise_convolution_alone_stays() -> None:
    """Vectors run along its rows as well as along channels, without a transpose."""
    fn = depthwise(32, 32)
    expect(layout, before=str(fn), after=str(fn))


def test_short_rows_are_worth_a_transpose() -> None:
    assert operations(moved(depthwise(64, 2))).count("transpose") == 2


def test_a_grouped_convolution_is_moved() -> None:
    assert operations(moved(depthwise(32, 32, groups=16))).count("transpose") == 2


def test_single_pixels_stay() -> None:
    """They are a matrix product in either order."""
    fn = ml.function(f32[2, 32, 16, 16], f32[48, 32, 1, 1])(lambda x, w: ml.conv(x, w))
    expect(layout, before=str(fn), after=str(fn))


def test_one_among_others_is_moved_with_them() -> None:
    """A convolution that must be channels-last has all neighbours in its order."""

    @ml.function(f32[1, 32, 16, 16], f32[32, 1, 3, 3], f32[8, 32, 3, 3])
    def f(x: Value, w: Value, v: Value) -> Value:
        return ml.conv(ml.relu(ml.conv(x, w, padding=1, groups=32)), v)

    names = operations(moved(f))
    assert names == ["transpose", "conv", "relu", "conv", "transpose"]


def test_neighbours_on_an_island_stay_together() -> None:
    """Two convolutions in a row that each may stay, and nothing else that would move them."""

    @ml.function(f32[1, 32, 32, 32], f32[32, 1, 3, 3], f32[32, 32, 1, 1])
    def f(x: Value, w: Value, v: Value) -> Value:
        return ml.conv(ml.relu(ml.conv(x, w, padding=1, groups=32)), v) + x

    assert "transpose" not in operations(moved(f))
