"""The recipe for products whose columns' parts meet element by element: gates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Function, Value, f32, nn
from mlir_lite.ops.algorithms.panels import panel_matmul
from mlir_lite.ops.regions.group import Group
from mlir_lite.ops.shapes.slice import slice_axis
from mlir_lite.passes.fusion.fuse import fuse
from mlir_lite.passes.lowering.handmade import region_kernel
from mlir_lite.passes.schedule.products.gated import gates_of
from mlir_lite.target import Target
from mlir_lite.tile.nodes import Kernel, Loop, Space

from ..expect import same_results
from .scheduled import LANES, TARGETS, check

TARGET = Target("cpu:test")
DEPTH = 9


def gated(
    rows: int, parts: int, size: int, width: int, combine: Callable[..., object]
) -> Function:
    """`combine` of the equal parts of a product, whose right operand is in panels."""
    columns = parts * size

    @ml.function(f32[rows, DEPTH], f32[-(-columns // width), DEPTH, width], f32[rows, size])
    def fn(x: Value, panels: Value, c: Value) -> object:
        y = panel_matmul(x, panels, columns)
        return combine(*(slice_axis(y, -1, part * size, size) for part in range(parts)), c)

    return fn


def gate(a: Value, b: Value, c: Value) -> Value:
    return ml.sigmoid(a) * b + c


def two_states(i: Value, f: Value, g: Value, o: Value, c: Value) -> tuple[Value, Value]:
    c = ml.sigmoid(f) * c + ml.sigmoid(i) * ml.tanh(g)
    return ml.sigmoid(o) * ml.tanh(c), c


def in_one_block(kernel: Kernel) -> bool:
    """Whether all is done under one loop, which keeps only a part of the product."""
    (buffer,) = (part for part in kernel.locals if part.space is Space.SHARED)
    return len(kernel.body) == 1 and isinstance(kernel.body[0], Loop) and buffer.shape[-1] < 1000


@LANES
@pytest.mark.parametrize("rows", [2, 7, 32])
def test_parts_of_a_product_are_done_in_blocks(lanes: int, rows: int) -> None:
    for width in (lanes, 2 * lanes):
        assert in_one_block(check(gated(rows, 2, 4 * width, width, gate), lanes))
        assert in_one_block(check(gated(rows, 4, 5 * width, width, two_states), lanes))


@LANES
def test_whatever_is_added_to_all_parts(lanes: int) -> None:
    size, width = 4 * lanes, lanes

    @ml.function(
        f32[5, DEPTH], f32[12, DEPTH, width], f32[5, 3 * size], f32[3 * size], f32[5, size]
    )
    def cell(x: Value, panels: Value, inputs: Value, bias: Value, h: Value) -> Value:
        past = panel_matmul(x, panels, 3 * size) + bias
        of_x, of_h = (
            [slice_axis(y, 1, part * size, size) for part in range(3)] for y in (inputs, past)
        )
        new = ml.tanh(of_x[2] + ml.sigmoid(of_x[0] + of_h[0]) * of_h[2])
        return new + ml.sigmoid(of_x[1] + of_h[1]) * (h - new)

    assert in_one_block(check(cell, lanes))


def test_the_next_part_s_panel_is_asked_for_while_it_is_far() -> None:
    fn = gated(32, 2, 64, 16, gate)
    far = replace(TARGETS[16], l2_bytes=1 << 10)
    asked = "call @prefetch_f32(panels[b + (g + 1) floordiv 2 + (g + 1) mod 2 * 4, 0, "
    assert asked in str(check(fn, 16, far))
    assert asked not in str(check(fn, 16))
    assert asked not in str(check(gated(2, 2, 64, 16, gate), 16, far))  # once, in one tile


def other_rows(a: Value, b: Value, c: Value) -> Value:
    return a + ml.flip(b, 0) + c


def other_columns(a: Value, b: Value, c: Value) -> Value:
    return a + ml.flip(b, 1) + c


@pytest.mark.parametrize(
    "fn",
    [
        gated(1, 2, 64, 16, gate),
        gated(4, 2, 48, 16, gate),
        gated(4, 2, 72, 16, gate),
        gated(600, 2, 64, 16, gate),
        gated(4, 2, 64, 16, lambda a, b, c: a + c),
        gated(4, 2, 64, 16, other_rows),
        gated(4, 2, 64, 16, other_columns),
        gated(4, 2, 64, 16, lambda a, b, c: ml.sum(a * b + c, 1)),
    ],
    ids=["one row", "few", "cut panels", "many rows", "half", "rows", "columns", "sum"],
)
def test_others_are_not(fn: Function) -> None:
    assert gates_of(region_kernel(fn, "kernel")) is None
    check(fn, 16)


def test_such_products_and_what_reads_them_become_one_group() -> None:
    fn = gated(4, 4, 64, 16, two_states)
    fused = fuse(fn, target=TARGET)
    same_results(fn, fused)
    (kind,) = (node.op.kind for node in fused.nodes if isinstance(node.op, Group))
    assert kind == "gates"


def test_parts_of_a_product_in_another_shape_are_left_to_themselves() -> None:
    """Which is no operation of a kernel."""

    @ml.function(f32[4, DEPTH], f32[4, DEPTH, 16])
    def fn(x: Value, panels: Value) -> Value:
        y = ml.reshape(panel_matmul(x, panels, 64), (2, 2, 64))
        return ml.sigmoid(slice_axis(y, -1, 0, 32)) * slice_axis(y, -1, 32, 32)

    same_results(fn, fuse(fn))


def test_a_product_that_is_a_result_too_stays_alone() -> None:
    @ml.function(f32[4, DEPTH], f32[8, DEPTH, 16])
    def fn(x: Value, panels: Value) -> tuple[Value, Value]:
        y = panel_matmul(x, panels, 128)
        return y, slice_axis(y, 1, 0, 64) * slice_axis(y, 1, 64, 64)

    fused = fuse(fn, target=TARGET)
    same_results(fn, fused)
    assert all(node.op.kind != "gates" for node in fused.nodes if isinstance(node.op, Group))


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_a_layer_has_one_kernel_a_step_and_the_same_bits_on_two_threads(kind: str) -> None:
    class Net(nn.Module):
        layer: nn.LSTM | nn.GRU

        def forward(self, x: Value) -> tuple[Value, ...]:
            return self.layer.forward(x)

    net = Net({"LSTM": nn.LSTM, "GRU": nn.GRU}[kind](24, 256))
    fn = ml.function(net, f32[6, 8, 24]).bind(net.init(seed=0))
    x = np.random.default_rng(0).standard_normal((6, 8, 24)).astype("f4")
    one, two = (ml.compile(fn, threads=threads) for threads in (1, 2))
    (loop,) = (step for step in one.program.steps if hasattr(step, "body"))
    assert len(loop.body) == 1
    for alone, together, wanted in zip(one(x), two(x), ml.evaluate(fn, x), strict=True):
        assert alone.tobytes() == together.tobytes()
        # Six steps of sums of 256 products, in f32.
        np.testing.assert_allclose(alone, wanted, rtol=1e-4, atol=1e-6)
