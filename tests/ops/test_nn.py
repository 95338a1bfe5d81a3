"""Type rules, defaults and edge cases of matrix products, windows, norms and resizing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from mlir_lite import ops
from mlir_lite.errors import TypeRuleError
from mlir_lite.expr import INDEX, Load, Var
from mlir_lite.ir import Builder, Function, Op, Value, parameter
from mlir_lite.ops.images.resize import ResizeLinear, ResizeNearest
from mlir_lite.ops.regions.group import Group
from mlir_lite.ops.table import TABLE
from mlir_lite.ops.windows.pool import AveragePool, MaxPool
from mlir_lite.sizes import Dim, Size
from mlir_lite.types import TensorType, f16, f32, i64

from .run_naive import Operand
from .sample import normal
from .traced import run


def _value(*shape: int | str) -> Value:
    return parameter("x", f32[shape])


def _type(function: Callable[[], Value]) -> TensorType:
    with Builder(TABLE).active():
        return function().type


def _refused(function: Callable[[], Value], message: str) -> None:
    with pytest.raises(TypeRuleError, match=message), Builder(TABLE).active():
        function()


@pytest.mark.parametrize(
    "left, right",
    [((3,), (3,)), ((3,), (3, 4)), ((2, 3), (3,)), ((2, 5, 3), (3,)), ((3,), (2, 3, 4))],
)
def test_matmul_takes_vectors_as_numpy_does(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    a, b = normal(left, i64), normal(right, i64, 1)
    np.testing.assert_array_equal(run(ops.matmul, a, b), np.matmul(a, b))


def test_matmul_refuses() -> None:
    _refused(lambda: ops.matmul(_value(2, 3), _value(4, 5)), "3 columns and 4 rows")
    _refused(lambda: ops.matmul(_value(2, 3, 4), _value(3, 4, 5)), r"\(2\) and \(3\) do not broad")
    _refused(lambda: ops.matmul(_value(), _value(4, 5)), "no scalars")
    half = parameter("h", f16[3, 2])
    _refused(lambda: ops.matmul(_value(2, 3), half), "f32 and f16 differ")


def test_named_sizes_go_through() -> None:
    x = _value("batch", 3, "height", 8)
    height, batch = Dim.named("height"), Dim.named("batch")
    weight = _value(5, 3, 3, 3)
    rows: Size = (height + 2 - 3) // 2 + 1
    result = _type(lambda: ops.conv(x, weight, strides=2, padding=1))
    assert result.shape == (batch, 5, rows, 4)
    assert _type(lambda: ops.max_pool(x, 2)).shape == (batch, 3, (height - 2) // 2 + 1, 4)
    rounded: Size = (height - 2 + 1) // 2 + 1
    assert _type(lambda: ops.max_pool(x, 2, ceil_mode=True)).shape == (batch, 3, rounded, 4)
    assert _type(lambda: ops.matmul(x, _value(8, 2))).shape == (batch, 3, height, 2)
    assert _type(lambda: ops.softmax(x)).shape == x.shape
    doubled = _type(lambda: ops.resize(x, scales=(1, 1, 2, 2)))
    assert doubled.shape == (batch, 3, height * 2, 16)
    transposed = _type(lambda: ops.conv_transpose(x, _value(3, 5, 2, 2), strides=2))
    assert transposed.shape == (batch, 5, (height - 1) * 2 + 2, 16)


def test_ceil_mode_says_when_it_needs_a_size() -> None:
    x = _value(1, 1, "height")
    _refused(lambda: ops.max_pool(x, 1, strides=2, padding=1, ceil_mode=True), "the size height")


def test_conv_refuses() -> None:
    x = _value(1, 3, 8, 8)
    _refused(lambda: ops.conv(x, _value(4, 2, 3, 3)), "3 input channels; the weight takes 2")
    _refused(lambda: ops.conv(x, _value(4, 1, 3, 3), groups=3), "4 output channels in 3 groups")
    _refused(lambda: ops.conv(x, _value(4, 3, 3)), "the weight has rank 3, the input 4")
    _refused(lambda: ops.conv(x, _value(4, 3, 9, 3)), "a window of 9 does not fit into 8 elements")
    _refused(lambda: ops.conv(x, _value(4, 3, 3, 3), strides=0), "at least 1")
    _refused(lambda: ops.conv(x, _value(4, 3, 3, 3), padding=-1), "negative")
    _refused(lambda: ops.conv(x, _value(4, 3, 3, 3), padding=(1, 1, 1)), "2 spatial axes need")
    _refused(lambda: ops.conv(x, _value(4, 3, 3, 3), layout="hwnc"), 'not "hwnc"')
    _refused(lambda: ops.conv(x, _value(4, 3, 3, 3), _value(3)), "for 4 channels")
    _refused(lambda: ops.conv2d(_value(1, 3, 8), _value(4, 3, 3)), "conv2d takes rank 4")


def test_conv_transpose_refuses() -> None:
    x = _value(1, 4, 8, 8)
    _refused(lambda: ops.conv_transpose(x, _value(3, 2, 3, 3)), "4 input channels; the weight")
    _refused(lambda: ops.conv_transpose(x, _value(4, 2, 3, 3), groups=3), "in 3 groups")
    _refused(lambda: ops.conv_transpose(x, _value(4, 2, 1, 1), padding=5), "nothing is left")
    _refused(lambda: ops.conv_transpose(x, _value(4, 2, 3, 3), output_padding=-1), "of \\(-1, -1")


def test_norms_refuse() -> None:
    x = _value(2, 6, 5)
    _refused(lambda: ops.layer_norm(x, _value(6)), "scale is tensor<6xf32>, expected tensor<5x")
    _refused(lambda: ops.rms_norm(x, axis=3), "no axis 3")
    _refused(lambda: ops.group_norm(x, 4), "6 channels in 4 groups")
    four = [_value(6), _value(6), _value(5), _value(6)]
    _refused(lambda: ops.batch_norm(x, *four), "the mean is tensor<5xf32>")
    _refused(lambda: ops.softmax(parameter("i", i64[3])), "takes floats")
    _refused(lambda: ops.average_pool(parameter("i", i64[1, 1, 3]), 2), "takes floats")


def test_attention_refuses() -> None:
    q = _value(2, 5, 8)
    _refused(lambda: ops.attention(q, _value(2, 7, 4), q), "queries of 8, keys of 4")
    _refused(lambda: ops.attention(q, _value(2, 7, 8), q), "7 keys for 5 values")
    _refused(lambda: ops.attention(q, q, q, _value(4, 2, 5, 5)), "a mask of shape")
    open_ = _value(2, 5, "width")
    _refused(lambda: ops.attention(open_, open_, open_), "follows from the size width")


def test_resize_refuses() -> None:
    x = _value(1, 1, 4)
    _refused(lambda: ops.resize(x, (1, 1)), "2 sizes for 3 axes")
    _refused(lambda: ops.resize(x, (1, 1, 8), mode="area"), '"area"')
    _refused(lambda: ops.resize(x, (1, 1, 8), coordinates="corner"), '"corner"')
    _refused(lambda: ops.resize(x, (1, 1, 8), rounding="up"), '"up"')
    _refused(lambda: ops.resize(x, scales=(1, 1, 0)), "not positive")
    _refused(lambda: ops.resize(_value(1, 0), (1, 3)), "without elements")


def test_doubling_reads_half_the_index() -> None:
    """No rounding, no clamping is left where they do nothing."""
    i = Var(INDEX, "i")
    x = Operand(f32[4], "x")
    for coordinates, rounding in (("asymmetric", "floor"), ("half_pixel", "round_prefer_floor")):
        body = ResizeNearest(_value(4), (8,), coordinates, (), rounding).body((i,), x)
        assert body == Load(f32, "x", (i // 2,))


def test_an_axis_that_stays_is_read_at_its_index() -> None:
    i, j = Var(INDEX, "i"), Var(INDEX, "j")
    body = ResizeLinear(_value(3, 4), (3, 4)).body((i, j), Operand(f32[3, 4], "x"))
    assert body == Load(f32, "x", (i, j))


def test_windows_inside_the_image_have_no_conditions() -> None:
    at = tuple(Var(INDEX, name) for name in "ncyx")
    x = Operand(f32[1, 1, 4, 4], "x")
    pool = MaxPool(_value(1, 1, 4, 4), (2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1))
    assert "select" not in str(pool.body(at, x))
    padded = MaxPool(_value(1, 1, 4, 4), (2, 2), (2, 2), ((1, 0), (0, 0)), (1, 1))
    assert "select" in str(padded.body(at, x))


def test_the_mean_of_whole_windows_divides_by_a_number() -> None:
    at = tuple(Var(INDEX, name) for name in "ncyx")
    pool = AveragePool(_value(1, 1, 4, 4), (2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1))
    x = Operand(f32[1, 1, 4, 4], "x")
    assert pool.body(at, x) == pool.over_window("sum", at, x) / 4.0


def test_local_response_norm_of_an_even_size() -> None:
    """ONNX: the channels from floor((size - 1) / 2) below to ceil((size - 1) / 2) above."""
    x = np.array([1.0, 2.0, 3.0]).reshape(1, 3, 1)
    actual = run(
        lambda x: ops.local_response_norm(x, 2, alpha=2.0, beta=1.0, bias=0.0), x
    )
    np.testing.assert_allclose(actual.ravel(), [1 / 5, 2 / 13, 3 / 9], rtol=1e-15)


def test_a_group_checks_its_inputs() -> None:
    x = _value(2, 3)
    builder = Builder(TABLE)
    with builder.active():
        region: Function = builder.finish("region", (x,), (ops.exp(x), ops.negative(x)))
    array = normal((2, 3), f32)
    group: Op = Group((x,), "pointwise", region)
    assert group.infer() == (x.type, x.type)
    first, second = group.reference((array,))
    np.testing.assert_array_equal(first, np.exp(array))
    np.testing.assert_array_equal(second, -array)
    _refused(lambda: builder.emit(Group((), "pointwise", region))[0], r"is run on \(\)")
    other = Group((_value(3),), "pointwise", region)
    _refused(lambda: builder.emit(other)[0], r"is run on \(tensor<3xf32>\)")
