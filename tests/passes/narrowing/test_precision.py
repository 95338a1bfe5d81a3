"""precision: products by constants multiply bf16 where that is allowed and the target can."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import (
    Function,
    InputError,
    PassError,
    TypeRuleError,
    UnsupportedError,
    Value,
    f32,
)
from mlir_lite.ir import ConstantData, parameter, run_reference
from mlir_lite.ops.algorithms.dots import DotConv, DotMatmul
from mlir_lite.ops.base.constant import constant
from mlir_lite.ops.base.elements import emit
from mlir_lite.ops.nn.blocked_attention import BlockedAttention
from mlir_lite.ops.windows.conv import Conv
from mlir_lite.passes import pipelines
from mlir_lite.passes.algorithms.attention import attention
from mlir_lite.passes.algorithms.conv_to_gemm import conv_to_gemm
from mlir_lite.passes.manager import run_passes, sample_inputs
from mlir_lite.passes.narrowing.precision import precision
from mlir_lite.passes.pipelines import cpu_pipeline
from mlir_lite.target import Target
from mlir_lite.types import Array, bf16

from ..expect import operations

PLAIN = Target("cpu:plain")
TARGET = replace(PLAIN, dot_instructions=frozenset({"vpdpbf16ps"}))


def random(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def narrowed(fn: Function, winograd: str | int = "auto") -> Function:
    """The function after the pass; its results within what rounding the factors may change."""
    got = precision(fn, target=TARGET, winograd=winograd)
    arrays = sample_inputs(fn)
    for want, have in zip(run_reference(fn, arrays), run_reference(got, arrays), strict=True):
        # 2**-7 of the sum of the products' sizes, which for random factors is some times as much
        # as the largest sum.
        assert np.max(np.abs(want - have), initial=0) <= 2**-5 * np.max(np.abs(want), initial=0)
    return got


def test_both_factors_are_rounded_and_the_sum_is_not() -> None:
    """A row more is needed for whole pairs; the panel is a vector wide."""
    text = """
        func @f(%x: tensor<2x3xf32>) -> tensor<2x1xf32> {{
          %0 = constant {{value = dense<[[1.0], [0.5], [-2.0]]>}} : tensor<3x1xf32>
          {}
        }}"""
    given = ml.parse(
        text.format("%1 = matmul %x, %0 : tensor<2x1xf32>  return %1")
    )
    wanted = ml.parse(
        text.format(
            """%f = flush %x : tensor<2x3xf32>
               %1 = cast %f {dtype = bf16} : tensor<2x3xbf16>
               %2 = cast %0 {dtype = bf16} : tensor<3x1xbf16>
               %3 = pad %1 {low = [0, 0], high = [0, 1], mode = "constant", value = 0.0} \
