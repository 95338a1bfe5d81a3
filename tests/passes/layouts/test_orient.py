"""orient: products and what follows them in the order of axes that copies the fewest matrices."""

from __future__ import annotations

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Function, Value, f32
from mlir_lite.backends.llvm.backend import cpu_target
from mlir_lite.passes.layouts.orient import orient
from mlir_lite.passes.layouts.orientation import orders

from ..expect import expect, operations, same_results

TARGET = cpu_target("cpu:avx512", 1)[0]


def oriented(fn: Function) -> Function:
    return orient(fn, target=TARGET)


def after(fn: Function) -> Function:
    """The function after the pass, which computes the same."""
    found = oriented(fn)
    same_results(fn, found)
    return found


def copies(fn: Function) -> set[tuple[int, ...]]:
    """The shapes of what transposes give that the left operand of a product does not take."""
    right = {node.op.operands[1] for node in fn.nodes if node.op.name == "matmul"}
    return {
        node.results[0].type.static_shape
        for node in fn.nodes
        if node.op.name == "transpose" and (node.results[0] in right or node.results[0] in
                                            fn.results)
    }


def test_a_few_rows_are_turned_instead_of_a_large_matrix() -> None:
    expect(
        oriented,
        before="""
            func @f(%x: tensor<64x784xf32>, %w: tensor<512x784xf32>) -> tensor<64x512xf32> {
              %0 = transpose %w {perm = [1, 0]} : tensor<784x512xf32>
              %1 = matmul %x, %0 : tensor<64x512xf32>
              return %1
            }""",
        after="""
            func @f(%x: tensor<64x784xf32>, %w: tensor<512x784xf32>) -> tensor<64x512xf32> {
              %0 = transpose %x {perm = [1, 0]} : tensor<784x64xf32>
              %1 = matmul %w, %0 : tensor<512x64xf32>
              %2 = transpose %1 {perm = [1, 0]} : tensor<64x512xf32>
              return %2
            }""",
    )


@pytest.mark.parametrize("rows", [2, 12])
@pytest.mark.parametrize("side", ["rows", "columns"])
def test_a_few_rows_or_columns_are_summed_along_the_rows_of_both(rows: int, side: str) -> None:
    m, n = (rows, 512) if side == "rows" else (512, rows)
    text = f"""
        func @f(%x: tensor<{m}x784xf32>, %w: tensor<{n}x784xf32>) -> tensor<{m}x{n}xf32> {{
          %0 = transpose %w {{perm = [1, 0]}} : tensor<784x{n}xf32>
          %1 = matmul %x, %0 : tensor<{m}x{n}xf32>
          return %1
        }}"""
    expect(oriented, before=text, after=text)


def test_products_of_unlike_integers_keep_their_sides() -> None:
    text = """
        func @f(%x: tensor<64x784xu8>, %w: tensor<512x784xi8>) -> tensor<64x512xi32> {
          %0 = transpose %w {perm = [1, 0]} : tensor<784x512xi8>
          %1 = matmul %x, %0 : tensor<64x512xi32>
          return %1
        }"""
    expect(oriented, before=text, after=text)


def test_a_small_matrix_is_turned_for_many_rows() -> None:
    expect(
        oriented,
        before="""
            func @f(%x: tensor<1000x300xf32>, %w: tensor<16x300xf32>) -> tensor<1000x16xf32> {
              %0 = transpose %w {perm = [1, 0]} : tensor<300x16xf32>
              %1 = matmul %x, %0 : tensor<1000x16xf32>
              return %1
            }""",
    )


def test_constants_are_turned_for_nothing() -> None:
    @ml.function(f32[64, 784], f32[512, 784])
    def layer(x: Value, w: Value) -> Value:
        return x @ w.T

    fn = layer.bind({"w": np.ones((512, 784), np.float32)})
    assert oriented(fn) is fn


def test_layers_hand_on_transposed_what_is_computed_element_by_element() -> None:
    @ml.function(f32[32, 300], f32[256, 300], f32[256], f32[256, 256])
    def layers(x: Value, w: Value, b: Value, v: Value) -> Value:
        return ml.relu(ml.relu(x @ w.T + b) @ v.T)

    assert copies(after(layers)) == {(300, 32), (32, 256)}  # of the input and of the result


def test_the_gradients_of_layers_copy_no_weights() -> None:
    @ml.function(f32[32, 300], f32[256, 300], f32[256], f32[256, 256], f32[32, 256])
    def loss(x: Value, w: Value, b: Value, v: Value, y: Value) -> Value:
        return ml.sum(ml.square(ml.relu(x @ w.T + b) @ v.T - y))

    found = after(ml.value_and_grad(loss, wrt=("w", "b", "v")))
    assert all(32 in shape for shape in copies(found))


@pytest.mark.parametrize("axes", [(0,), (0, 1)])
def test_sums_over_rows_take_what_is_transposed(axes: tuple[int, ...]) -> None:
    @ml.function(f32[32, 300], f32[256, 300])
    def total(x: Value, w: Value) -> Value:
        return ml.sum(x @ w.T, axes)

    found = after(total)
    assert operations(found) == ["transpose", "matmul", "sum"]


def test_a_matrix_plus_its_transpose_keeps_one_order() -> None:
    @ml.function(f32[48, 48], f32[48, 48])
    def symmetric(x: Value, w: Value) -> Value:
        y = x @ w.T
        return y + y.T

    same_results(symmetric, oriented(symmetric))


def test_batches_of_products_are_turned_alike() -> None:
    @ml.function(f32[5, 32, 300], f32[5, 256, 300], f32[5, 1, 256])
    def layer(x: Value, w: Value, b: Value) -> Value:
        return ml.relu(x @ ml.transpose(w, (0, 2, 1)) + b)

    assert copies(after(layer)) == {(5, 300, 32), (5, 32, 256)}


def test_rows_repeated_over_batches_only_are_turned_with_what_they_meet() -> None:
    @ml.function(f32[5, 32, 300], f32[256, 300], f32[32, 256])
    def layer(x: Value, w: Value, r: Value) -> Value:
        return ml.relu(x @ w.T + r)

    same_results(layer, oriented(layer))


def test_the_choice_is_the_same_in_every_run() -> None:
    @ml.function(f32[32, 300], f32[256, 300], f32[256], f32[256, 256], f32[32, 256])
    def loss(x: Value, w: Value, b: Value, v: Value, y: Value) -> Value:
        return ml.sum(ml.square(ml.relu(x @ w.T + b) @ v.T - y))

    fn = ml.value_and_grad(loss, wrt=("w", "b", "v"))
    assert str(oriented(fn)) == str(oriented(fn))
    assert orders(fn, TARGET)


def test_a_function_without_products_stays_itself() -> None:
    @ml.function(f32[32, 300])
    def f(x: Value) -> Value:
        return ml.relu(x.T)

    assert oriented(f) is f
