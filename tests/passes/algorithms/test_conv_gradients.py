"""conv-gradients: transposed convolutions as convolutions, weight gradients of padded images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import NamedTuple

import pytest

import mlir_lite as ml
from mlir_lite import Function, Value, f32
from mlir_lite.ops.shapes.shape import Transpose
from mlir_lite.ops.windows.conv import Conv
from mlir_lite.passes.algorithms.conv_gradients import conv_gradients as conv_gradients_for
from mlir_lite.passes.layouts.pack_constants import pack_constants
from mlir_lite.passes.simplify.canonicalize import canonicalize
from mlir_lite.target import Target
from mlir_lite.tile.program import calls_of

from ..expect import expect, operations, same_results


@dataclass(frozen=True)
class Always:
    """Who gives one answer wherever it can be given."""

    answer: str

    def choose(self, problem: str, question: str, ranked: Mapping[str, float]) -> str:
        return self.answer if self.answer in ranked else next(iter(ranked))


FIRST, LAST = (
    Target("cpu:test", tuning=Always(f"channels {order}")) for order in ("first", "last")
)
ORDERS = {"nchw": FIRST, "nhwc": LAST}


def conv_gradients(fn: Function, target: Target = LAST) -> Function:
    return conv_gradients_for(fn, target=target)


def layouts(fn: Function) -> set[str]:
    return {node.op.layout for node in fn.nodes if isinstance(node.op, Conv)}


class Case(NamedTuple):
    """A channels-last input, a weight, and how the transposed windows move."""

    x: tuple[int, ...]
    weight: tuple[int, ...]
    strides: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    extra: tuple[int, ...]


CASES = {
    "one element": Case((1, 1, 1, 1), (1, 1, 1, 1), (1, 1), ((0, 0), (0, 0)), (0, 0)),
    "doubling": Case((1, 4, 5, 3), (3, 2, 2, 2), (2, 2), ((0, 0), (0, 0)), (0, 0)),
    "3x3": Case((2, 3, 2, 3), (3, 5, 3, 3), (2, 1), ((1, 1), (1, 1)), (1, 0)),
    "steps beyond the kernel": Case((1, 3, 4, 2), (2, 3, 2, 1), (5, 3), ((0, 0),) * 2, (2, 0)),
    "uneven padding": Case((1, 5, 4, 2), (2, 3, 3, 4), (2, 1), ((0, 1), (3, 2)), (0, 0)),
    "padding beyond the kernel": Case((1, 7, 6, 2), (2, 3, 2, 3), (1, 2), ((3, 2), (4, 3)), (0, 0)),
    "a result smaller than the steps": Case((1, 1, 1, 2), (2, 3, 3, 3), (3, 3), ((1, 1),) * 2,
                                            (0, 0)),
    "1-d": Case((2, 5, 3), (3, 4, 3), (2,), ((1, 0),), (1,)),
    "3-d": Case((1, 2, 3, 2, 2), (2, 3, 2, 3, 1), (1, 2, 3), ((1, 0),) * 3, (0, 1, 2)),
}  # fmt: skip


def transposed(case: Case, dilations: int = 1, groups: int = 1) -> Function:
    @ml.function(f32[case.x], f32[case.weight])
    def spread(x: Value, weight: Value) -> Value:
        return ml.conv_transpose(
            x, weight, strides=case.strides, padding=case.padding, output_padding=case.extra,
            dilations=dilations, groups=groups, layout="nhwc",
        )  # fmt: skip

    return spread


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", CASES)
def test_transposed_convolutions_become_convolutions(name: str, order: str) -> None:
    fn = transposed(CASES[name])
    found = conv_gradients(fn, ORDERS[order])
    same_results(fn, found)
    assert "conv_transpose" not in operations(found)
    assert layouts(found) == {order}


@pytest.mark.parametrize(
    ("inner", "channels", "wanted"), [(6, 3, "nchw"), (64, 3, "nhwc"), (6, 16, "nhwc")]
)
def test_vectors_lie_along_the_pixels_where_channels_are_few(
    inner: int, channels: int, wanted: str
) -> None:
    """Where they do not fill a vector on either side."""
    case = Case((1, 28, 28, inner), (inner, channels, 7, 7), (2, 2), ((3, 3), (3, 3)), (1, 1))
    found = conv_gradients(transposed(case), Target("cpu:test"))
    assert layouts(found) == {wanted}
    few = Case((1, 28, 28, 2), (2, channels, 2, 2), (2, 2), ((0, 0), (0, 0)), (0, 0))
    assert layouts(conv_gradients(transposed(few), Target("cpu:test"))) == {"nhwc"}


@pytest.mark.parametrize(("channels", "pads"), [(3, 0), (16, 1)])
def test_remainders_share_a_padded_input_that_they_cannot_do_without(
    channels: int, pads: int
) -> None:
    """Those whose sums are vectors leave the padding out by themselves."""
    case = Case((1, 14, 14, 32), (32, channels, 7, 7), (2, 2), ((3, 3), (3, 3)), (1, 1))
    fn = transposed(case)
    found = conv_gradients(fn, Target("cpu:test"))
    same_results(fn, found)
    assert operations(found).count("pad") == operations(found).count("barrier") == pads


def test_an_input_that_lies_channels_first_is_read_so() -> None:
    @ml.function(f32[1, 64, 28, 28], f32[64, 3, 7, 7])
    def spread(x: Value, weight: Value) -> Value:
        last = ml.transpose(x, (0, 2, 3, 1))
        y = ml.conv_transpose(
            last, weight, strides=2, padding=3, output_padding=1, layout="nhwc"
        )
        return ml.transpose(y, (0, 3, 1, 2))

    found = canonicalize(conv_gradients(spread, FIRST))
    same_results(spread, found)
    moved = [node.op for node in found.nodes if isinstance(node.op, Transpose)]
    assert all(op.x.shape[:2] == (64, 3) for op in moved)  # of filters alone


@pytest.mark.parametrize(("groups", "weight"), [(6, (6, 1)), (6, (6, 2)), (2, (6, 4)), (3, (6, 1))])
@pytest.mark.parametrize("step", [1, 2])
def test_those_of_groups_become_convolutions_of_groups(
    groups: int, weight: tuple[int, int], step: int
) -> None:
    case = Case((2, 5, 4, 6), (*weight, 3, 3), (step,) * 2, ((1, 1),) * 2, (step - 1,) * 2)
    fn = transposed(case, groups=groups)
    found = conv_gradients(fn)
    same_results(fn, found)
    if step > 1 and weight[1] == 1 and groups == 6:  # of one channel each
        assert "depthwise_conv_transpose" in operations(found)
        return
    made = [node.op for node in found.nodes if isinstance(node.op, Conv)]
    assert "conv_transpose" not in operations(found)
    assert {op.groups for op in made} == {groups}
    assert {op.layout for op in made} == {"nhwc"}


@pytest.mark.parametrize(
    ("kernel", "steps", "together"),
    [(3, (2, 2), True), (2, (4, 4), True), (5, (1, 2), True), (3, (8, 4), False),
     (7, (2, 2), False)],
)  # fmt: skip
def test_those_of_one_channel_each_are_written_where_they_lie(
    kernel: int, steps: tuple[int, int], *, together: bool
) -> None:
    """Where registers hold results of all remainders, and all taps can be written out."""
    case = Case((1, 5, 6, 16), (16, 1, kernel, kernel), steps, ((1, 0),) * 2, (0, 1))
    fn = transposed(case, groups=16)
    found = conv_gradients(fn)
    same_results(fn, found)
    assert ("depthwise_conv_transpose" in operations(found)) == together
    labels = [call.label for call in calls_of(ml.compile(fn).program.steps)]
    assert any("concat" in label for label in labels) != together


def test_dilated_ones_stay() -> None:
    fn = transposed(CASES["3x3"], dilations=2)
    assert conv_gradients(fn) is fn


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("size", [7, 8, 9])
@pytest.mark.parametrize(("kernel", "stride", "pad"), [(1, 2, 0), (3, 2, 1), (2, 3, 0), (5, 1, 2)])
def test_gradients_of_convolutions_in_steps(
    size: int, kernel: int, stride: int, pad: int, order: str
) -> None:
    @ml.function(f32[2, size, size + 1, 3], f32[4, 3, kernel, kernel])
    def f(x: Value, w: Value) -> Value:
        return ml.sum(ml.square(ml.conv(x, w, strides=stride, padding=pad, layout="nhwc")))

    fn = ml.value_and_grad(f)
    found = conv_gradients(fn, ORDERS[order])
    same_results(fn, found)
    assert "conv_transpose" not in operations(found)


def test_one_convolution_has_no_more_work_than_its_gradient() -> None:
    """In steps of 2 by 2 the nine taps are spread over four convolutions, not repeated."""
    case = Case((1, 6, 6, 8), (8, 4, 3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1))
    found = conv_gradients(transposed(case))
    kernels = [
        node.op.operands[1].type.static_shape[2:] for node in found.nodes if node.op.name == "conv"
    ]
    assert sorted(map(prod, kernels)) == [1, 2, 2, 4]


@pytest.mark.parametrize("channels", [3, 32])
@pytest.mark.parametrize("extra", [0, 1])
def test_results_of_all_remainders_are_put_in_their_places_in_one_pass(
    channels: int, extra: int
) -> None:
    case = Case((1, 3, 3, 8), (8, channels, 3, 3), (2, 2), ((1, 1), (1, 1)), (extra, extra))
    run = ml.compile(transposed(case))
    assert sum("concat" in call.label for call in calls_of(run.program.steps)) == 1


def test_an_image_is_padded_once_for_the_gradient_of_a_weight() -> None:
    expect(
        conv_gradients,
        before="""
            func @f(%x: tensor<2x5x5x3xf32>, %d: tensor<2x5x5x4xf32>) -> tensor<4x3x3x3xf32> {
              %0 = conv_weight_gradient %x, %d {kernel_size = [3, 3], strides = [1, 1], padding =
                [[1, 1], [1, 1]], dilations = [1, 1], layout = "nhwc"} : tensor<4x3x3x3xf32>
              return %0
            }""",
        after="""
            func @f(%x: tensor<2x5x5x3xf32>, %d: tensor<2x5x5x4xf32>) -> tensor<4x3x3x3xf32> {
              %0 = pad %x {low = [0, 1, 1, 0], high = [0, 1, 1, 0], value = 0.0}
                : tensor<2x7x7x3xf32>
              %1 = conv_weight_gradient %0, %d {kernel_size = [3, 3], strides = [1, 1], padding =
                [[0, 0], [0, 0]], dilations = [1, 1], layout = "nhwc"} : tensor<4x3x3x3xf32>
              return %1
            }""",
    )


@pytest.mark.parametrize(("size", "packed"), [(8, True), (7, False)])
def test_filters_of_run_time_are_packed_where_rows_enough_meet_them(
    size: int, packed: bool
) -> None:
    @ml.function(f32[1, size, 8, 3], f32[4, 3, 3, 3])
    def f(x: Value, w: Value) -> Value:
        return ml.conv(x, w, padding=1, layout="nhwc")

    found = pack_constants(f, target=Target("cpu:test"))
    same_results(f, found)
    assert ("panel_conv" in operations(found)) == packed
