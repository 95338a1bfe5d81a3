"""Operators as they were before opset 7, which onnxruntime no longer reads, against NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from mlir_lite.errors import ParseError, UnsupportedError
from mlir_lite.frontends.onnx.table import READERS
from mlir_lite.frontends.onnx_backend import MlirLiteBackend
from mlir_lite.types import Array

RANDOM = np.random.default_rng(0)


def floats(*shape: int) -> Array:
    return RANDOM.standard_normal(shape).astype(np.float32)


def model(
    op_type: str,
    opset: int,
    inputs: Sequence[Array],
    attributes: dict[str, Any],
    outputs: int = 1,
) -> onnx.ModelProto:
    """One node; the first input is the model's, the others are weights and so listed as inputs."""
    names = [f"x{place}" for place in range(len(inputs))]
    results = [f"y{place}" for place in range(outputs)]
    infos = [
        helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
        )
        for name, array in zip(names, inputs, strict=True)
    ]
    weights = zip(names[1:], inputs[1:], strict=True)
    graph = helper.make_graph(
        [helper.make_node(op_type, names, results, **attributes)],
        "node",
        infos,
        [onnx.ValueInfoProto(name=name) for name in results],
        [numpy_helper.from_array(array, name) for name, array in weights],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=3)


X, IMAGE, FLAT = floats(2, 3, 4), floats(2, 3, 4, 5), floats(2, 3)
PER_CHANNEL, ROW, SLOPE = floats(3), floats(4), floats(3)
ALONG = PER_CHANNEL[:, None, None]
MEAN, VARIANCE = floats(3), floats(3) ** 2
ON, CHANNELS = {"broadcast": 1}, {"broadcast": 1, "axis": 1}
NORMALISED = (IMAGE - MEAN[:, None, None]) / np.sqrt(VARIANCE[:, None, None] + 1e-5)

Case = tuple[str, int, Sequence[Array], dict[str, Any], Array]
CASES: list[Case] = [
    ("Add", 6, [IMAGE, PER_CHANNEL], CHANNELS, IMAGE + ALONG),
    ("Add", 1, [IMAGE, PER_CHANNEL], {**CHANNELS, "consumed_inputs": [0, 0]}, IMAGE + ALONG),
    ("Sub", 6, [X, ROW], ON, X - ROW),
    ("Mul", 6, [IMAGE, IMAGE[0, :, :, 0].copy()], CHANNELS, IMAGE * IMAGE[0, :, :, :1]),
    ("Mul", 6, [X, np.array(2, np.float32)], CHANNELS, X * 2),
    ("Div", 1, [X, X + 3], {}, X / (X + 3)),
    ("Pow", 1, [np.abs(FLAT), SLOPE], {"broadcast": 1, "axis": -1}, np.abs(FLAT) ** SLOPE),
    ("Greater", 1, [X, ROW], ON, X > ROW),
    ("And", 1, [X > 0, ROW > 0], ON, (X > 0) & (ROW > 0)),
    ("Gemm", 6, [FLAT, floats(4, 3), ROW], {"broadcast": 1, "transB": 1}, np.empty(0)),
    ("BatchNormalization", 6, [IMAGE, PER_CHANNEL, SLOPE, MEAN, VARIANCE], {"is_test": 1},
     NORMALISED * ALONG + SLOPE[:, None, None]),
    ("Dropout", 6, [X], {"is_test": 1, "ratio": 0.5}, X),
    ("Relu", 1, [X], {"consumed_inputs": [0]}, np.maximum(X, 0)),
    ("Clip", 1, [X], {"min": -0.5, "max": 0.5}, X.clip(-0.5, 0.5)),
    ("Sum", 1, [X, X], {}, X + X),
    ("PRelu", 6, [IMAGE, SLOPE], {}, np.where(IMAGE < 0, IMAGE * SLOPE[:, None, None], IMAGE)),
    ("PRelu", 1, [IMAGE, SLOPE[:1]], {}, np.where(IMAGE < 0, IMAGE * SLOPE[0], IMAGE)),
    ("Cast", 1, [X], {"to": "INT32"}, X.astype(np.int32)),
    ("Reshape", 1, [X], {"shape": [0, -1]}, X.reshape(2, 12)),
    ("Concat", 1, [X, X], {}, np.concatenate([X, X], 1)),
    ("Split", 1, [X, np.array([1, 2])], {"axis": 1}, X[:, :1]),
    ("Split", 1, [X], {"axis": 1, "split": [1, 2]}, X[:, :1]),
    ("Pad", 1, [FLAT], {"paddings": [0, 1, 2, 0], "value": 1.5},
     np.pad(FLAT, [(0, 2), (1, 0)], constant_values=1.5)),
    ("Tile", 1, [X, np.array(2, np.int64), np.array(1, np.int64)], {}, np.tile(X, (1, 2, 1))),
    ("Upsample", 1, [IMAGE], {"height_scale": 2.0, "width_scale": 3.0},
     IMAGE.repeat(2, 2).repeat(3, 3)),
    ("AveragePool", 1, [IMAGE], {"kernel_shape": [4, 5]}, IMAGE.mean((2, 3), keepdims=True)),
    ("LpPool", 1, [IMAGE], {"kernel_shape": [4, 5], "p": 3.0},
     (np.abs(IMAGE) ** 3).sum((2, 3), keepdims=True) ** (1 / 3)),
    ("GlobalLpPool", 1, [IMAGE], {}, np.sqrt((IMAGE**2).sum((2, 3), keepdims=True))),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=[f"{case[0]}-{case[1]}" for case in CASES])
