"""Models whose weights stay in the file."""

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import mlir_lite as ml
from mlir_lite.errors import InputError, ParseError
from mlir_lite.frontends.onnx.wire import LARGE, light_model
from mlir_lite.ir import InFile
from mlir_lite.ir.resources import constants_of

WEIGHT = np.random.default_rng(0).standard_normal((64, 48), np.float32)
BIAS = np.arange(48, dtype=np.float32)


def dense() -> onnx.ModelProto:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, (5, 64))
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, (5, 48))
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["p"]),
        helper.make_node("Add", ["p", "b"], ["y"]),
    ]
    weights = [numpy_helper.from_array(WEIGHT, "w"), numpy_helper.from_array(BIAS, "b")]
    graph = helper.make_graph(nodes, "dense", [x], [y], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "dense.onnx"
    onnx.save(dense(), path)
    return path


def test_large_weights_stay_in_the_file(file: Path) -> None:
    assert WEIGHT.nbytes >= LARGE > BIAS.nbytes
    light = light_model(file)
    assert len(light) < LARGE < file.stat().st_size
    restored = onnx.load_from_string(light)
    onnx.external_data_helper.load_external_data_for_model(restored, str(file.parent))
    for have, want in zip(restored.graph.initializer, dense().graph.initializer, strict=True):
        np.testing.assert_array_equal(numpy_helper.to_array(have), numpy_helper.to_array(want))
    assert restored.graph.node == dense().graph.node


def test_they_are_read_from_there(file: Path) -> None:
    fn = ml.from_onnx(file)
    assert any(isinstance(data.source, InFile) for data in constants_of(fn))
    x = np.random.default_rng(1).standard_normal((5, 64), np.float32)
    expected = x.astype("f8") @ WEIGHT + BIAS
    np.testing.assert_allclose(ml.evaluate(fn, x), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(ml.compile(fn)(x), expected, rtol=1e-5, atol=1e-5)


def test_a_tensor_may_say_that_its_data_is_inside(tmp_path: Path) -> None:
    model = dense()
    model.graph.initializer[0].data_location = TensorProto.DEFAULT  # as onnxruntime writes it
    path = tmp_path / "dense.onnx"
    onnx.save(model, path)
    x = np.ones((5, 64), np.float32)
    np.testing.assert_allclose(ml.evaluate(ml.from_onnx(path), x), x @ WEIGHT + BIAS, rtol=1e-4)


def test_a_file_that_changed_since_is_an_error(file: Path) -> None:
    fn = ml.from_onnx(file)
    os.utime(file, ns=(0, 1))
    with pytest.raises(InputError, match=r"dense\.onnx' has changed"):
        ml.compile(fn)


def test_a_file_behind_a_link_is_read_whole(file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "links"
    folder.mkdir()
    link = folder / "model.onnx"
    link.symlink_to(file)
    assert light_model(link) == file.read_bytes()
    assert ml.from_onnx(link).params[0].name == "x"


@pytest.mark.parametrize("keep", [1, 100, 5000, -1])
def test_a_file_cut_short_is_left_for_the_reader_to_refuse(file: Path, keep: int) -> None:
    data = file.read_bytes()
    file.write_bytes(data[:keep])
    assert light_model(file) == data[:keep]
    with pytest.raises(ParseError):
        ml.from_onnx(file)