: tensor<2x4xbf16>
               %4 = pack_dots %2 {width = 16, depth = 2} : tensor<1x2x16x2xbf16>
               %5 = dot_matmul %3, %4 {columns = 1} : tensor<2x1xf32>
               return %5"""
        )
    )
    assert str(narrowed(given)) == str(wanted)


def test_a_convolution() -> None:
    fn = ml.function(f32[1, 6, 6, 5])(
        lambda x: ml.conv(x, random(20, 5, 3, 3), padding=1, layout="nhwc")
    )
    got = narrowed(fn, winograd="off")
    (conv,) = (node.op for node in got.nodes if isinstance(node.op, DotConv))
    assert conv.x.type.static_shape == (1, 8, 8, 6) and conv.channels == 20
    assert conv.panels.dtype == bf16


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("taps", [3, 4])
def test_an_image_channels_first_is_read_as_it_lies(taps: int, stride: int) -> None:
    """Pairs are neighbours in a row, whether these fill whole pairs or not."""
    fn = ml.function(f32[1, 3, 6, 9])(
        lambda x: ml.conv(
            ml.transpose(x, (0, 2, 3, 1)), random(20, 3, taps, taps),
            padding=1, strides=stride, layout="nhwc",
        )
    )  # fmt: skip
    got = narrowed(fn, winograd="off")
    (conv,) = (node.op for node in got.nodes if isinstance(node.op, DotConv))
    assert conv.layout == "nchw" and conv.x.shape[1] == 3


def test_a_convolution_of_single_pixels() -> None:
    fn = ml.function(f32[1, 6, 6, 4])(
        lambda x: ml.conv(x, random(20, 4, 1, 1), layout="nhwc")
    )
    assert "dot_matmul" in operations(narrowed(conv_to_gemm(fn)))


def test_rounding_comes_before_another_shape() -> None:
    """So that it is done where the values are computed."""
    fn = ml.function(f32[4, 6])(lambda x: ml.relu(x).reshape(2, 12) @ random(12, 8))
    assert operations(narrowed(fn))[:4] == ["relu", "flush", "cast", "reshape"]


def test_what_is_computed_for_several_is_rounded_before_it_is_cut() -> None:
    @ml.function(f32[6, 48])
    def fn(x: Value) -> Value:
        y = ml.relu(x)
        return y[:, :24] @ random(24, 8) + y[:, 24:] @ random(24, 8)

    assert operations(narrowed(fn))[:4] == ["relu", "flush", "cast", "slice"]
    small = ml.function(f32[6, 48])(lambda x: ml.relu(x)[:, :4] @ random(4, 8))
    assert operations(narrowed(small))[:4] == ["relu", "slice", "flush", "cast"]


def test_a_net_may_be_deep() -> None:
    depth, w = 400, random(4, 4)

    @ml.function(f32[2, 4])
    def fn(x: Value) -> Value:
        for _ in range(depth):
            x = ml.tanh(x @ w)
        return x

    assert operations(narrowed(fn)).count("dot_matmul") == depth


STAYS = {
    "of parameters": ml.function(f32[3, 5], f32[5, 4])(lambda x, w: x @ w),
    "in groups": ml.function(f32[1, 6, 6, 4])(
        lambda x: ml.conv(x, random(6, 2, 3, 3), groups=2, layout="nhwc")
    ),
    "with nothing in it": ml.function(f32[0, 5])(lambda x: x @ random(5, 4)),
    "of doubles": ml.function(ml.f64[3, 5])(lambda x: x @ random(5, 4).astype(np.float64)),
}


@pytest.mark.parametrize("name", STAYS)
def test_what_does_not_suit_stays(name: str) -> None:
    fn = STAYS[name]
    assert not [node for node in narrowed(fn).nodes if isinstance(node.op, (DotMatmul, DotConv))]


@pytest.mark.parametrize("choice", ["bf16", "f32"])
def test_nothing_changes_without_an_instruction_or_leave(choice: str) -> None:
    fn = ml.function(f32[3, 5])(lambda x: x @ random(5, 4))
    assert precision(fn, target=PLAIN if choice == "bf16" else TARGET, choice=choice) is fn


def of_size(size: int, channels: int, algorithm: str = "direct") -> Function:
    weight = random(channels, channels, 3, 3) / np.float32(channels)

    @ml.function(f32[1, size, size, channels])
    def fn(x: Value) -> Value:
        one, filters = (1, 1), constant(ConstantData.of(weight))
        return emit(Conv(x, filters, one, (one, one), one, 1, "nhwc", algorithm))

    return fn


def test_fewer_multiplications_may_beat_narrower_ones() -> None:
    """Large images in few channels; there the choice is written on the convolution."""
    assert "dot_conv" in operations(narrowed(of_size(7, 96)))
    got = precision(of_size(56, 64), target=TARGET)
    (conv,) = (node.op for node in got.nodes if isinstance(node.op, Conv))
    assert conv.algorithm == "winograd4"
    assert "dot_conv" in operations(precision(of_size(56, 64), target=TARGET, winograd="off"))


@pytest.mark.parametrize(("size", "channels"), [(14, 256), (7, 512)])
def test_fewer_multiplications_may_be_narrow_too(size: int, channels: int) -> None:
    """Small images in many channels: the factors of Winograd's algorithm are what is rounded."""
    fn = of_size(size, channels)
    got = operations(precision(fn, target=TARGET))
    assert [name for name in got if name.startswith(("cast", "dot", "winograd"))] == [
        "winograd_input", "winograd_filter", "cast", "cast", "dot_matmul", "winograd_output",
    ]  # fmt: skip
    assert "dot_conv" in operations(precision(fn, target=TARGET, winograd="off"))


