"""Convolutions and pools on cards: by Winograd's algorithm, windows in registers, gradients."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Function, Value, bf16, f32
from mlir_lite.ir import run_reference
from mlir_lite.tile.checks.verify import verify_kernel
from mlir_lite.tile.interpreter import run_program
from mlir_lite.tile.program import Program
from mlir_lite.types import Array

from ..compiled import Compiled, all_orders, card, planned
from ..shim import needs_shim


def random(*shape: int) -> Array:
    return np.random.default_rng(len(shape)).standard_normal(shape).astype(np.float32)


def arrays_for(fn: Function) -> list[Array]:
    rng = np.random.default_rng(0)
    return [
        rng.standard_normal(param.type.static_shape).astype(param.dtype.numpy)
        for param in fn.params
    ]


def check(found: tuple[Array, ...], fn: Function, arrays: list[Array], limit: float) -> None:
    """Errors are at most `limit` of the largest element of each result."""
    wanted = run_reference(fn, [array.astype(np.float64) for array in arrays])
    for result, exact in zip(found, wanted, strict=True):
        error = np.abs(result.astype(np.float64) - exact).max()
        assert error <= limit * np.abs(exact).max()


def buffers_of(program: Program) -> list[set[str]]:
    return [set(kernel.buffers) for kernel in program.kernels]


# Winograd's algorithm

BLOCK = random(9, 9, 3, 3), random(9), random(9, 9, 3, 3), random(9)


@ml.function(f32[1, 9, 5, 6])
def block(x: Value) -> Value:
    """A residual block: tiles reach beyond the edges, biases and the sum follow the transform."""
    first, bias, second, shift = BLOCK
    y = ml.relu(ml.conv2d(x, first, bias, padding=1))
    return ml.relu(ml.conv2d(y, second, shift, padding=1) + x)


@pytest.mark.parametrize("tile", [2, 4])
def test_winograd_stages_are_three_kernels_with_the_epilogue_in_the_last(tile: int) -> None:
    program, constants = planned(block, card(threads=32), tile)
    names = [call.kernel for call in program.calls]
    stages = [name for name in names if "transpose" not in name.split("_")[0]]
    assert [name.partition("_")[0] for name in stages] == ["winograd", "panel", "winograd"] * 2
    assert "relu" in stages[2] and "add" in stages[5]
    assert any("sums" in buffers for buffers in buffers_of(program))
    for kernel in program.kernels:
        verify_kernel(kernel)
    arrays = arrays_for(block)
    # Two layers, each within what one may lose (`passes/algorithms/convolutions.py`).
    check(run_program(program, arrays, constants), block, arrays, 2e-5)


@needs_shim
@pytest.mark.parametrize("tile", [2, 4])
def test_winograd_source_computes_the_convolution(tile: int, tmp_path: Path) -> None:
    compiled = Compiled.of(block, tmp_path, target=card(threads=64), winograd=tile)
    arrays = arrays_for(block)
    check(all_orders(compiled, arrays), block, arrays, 2e-5)


@pytest.mark.parametrize(("tile", "load"), [(2, "load_f32x4"), (4, "load_f32x2")])
def test_pixels_at_edges_are_read_in_runs_of_few_enough_registers(tile: int, load: str) -> None:
    text = str(planned(layer(3, 1), card(), tile)[0].kernels[0])
    reads = [line for line in text.splitlines() if "x[" in line]
    assert len(reads) == (tile + 2) ** 2 and all(load in line for line in reads)


@pytest.mark.parametrize("tile", ["off", 2, 4])
def test_every_launch_depends_on_what_a_model_is_called_with(tile: str | int) -> None:
    program, constants = planned(layer(3, 1), card(), tile)
    reached = {"x"}
    for step in program.calls:
        slots = {view.slot for view in step.args}
        assert slots & reached
        reached |= slots - constants.keys()


def large_layer(batch: int) -> Function:
    """A layer of a large network, with filters of the size that keeps numbers as they are."""
    weight = random(256, 256, 3, 3) / 48
    return ml.function(f32[batch, 256, 14, 14])(lambda x: ml.conv2d(x, weight, padding=1))


def test_winograd_is_chosen_where_it_pays() -> None:
    few, many = large_layer(1), large_layer(32)
    texts = [ml.compile(fn, target="cuda:sm_90").stages["fused"] for fn in (few, many)]
    assert ["winograd" in text for text in texts] == [False, True]
    off = ml.compile(many, target="cuda:sm_90", winograd="off").stages["fused"]
    asked = ml.compile(few, target="cuda:sm_90", winograd=2).stages["fused"]
    assert "panel_conv" in off and "tile = 2" in asked


def test_rounded_factors_are_not_summed_by_winograd() -> None:
    """A product of bf16 takes an eighth of the time, and its errors would grow in the sums."""
    executable = ml.compile(large_layer(32), target="cuda:sm_90", precision="bf16")
    assert "panel_conv" in executable.stages["fused"]


@ml.function(bf16[1, 16, 6, 7])
def first_layer(x: Value) -> Value:
    """Channels that are whole accesses only once they lie side by side."""
    return ml.relu(ml.conv2d(x, random(8, 16, 3, 3).astype(bf16.numpy), padding=1))


def test_a_transpose_is_a_kernel_where_that_makes_accesses_whole() -> None:
    program, _ = planned(first_layer, card())
    assert "transpose" in program.calls[0].kernel
    (product,) = [kernel for kernel in program.kernels if "sums" in kernel.buffers]
    assert str(product).count("call @copy_bf16x8") == 4  # of both operands, at first and ahead


# Windows in registers


def depthwise(x: Value, taps: int, stride: int, dilation: int, many: int = 1) -> Value:
    channels = x.type.static_shape[-1]
    return ml.conv(
        x,
        random(channels * many, 1, taps, taps),
        strides=stride,
        padding=dilation * (taps // 2),
        dilations=dilation,
        groups=channels,
        layout="nhwc",
    )


@ml.function(f32[2, 9, 11, 6])
def depthwise_last(x: Value) -> tuple[Value, ...]:
    """Channels-last: strides, dilations that divide one another either way, multipliers."""
    cases = ((3, 1, 1), (3, 2, 1), (5, 1, 1), (5, 2, 1), (3, 1, 2), (3, 2, 2))
    plain = tuple(ml.relu(depthwise(x, *case)) for case in cases)
    return *plain, depthwise(x, 3, 1, 1, 2), depthwise(x, 3, 2, 3)


@ml.function(f32[2, 5, 9, 11])
def depthwise_first(x: Value) -> tuple[Value, ...]:
    return (
        ml.conv2d(x, random(5, 1, 3, 3), padding=1, groups=5),
        ml.conv2d(x, random(10, 1, 5, 5), random(10), padding=2, groups=5),
        ml.conv1d(x[:, :, 0], random(5, 1, 3), padding=1, groups=5),
    )


@ml.function(f32[2, 4, 9, 11])
def pools(x: Value) -> tuple[Value, ...]:
    return (
        ml.max_pool(x, 3, strides=2, padding=1),
        ml.average_pool(x, 2),
        ml.average_pool(x, 3, strides=1, padding=1),
        ml.max_pool(x, 3, strides=2, ceil_mode=True),
    )


@ml.function(bf16[1, 7, 9, 8])
def depthwise_narrow(x: Value) -> Value:
    return ml.relu(
        ml.conv(x, random(8, 1, 3, 3).astype(bf16.numpy), padding=1, groups=8, layout="nhwc")
    )


@ml.function(f32[2, 9, 13, 40])
def depthwise_inside(x: Value) -> Value:
    """Seven rows of eleven, which tiles do not divide, and no padding that would be guarded."""
    return ml.conv(x, random(40, 1, 3, 3), groups=40, layout="nhwc")


WINDOWS = (depthwise_last, depthwise_first, pools, depthwise_narrow, depthwise_inside)
each_window = pytest.mark.parametrize("fn", WINDOWS, ids=lambda fn: fn.name)


def limit_of(fn: Function) -> float:
    """Sums of 25 products at most; a narrow result is rounded."""
    return 2.0**-8 if fn.params[0].dtype == bf16 else 1e-6


@each_window
def test_windows_are_seen_in_registers(fn: Function) -> None:
    program, constants = planned(fn, card(threads=32, multiprocessors=1))
    plain = [buffers for buffers in buffers_of(program) if "acc" in buffers]
    unseen = [buffers for buffers in plain if "seen" not in buffers]
    # Steps of two over taps three apart have few elements in common.
    assert len(unseen) == (1 if fn is depthwise_last else 0)
    for kernel in program.kernels:
        verify_kernel(kernel)
    arrays = arrays_for(fn)
    check(run_program(program, arrays, constants), fn, arrays, limit_of(fn))


@needs_shim
@each_window
@pytest.mark.parametrize("multiprocessors", [1, 132])
def test_source_of_windows_computes_them(
    fn: Function, multiprocessors: int, tmp_path: Path
) -> None:
    """With few multiprocessors a thread has many results, with many one."""
    compiled = Compiled.of(fn, tmp_path, target=card(multiprocessors=multiprocessors))
    arrays = arrays_for(fn)
    check(all_orders(compiled, arrays), fn, arrays, limit_of(fn))


def test_a_result_one_wide_reads_nothing_beside_its_input() -> None:
    """Whether a tap is in the image then depends on the tap alone: both factors must know."""

    @ml.function(f32[2, 3, 4, 2], f32[8, 3, 3, 3])
    def narrow(x: Value, w: Value) -> Value:
        return ml.conv(x, w, strides=(1, 3), padding=1)

    program, constants = planned(narrow, card(threads=64))
    arrays = arrays_for(narrow)
    check(run_program(program, arrays, constants), narrow, arrays, 1e-6)


# Memory


def layer(taps: int, groups: int) -> Function:
    weight = random(32, 32 // groups, taps, taps)
    return ml.function(f32[2, 8, 8, 32], name=f"layer{taps}")(
        lambda x: ml.conv(x, weight, padding=taps // 2, groups=groups, layout="nhwc")
    )


@needs_shim
@pytest.mark.parametrize(
    ("fn", "winograd", "most"),
    [
        (layer(3, 1), "off", 1.0),
        # Rows of points are eight terms long, less than a line; a tile of them ends before that.
        (layer(3, 1), 4, 1.1),
        (layer(5, 32), "off", 1.0),
    ],
    ids=["direct", "winograd", "depthwise"],
)
def test_memory_is_touched_in_whole_sectors_and_all_banks(
    fn: Function, winograd: str | int, most: float, tmp_path: Path
) -> None:
    target = card(multiprocessors=1)
    compiled = Compiled.of(fn, tmp_path, target=target, winograd=winograd, watched=True)
    compiled(*arrays_for(fn))
    counts = compiled.device.counts()
    assert counts.sectors <= most * counts.least_sectors
    assert counts.passes == counts.least_passes


# Gradients


@ml.function(f32[1, 8, 5, 6], f32[9, 8, 3, 3])
def loss(x: Value, w: Value) -> Value:
    return ml.sum(ml.square(ml.conv2d(x, w, padding=1)))


@ml.function(f32[1, 8, 5, 6], f32[9, 8, 3, 3])
def strided_loss(x: Value, w: Value) -> Value:
    return ml.sum(ml.square(ml.conv2d(x, w, stride=2, padding=1)))


GRADIENTS = tuple(ml.grad(fn, wrt=("x", "w")) for fn in (loss, strided_loss))
each_gradient = pytest.mark.parametrize("fn", GRADIENTS, ids=lambda fn: fn.name)


@each_gradient
def test_gradients_of_convolutions_are_products_by_tiles(fn: Function) -> None:
    program, constants = planned(fn, card(threads=32))
    untiled = [
        kernel.name
        for kernel in program.kernels
        if "conv" in kernel.name and "sums" not in kernel.buffers and "_sum" not in kernel.name
    ]
    assert not untiled
    (weight,) = [kernel for kernel in program.kernels if "weight_gradient" in kernel.name][:1]
    assert "call @copy_f32x4" in str(weight)  # the channels of an image lie side by side
    arrays = arrays_for(fn)
    check(run_program(program, arrays, constants), fn, arrays, 1e-5)


@needs_shim
@each_gradient
def test_source_of_gradients_computes_them(fn: Function, tmp_path: Path) -> None:
    arrays = arrays_for(fn)
    check(all_orders(Compiled.of(fn, tmp_path), arrays), fn, arrays, 1e-5)


# Tensor cores


@ml.function(bf16[2, 17, 19, 32], bf16[64, 32, 3, 3], bf16[64])
def few_filters(x: Value, w: Value, b: Value) -> Value:
    return ml.relu(ml.conv(x, w, b, padding=1, layout="nhwc"))


@needs_shim
def test_two_warps_have_all_filters_where_these_are_few(tmp_path: Path) -> None:
    """So each loads fragments for twice the products of four warps that share 64 columns."""
    target = card("sm_80", multiprocessors=1)
    (kernel,) = [one for one in planned(few_filters, target)[0].kernels if "mma" in str(one)]
    assert 'warp "warp" in 0..2' in str(kernel)
    verify_kernel(kernel)
    arrays = arrays_for(few_filters)
    compiled = Compiled.of(few_filters, tmp_path, target=target)
    check(all_orders(compiled, arrays), few_filters, arrays, 2.0**-8)
