"""narrow-factors: factors are rounded, or turned, where the card multiplies so and that is free."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Function, Value, bf16, f32
from mlir_lite.expr import FUNCTIONS
from mlir_lite.ir import Constant
from mlir_lite.ops.algorithms.panels import panel_matmul
from mlir_lite.passes.lowering.lower import lower
from mlir_lite.passes.manager import run_passes
from mlir_lite.passes.narrowing.narrow_factors import narrow_factors
from mlir_lite.passes.pipelines import cuda_pipeline
from mlir_lite.target import Target, named_target
from mlir_lite.types import Array

from ..expect import expect, operations


def rounding(factors: str) -> Target:
    target = named_target("cuda:sm_90")
    assert target is not None and target.gpu is not None
    return replace(target, gpu=replace(target.gpu, factors=factors))


def weight(*shape: int) -> Array:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def test_a_factor_is_there_in_half_the_width() -> None:
    expect(
        partial(narrow_factors, target=rounding("bf16")),
        before="""
            func @f(%x: tensor<2x3xf32>) -> tensor<2x1xf32> {
              %0 = constant {value = dense<[[1.0], [0.5], [-2.0]]>} : tensor<3x1xf32>
              %1 = matmul %x, %0 : tensor<2x1xf32>
              return %1
            }""",
        after="""
            func @f(%x: tensor<2x3xf32>) -> tensor<2x1xf32> {
              %0 = constant {value = dense<[[1.0], [0.5], [-2.0]]>} : tensor<3x1xbf16>
              %1 = cast %0 {dtype = f32} : tensor<3x1xf32>
              %2 = matmul %x, %1 : tensor<2x1xf32>
              return %2
            }""",
    )


def test_what_a_kernel_computes_is_rounded_there() -> None:
    expect(
        partial(narrow_factors, target=rounding("f16")),
        before="""
            func @f(%x: tensor<2x3xf32>, %w: tensor<3x4xf32>) -> tensor<2x4xf32> {
              %0 = round %x : tensor<2x3xf32>
              %1 = matmul %0, %w : tensor<2x4xf32>
              return %1
            }""",
        after="""
            func @f(%x: tensor<2x3xf32>, %w: tensor<3x4xf32>) -> tensor<2x4xf32> {
              %0 = round %x : tensor<2x3xf32>
              %1 = cast %0 {dtype = f16} : tensor<2x3xf16>
              %2 = barrier %1, _ : tensor<2x3xf16>
              %3 = cast %2 {dtype = f32} : tensor<2x3xf32>
              %4 = matmul %3, %w : tensor<2x4xf32>
              return %4
            }""",
    )


def test_factors_of_several_products_are_there_once() -> None:
    w = weight(64, 64)

    @ml.function(f32[2, 64], f32[2, 64], f32[64, 64])
    def both(x: Value, y: Value, w: Value) -> tuple[Value, Value]:
        wave = ml.sin(x)
        return wave @ w, (wave + y) @ w

    @ml.function(f32[2, 64], f32[64, 64], f32[64, 64])
    def same(x: Value, w: Value, v: Value) -> tuple[Value, Value]:
        wave = ml.sin(x)
        return wave @ w, wave @ v

    first = narrow_factors(both.bind({"w": w}), target=rounding("bf16"))
    # The wave is a term of a sum too, which is not to be of what is rounded.
    kept = ["sin", "cast", "matmul", "add"]
    assert operations(first) == [*kept, "cast", "barrier", "cast", "matmul"]
    second = narrow_factors(same, target=rounding("bf16"))
    assert operations(second) == ["sin", "cast", "barrier", "cast", "matmul", "matmul"]


def test_a_result_of_the_function_is_not_rounded() -> None:
    expect(
        partial(narrow_factors, target=rounding("f16")),
        before="""
            func @f(%x: tensor<2x3xf32>, %w: tensor<3x4xf32>) -> \
(tensor<2x3xf32>, tensor<2x4xf32>) {
              %0 = relu %x : tensor<2x3xf32>
              %1 = matmul %0, %w : tensor<2x4xf32>
              return %0, %1
            }""",
    )


def test_terms_of_tf32_are_side_by_side() -> None:
    expect(
        partial(narrow_factors, target=rounding("tf32")),
        before="""
            func @f(%x: tensor<2x4xf32>) -> tensor<2x2xf32> {
              %0 = constant {value = dense<[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]]>} \
