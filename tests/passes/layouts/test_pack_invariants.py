"""pack-invariants: what a loop multiplies by lies in panels, packed once before it."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Function, Value, f32
from mlir_lite.ops.regions.control import Scan
from mlir_lite.passes.layouts.pack_invariants import LEAST_STEPS, pack_invariants
from mlir_lite.target import Target

from ..expect import expect

TARGET = Target("cpu", "x86-64-v4")
PASS = partial(pack_invariants, target=TARGET)


def test_a_weight_of_all_steps_is_packed_before_the_loop() -> None:
    expect(
        PASS,
        before="""
            func @f(%h: tensor<2x8xf32>, %w: tensor<8x8xf32>) -> tensor<2x8xf32> {
              %0 = scan [%h], [], [%w] {length = 9} @step(%s: tensor<2x8xf32>,
                  %w: tensor<8x8xf32>) {
                %0 = matmul %s, %w : tensor<2x8xf32>
                return %0
              } : tensor<2x8xf32>
              return %0
            }""",
        after="""
            func @f(%h: tensor<2x8xf32>, %w: tensor<8x8xf32>) -> tensor<2x8xf32> {
              %0 = pack_columns %w {width = 16} : tensor<1x8x16xf32>
              %1 = scan [%h], [], [%0] {length = 9} @step(%s: tensor<2x8xf32>,
                  %x: tensor<1x8x16xf32>) {
                %0 = panel_matmul %s, %x {columns = 8} : tensor<2x8xf32>
                return %0
              } : tensor<2x8xf32>
              return %1
            }""",
    )


def test_a_product_of_a_weight_by_a_thin_state_is_turned() -> None:
    expect(
        PASS,
        before="""
            func @f(%h: tensor<40x1xf32>, %w: tensor<40x40xf32>) -> tensor<40x1xf32> {
              %0 = scan [%h], [], [%w] {length = 9} @step(%s: tensor<40x1xf32>,
                  %w: tensor<40x40xf32>) {
                %0 = matmul %w, %s : tensor<40x1xf32>
                return %0
              } : tensor<40x1xf32>
              return %0
            }""",
        after="""
            func @f(%h: tensor<40x1xf32>, %w: tensor<40x40xf32>) -> tensor<40x1xf32> {
              %0 = transpose %w {perm = [1, 0]} : tensor<40x40xf32>
              %1 = pack_columns %0 {width = 48} : tensor<1x40x48xf32>
              %2 = scan [%h], [], [%1] {length = 9} @step(%s: tensor<40x1xf32>,
                  %x: tensor<1x40x48xf32>) {
                %0 = transpose %s {perm = [1, 0]} : tensor<1x40xf32>
                %1 = panel_matmul %0, %x {columns = 40} : tensor<1x40xf32>
                %2 = transpose %1 {perm = [1, 0]} : tensor<40x1xf32>
                return %2
              } : tensor<40x1xf32>
              return %2
            }""",
    )


def _powers(length: int) -> Function:
    @ml.function(f32[4, 40], f32[40, 40])
    def powers(x: Value, w: Value) -> Value:
        return ml.scan(lambda s, _: (s @ w, None), x, length=length)[0]

    return powers


def test_short_loops_and_states_stay_as_they_are() -> None:
    short = _powers(LEAST_STEPS - 1)
    assert PASS(short) is short

    @ml.function(f32[5, 8, 8], f32[8, 8])
    def squares(xs: Value, x: Value) -> Value:
        return ml.scan(lambda s, m: (s @ m @ s, None), x, xs)[0]

    assert PASS(squares) is squares


@pytest.mark.parametrize("threads", [1, 2])
def test_packed_loops_and_their_gradients_compute_the_same(threads: int) -> None:
    @ml.function(f32[6, 3, 20], f32[20, 70], f32[70, 70])
    def loss(xs: Value, w: Value, u: Value) -> Value:
        def step(h: Value, x: Value) -> tuple[Value, None]:
            return ml.tanh(x @ w + h @ u), None

        return ml.square(ml.scan(step, ml.zeros((3, 70)), xs)[0]).mean()

    gradient = ml.value_and_grad(loss)
    packed = [node.op.name for node in PASS(gradient).nodes].count("pack_columns")
    assert packed >= 2  # for the way there and the way back
    random = np.random.default_rng(0)
    arrays = [
        (0.2 * random.standard_normal(param.type.static_shape)).astype("f4")
        for param in gradient.params
    ]
    expected = ml.evaluate(gradient, *arrays)
    results = ml.compile(gradient, threads=threads)(*arrays)
    for have, want in zip(results, expected, strict=True):
        # Sums of 70 products, six steps deep.
        np.testing.assert_allclose(have, want, rtol=1e-4, atol=1e-6)


def test_while_loops_are_packed_too() -> None:
    @ml.function(f32[1, 40], f32[40, 40])
    def grown(x: Value, w: Value) -> Value:
        return ml.while_loop(lambda s: s.max() < 1e3, lambda s: s @ w, x, limit=100)

    changed = PASS(grown)
    assert "pack_columns" in [node.op.name for node in changed.nodes]
    assert not any(isinstance(node.op, Scan) for node in changed.nodes)
    x, w = np.ones((1, 40), "f4"), np.full((40, 40), 0.05, "f4")
    np.testing.assert_allclose(ml.compile(grown)(x, w), ml.evaluate(grown, x, w), rtol=1e-5)