def test_it_is_numpys(case: Case) -> None:
    op_type, opset, inputs, attributes, wanted = case
    if op_type == "Gemm":
        wanted = inputs[0] @ inputs[1].T + inputs[2]
    outputs = 2 if op_type == "Split" else 1
    made = model(op_type, opset, inputs, attributes, outputs)
    found = MlirLiteBackend.run_model(made, inputs[:1])[0]
    assert found.dtype == wanted.dtype
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


MISTAKES: list[tuple[str, Sequence[Array], dict[str, Any], type[Exception], str]] = [
    ("Add", [X, ROW], {}, ParseError, "without broadcast=1"),
    ("Add", [X, X], {"broadcast": 1, "axis": 1}, ParseError, "3 axes from axis 1 of 3 on"),
    ("Cast", [X], {"to": "COMPLEX64"}, ParseError, "the element type is 'COMPLEX64', none of"),
    ("Upsample", [IMAGE], {"height_scale": 1.5, "width_scale": 2.0}, UnsupportedError, "1.5"),
]


@pytest.mark.parametrize(("op_type", "inputs", "attributes", "kind", "message"), MISTAKES)
def test_what_does_not_fit_is_told(
    op_type: str,
    inputs: Sequence[Array],
    attributes: dict[str, Any],
    kind: type[Exception],
    message: str,
) -> None:
    with pytest.raises(kind, match=message):
        MlirLiteBackend.run_model(model(op_type, 1, inputs, attributes), inputs[:1])


RNN_X, RNN_W, RNN_R = floats(4, 2, 3), floats(1, 5, 3), floats(1, 5, 5)


@pytest.mark.parametrize(("op_type", "gates"), [("RNN", 1), ("GRU", 3), ("LSTM", 4)])
def test_recurrent_layers_give_what_later_versions_give(op_type: str, gates: int) -> None:
    inputs = [RNN_X, np.tile(RNN_W, (1, gates, 1)), np.tile(RNN_R, (1, gates, 1))]
    versions = [(1, {"output_sequence": 1}), (7, {})]
    old, new = (
        MlirLiteBackend.run_model(
            model(op_type, opset, inputs, {"hidden_size": 5, **attributes}, 2), inputs[:1]
        )
        for opset, attributes in versions
    )
    assert old[0].shape == (4, 1, 2, 5)
    for one, other in zip(old, new, strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_is_read_is_read_since_opset_1() -> None:
    history: dict[str, int] = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        if schema.domain == "":
            since = history.get(schema.name, schema.since_version)
            history[schema.name] = min(since, schema.since_version)
    assert {name for name, readers in READERS.items() if history[name] not in readers} == set()
