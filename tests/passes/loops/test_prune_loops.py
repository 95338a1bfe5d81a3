"""prune-loops: operands, states and results that nobody needs go."""

from __future__ import annotations

from mlir_lite.passes.loops.prune_loops import prune_loops

from ..expect import expect


def test_a_scan_keeps_what_is_needed_once() -> None:
    expect(
        prune_loops,
        before="""
            func @f(%xs: tensor<8x4xf32>, %h: tensor<4xf32>, %w: tensor<4xf32>)
                -> (tensor<4xf32>, tensor<8x4xf32>, tensor<8x4xf32>, tensor<4xf32>) {
              %0 = constant {value = dense<3.0>} : tensor<f32>
              %1 = broadcast %0 {shape = [4]} : tensor<4xf32>
              %2 = multiply %w, %1 : tensor<4xf32>
              %3, %4, %5, %6, %7, %8, %9 = scan [%h, %2, %w], [%xs], [] {length = 8}
                  @step(%state0: tensor<4xf32>, %state1: tensor<4xf32>,
                  %state2: tensor<4xf32>, %x: tensor<4xf32>) {
                %0 = sin %state0 : tensor<4xf32>
                %1 = multiply %0, %x : tensor<4xf32>
                %2 = add %1, %state2 : tensor<4xf32>
                %3 = constant {value = dense<1.0>} : tensor<f32>
                %4 = broadcast %3 {shape = [4]} : tensor<4xf32>
                %5 = add %state1, %4 : tensor<4xf32>
                %6 = constant {value = dense<2.0>} : tensor<f32>
                %7 = broadcast %6 {shape = [4]} : tensor<4xf32>
                %8 = multiply %x, %7 : tensor<4xf32>
                return %2, %5, %state2, %2, %state1, %2, %8
              } : tensor<4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<8x4xf32>, tensor<8x4xf32>,
                tensor<8x4xf32>, tensor<8x4xf32>
              return %3, %6, %8, %5
            }""",
        after="""
            func @f(%xs: tensor<8x4xf32>, %h: tensor<4xf32>, %w: tensor<4xf32>)
                -> (tensor<4xf32>, tensor<8x4xf32>, tensor<8x4xf32>, tensor<4xf32>) {
              %0, %1 = scan [%h], [%xs], [%w] {length = 8} @step(%state0: tensor<4xf32>,
                  %x: tensor<4xf32>, %state2: tensor<4xf32>) {
                %0 = sin %state0 : tensor<4xf32>
                %1 = multiply %0, %x : tensor<4xf32>
                %2 = add %1, %state2 : tensor<4xf32>
                return %2, %2
              } : tensor<4xf32>, tensor<8x4xf32>
              return %0, %1, %1, %w
            }""",
    )


def test_a_branch_keeps_the_results_that_are_read() -> None:
    expect(
        prune_loops,
        before="""
            func @f(%x: tensor<4xf32>, %w: tensor<4xf32>, %p: tensor<bool>) -> tensor<4xf32> {
              %0, %1 = cond %p, [%x, %w] {then = @then(%x: tensor<4xf32>, %w: tensor<4xf32>) {
                %0 = constant {value = dense<2.0>} : tensor<f32>
                %1 = broadcast %0 {shape = [4]} : tensor<4xf32>
                %2 = multiply %x, %1 : tensor<4xf32>
                %3 = add %2, %w : tensor<4xf32>
                return %3, %x
              }, otherwise = @otherwise(%x: tensor<4xf32>, %w: tensor<4xf32>) {
                return %x, %w
              }} : tensor<4xf32>, tensor<4xf32>
              return %1
            }""",
        after="""
            func @f(%x: tensor<4xf32>, %w: tensor<4xf32>, %p: tensor<bool>) -> tensor<4xf32> {
              %0 = cond %p, [%x, %w] {then = @then(%x: tensor<4xf32>, %w: tensor<4xf32>) {
                return %x
              }, otherwise = @otherwise(%x: tensor<4xf32>, %w: tensor<4xf32>) {
                return %w
              }} : tensor<4xf32>
              return %0
            }""",
    )


