"""Resizing gives what ONNX Runtime gives, in each of its modes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mlir_lite import ops
from mlir_lite.errors import TypeRuleError
from mlir_lite.expr import Load
from mlir_lite.ops.resize import ROUNDINGS, ResizeNearest
from mlir_lite.ops.sampling import COORDINATES
from mlir_lite.types import Array, f32

from .run_function import run_function
from .run_naive import Operand, _variables
from .sample import normal, value_like

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

SIZES = ((3, 6), (5, 3), (6, 7), (9, 4), (7, 1), (1, 5), (4, 4), (10, 25))
SCALES = (0.5, 2.0, 1.5, 0.6, 0.3, 2.3, 0.7)


def _onnx_resize(x: Array, sizes: Any, scales: Any, **attributes: Any) -> Array:
    """Runs one node; its attributes may be numbers or texts."""
    helper = onnx.helper
    node = helper.make_node(
        "Resize", ["x", "", "scales" if scales else "", "sizes" if sizes else ""], ["y"], **attributes
    )
    if scales:
        array = onnx.numpy_helper.from_array(np.array(scales, np.float32), "scales")
    else:
        array = onnx.numpy_helper.from_array(np.array(sizes, np.int64), "sizes")
    made = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)
    given = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, list(x.shape))
    graph = helper.make_graph([node], "g", [given], [made], [array])
    opset = helper.make_opsetid("", 19)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=9)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return np.asarray(session.run(None, {"x": x})[0])


def _image(size: int) -> Array:
    return normal((1, 1, size + 1, size), f32)


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("coordinates", COORDINATES)
def test_nearest(coordinates: str, rounding: str) -> None:
    for size, count in SIZES:
        x = _image(size)
        wanted = _onnx_resize(
            x,
            (1, 1, size + 1, count),
            None,
            mode="nearest",
            coordinate_transformation_mode=coordinates,
            nearest_mode=rounding,
        )
        actual = run_function(
            lambda x, n=count: ops.resize(
                x, (1, 1, x.shape[2], n), coordinates=coordinates, rounding=rounding
            ),
            x,
        )
        np.testing.assert_array_equal(actual, wanted, err_msg=f"{size} to {count}")
