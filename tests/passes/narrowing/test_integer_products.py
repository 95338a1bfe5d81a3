"""integer-products: products of quantised operands by constants multiply u8 by i8."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Function, Value, f32
from mlir_lite.ir import run_reference
from mlir_lite.ops.elementwise.arithmetic import Divide
from mlir_lite.ops.products.matmul import Matmul
from mlir_lite.ops.windows.conv import Conv
from mlir_lite.passes.narrowing.integer_products import integer_products
from mlir_lite.passes.narrowing.quantised import depends_on_constants
from mlir_lite.target import Target
from mlir_lite.types import Array, DType, TensorType, i8, i32, u8

from ..expect import expect, operations

TARGET = Target("cpu:test", dot_instructions=frozenset({"vpdpbusd"}))
CORNERS = {u8: (0, 1, 128, 255), i8: (-128, 0, 5, 127)}


def rewritten(fn: Function) -> Function:
    return integer_products(fn, target=TARGET)


def narrow(shape: tuple[int, ...], dtype: DType, seed: int = 0) -> Array:
    """Integers of the whole range of a type, its limits among them."""
    limits = np.iinfo(dtype.numpy)
    random = np.random.default_rng(seed)
    found = random.integers(limits.min, limits.max + 1, shape).astype(dtype.numpy)
    found.flat[:2] = limits.min, limits.max
    return found


def wide(x: Value | Array, zero: Array | int, rank: int) -> Value:
    """`x - zero` in i32; several zero points are those of the rank's axis 0 from the left."""
    value = ml.cast(x, i32)
    column = np.asarray(zero, np.int32)
    return value - (column.reshape(-1, *(1,) * (rank - 1)) if column.ndim else column)


def multiplied(fn: Function) -> list[tuple[DType, DType]]:
    """The element types of the operands of each product and convolution."""
    found = []
    for node in fn.nodes:
        match node.op:
            case Matmul(lhs=left, rhs=right) | Conv(x=left, weight=right):
                found.append((left.dtype, right.dtype))
    return found


def same_integers(fn: Function, *arrays: Array) -> None:
    """Fail unless the pass makes products of u8 by i8 that give exactly the same."""
    got = rewritten(fn)
    assert multiplied(got) and set(multiplied(got)) == {(u8, i8)}
    (want,), (have,) = run_reference(fn, arrays), run_reference(got, arrays)
    assert want.dtype == np.int32
    np.testing.assert_array_equal(have, want)


PAIRS = tuple(itertools.product((u8, i8), repeat=2))


@pytest.mark.parametrize(("left", "right"), PAIRS)
def test_products_of_integers_are_exact_at_any_zero_point(left: DType, right: DType) -> None:
    weight, x = narrow((7, 5), right, 1), narrow((2, 3, 7), left)
    for za, zb in itertools.product(CORNERS[left], CORNERS[right]):

        def fn(a: Value, za: int = za, zb: int = zb) -> Value:
            return wide(a, za, 3) @ wide(weight, zb, 2)

        same_integers(ml.function(TensorType(x.shape, left))(fn), x)


def test_zero_points_may_differ_by_column_and_be_known_late() -> None:
    weight, x = narrow((9, 4), u8, 1), narrow((3, 9), u8)
    zeros = np.array([[0, 128, 255, 7]], np.int32)

    def fn(a: Value, zero: Value) -> Value:
        return (ml.cast(a, i32) - ml.cast(zero, i32)) @ (ml.cast(weight, i32) - zeros)

    made = ml.function(TensorType((3, 9), u8), TensorType((), u8))(fn)
    for zero in CORNERS[u8]:
        same_integers(made, x, np.array(zero, np.uint8))


@pytest.mark.parametrize(("left", "right"), PAIRS)
def test_convolutions_are_padded_with_the_zero_point(left: DType, right: DType) -> None:
    weight, x = narrow((3, 5, 3, 2), right, 1), narrow((2, 5, 6, 4), left)
    padding = ((1, 0), (2, 1))
    for za, zb in itertools.product(CORNERS[left], CORNERS[right]):

        def fn(a: Value, za: int = za, zb: int = zb) -> Value:
            filters = wide(weight, np.array([zb, 0, 3]), 4)
            return ml.conv(wide(a, za, 4), filters, strides=2, padding=padding)

        same_integers(ml.function(TensorType(x.shape, left))(fn), x)


def test_a_zero_point_known_late_is_padded_with_too() -> None:
    weight, x = narrow((3, 5, 3, 3), i8, 1), narrow((1, 5, 4, 4), i8)

    def fn(a: Value, zero: Value) -> Value:
        return ml.conv(ml.cast(a, i32) - ml.cast(zero, i32), ml.cast(weight, i32), padding=1)

    made = ml.function(TensorType(x.shape, i8), TensorType((), i8))(fn)
    for zero in CORNERS[i8]:
        same_integers(made, x, np.array(zero, np.int8))


def test_a_filter_for_each_channel() -> None:
    weight, x = narrow((6, 1, 3, 3), i8, 1), narrow((1, 6, 4, 5), u8)

    def fn(a: Value) -> Value:
        return ml.conv(wide(a, 3, 4), ml.cast(weight, i32), padding=1, groups=6)

    same_integers(ml.function(TensorType(x.shape, u8))(fn), x)