: tensor<4x2xf32>
              %1 = matmul %x, %0 : tensor<2x2xf32>
              return %1
            }""",
        after="""
            func @f(%x: tensor<2x4xf32>) -> tensor<2x2xf32> {
              %0 = constant {value = dense<[[1.0, 3.0, 5.0, 7.0], [2.0, 4.0, 6.0, 8.0]]>} \
: tensor<2x4xf32>
              %1 = tf32_cut %0 : tensor<2x4xf32>
              %2 = transpose %1 {perm = [1, 0]} : tensor<4x2xf32>
              %3 = matmul %x, %2 : tensor<2x2xf32>
              return %3
            }""",
    )


def test_what_a_kernel_computes_is_rounded_to_tf32_there() -> None:
    expect(
        partial(narrow_factors, target=rounding("tf32")),
        before="""
            func @f(%x: tensor<2x3xf32>, %w: tensor<3x4xf32>) -> tensor<2x4xf32> {
              %0 = round %x : tensor<2x3xf32>
              %1 = matmul %0, %w : tensor<2x4xf32>
              return %1
            }""",
        after="""
            func @f(%x: tensor<2x3xf32>, %w: tensor<3x4xf32>) -> tensor<2x4xf32> {
              %0 = round %x : tensor<2x3xf32>
              %1 = tf32 %0 : tensor<2x3xf32>
              %2 = barrier %1, _ : tensor<2x3xf32>
              %3 = tf32_cut %2 : tensor<2x3xf32>
              %4 = matmul %3, %w : tensor<2x4xf32>
              return %4
            }""",
    )


@pytest.mark.parametrize(
    ("factors", "rounding_", "read"),
    [("tf32", "tf32 %0", "tf32_cut"), ("bf16", "cast %0 {dtype = bf16}", "cast")],
)
def test_what_is_seen_in_another_shape_is_rounded_before_that(
    factors: str, rounding_: str, read: str
) -> None:
    kept = f"tensor<4x3x2x{'f32' if factors == 'tf32' else factors}>"
    seen = kept.replace("3x2x", "6x")
    options = "" if factors == "tf32" else " {dtype = f32}"
    expect(
        partial(narrow_factors, target=rounding(factors)),
        before="""
            func @f(%x: tensor<4x3x2xf32>, %w: tensor<6x2xf32>) -> tensor<4x2xf32> {
              %0 = round %x : tensor<4x3x2xf32>
              %1 = reshape %0 {shape = [4, 6]} : tensor<4x6xf32>
              %2 = matmul %1, %w : tensor<4x2xf32>
              return %2
            }""",
        after=f"""
            func @f(%x: tensor<4x3x2xf32>, %w: tensor<6x2xf32>) -> tensor<4x2xf32> {{
              %0 = round %x : tensor<4x3x2xf32>
              %1 = {rounding_} : {kept}
              %2 = barrier %1, _ : {kept}
              %3 = reshape %2 {{shape = [4, 6]}} : {seen}
              %4 = {read} %3{options} : tensor<4x6xf32>
              %5 = matmul %4, %w : tensor<4x2xf32>
              return %5
            }}""",
    )


def test_what_is_seen_in_two_shapes_is_not_rounded() -> None:
    @ml.function(f32[4, 3, 2], f32[6, 16])
    def fn(x: Value, w: Value) -> Value:
        wave = ml.sin(x)
        return ml.reshape(wave, (4, 6)) @ w + ml.sum(wave)

    assert "tf32" not in operations(narrow_factors(fn, target=rounding("tf32")))


def test_what_windows_read_is_rounded_where_its_order_changes() -> None:
    expect(
        partial(narrow_factors, target=rounding("tf32")),
        before="""
            func @f(%x: tensor<1x4x5xf32>, %w: tensor<2x4x1xf32>) -> tensor<1x5x2xf32> {
              %0 = round %x : tensor<1x4x5xf32>
              %1 = round %w : tensor<2x4x1xf32>
              %2 = transpose %0 {perm = [0, 2, 1]} : tensor<1x5x4xf32>
              %3 = pack_filters %1 {width = 2} : tensor<1x1x4x2xf32>
              %4 = panel_conv %2, %3 {channels = 2, strides = [1], dilations = [1]} \
: tensor<1x5x2xf32>
              return %4
            }""",
        after="""
            func @f(%x: tensor<1x4x5xf32>, %w: tensor<2x4x1xf32>) -> tensor<1x5x2xf32> {
              %0 = round %x : tensor<1x4x5xf32>
              %1 = round %w : tensor<2x4x1xf32>
              %2 = transpose %0 {perm = [0, 2, 1]} : tensor<1x5x4xf32>
              %3 = pack_filters %1 {width = 2} : tensor<1x1x4x2xf32>
              %4 = tf32 %2 : tensor<1x5x4xf32>
              %5 = barrier %4, _ : tensor<1x5x4xf32>
              %6 = tf32_cut %5 : tensor<1x5x4xf32>
              %7 = transpose %3 {perm = [0, 1, 3, 2]} : tensor<1x1x2x4xf32>
              %8 = tf32 %7 : tensor<1x1x2x4xf32>
              %9 = barrier %8, _ : tensor<1x1x2x4xf32>
              %10 = tf32_cut %9 : tensor<1x1x2x4xf32>
              %11 = transpose %10 {perm = [0, 1, 3, 2]} : tensor<1x1x4x2xf32>
              %12 = panel_conv %6, %11 {channels = 2, strides = [1], dilations = [1]} \
: tensor<1x5x2xf32>
              return %12
            }""",
    )


def test_terms_that_are_not_copied_together_stay_where_they_are() -> None:
    w = weight(15, 64)
    fn = ml.function(f32[2, 15])(lambda x: x @ w)
    assert operations(narrow_factors(fn, target=rounding("tf32"))) == ["tf32_cut", "matmul"]


def product(*shape: int) -> Function:
    w = weight(shape[-1], 64)
    return ml.function(f32[shape])(lambda x: x @ w)


PRODUCTS = {
    "a matrix": ml.function(f32[2, 8], f32[8, 8])(lambda x, w: x @ w),
    "few columns": ml.function(f32[8, 8], f32[8, 2])(lambda x, w: x @ w),
    "a batch by one matrix": ml.function(f32[2, 1, 8], f32[8, 8])(lambda x, w: x @ w),
    "a batch": ml.function(f32[2, 8, 9], f32[2, 9, 8])(lambda x, w: x @ w),
    "panels": ml.function(f32[2, 8], f32[2, 8, 4])(lambda x, w: panel_matmul(x, w, columns=8)),
    "a convolution": ml.function(f32[1, 1, 4, 3], f32[8, 1, 3, 3])(lambda x, w: ml.conv2d(x, w)),
    "groups": ml.function(f32[1, 4, 4, 3], f32[16, 2, 3, 3])(
        lambda x, w: ml.conv2d(x, w, groups=2)
    ),
}
TOO_SMALL = {
    "few terms": ml.function(f32[8, 7], f32[7, 8])(lambda x, w: x @ w),
    "few rows and columns": ml.function(f32[7, 8], f32[8, 7])(lambda x, w: x @ w),
    "a vector": ml.function(f32[1, 8], f32[8, 8])(lambda x, w: x @ w),
    "a vector on the right": ml.function(f32[8, 8], f32[8, 1])(lambda x, w: x @ w),
    "a batch of vectors": ml.function(f32[8, 1, 9], f32[8, 9, 8])(lambda x, w: x @ w),
    "depthwise": ml.function(f32[1, 8, 9, 9], f32[8, 1, 3, 3])(
        lambda x, w: ml.conv2d(x, w, groups=8)
    ),
    "narrow already": ml.function(bf16[8, 8], bf16[8, 8])(lambda x, w: x @ w),
}


@pytest.mark.parametrize("factors", ["tf32", "bf16", "f16"])
@pytest.mark.parametrize("name", PRODUCTS)
def test_a_product_says_what_its_factors_are_rounded_to(name: str, factors: str) -> None:
    made = str(narrow_factors(PRODUCTS[name], target=rounding(factors)))
    assert f'factors = "{factors}"' in made


@pytest.mark.parametrize("name", TOO_SMALL)
def test_a_product_without_units_for_it_multiplies_f32(name: str) -> None:
    assert "factors =" not in str(narrow_factors(TOO_SMALL[name], target=rounding("tf32")))


@pytest.mark.parametrize("name", [*PRODUCTS, *TOO_SMALL])
def test_cards_multiply_what_the_ir_says(name: str) -> None:
    """Its units of matrices where a product says so, and nowhere else."""
    fn, target = (PRODUCTS | TOO_SMALL)[name], rounding("bf16")
    graph = run_passes(fn, cuda_pipeline(target))
    tile = str(lower(graph, target))
    says = 'factors = "bf16"' in str(graph) or fn.params[0].dtype == bf16
    assert ("mma_bf16" in tile) == says


@pytest.mark.parametrize(
    ("fn", "factors"),
    [(product(2, 16), "f32"), (product(1, 16), "tf32")],
    ids=["true f32", "a vector"],
)
def test_what_stays_as_it_is(fn: Function, factors: str) -> None:
    assert str(narrow_factors(fn, target=rounding(factors))) == str(fn)


@pytest.mark.parametrize(
    ("factors", "wanted", "operations_left"),
    [
        ("f16", lambda w: w.astype(np.float16), ["cast", "matmul"]),
        ("tf32", lambda w: FUNCTIONS["tf32"].evaluate(w).T, ["tf32_cut", "transpose", "matmul"]),
    ],
)
def test_a_large_factor_is_rounded_when_the_program_is_built(
    factors: str, wanted: Callable[[Array], Array], operations_left: list[str]
) -> None:
    w = weight(64, 64)
    fn = ml.function(f32[2, 64])(lambda x: x @ w)
    made = narrow_factors(fn, target=rounding(factors))
    assert operations(made) == operations_left
    (data,) = (node.op.value for node in made.nodes if isinstance(node.op, Constant))
    np.testing.assert_array_equal(data.array(), wanted(w))


def test_a_factor_that_is_used_otherwise_too_is_there_once() -> None:
    @ml.function(f32[2, 64], f32[64, 64])
    def tied(x: Value, w: Value) -> Value:
        return x @ w + ml.sum(w, axis=0)

    fn = tied.bind({"w": weight(64, 64)})
    assert operations(narrow_factors(fn, target=rounding("bf16"))) == operations(fn)
