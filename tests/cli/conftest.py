"""Runs the command line in this process, and makes the files that the commands read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from mlir_lite.cli import main
from mlir_lite.types import Array

LAYER = """\
func @layer(%x: tensor<[batch]x8xf32>, %w: tensor<8x4xf32>) -> tensor<[batch]x4xf32> {
  %0 = matmul %x, %w : tensor<[batch]x4xf32>
  %1 = relu %0 : tensor<[batch]x4xf32>
  return %1
}
"""
CHAIN = """\
func @chain(%x: tensor<5x7xf32>) -> tensor<5x7xf32> {
  %0 = transpose %x {perm = [1, 0]} : tensor<7x5xf32>
  %1 = transpose %0 {perm = [1, 0]} : tensor<5x7xf32>
  %2 = relu %1 : tensor<5x7xf32>
  return %2
}
"""


class Done(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str


Cli: TypeAlias = Callable[..., Done]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    def run(*arguments: object) -> Done:
        capsys.readouterr()
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as stop:  # argparse ends so, for help and for wrong usage
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return Done(code, captured.out, captured.err)

    return run


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    """A function with a named size."""
    path = tmp_path / "layer.mlir"
    path.write_text(LAYER)
    return path


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    """A function of static sizes, with something to canonicalise."""
    path = tmp_path / "chain.mlir"
    path.write_text(CHAIN)
    return path


@pytest.fixture
def product_onnx(tmp_path: Path) -> Path:
    """`y = x @ w` with a weight of more than 4 KiB, which is no part of a text."""
    weight = np.random.default_rng(0).standard_normal((64, 33)).astype(np.float32)
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    return _save(
        tmp_path / "product.onnx", node, {"x": (onnx.TensorProto.FLOAT, ["n", 64])}, {"w": weight}
    )


@pytest.fixture
def reshape_onnx(tmp_path: Path) -> Path:
    """A model in which the value of the input `s` decides the result's shape."""
    node = helper.make_node("Reshape", ["x", "s"], ["y"])
    inputs = {"x": (onnx.TensorProto.FLOAT, [6, 4]), "s": (onnx.TensorProto.INT64, [2])}
    return _save(tmp_path / "reshape.onnx", node, inputs, {})


@pytest.fixture
def scalar_onnx(tmp_path: Path) -> Path:
    """A model with an input of rank 0."""
    node = helper.make_node("Mul", ["x", "s"], ["y"])
    inputs: dict[str, tuple[int, Sequence[int | str]]] = {
        "x": (onnx.TensorProto.FLOAT, [2, 3]),
        "s": (onnx.TensorProto.FLOAT, []),
    }
    return _save(tmp_path / "scalar.onnx", node, inputs, {})


@pytest.fixture
def size_onnx(tmp_path: Path) -> Path:
    """A model whose padding depends on whether a size is even."""
    rule = {"kernel_shape": [3], "strides": [2], "auto_pad": "SAME_UPPER"}
    node = helper.make_node("MaxPool", ["x"], ["y"], **rule)
    return _save(tmp_path / "size.onnx", node, {"x": (onnx.TensorProto.FLOAT, [1, 3, "n"])}, {})


def _save(
    path: Path,
    node: onnx.NodeProto,
    inputs: Mapping[str, tuple[int, Sequence[int | str]]],
    weights: Mapping[str, Array],
) -> Path:
    graph = helper.make_graph(
        [node],
        path.stem,
        [helper.make_tensor_value_info(name, *declared) for name, declared in inputs.items()],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    onnx.save(model, path)
    return path