def test_scales_move_behind_the_product() -> None:
    expect(
        rewritten,
        before="""
            func @f(%x: tensor<2x3xu8>) -> tensor<2x2xf32> {
              %0 = constant {value = dense<[[1, -2], [3, 4], [-5, 6]]>} : tensor<3x2xi8>
              %1 = constant {value = dense<0.5>} : tensor<f32>
              %2 = constant {value = dense<[[2.0, 4.0]]>} : tensor<1x2xf32>
              %3 = cast %x {dtype = i32} : tensor<2x3xi32>
              %4 = cast %3 {dtype = f32} : tensor<2x3xf32>
              %5 = broadcast %1 {shape = [2, 3]} : tensor<2x3xf32>
              %6 = multiply %4, %5 : tensor<2x3xf32>
              %7 = cast %0 {dtype = i32} : tensor<3x2xi32>
              %8 = cast %7 {dtype = f32} : tensor<3x2xf32>
              %9 = broadcast %2 {shape = [3, 2]} : tensor<3x2xf32>
              %10 = multiply %8, %9 : tensor<3x2xf32>
              %11 = matmul %6, %10 : tensor<2x2xf32>
              return %11
            }""",
        after="""
            func @f(%x: tensor<2x3xu8>) -> tensor<2x2xf32> {
              %0 = constant {value = dense<[[1, -2], [3, 4], [-5, 6]]>} : tensor<3x2xi8>
              %1 = constant {value = dense<0.5>} : tensor<f32>
              %2 = constant {value = dense<[[2.0, 4.0]]>} : tensor<1x2xf32>
              %3 = reshape %1 {shape = [1, 1]} : tensor<1x1xf32>
              %4 = matmul %x, %0 : tensor<2x2xi32>
              %5 = cast %4 {dtype = f32} : tensor<2x2xf32>
              %6 = broadcast %3 {shape = [1, 2]} : tensor<1x2xf32>
              %7 = multiply %6, %2 : tensor<1x2xf32>
              %8 = broadcast %7 {shape = [2, 2]} : tensor<2x2xf32>
              %9 = multiply %5, %8 : tensor<2x2xf32>
              return %9
            }""",
    )


def real(x: Value | Array, scale: float) -> Value:
    return ml.cast(ml.cast(x, i32), f32) * scale


def test_a_chain_stays_in_integers() -> None:
    """From layer to layer no real number is divided: scales of constants are."""
    first, second = narrow((4, 3, 3, 3), i8), narrow((5, 4, 1, 1), i8, 1)

    def fn(x: Value) -> Value:
        seen = ml.conv(real(x, 0.1), real(first, 0.02)) + np.full((4, 1, 1), 0.5, np.float32)
        inner = ml.relu(seen) / 0.3
        whole = ml.cast(ml.clip(ml.round(inner) + 0.0, 0.0, 255.0), u8)
        return ml.conv(real(whole, 0.3), real(second, 0.01))

    made = ml.function(TensorType((1, 3, 5, 5), u8))(fn)
    got = rewritten(made)
    assert multiplied(got) == [(u8, i8), (u8, i8)]
    divided = [node.op for node in got.nodes if isinstance(node.op, Divide)]
    assert divided and all(depends_on_constants(op.lhs) for op in divided)
    x = narrow((1, 3, 5, 5), u8)
    (want,), (have,) = run_reference(made, (x,)), run_reference(got, (x,))
    np.testing.assert_allclose(have, want, atol=1e-4 * np.abs(want).max())


def test_pooling_is_of_the_integers() -> None:
    def fn(x: Value) -> Value:
        return ml.max_pool((ml.cast(ml.cast(x, i32) - 3, f32)) * 0.1, 3, strides=2, padding=1)

    made = ml.function(TensorType((1, 2, 7, 7), u8))(fn)
    got = rewritten(made)
    (pool,) = (node for node in got.nodes if node.op.name == "max_pool")
    assert pool.results[0].dtype == u8
    x = narrow((1, 2, 7, 7), u8)
    np.testing.assert_array_equal(run_reference(got, (x,))[0], run_reference(made, (x,))[0])


def test_pooling_stays_where_a_scale_is_negative() -> None:
    made = ml.function(TensorType((1, 2, 7, 7), u8))(
        lambda x: ml.max_pool(real(x, -0.1), 3)
    )
    assert rewritten(made) is made


def scales_by_row_of_the_weight(x: Value) -> Value:
    scales = np.arange(1, 8, dtype=np.float32)[:, None]
    return real(x, 0.1) @ (ml.cast(ml.cast(narrow((7, 5), i8), i32), f32) * scales)


def a_weight_of_reals(x: Value) -> Value:
    return real(x, 0.1) @ np.ones((7, 5), np.float32)


def products_of_parameters(x: Value) -> Value:
    return real(x, 0.1) @ ml.transpose(real(x, 0.2))


def a_zero_point_that_is_no_u8(x: Value) -> Value:
    return (ml.cast(x, i32) - 300) @ ml.cast(narrow((7, 5), i8), i32)


@pytest.mark.parametrize(
    "fn",
    [
        a_zero_point_that_is_no_u8,
        scales_by_row_of_the_weight,
        a_weight_of_reals,
        products_of_parameters,
    ],
)
def test_other_products_stay(fn: Callable[[Value], Value]) -> None:
    made = ml.function(TensorType((7, 7), u8))(fn)
    assert rewritten(made) is made


def test_without_the_instruction_all_stays() -> None:
    made = ml.function(TensorType((2, 7), u8))(
        lambda x: ml.cast(x, i32) @ ml.cast(narrow((7, 5), i8), i32)
    )
    assert integer_products(made, target=Target("cpu:test")) is made
    assert "matmul" in operations(made)
