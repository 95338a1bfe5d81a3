"""The recipe for windows and the product of what they leave: a few rows of both at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import DType, Function, TensorType, Value, f32, f64
from mlir_lite.ops.algorithms.depthwise import depthwise_conv
from mlir_lite.ops.regions.group import Group
from mlir_lite.passes.fusion.fuse import fuse
from mlir_lite.passes.lowering.handmade import region_kernel
from mlir_lite.passes.schedule.cost.windows import SeparableSizes, rows_together
from mlir_lite.passes.schedule.separable import Separable, separable_of
from mlir_lite.target import Target, named_target
from mlir_lite.tile.nodes import Kernel, Loop, Space
from mlir_lite.tile.tree import extent_of

from ..expect import same_results
from .scheduled import LANES, check

TARGET = Target("cpu:test")


def separable(
    images: int,
    size: tuple[int, ...],
    channels: int,
    columns: int,
    stride: int = 1,
    finish: Callable[[Value], Value] = ml.relu,
) -> Function:
    """3x3 windows of each channel (of 1x3x3, where there are three axes), then a product."""
    taps = (*(1,) * (len(size) - 2), 3, 3)
    pads = tuple((tap // 2, tap // 2) for tap in taps)
    strides, near = (stride,) * len(size), (1,) * len(size)

    @ml.function(
        f32[(images, *size, channels)],
        f32[(*taps, channels)],
        f32[channels],
        f32[channels, columns],
        f32[columns],
    )
    def fn(x: Value, w: Value, b: Value, v: Value, c: Value) -> Value:
        return finish(ml.relu(depthwise_conv(x, w, strides, pads, near) + b) @ v + c)

    return fn


def kept(kernel: Kernel) -> tuple[int, ...]:
    """The sizes of what the windows leave for the product, all in one block."""
    (buffer,) = (part for part in kernel.locals if part.space is Space.SHARED)
    assert len(kernel.body) == 1 and isinstance(kernel.body[0], Loop)
    return buffer.shape


def kinds(fn: Function) -> list[str]:
    return [node.op.kind for node in fn.nodes if isinstance(node.op, Group)]


@LANES
@pytest.mark.parametrize("stride", [1, 2])
def test_rows_are_done_in_blocks(lanes: int, stride: int) -> None:
    for width, channels, columns in ((7, lanes, lanes), (9, 2 * lanes, lanes + 3), (2, 5, 2)):
        fn = separable(1, (16 * stride, width * stride), channels, columns, stride)
        assert kept(check(fn, lanes))[0] == 2


@LANES
def test_rows_that_two_do_not_divide(lanes: int) -> None:
    assert kept(check(separable(1, (27, 5), lanes, lanes), lanes))[0] == 3


@LANES
def test_images_and_their_slices_are_dealt_out_with_their_rows(lanes: int) -> None:
    for images, size in ((3, (16, 5)), (2, (3, 16, 4))):
        kernel = check(separable(images, size, lanes, lanes), lanes)
        (loop,) = kernel.body
        assert isinstance(loop, Loop)
        assert extent_of(loop) == images * 8 * (size[0] if len(size) == 3 else 1)


def test_pools_too() -> None:
    @ml.function(f32[1, 32, 12, 16], f32[16, 24])
    def fn(x: Value, v: Value) -> Value:
        return ml.max_pool(x, (2, 2), layout="nhwc") @ v

    assert kept(check(fn, 16)) == (2, 6, 16)


@pytest.mark.parametrize(
    "fn",
    [
        separable(1, (7, 7), 16, 16),
        separable(1, (31, 7), 16, 16),
        separable(1, (16, 4096), 64, 16),
        separable(1, (16, 7), 1024, 256),
        ml.function(f32[1, 16, 9, 16], f32[3, 3, 16], f32[16, 16])(
            lambda x, w, v: ml.flip(
                depthwise_conv(x, w, (1, 1), ((1, 1), (1, 1)), (1, 1)), 1
            ) @ v
        ),
        ml.function(f32[1, 16, 9, 16], f32[16, 16], f32[16, 16])(lambda x, w, v: (x @ w) @ v),
    ],
    ids=["few rows", "a prime", "long rows", "a large factor", "other rows", "two products"],
)
def test_others_are_not(fn: Function) -> None:
    assert separable_of(region_kernel(fn, "kernel"), TARGET) is None


def test_what_the_caches_hold_decides() -> None:
    sizes = SeparableSizes(rows=56, row_bytes=20_000, all_bytes=56 * 20_000, right_bytes=10_000)
    assert rows_together(sizes, TARGET) == 2
    assert rows_together(sizes, replace(TARGET, l2_bytes=80_000)) == 0
    assert rows_together(replace(sizes, right_bytes=500_000), TARGET) == 0
    kernel = region_kernel(separable(1, (16, 9), 16, 16), "kernel")
    assert separable_of(kernel, TARGET) == Separable(1, 2)
    assert separable_of(kernel, replace(TARGET, l2_bytes=3_000)) is None


def test_windows_and_their_product_become_one_group() -> None:
    fn = separable(1, (16, 9), 16, 24, finish=lambda y: ml.minimum(y, 6.0))
    fused = fuse(fn, target=TARGET)
    same_results(fn, fused)
    assert kinds(fused) == ["separable"]
    assert "separable" not in kinds(fuse(fn, target=named_target("cuda:sm_90")))


def test_windows_that_something_else_needs_are_computed_by_themselves() -> None:
    @ml.function(f32[1, 16, 9, 16], f32[3, 3, 16], f32[16, 24])
    def fn(x: Value, w: Value, v: Value) -> tuple[Value, Value]:
        y = ml.relu(depthwise_conv(x, w, (1, 1), ((1, 1), (1, 1)), (1, 1)))
        return y, y @ v

    fused = fuse(fn, target=TARGET)
    same_results(fn, fused)
    assert "separable" not in kinds(fused)


def residual(
    dtype: DType, images: int, side: int, channels: int, wide: int, stride: int
) -> Function:
    """The block of MobileNetV2 (Sandler et al., 2018), without its norms."""
    taps = TensorType((wide, 1, 3, 3), dtype)

    @ml.function(
        dtype[images, side, side, channels], dtype[channels, wide], taps, dtype[wide],
        dtype[wide, channels],
    )
    def block(x: Value, a: Value, w: Value, b: Value, v: Value) -> Value:
        y = ml.clip(x @ a, 0.0, 6.0)
        y = ml.conv(y, w, strides=stride, padding=1, groups=wide, layout="nhwc")
        y = ml.clip(y + b, 0.0, 6.0) @ v
        return x + y if stride == 1 else y

    return block


@pytest.mark.parametrize(("precision", "wide"), [("f32", 101), ("bf16", 102)])
@pytest.mark.parametrize(("side", "stride"), [(36, 1), (35, 2)])
def test_an_inverted_residual(side: int, stride: int, precision: str, wide: int) -> None:
    """Right whatever the precision, and with the same bits on two threads."""
    random = np.random.default_rng(stride)
    block = residual(f32, 2, side, 19, wide, stride)
    x, *weights = (
        (random.standard_normal(param.type.static_shape) / 4).astype("f4")
        for param in block.params
    )
    fn = block.bind(dict(zip("awbv", weights, strict=True)))
    one, two = (ml.compile(fn, threads=threads, precision=precision) for threads in (1, 2))
    assert 'kind = "separable"' in one.stages["fused"]
    result = one(x)
    assert result.tobytes() == two(x).tobytes()
    wanted = residual(f64, 2, side, 19, wide, stride)
    exact = ml.evaluate(wanted, *(array.astype("f8") for array in (x, *weights)))
    error = np.max(np.abs(result - exact)) / np.max(np.abs(exact))
    # Three sums one after the other, the longest of some hundred terms; bf16 has eight bits.
    assert error < (1e-2 if precision == "bf16" else 1e-6)
