"""Operators in forms that the newest opset no longer has, against onnxruntime."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
import onnxruntime
import pytest

from mlir_lite.frontends.onnx.table import READERS
from mlir_lite.frontends.onnx_backend import MlirLiteBackend
from mlir_lite.types import Array

RANDOM = np.random.default_rng(0)


def floats(*shape: int) -> Array:
    return RANDOM.standard_normal(shape).astype(np.float32)


def whole(*numbers: int) -> Array:
    return np.array(numbers, np.int64)


@dataclass(frozen=True, eq=False)
class Node:
    """One node by its opset; inputs after the first are constants, as exporters write them."""

    op_type: str
    opset: int
    inputs: Sequence[Array]
    attributes: dict[str, object] = field(default_factory=dict)
    outputs: int = 1

    def model(self) -> onnx.ModelProto:
        names = [f"x{place}" for place in range(len(self.inputs))]
        results = [f"y{place}" for place in range(self.outputs)]
        kind = onnx.helper.np_dtype_to_tensor_dtype(self.inputs[0].dtype)
        graph = onnx.helper.make_graph(
            [onnx.helper.make_node(self.op_type, names, results, **self.attributes)],
            "node",
            [onnx.helper.make_tensor_value_info("x0", kind, self.inputs[0].shape)],
            [onnx.ValueInfoProto(name=name) for name in results],
            [
                onnx.numpy_helper.from_array(array, name)
                for name, array in zip(names[1:], self.inputs[1:], strict=True)
            ],
        )
        opset = onnx.helper.make_opsetid("", self.opset)
        return onnx.helper.make_model(graph, opset_imports=[opset], ir_version=7)


def recurrent(gates: int, directions: int) -> list[Array]:
    """Five steps of two rows of three numbers, and the weights for a state of four."""
    return [
        floats(5, 2, 3),
        floats(directions, 4 * gates, 3),
        floats(directions, 4 * gates, 4),
        floats(directions, 8 * gates),
    ]


X = floats(2, 3, 4)
TENTHS = np.array([0.1, 0.2, 0.3], np.float32)
BYTES = np.array([[3, 200]], np.uint8)
IMAGE = floats(1, 2, 6, 5)
# Of an image each; the last ones lie partly or wholly outside, or are of one pixel.
BOXES = np.array(
    [[0, 1, 2, 9, 7], [1, 0, 0, 3, 3], [0, 5, 5, 30, 30], [1, -4.5, -9, -2, -1], [0, 3, 4, 3, 4]],
    np.float32,
)
SCALES = np.array([1, 1, 2, 2], np.float32)
NODES = [
    Node("Softmax", 11, [X], {"axis": 1}),
    Node("Softmax", 11, [X]),
    Node("LogSoftmax", 11, [X], {"axis": 0}),
    Node("Hardmax", 11, [X], {"axis": 2}),
    Node("Squeeze", 11, [floats(1, 3, 1, 2)], {"axes": [0, -2]}),
    Node("Squeeze", 12, [floats(1, 3, 1, 2)]),
    Node("Unsqueeze", 11, [X], {"axes": [0, -1]}),
    Node("ReduceSum", 11, [X], {"axes": [1, -1], "keepdims": 0}),
    Node("ReduceMean", 13, [X], {"axes": [1]}),
    Node("ReduceMax", 12, [X], {"keepdims": 0}),
    Node("ReduceL2", 13, [X], {"axes": [0]}),
    Node("Slice", 9, [X], {"axes": [2, 0], "starts": [1, -1], "ends": [-1, 2**31 - 1]}),
    Node("Slice", 10, [X, whole(3), whole(-(2**63)), whole(2), whole(-1)]),
    Node("Slice", 10, [X, whole(-(2**63)), whole(2**63 - 1), whole(1)]),
    Node("Slice", 11, [X, whole(2, 0), whole(0, 9), whole(1, 0), whole(-1, 1)]),
    Node("Clip", 6, [X], {"min": -0.5, "max": 0.25}),
    Node("Clip", 11, [X, np.array(-0.5, np.float32), np.array(0.25, np.float32)]),
    Node("Pad", 10, [X], {"pads": [0, 1, 0, 0, 0, 2], "value": 1.5}),
    Node("Pad", 11, [X, whole(0, 1, 1, 0, 1, 2)], {"mode": "reflect"}),
    Node("Pad", 11, [X, whole(0, -1, 1, 0, 0, -2)]),
    Node("Pad", 18, [X, whole(1, 2), np.array(3, np.float32), whole(-1)]),
    Node("Split", 11, [X], {"axis": 2, "split": [1, 3]}, 2),
    Node("Split", 11, [X], {"axis": -1}, 2),
    Node("Upsample", 7, [IMAGE], {"scales": [1.0, 1.0, 2.0, 3.0]}),
    Node("Upsample", 9, [IMAGE, SCALES], {"mode": "linear"}),
    Node("Resize", 10, [IMAGE, np.array([1, 1, 0.5, 1.5], np.float32)]),
    Node("Resize", 11, [IMAGE, np.empty(0, np.float32), SCALES], {"mode": "linear"}),
    Node("Gemm", 7, [floats(3, 4), floats(5, 4), floats(5)], {"transB": 1, "beta": 0.5}),
    Node("Gemm", 9, [floats(4, 3), floats(4, 5), floats(1)], {"transA": 1, "alpha": 2.0}),
    Node("BatchNormalization", 9, [IMAGE, floats(2), floats(2), floats(2), floats(2) ** 2]),
    Node("InstanceNormalization", 6, [IMAGE, floats(2), floats(2)]),
    Node("LRN", 1, [floats(1, 7, 3, 3)], {"size": 3, "alpha": 0.1}),
    Node("Dropout", 7, [X]),
    Node("AveragePool", 10, [IMAGE], {"kernel_shape": [3, 2], "pads": [1, 0, 1, 1]}),
    Node("AveragePool", 10, [IMAGE], {"kernel_shape": [4, 4], "auto_pad": "SAME_LOWER"}),
    Node("MaxPool", 10, [IMAGE], {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}),
    Node("MaxPool", 8, [IMAGE], {"kernel_shape": [3, 2], "pads": [1, 0, 1, 1]}, 2),
    Node("MaxRoiPool", 7, [floats(2, 3, 12, 10), BOXES], {"pooled_shape": [7, 7]}),
    Node(
        "MaxRoiPool",
        21,
        [floats(2, 3, 12, 10), BOXES],
        {"pooled_shape": [3, 2], "spatial_scale": 0.7},
    ),
    Node("LpPool", 11, [IMAGE], {"kernel_shape": [2, 2], "p": 3}),
    Node("Conv", 10, [floats(1, 4, 9), floats(6, 2, 3), floats(6)], {"group": 2, "strides": [2]}),
    Node(
        "ConvTranspose",
        10,
        [IMAGE, floats(2, 3, 3, 3)],
        {"output_padding": [1, 1], "strides": [2, 2]},
    ),
    Node("DepthToSpace", 11, [floats(1, 8, 2, 3)], {"blocksize": 2, "mode": "CRD"}),
    Node("SpaceToDepth", 11, [floats(1, 2, 4, 6)], {"blocksize": 2}),
    Node("Pow", 12, [np.array([2, -3, 5], np.int32), np.array([3, 2, 1], np.int64)]),
    Node("Pow", 12, [np.array([2, 4, 9], np.int64), np.array(0.5, np.float32)]),
    Node("Div", 13, [np.array([7, -7, 7, -7]), np.array([2, 2, -2, -2])]),
    Node("Mod", 10, [np.array([7, -7, 7, -7]), np.array([3, 3, -3, -3])]),
    Node("Mod", 10, [floats(5), np.array(0.7, np.float32)], {"fmod": 1}),
    Node("Cast", 9, [np.array([1.7, -1.7, 0, 300], np.float32)], {"to": 6}),
    Node("Cast", 9, [np.array([1.7, 0, -0.2], np.float32)], {"to": 9}),
    Node("ArgMax", 11, [X], {"axis": -1, "keepdims": 0}),
    Node("CumSum", 11, [X, np.array(1, np.int64)], {"exclusive": 1, "reverse": 1}),
    Node("Compress", 9, [floats(3, 4), np.array([True, False])], {"axis": 1}),
    Node("Compress", 11, [floats(2, 3), np.array([False, True, False, False, True])]),
    Node("NonZero", 9, [np.array([[0, 2, 0], [3, 0, 4]], np.float32)]),
    Node("NonZero", 13, [np.zeros((2, 0), np.float32)]),
    Node("OneHot", 11, [whole(1, -1, 7), np.array(3, np.int64), np.array([2, 5], np.float32)]),
    Node("Trilu", 14, [floats(4, 5), np.array(-1, np.int64)], {"upper": 0}),
    Node("Tile", 6, [X, whole(2, 1, 3)]),
    Node("Gather", 11, [X, np.array([[0, -1]])], {"axis": 1}),
    Node("GatherElements", 11, [X, np.array([[[0, 1, -1, 1]]])], {"axis": 1}),
    Node("ScatterND", 11, [floats(4, 2), np.array([[1], [3]]), floats(2, 2)]),
    Node("EyeLike", 9, [floats(3, 4)], {"k": 1, "dtype": 7}),
    Node("IsInf", 10, [np.array([np.inf, -np.inf, 1], np.float32)], {"detect_negative": 0}),
    Node("ReverseSequence", 10, [floats(4, 3), whole(4, 1, 3)]),
    Node("Shape", 13, [X]),
    Node("Range", 11, [np.array(5, np.int64), np.array(-4, np.int64), np.array(-3, np.int64)]),
    Node("DynamicQuantizeLinear", 11, [X], {}, 3),
    Node("QuantizeLinear", 13, [X, TENTHS, np.zeros(3, np.int8)], {"axis": 1}),
    Node("DequantizeLinear", 10, [BYTES, np.array(0.5, np.float32), np.array(128, np.uint8)]),
    Node("MatMulInteger", 10, [BYTES, np.array([[-3], [4]], np.int8), np.array(100, np.uint8)]),
    Node("RNN", 14, recurrent(1, 1), {"hidden_size": 4}, 2),
    Node(
        "GRU",
        14,
        recurrent(3, 2),
        {"hidden_size": 4, "linear_before_reset": 1, "direction": "bidirectional"},
        2,
    ),
    Node(
        "LSTM",
        14,
        [*recurrent(4, 1), np.array([5, 2], np.int32)],
        {"hidden_size": 4, "direction": "reverse"},
        3,
    ),
]


@pytest.mark.parametrize(
    "node", NODES, ids=[f"{node.op_type}-{node.opset}-{at}" for at, node in enumerate(NODES)]
)
def test_agrees_with_onnxruntime(node: Node) -> None:
    model = node.model()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    expected = session.run(None, {session.get_inputs()[0].name: node.inputs[0]})
    results = MlirLiteBackend.run_model(model, [node.inputs[0]])
    for result, wanted in zip(results, expected, strict=True):
        assert (result.shape, result.dtype) == (wanted.shape, wanted.dtype)
        np.testing.assert_allclose(result, wanted, rtol=1e-5, atol=1e-5)


# Forms that the specification has withdrawn: no model of a newer opset may use them.
WITHDRAWN = {("Scatter", 11), ("Upsample", 10)}


def test_no_version_in_force_since_opset_7_is_forgotten() -> None:
    history: dict[str, list[int]] = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        if schema.domain == "":
            history.setdefault(schema.name, []).append(schema.since_version)
    for op_type, readers in READERS.items():
        versions = sorted(history[op_type])
        ends = [*versions[1:], 1000]
        in_force = {v for v, end in zip(versions, ends, strict=True) if end > 7 and v <= 28}
        assert in_force - set(readers) <= {v for name, v in WITHDRAWN if name == op_type}, op_type
        assert set(readers) <= set(versions), op_type
