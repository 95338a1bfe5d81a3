"""hoist: products of all inputs and what is the same in all steps, before a loop."""

from __future__ import annotations

from mlir_lite.passes.loops.hoist import hoist

from ..expect import expect


def test_products_of_the_inputs_become_one() -> None:
    expect(
        hoist,
        before="""
            func @f(%xs: tensor<8x4x3xf32>, %h: tensor<4x5xf32>, %w: tensor<3x5xf32>,
                %u: tensor<5x5xf32>, %b: tensor<5xf32>) -> tensor<4x5xf32> {
              %0 = scan [%h], [%xs], [%w, %b, %u] {length = 8} @step(%state: tensor<4x5xf32>,
                  %x: tensor<4x3xf32>, %w: tensor<3x5xf32>, %b: tensor<5xf32>,
                  %u: tensor<5x5xf32>) {
                %0 = matmul %x, %w : tensor<4x5xf32>
                %1 = broadcast %b {shape = [4, 5]} : tensor<4x5xf32>
                %2 = add %0, %1 : tensor<4x5xf32>
                %3 = transpose %u {perm = [1, 0]} : tensor<5x5xf32>
                %4 = matmul %state, %3 : tensor<4x5xf32>
                %5 = add %2, %4 : tensor<4x5xf32>
                %6 = tanh %5 : tensor<4x5xf32>
                return %6
              } : tensor<4x5xf32>
              return %0
            }""",
        after="""
            func @f(%xs: tensor<8x4x3xf32>, %h: tensor<4x5xf32>, %w: tensor<3x5xf32>,
                %u: tensor<5x5xf32>, %b: tensor<5xf32>) -> tensor<4x5xf32> {
              %0 = reshape %xs {shape = [32, 3]} : tensor<32x3xf32>
              %1 = matmul %0, %w : tensor<32x5xf32>
              %2 = reshape %1 {shape = [8, 4, 5]} : tensor<8x4x5xf32>
              %3 = broadcast %b {shape = [4, 5]} : tensor<4x5xf32>
              %4 = broadcast %3 {shape = [8, 4, 5]} : tensor<8x4x5xf32>
              %5 = add %2, %4 : tensor<8x4x5xf32>
              %6 = transpose %u {perm = [1, 0]} : tensor<5x5xf32>
              %7 = scan [%h], [%5], [%6] {length = 8} @step(%state: tensor<4x5xf32>,
                  %x_1: tensor<4x5xf32>, %x_2: tensor<5x5xf32>) {
                %0 = matmul %state, %x_2 : tensor<4x5xf32>
                %1 = add %x_1, %0 : tensor<4x5xf32>
                %2 = tanh %1 : tensor<4x5xf32>
                return %2
              } : tensor<4x5xf32>
              return %7
            }""",
    )


def test_products_of_vectors_become_one() -> None:
    expect(
        hoist,
        before="""
            func @f(%xs: tensor<8x3xf32>, %h: tensor<5xf32>, %w: tensor<5x3xf32>,
                %u: tensor<5x5xf32>) -> tensor<5xf32> {
              %0 = scan [%h], [%xs], [%w, %u] {length = 8} @step(%state: tensor<5xf32>,
                  %x: tensor<3xf32>, %w: tensor<5x3xf32>, %u: tensor<5x5xf32>) {
                %0 = reshape %x {shape = [3, 1]} : tensor<3x1xf32>
                %1 = matmul %w, %0 : tensor<5x1xf32>
                %2 = reshape %1 {shape = [5]} : tensor<5xf32>
                %3 = reshape %state {shape = [5, 1]} : tensor<5x1xf32>
                %4 = matmul %u, %3 : tensor<5x1xf32>
                %5 = reshape %4 {shape = [5]} : tensor<5xf32>
                %6 = add %2, %5 : tensor<5xf32>
                %7 = tanh %6 : tensor<5xf32>
                return %7
              } : tensor<5xf32>
              return %0
            }""",
        after="""
            func @f(%xs: tensor<8x3xf32>, %h: tensor<5xf32>, %w: tensor<5x3xf32>,
                %u: tensor<5x5xf32>) -> tensor<5xf32> {
              %0 = reshape %xs {shape = [8, 3, 1]} : tensor<8x3x1xf32>
              %1 = transpose %0 {perm = [0, 2, 1]} : tensor<8x1x3xf32>
              %2 = reshape %1 {shape = [8, 3]} : tensor<8x3xf32>
              %3 = transpose %w {perm = [1, 0]} : tensor<3x5xf32>
              %4 = matmul %2, %3 : tensor<8x5xf32>
              %5 = reshape %4 {shape = [8, 1, 5]} : tensor<8x1x5xf32>
              %6 = transpose %5 {perm = [0, 2, 1]} : tensor<8x5x1xf32>
              %7 = reshape %6 {shape = [8, 5]} : tensor<8x5xf32>
              %8 = scan [%h], [%7], [%u] {length = 8} @step(%state: tensor<5xf32>,
                  %x_1: tensor<5xf32>, %u: tensor<5x5xf32>) {
                %0 = reshape %state {shape = [5, 1]} : tensor<5x1xf32>
                %1 = matmul %u, %0 : tensor<5x1xf32>
                %2 = reshape %1 {shape = [5]} : tensor<5xf32>
                %3 = add %x_1, %2 : tensor<5xf32>
                %4 = tanh %3 : tensor<5xf32>
                return %4
              } : tensor<5xf32>
              return %8
            }""",
    )


def test_what_is_the_same_in_all_turns_is_computed_before() -> None:
    expect(
        hoist,
        before="""
            func @f(%x: tensor<3xf32>, %w: tensor<3xf32>) -> tensor<3xf32> {
              %0 = while_loop [%x], [%w] {condition = @condition(%state: tensor<3xf32>,
                  %w: tensor<3xf32>) {
                %0 = sum %state {axes = [0]} : tensor<f32>
                %1 = exp %w : tensor<3xf32>
                %2 = sum %1 {axes = [0]} : tensor<f32>
                %3 = less %0, %2 : tensor<bool>
                return %3
              }, step = @step(%state: tensor<3xf32>, %w: tensor<3xf32>) {
                %0 = constant {value = dense<2.0>} : tensor<f32>
                %1 = broadcast %0 {shape = [3]} : tensor<3xf32>
                %2 = multiply %state, %1 : tensor<3xf32>
                %3 = exp %w : tensor<3xf32>
                %4 = add %2, %3 : tensor<3xf32>
                return %4
              }} : tensor<3xf32>
              return %0
            }""",
        after="""
            func @f(%x: tensor<3xf32>, %w: tensor<3xf32>) -> tensor<3xf32> {
              %0 = exp %w : tensor<3xf32>
              %1 = sum %0 {axes = [0]} : tensor<f32>
              %2 = while_loop [%x], [%1, %0] {condition = @condition(%state: tensor<3xf32>,
                  %x: tensor<f32>, %unused0: tensor<3xf32>) {
                %0 = sum %state {axes = [0]} : tensor<f32>
                %1 = less %0, %x : tensor<bool>
                return %1
              }, step = @step(%state: tensor<3xf32>, %unused0: tensor<f32>, %x: tensor<3xf32>) {
                %0 = constant {value = dense<2.0>} : tensor<f32>
                %1 = broadcast %0 {shape = [3]} : tensor<3xf32>
                %2 = multiply %state, %1 : tensor<3xf32>
                %3 = add %2, %x : tensor<3xf32>
                return %3
              }} : tensor<3xf32>
              return %2
            }""",
    )
