"""sink: sums and products that no step waits for, after a loop."""

from __future__ import annotations

from math import prod

import mlir_lite as ml
from mlir_lite import Function, Value, f32, nn
from mlir_lite.ops.products.matmul import Matmul
from mlir_lite.ops.regions.control import Scan
from mlir_lite.passes.loops.hoist import hoist
from mlir_lite.passes.loops.sink import sink
from mlir_lite.passes.simplify.canonicalize import canonicalize

from ..expect import expect, same_results


def test_sums_of_products_become_one_product_of_all_rows() -> None:
    expect(
        sink,
        before="""
            func @f(%xs: tensor<8x4x3xf32>, %ds: tensor<8x4x5xf32>, %w: tensor<3x5xf32>,
                %h: tensor<4x3xf32>) -> (tensor<3x5xf32>, tensor<5xf32>) {
              %0 = constant {value = dense<0.0>} : tensor<f32>
              %1 = broadcast %0 {shape = [5]} : tensor<5xf32>
              %2, %3, %4 = scan [%h, %w, %1], [%xs, %ds], [] {length = 8}
                  @step(%state0: tensor<4x3xf32>, %state1: tensor<3x5xf32>,
                  %state2: tensor<5xf32>, %x0: tensor<4x3xf32>, %x1: tensor<4x5xf32>) {
                %0 = sin %state0 : tensor<4x3xf32>
                %1 = multiply %0, %x0 : tensor<4x3xf32>
                %2 = transpose %1 {perm = [1, 0]} : tensor<3x4xf32>
                %3 = matmul %2, %x1 : tensor<3x5xf32>
                %4 = add %state1, %3 : tensor<3x5xf32>
                %5 = sum %x1 {axes = [0]} : tensor<5xf32>
                %6 = add %state2, %5 : tensor<5xf32>
                return %1, %4, %6
              } : tensor<4x3xf32>, tensor<3x5xf32>, tensor<5xf32>
              return %3, %4
            }""",
        after="""
            func @f(%xs: tensor<8x4x3xf32>, %ds: tensor<8x4x5xf32>, %w: tensor<3x5xf32>,
                %h: tensor<4x3xf32>) -> (tensor<3x5xf32>, tensor<5xf32>) {
              %0, %1 = scan [%h], [%xs], [] {length = 8} @step(%state0: tensor<4x3xf32>,
                  %x0: tensor<4x3xf32>) {
                %0 = sin %state0 : tensor<4x3xf32>
                %1 = multiply %0, %x0 : tensor<4x3xf32>
                return %1, %1
              } : tensor<4x3xf32>, tensor<8x4x3xf32>
              %2 = reshape %ds {shape = [32, 5]} : tensor<32x5xf32>
              %3 = reshape %1 {shape = [32, 3]} : tensor<32x3xf32>
              %4 = transpose %3 {perm = [1, 0]} : tensor<3x32xf32>
              %5 = matmul %4, %2 : tensor<3x5xf32>
              %6 = add %w, %5 : tensor<3x5xf32>
              %7 = sum %ds {axes = [0, 1]} : tensor<5xf32>
              return %6, %7
            }""",
    )


def test_products_that_are_only_stacked_become_one() -> None:
    expect(
        sink,
        before="""
            func @f(%xs: tensor<8x4x3xf32>, %h: tensor<4x3xf32>, %w: tensor<3x5xf32>,
                %b: tensor<5xf32>) -> tensor<8x4x5xf32> {
              %0, %1 = scan [%h], [%xs], [%w, %b] {length = 8} @step(%state: tensor<4x3xf32>,
                  %x: tensor<4x3xf32>, %w: tensor<3x5xf32>, %b: tensor<5xf32>) {
                %0 = sin %state : tensor<4x3xf32>
                %1 = multiply %0, %x : tensor<4x3xf32>
                %2 = matmul %1, %w : tensor<4x5xf32>
                %3 = broadcast %b {shape = [4, 5]} : tensor<4x5xf32>
                %4 = add %2, %3 : tensor<4x5xf32>
                %5 = relu %4 : tensor<4x5xf32>
                return %1, %5
              } : tensor<4x3xf32>, tensor<8x4x5xf32>
              return %1
            }""",
        after="""
            func @f(%xs: tensor<8x4x3xf32>, %h: tensor<4x3xf32>, %w: tensor<3x5xf32>,
                %b: tensor<5xf32>) -> tensor<8x4x5xf32> {
              %0, %1 = scan [%h], [%xs], [] {length = 8} @step(%state: tensor<4x3xf32>,
                  %x: tensor<4x3xf32>) {
                %0 = sin %state : tensor<4x3xf32>
                %1 = multiply %0, %x : tensor<4x3xf32>
                return %1, %1
              } : tensor<4x3xf32>, tensor<8x4x3xf32>
              %2 = reshape %1 {shape = [32, 3]} : tensor<32x3xf32>
              %3 = matmul %2, %w : tensor<32x5xf32>
              %4 = reshape %3 {shape = [8, 4, 5]} : tensor<8x4x5xf32>
              %5 = broadcast %b {shape = [4, 5]} : tensor<4x5xf32>
              %6 = broadcast %5 {shape = [8, 4, 5]} : tensor<8x4x5xf32>
              %7 = add %4, %6 : tensor<8x4x5xf32>
              %8 = relu %7 : tensor<8x4x5xf32>
              return %8
            }""",
    )


def test_a_sum_that_a_step_reads_stays_in_the_loop() -> None:
    expect(
        sink,
        before="""
            func @f(%xs: tensor<8x4x3xf32>, %w: tensor<3x3xf32>) -> tensor<3x3xf32> {
              %0 = scan [%w], [%xs], [] {length = 8}
                  @step(%s: tensor<3x3xf32>, %x: tensor<4x3xf32>) {
                %0 = matmul %x, %s : tensor<4x3xf32>
                %1 = transpose %x {perm = [1, 0]} : tensor<3x4xf32>
                %2 = matmul %1, %0 : tensor<3x3xf32>
                %3 = add %s, %2 : tensor<3x3xf32>
                return %3
              } : tensor<3x3xf32>
              return %0
            }""",
    )


def products(fn: Function) -> list[int]:
    """The multiplications of each matrix product, those of a loop times its steps."""
    found: list[int] = []
    for node in fn.nodes:
        match node.op:
            case Matmul(lhs=lhs):
                columns = node.results[0].type.static_shape[-1]
                found.append(prod(lhs.type.static_shape) * columns)
            case Scan(length=int(length), step=step):
                found += [length * count for count in products(step)]
    return found


def test_a_training_step_of_an_lstm_multiplies_three_times_as_much_as_its_forward_pass() -> None:
    fn = ml.function(nn.LSTM(3, 5), f32[7, 2, 3])

    @ml.function(*(param.type for param in fn.params))
    def loss(*params: Value) -> Value:
        results = fn(*params)
        assert isinstance(results, tuple)
        y, h, c = results
        return (y * y).sum() + (h * c).sum()

    both = sink(hoist(canonicalize(ml.value_and_grad(loss))))
    assert sum(products(both)) == 3 * sum(products(hoist(loss)))
    loops = [node.op for node in both.nodes if isinstance(node.op, Scan)]
    assert [len(products(loop.step)) for loop in loops] == [1, 1]
    same_results(ml.value_and_grad(loss), both)