def test_a_while_loop_keeps_the_states_its_condition_reads() -> None:
    expect(
        prune_loops,
        before="""
            func @f(%x: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>) {
              %0, %1, %2 = while_loop [%x, %x, %x], [] {condition =
                  @condition(%state0: tensor<4xf32>, %state1: tensor<4xf32>,
                  %state2: tensor<4xf32>) {
                %0 = sum %state0 {axes = [0]} : tensor<f32>
                %1 = constant {value = dense<5.0>} : tensor<f32>
                %2 = less %0, %1 : tensor<bool>
                return %2
              }, step = @step(%state0: tensor<4xf32>, %state1: tensor<4xf32>,
                  %state2: tensor<4xf32>) {
                %0 = constant {value = dense<[0.0, 1.0, 2.0, 3.0]>} : tensor<4xf32>
                %1 = multiply %state0, %0 : tensor<4xf32>
                %2 = constant {value = dense<1.0>} : tensor<f32>
                %3 = broadcast %2 {shape = [4]} : tensor<4xf32>
                %4 = add %state2, %3 : tensor<4xf32>
                return %1, %state1, %4
              }} : tensor<4xf32>, tensor<4xf32>, tensor<4xf32>
              return %0, %1
            }""",
        after="""
            func @f(%x: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>) {
              %0 = while_loop [%x], [%x] {condition = @condition(%state0: tensor<4xf32>,
                  %state1: tensor<4xf32>) {
                %0 = sum %state0 {axes = [0]} : tensor<f32>
                %1 = constant {value = dense<5.0>} : tensor<f32>
                %2 = less %0, %1 : tensor<bool>
                return %2
              }, step = @step(%state0: tensor<4xf32>, %state1: tensor<4xf32>) {
                %0 = constant {value = dense<[0.0, 1.0, 2.0, 3.0]>} : tensor<4xf32>
                %1 = multiply %state0, %0 : tensor<4xf32>
                return %1
              }} : tensor<4xf32>
              return %0, %x
            }""",
    )


def test_what_only_a_dropped_operand_was_made_of_goes_too() -> None:
    """The square reads a result that its own loop, of a chain of two, no longer gives."""
    expect(
        prune_loops,
        before="""
            func @f(%xs: tensor<8x4xf32>, %h: tensor<4xf32>) -> tensor<4xf32> {
              %0, %1 = scan [%h], [%xs], [] {length = 8}
                  @step(%state: tensor<4xf32>, %x: tensor<4xf32>) {
                %0 = add %state, %x : tensor<4xf32>
                return %0, %0
              } : tensor<4xf32>, tensor<8x4xf32>
              %2 = square %1 : tensor<8x4xf32>
              %3, %4 = scan [%0], [%xs, %2], [] {length = 8}
                  @step(%state: tensor<4xf32>, %x: tensor<4xf32>, %y: tensor<4xf32>) {
                %0 = sin %state : tensor<4xf32>
                %1 = add %0, %x : tensor<4xf32>
                return %1, %y
              } : tensor<4xf32>, tensor<8x4xf32>
              return %3
            }""",
        after="""
            func @f(%xs: tensor<8x4xf32>, %h: tensor<4xf32>) -> tensor<4xf32> {
              %0 = scan [%h], [%xs], [] {length = 8}
                  @step(%state: tensor<4xf32>, %x: tensor<4xf32>) {
                %0 = add %state, %x : tensor<4xf32>
                return %0
              } : tensor<4xf32>
              %1 = scan [%0], [%xs], [] {length = 8}
                  @step(%state: tensor<4xf32>, %x: tensor<4xf32>) {
                %0 = sin %state : tensor<4xf32>
                %1 = add %0, %x : tensor<4xf32>
                return %1
              } : tensor<4xf32>
              return %1
            }""",
    )
