"""Broken files: an error that says what is wrong, never a crash, a hang or a huge allocation."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from mlir_lite.errors import MlirLiteError, ParseError, UnsupportedError
from mlir_lite.frontends.onnx import from_onnx

TEXT = """
    <ir_version: 8, opset_import: ["" : 18]>
    g (float[N, 4] x) => (float[N, 3] y) {
        h = MatMul(x, w)
        s = Shape(h)
        r = Reshape(h, s)
        y = Add(r, b)
    }
"""


def good() -> onnx.ModelProto:
    proto = onnx.parser.parse_model(TEXT)
    weights = {"w": np.ones((4, 3), np.float32), "b": np.ones(3, np.float32)}
    proto.graph.initializer.extend(numpy_helper.from_array(a, name) for name, a in weights.items())
    return proto


def refuse(proto: onnx.ModelProto | bytes | str, message: str) -> None:
    with pytest.raises(ParseError, match=message):
        from_onnx(proto)


def test_the_unbroken_model_is_read() -> None:
    assert len(from_onnx(good()).nodes) > 0


def test_no_file() -> None:
    refuse("no/such/model.onnx", "there is no file 'no/such/model.onnx'")


@pytest.mark.parametrize("data", [b"", b"\xff\xfe garbage", b"\x08\x07"])
def test_no_model(data: bytes) -> None:
    refuse(data, "is not an ONNX model|holds no graph")


def test_a_truncated_file() -> None:
    refuse(good().SerializeToString()[:-20], "is not an ONNX model")


def test_a_truncated_tensor() -> None:
    proto = good()
    proto.graph.initializer[0].raw_data = proto.graph.initializer[0].raw_data[:-4]
    refuse(proto, "the tensor 'w', tensor<4x3xf32>, needs 48 bytes, but has 44")


def test_a_tensor_with_too_few_numbers() -> None:
    proto = good()
    tensor = onnx.helper.make_tensor("w", onnx.TensorProto.FLOAT, [4, 3], [1.0] * 12)
    del tensor.float_data[3:]
    proto.graph.initializer[0].CopyFrom(tensor)
    refuse(proto, "needs 12 numbers, but has 3")


@pytest.mark.parametrize("dims", [[2**40, 2**40], [-4, -3]])
def test_absurd_sizes_of_a_tensor(dims: list[int]) -> None:
    proto = good()
    del proto.graph.initializer[0].dims[:]
    proto.graph.initializer[0].dims.extend(dims)
    refuse(proto, "the tensor 'w'")


def test_an_absurd_size_that_is_computed_allocates_nothing() -> None:
    text = """
        <ir_version: 8, opset_import: ["" : 18]>
        g (float[1] x) => (float[N] y) {
            n = Constant<value_ints = [1000000000000]>()
            big = ConstantOfShape(n)
            y = Add(x, big)
        }
    """
    assert str(from_onnx(onnx.parser.parse_model(text)).result_types[0]) == (
        "tensor<1000000000000xf32>"
    )


def test_a_cycle() -> None:
    proto = good()
    proto.graph.node[0].input[0] = "y"
    refuse(proto, "node 'h' uses 'y' before it is given; the graph is not sorted or has a cycle")


def test_an_input_that_nobody_gives() -> None:
    proto = good()
    proto.graph.node[3].input[1] = "lost"
    refuse(proto, "node 'y' uses 'lost', which nobody gives")


def test_an_output_that_nobody_gives() -> None:
    proto = good()
    proto.graph.output[0].name = "lost"
    refuse(proto, "nobody gives the output 'lost'")


def test_two_values_of_one_name() -> None:
    proto = good()
    proto.graph.node[2].output[0] = "h"
    refuse(proto, "'h' is given twice")


def test_two_tensors_of_one_name() -> None:
    proto = good()
    proto.graph.initializer[1].name = "w"
    refuse(proto, "two tensors 'w'")


def test_two_inputs_of_one_name() -> None:
    proto = good()
    proto.graph.input.append(proto.graph.input[0])
    refuse(proto, "two inputs of one name")


def test_a_missing_operand() -> None:
    proto = good()
    del proto.graph.node[0].input[1]
    refuse(proto, r"node 'h' \(MatMul\): operand 1 is missing")


def test_more_outputs_than_the_operator_has() -> None:
    proto = good()
    proto.graph.node[0].output.append("more")
    refuse(proto, r"node 'h' \(MatMul\) has no outputs \['more'\]")


def test_an_attribute_of_the_wrong_kind() -> None:
    proto = good()
    proto.graph.node[1].attribute.append(onnx.helper.make_attribute("start", "one"))
    refuse(proto, "the attribute 'start' is no integer")


def test_types_that_do_not_fit_name_the_node() -> None:
    proto = good()
    proto.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.ones((5, 3), np.float32), "w"))
    with pytest.raises(MlirLiteError, match=r"node 'h' \(MatMul\).*the inner sizes differ"):
        from_onnx(proto, shapes={"x": (2, 4)})


def test_an_opset_from_the_future() -> None:
    proto = good()
    proto.opset_import[0].version = 1000
    with pytest.raises(UnsupportedError, match="uses opset 1000; up to 28 are supported"):
        from_onnx(proto)


def test_a_tensor_of_text() -> None:
    proto = good()
    proto.graph.initializer[0].CopyFrom(onnx.helper.make_tensor("w", 8, [1], [b"a"]))
    with pytest.raises(UnsupportedError, match="the tensor 'w' has the element type STRING"):
        from_onnx(proto)


def test_damaged_bytes_never_crash_the_reader() -> None:
    """Every error on the way is one of ours, whatever bytes are changed."""
    data = good().SerializeToString()
    random = np.random.default_rng(0)
    read = refused = 0
    for _ in range(1500):
        damaged = bytearray(data)
        for place in random.integers(0, len(data), random.integers(1, 4)):
            damaged[place] = random.integers(0, 256)
        try:
            from_onnx(bytes(damaged))
            read += 1
        except MlirLiteError:
            refused += 1
    assert read > 50 and refused > 500
