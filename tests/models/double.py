"""The truth about a model's numbers: the same model in float64, by the NumPy oracle."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import numpy_helper

from mlir_lite.frontends.onnx import OnnxModel
from mlir_lite.interpreter import evaluate
from mlir_lite.ir import results_of
from mlir_lite.types import Array


def run(model: OnnxModel, inputs: Mapping[str, Array]) -> tuple[Array, ...]:
    """The outputs by the NumPy oracle; floats in the type that the model has."""
    given = (inputs[entry.name].astype(entry.dtype.numpy) for entry in model.inputs)
    return results_of(evaluate(model.function(), *given))


def in_double(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with every float32 in it made float64."""
    single, double = onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE
    tensors = list(model.graph.initializer)
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.TENSOR:
                tensors.append(attribute.t)
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == single:
                attribute.i = double
    for tensor in tensors:
        if tensor.data_type == single:
            wide = numpy_helper.to_array(tensor).astype(np.float64)
            tensor.CopyFrom(numpy_helper.from_array(wide, tensor.name))
    for value in (*model.graph.input, *model.graph.output):
        if value.type.tensor_type.elem_type == single:
            value.type.tensor_type.elem_type = double
    return model