@pytest.mark.parametrize(("keys", "causal"), [(32, False), (33, False), (32, True)])
def test_attention_multiplies_pairs(keys: int, *, causal: bool) -> None:
    """Where all keys are seen at once, and do not leave one over."""
    types = (f32[2, 24, 16], f32[2, keys, 16], f32[2, keys, 16])
    fn = ml.function(*types)(lambda q, k, v: ml.attention(q, k, v, causal=causal))
    got = narrowed(attention(fn, target=TARGET))
    (op,) = (node.op for node in got.nodes if isinstance(node.op, BlockedAttention))
    assert (op.together == 2) == (keys == 32 and not causal)
    assert (op.queries.dtype == bf16) == (op.together == 2)
    assert op.infer().dtype == f32


def test_products_of_f32_are_not_summed_in_pairs() -> None:
    x = parameter("x", f32[4, 8])
    with pytest.raises(TypeRuleError, match="products of f32 are summed one by one"):
        BlockedAttention(x, x, x, None, 0.5, 4, 4, together=2).infer()
    x = parameter("x", bf16[4, 7])
    with pytest.raises(TypeRuleError, match="keys of tensor<4x7xbf16> are not multiplied"):
        BlockedAttention(x, x, x, None, 0.5, 4, 4, together=2).infer()


@pytest.mark.parametrize("alone", [True, False])
def test_what_only_a_depthwise_convolution_reads_is_kept_narrow(*, alone: bool) -> None:
    """Of what others read there would be two."""
    taps = random(8, 1, 3, 3)

    @ml.function(f32[1, 8, 6, 6])
    def fn(x: Value) -> Value:
        made = ml.relu(x)
        y = ml.conv(made, taps, padding=1, groups=8)
        return y if alone else y + made

    got = operations(narrowed(fn))
    assert [name for name in got if name in ("flush", "cast", "barrier")] == (
        ["flush", "cast", "barrier", "cast"] if alone else []
    )


def test_an_algorithm_that_was_asked_for_stays() -> None:
    got = precision(of_size(7, 16, "winograd2"), target=TARGET)
    (conv,) = (node.op for node in got.nodes if isinstance(node.op, Conv))
    assert conv.algorithm == "winograd2"
    assert "dot_conv" not in operations(precision(of_size(7, 16), target=TARGET, winograd=2))


def test_the_pipeline_has_the_pass_where_it_is_asked_for() -> None:
    assert not any(step.name == "precision" for step in cpu_pipeline(TARGET))
    names = [step.name for step in cpu_pipeline(TARGET, precision="bf16")]
    assert names.index("conv-to-gemm") < names.index("precision") < names.index("winograd")


def test_the_manager_knows_that_the_pass_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """And holds the passes after it to the new results."""
    fn = ml.function(f32[3, 50])(lambda x: ml.relu(x @ random(50, 40)) @ random(40, 4))
    steps = cpu_pipeline(TARGET, precision="bf16")
    assert "dot_matmul" in str(run_passes(fn, steps, verify="each-pass"))

    def wrong(fn: Function, *, target: Target, choice: str, winograd: str) -> Function:
        return ml.function(f32[3, 50])(lambda x: x @ random(50, 40) @ random(40, 4))

    monkeypatch.setattr(pipelines, "PASSES", {**pipelines.PASSES, "precision": wrong})
    with pytest.raises(PassError, match="'precision' changed result 0"):
        run_passes(fn, steps, verify="each-pass")


def test_an_unknown_precision_is_an_error() -> None:
    fn = ml.function(f32[3, 5])(lambda x: x @ random(5, 4))
    with pytest.raises(UnsupportedError, match="no precision 'f16': it has f32 and bf16; cards"):
        precision(fn, target=TARGET, choice="f16")
    with pytest.raises(InputError, match="no precision 'half'"):
        ml.compile(fn, precision="half")
