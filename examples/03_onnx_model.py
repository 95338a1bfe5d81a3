"""An ONNX model, from a file or made here, compiled for the shape at hand.

    pip install 'mlir-lite[onnx]'
    python examples/03_onnx_model.py [MODEL.onnx]
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

import mlir_lite as ml
from mlir_lite.frontends.onnx import OnnxModel


def small_model() -> Any:  # an onnx.ModelProto; that package has no types
    """A convolution, a rectifier and a pool over images of any number and size."""
    weight = np.random.default_rng(0).standard_normal((8, 3, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["image", "weight"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["features"]),
    ]
    image = helper.make_tensor_value_info(
        "image", TensorProto.FLOAT, ["batch", 3, "height", "width"]
    )
    features = helper.make_tensor_value_info("features", TensorProto.FLOAT, None)
    graph = helper.make_graph(
        nodes, "small", [image], [features], [numpy_helper.from_array(weight, "weight")]
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


def main() -> None:
    model = OnnxModel.read(Path(sys.argv[1]) if len(sys.argv) > 1 else small_model())
    for entry in model.inputs:
        print(f"input {entry.name}: {entry.dtype}, shape {entry.shape}")

    fn = model.function()
    print(f"named sizes: {', '.join(sorted(fn.sizes)) or 'none'}")
    sizes = {name: 2 if name == "batch" else 32 for name in fn.sizes}
    fn = ml.specialise(fn, sizes)

    random = np.random.default_rng(1)
    arrays = [
        random.standard_normal(param.type.static_shape).astype(param.type.dtype.numpy)
        for param in fn.params
    ]
    run = ml.compile(fn)
    compiled, interpreted = run(*arrays), ml.evaluate(fn, *arrays)
    results = compiled if isinstance(compiled, tuple) else (compiled,)
    expected = interpreted if isinstance(interpreted, tuple) else (interpreted,)
    for name, have, want in zip(model.outputs, results, expected, strict=True):
        close = np.allclose(have, want, rtol=1e-4, atol=1e-4)
        print(f"output {name}: {have.dtype}{list(have.shape)}, as interpreted: {close}")


if __name__ == "__main__":
    main()
