"""The backend interface: what a prepared model compiles, and when."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from mlir_lite.errors import InputError
from mlir_lite.frontends.onnx import OnnxModel
from mlir_lite.frontends.onnx_backend import MlirLiteBackend, PreparedModel, Runnable, compiled
from mlir_lite.ir import Function


def reshape_model() -> onnx.ModelProto:
    """y = reshape(x, shape): the value of an input decides the shape of the result."""
    graph = helper.make_graph(
        [helper.make_node("Reshape", ["x", "shape"], ["y"])],
        "reshape",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [None]),
            helper.make_tensor_value_info("shape", TensorProto.INT64, [2]),
        ],
        [onnx.ValueInfoProto(name="y")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def test_a_model_is_compiled_once_for_sizes_and_values_that_decide_sizes() -> None:
    made: list[Function] = []

    def noted(fn: Function) -> Runnable:
        made.append(fn)
        return compiled(fn)

    prepared = PreparedModel(OnnxModel.read(reshape_model()), noted)
    for length, shape, functions in (
        (6, (2, 3), 1),
        (6, (2, 3), 1),
        (6, (3, 2), 2),
        (8, (2, 4), 3),
        (6, (2, 3), 3),
    ):
        x = np.arange(length, dtype=np.float32)
        (y,) = prepared.run([x, np.array(shape, np.int64)])
        np.testing.assert_array_equal(y, x.reshape(shape))
        assert len(made) == functions


def test_inputs_are_taken_by_name_and_in_any_layout() -> None:
    node = helper.make_node("Neg", ["x"], ["y"])
    x = np.arange(6, dtype=np.float32).reshape(2, 3).T
    (y,) = MlirLiteBackend.run_node(node, [x])
    np.testing.assert_array_equal(y, -x)
    prepared = MlirLiteBackend.prepare(reshape_model())
    (z,) = prepared.run({"shape": np.array([1, 2], np.int64), "x": np.ones(2, np.float32)})
    assert z.shape == (1, 2)


def test_missing_inputs_are_named() -> None:
    prepared = MlirLiteBackend.prepare(reshape_model())
    with pytest.raises(InputError, match=r"1 inputs for \['x', 'shape'\]"):
        prepared.run([np.ones(2, np.float32)])
