"""Quantised models in machine code: integers as NumPy's of 64 bits, the rest as onnxruntime's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import mlir_lite as ml
from mlir_lite.types import Array

onnxruntime = pytest.importorskip("onnxruntime")

_TYPES = {"uint8": TensorProto.UINT8, "int8": TensorProto.INT8, "float32": TensorProto.FLOAT}


def model(
    nodes: Sequence[onnx.NodeProto], constants: dict[str, Array], result: int, **inputs: Array
) -> onnx.ModelProto:
    """A model whose only result is `y`."""
    made = [
        helper.make_tensor_value_info(name, _TYPES[str(array.dtype)], array.shape)
        for name, array in inputs.items()
    ]
    y = helper.make_tensor_value_info("y", result, None)
    weights = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "quantised", made, [y], weights)
    opset = [helper.make_opsetid("", 19)]
    return helper.make_model(graph, opset_imports=opset, ir_version=9)


def run(made: onnx.ModelProto, **inputs: Array) -> tuple[Array, Array]:
    """Our result and onnxruntime's."""
    session = onnxruntime.InferenceSession(
        made.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (want,) = session.run(None, inputs)
    have = ml.compile(ml.from_onnx(made.SerializeToString()))(*inputs.values())
    assert isinstance(have, np.ndarray) and have.dtype == want.dtype and have.shape == want.shape
    return have, np.asarray(want)


def narrow(shape: tuple[int, ...], dtype: str, seed: int) -> Array:
    """Integers of the whole range of a type, its limits among them."""
    limits = np.iinfo(dtype)
    random = np.random.default_rng(seed)
    found = random.integers(limits.min, limits.max + 1, shape).astype(dtype)
    found.flat[:2] = limits.min, limits.max
    return found


@pytest.mark.parametrize("depth", [1, 3, 4, 37, 64])
@pytest.mark.parametrize(
    ("left", "right", "za", "zb"),
    [
        ("uint8", "int8", 0, 0),
        ("uint8", "int8", 255, -128),
        ("uint8", "uint8", 128, 128),
        ("uint8", "uint8", 0, 255),
        ("int8", "int8", -128, 127),
        ("int8", "uint8", 5, 0),
    ],
)
def test_integer_products_are_exact(left: str, right: str, za: int, zb: int, depth: int) -> None:
    a, b = narrow((3, 5, max(2, depth)), left, 0), narrow((max(2, depth), 19), right, 1)
    zeros = np.full(19, zb, right)
    zeros[3:7] = narrow((4,), right, 2)
    node = helper.make_node("MatMulInteger", ["a", "b", "za", "zb"], ["y"])
    constants = {"b": b, "za": np.array(za, left), "zb": zeros}
    made = model([node], constants, TensorProto.INT32, a=a)
    have = ml.compile(ml.from_onnx(made.SerializeToString()))(a)
    want = (a.astype(np.int64) - za) @ (b.astype(np.int64) - zeros)
    np.testing.assert_array_equal(have, want)


@pytest.mark.parametrize("zero", [0, 1, 128, 255])
@pytest.mark.parametrize("channels", [3, 4, 17])
def test_integer_convolutions_are_exact(channels: int, zero: int) -> None:
    x, w = narrow((2, channels, 6, 5), "uint8", 0), narrow((9, channels, 3, 2), "int8", 1)
    pads = [1, 0, 2, 1]
    node = helper.make_node(
        "ConvInteger", ["x", "w", "zx"], ["y"], pads=pads, strides=[2, 1], dilations=[1, 2]
    )
    made = model([node], {"w": w, "zx": np.array(zero, "uint8")}, TensorProto.INT32, x=x)
    have = ml.compile(ml.from_onnx(made.SerializeToString()))(x)
    whole = np.pad(x.astype(np.int64) - zero, ((0, 0), (0, 0), (1, 2), (0, 1)))
    seen = np.lib.stride_tricks.sliding_window_view(whole, (3, 3), (2, 3))[:, :, ::2, :, :, ::2]
    want = np.einsum("bchwij,ocij->bohw", seen, w.astype(np.int64))
    np.testing.assert_array_equal(have, want)


def quantised(name: str, zero: str, scale: str, result: str) -> onnx.NodeProto:
    return helper.make_node("QuantizeLinear", [name, scale, zero], [result])


def real(name: str, zero: str, scale: str, result: str, axis: int = 1) -> onnx.NodeProto:
    return helper.make_node("DequantizeLinear", [name, scale, zero], [result], axis=axis)


def assert_one_step(have: Array, want: Array) -> None:
    """Equal but for the few integers whose real number lies in the middle between two: there the
    rounding of the scales decides."""
    apart = np.abs(have.astype(np.int64) - want.astype(np.int64))
    assert apart.max() <= 1 and np.count_nonzero(apart) <= have.size // 100


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_a_chain_of_convolutions_and_a_product(dtype: str, seed: int) -> None:
    """conv -> relu -> depthwise -> max pool -> residual sum -> product, quantised between."""
    random = np.random.default_rng(seed)
    channels, out = int(random.integers(3, 20)), int(random.integers(2, 24))
    low = np.iinfo(dtype).min
    zeros = {f"z{place}": np.array(low + random.integers(256), dtype) for place in range(5)}
    scales = {f"s{place}": np.float32(random.uniform(0.02, 0.1)) for place in range(5)}
    constants: dict[str, Array] = {
        **zeros,
        **{name: np.asarray(value) for name, value in scales.items()},
        "w0": narrow((out, channels, 3, 3), "int8", seed),
        "w1": narrow((out, 1, 3, 3), "int8", seed + 1),
        "w2": narrow((out * 9, 11), "int8", seed + 2),
        "zw": np.zeros(out, "int8"),
        "sw": random.uniform(1e-4, 2e-3, out).astype(np.float32),
        "zm": np.zeros(11, "int8"),
        "sm": random.uniform(1e-4, 2e-3, 11).astype(np.float32),
        "bias": random.standard_normal(out).astype(np.float32),
        "flat": np.array([1, -1]),
    }
    nodes = [
        real("x", "z0", "s0", "x.r"),
        real("w0", "zw", "sw", "w0.r", 0),
        helper.make_node("Conv", ["x.r", "w0.r", "bias"], ["c"], pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Relu", ["c"], ["c.r"]),
        quantised("c.r", "z1", "s1", "c.q"),
        real("c.q", "z1", "s1", "d"),
        real("w1", "zw", "sw", "w1.r", 0),
        helper.make_node("Conv", ["d", "w1.r"], ["e"], pads=[1, 1, 1, 1], group=out),
        quantised("e", "z2", "s2", "e.q"),
        real("e.q", "z2", "s2", "f"),
        helper.make_node("Add", ["f", "d"], ["g"]),
        quantised("g", "z3", "s3", "g.q"),
        real("g.q", "z3", "s3", "h"),
        helper.make_node("MaxPool", ["h"], ["i"], kernel_shape=[2, 2], strides=[2, 2]),
        quantised("i", "z3", "s3", "i.q"),
        real("i.q", "z3", "s3", "j"),
        helper.make_node("Reshape", ["j", "flat"], ["k"]),
        real("w2", "zm", "sm", "w2.r", 1),
        helper.make_node("MatMul", ["k", "w2.r"], ["l"]),
        quantised("l", "z4", "s4", "y"),
    ]
    x = narrow((1, channels, 12, 12), dtype, seed)
    have, want = run(model(nodes, constants, _TYPES[dtype], x=x), x=x)
    assert have.dtype == np.dtype(dtype) and np.unique(have).size > 1
    assert_one_step(have, want)


@pytest.mark.parametrize("shape", [(3, 5), (17, 37), (1, 64)])
def test_a_product_quantised_by_the_range_of_its_data(shape: tuple[int, int]) -> None:
    random = np.random.default_rng(shape[0])
    x = random.standard_normal(shape).astype(np.float32)
    weight = narrow((shape[1], 13), "int8", 1)
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
        helper.make_node("MatMulInteger", ["q", "w", "z"], ["y"]),
    ]
    have, want = run(model(nodes, {"w": weight}, TensorProto.INT32, x=x), x=x)
    np.testing.assert_array_equal(have, want)


@pytest.mark.parametrize("per_channel", [False, True])
def test_quantised_operators_with_scales_of_their_own(per_channel: bool) -> None:
    random = np.random.default_rng(0)
    out = 6
    count = (out,) if per_channel else ()
    constants: dict[str, Array] = {
        "sx": np.array(0.03, np.float32),
        "zx": np.array(121, np.uint8),
        "w": narrow((out, 5, 3, 3), "int8", 1),
        "sw": random.uniform(1e-3, 4e-3, count).astype(np.float32),
        "zw": np.zeros(count, np.int8),
        "sy": np.array(0.05, np.float32),
        "zy": np.array(100, np.uint8),
        "bias": random.integers(-500, 500, out).astype(np.int32),
    }
    operands = ["x", "sx", "zx", "w", "sw", "zw", "sy", "zy", "bias"]
    node = helper.make_node("QLinearConv", operands, ["y"], pads=[1, 1, 1, 1])
    x = narrow((1, 5, 7, 7), "uint8", 0)
    have, want = run(model([node], constants, TensorProto.UINT8, x=x), x=x)
    assert np.unique(have).size > 2
    assert_one_step(have, want)
