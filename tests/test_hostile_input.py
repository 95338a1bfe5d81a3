"""Whatever bytes come in: an error that says so, at once, and no memory to speak of.

Files and texts come from strangers. Each test runs under a limit of memory and of time, so that
what would fill the machine or never end fails instead.
"""

from __future__ import annotations

import resource
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import mlir_lite as ml
from mlir_lite.demo.model import digits
from mlir_lite.errors import ParseError, TypeRuleError, UnsupportedError
from mlir_lite.frontends.onnx import from_onnx
from mlir_lite.ir import ConstantData, resources_of
from mlir_lite.ir.resource_file import constants_bytes, read_constants

REFUSED = (ParseError, UnsupportedError, TypeRuleError)
MEMORY = 100 << 20
SECONDS = 30
STATM = Path("/proc/self/statm")


@pytest.fixture(autouse=True)
def limits() -> Iterator[None]:
    """No more than so much memory beyond what the process has, and no more than so many seconds."""
    if not STATM.exists():
        pytest.skip("the limit of memory counts from what Linux tells of the process")

    def out_of_time(signal_number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"{SECONDS} s passed")

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(STATM.read_text().split()[0]) * resource.getpagesize()
    before = signal.signal(signal.SIGALRM, out_of_time)
    signal.alarm(SECONDS)
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def test_the_limit_holds() -> None:
    with pytest.raises(MemoryError):
        np.ones(3 * MEMORY, np.uint8)


def reads(read: Callable[[], object]) -> bool:
    """Whether it is read; any error but ours goes through."""
    try:
        read()
    except REFUSED as error:
        assert str(error)
        return False
    return True


# ONNX


def model(
    nodes: Sequence[onnx.NodeProto],
    constants: Sequence[onnx.TensorProto] = (),
    *,
    shape: Sequence[int | str] = (2, 4),
    output: str = "y",
    functions: Sequence[onnx.FunctionProto] = (),
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
        constants,
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("local", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8, functions=functions)


def local(name: str, *calls: tuple[str, str, str]) -> onnx.FunctionProto:
    """A function from `a` to `b` of calls `(name, operand, result)` of other functions."""
    nodes = [
        helper.make_node(op, [operand], [result], domain="" if op == "Relu" else "local")
        for op, operand, result in calls
    ]
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("local", 1)]
    return helper.make_function("local", name, ["a"], ["b"], nodes, opsets)


def call(name: str) -> onnx.NodeProto:
    return helper.make_node(name, ["x"], ["y"], domain="local")


def good() -> onnx.ModelProto:
    """A function, a branch, a convolution, raw and listed numbers, sizes that are computed."""
    text = """
        <ir_version: 8, opset_import: ["" : 18, "local" : 1]>
        g (float[N, 2, 5, 5] x) => (float[N, M] y)
        <float[3, 2, 3, 3] w, int64[2] target = {0, -1}, bool flag = {1}> {
            c = Conv <pads = [1, 1, 1, 1]> (x, w)
            t = local.twice (c)
            b = If (flag) <
                then_branch = one () => (float[K] p) { p = Relu(t) },
                else_branch = two () => (float[L] q) { q = Neg(t) }>
            y = Reshape (b, target)
        }
        <opset_import: ["" : 18], domain: "local">
        twice (a) => (b) { b = Add(a, a) }
    """
    proto = onnx.parser.parse_model(text)
    weight = np.arange(54, dtype=np.float32).reshape(3, 2, 3, 3)
    proto.graph.initializer.append(numpy_helper.from_array(weight, "w"))
    return proto


def test_the_undamaged_model_is_read() -> None:
    assert [node.op.name for node in from_onnx(good()).nodes][-2:] == ["relu", "reshape"]


def test_a_model_cut_off_anywhere() -> None:
    data = good().SerializeToString()
    read = sum(reads(lambda end=end: from_onnx(data[:end])) for end in range(len(data)))  # type: ignore[misc]
    assert read < 20


def test_a_model_with_a_flipped_bit() -> None:
    data = good().SerializeToString()
    random = np.random.default_rng(0)
    read = 0
    for _ in range(200):
        damaged = bytearray(data)
        damaged[random.integers(len(data))] ^= 1 << random.integers(8)
        read += reads(lambda damaged=bytes(damaged): from_onnx(damaged))  # type: ignore[misc]
    assert 20 < read < 180


DOUBLING = [
    local("F0", ("Relu", "a", "b")),
    *(local(f"F{k}", (f"F{k - 1}", "a", "c"), (f"F{k - 1}", "c", "b")) for k in range(1, 60)),
]
NESTED = [
    local("F0", ("Relu", "a", "b")),
    *(local(f"F{k}", (f"F{k - 1}", "a", "b")) for k in range(1, 2000)),
]
FUNCTIONS = {
    "Cycle detected": [local("F", ("F", "a", "b"))],
    "local::F -> local::G|local::G -> local::F": [
        local("F", ("G", "a", "b")),
        local("G", ("F", "a", "b")),
    ],
    "depth exceeds limit": [*NESTED, local("F", ("F1999", "a", "b"))],
    "more than 100000 nodes": [*DOUBLING, local("F", ("F59", "a", "b"))],
    "same implementation": [local("F", ("Relu", "a", "b"))] * 2,
}


@pytest.mark.parametrize(("message", "functions"), FUNCTIONS.items())
def test_functions_that_cannot_be_written_out(
    message: str, functions: Sequence[onnx.FunctionProto]
) -> None:
    with pytest.raises(ParseError, match=f"the functions of the model.*({message})"):
        from_onnx(model([call("F")], functions=functions))


def test_functions_that_call_each_other_in_reason_are_read() -> None:
    assert len(from_onnx(model([call("F7")], functions=DOUBLING[:8])).nodes) == 128


def chain(op: str, count: int, **attributes: int) -> list[onnx.NodeProto]:
    """`op` of the last result with itself, over and over; the last result is a shape."""
    nodes = [helper.make_node("Shape", ["x"], ["v0"])]
    for k in range(count):
        nodes.append(helper.make_node(op, [f"v{k}", f"v{k}"], [f"v{k + 1}"], **attributes))
    return [*nodes, helper.make_node("Reshape", ["x", f"v{count}"], ["y"])]


GROWING = {
    "Add": "holds a[*]b elements",
    "Mul": "a size is a product of more than 64 factors",
    "Concat": "the size b must be a number here",
}


@pytest.mark.parametrize(("op", "message"), GROWING.items())
def test_a_shape_that_grows_without_end(op: str, message: str) -> None:
    attributes = {"axis": 0} if op == "Concat" else {}
    with pytest.raises(REFUSED, match=message):
        from_onnx(model(chain(op, 40, **attributes), shape=("a", "b")))


def test_a_shape_of_too_many_numbers() -> None:
    with pytest.raises(UnsupportedError, match="a shape depends on a tensor of type"):
        from_onnx(model(chain("Concat", 40, axis=0)))


def test_a_tensor_that_doubles_beyond_all_sizes() -> None:
    nodes = [helper.make_node("Relu", ["x"], ["v0"])]
    for k in range(70):
        nodes.append(helper.make_node("Concat", [f"v{k}"] * 2, [f"v{k + 1}"], axis=0))
    with pytest.raises(ParseError, match=r"a size is from 0 to 2\*\*63 - 1"):
        from_onnx(model(nodes, output="v70"))


HUGE = ([2**62] * 2, [2**63 - 1], [-(2**63), 1], [-5, 2], [-1, -1], [0, 0])
WITH_OPERAND = {
    "Reshape": 1, "Expand": 1, "Tile": 1, "Pad": 2, "TopK": 1, "Split": 1, "ReduceSum": 1,
    "Unsqueeze": 1, "Gather": 1,
}  # fmt: skip


@pytest.mark.parametrize("numbers", HUGE, ids=str)
@pytest.mark.parametrize("op", WITH_OPERAND)
def test_an_operand_of_absurd_numbers(op: str, numbers: list[int]) -> None:
    array = np.array(numbers * WITH_OPERAND[op], np.int64)
    node = helper.make_node(op, ["x", "s"], ["y"])
    check_types(model([node], [numpy_helper.from_array(array, "s")]))


WITH_ATTRIBUTE = {
    ("Conv", "strides"), ("Conv", "dilations"), ("Conv", "group"), ("MaxPool", "kernel_shape"),
    ("AveragePool", "kernel_shape"), ("DepthToSpace", "blocksize"), ("Transpose", "perm"),
    ("Softmax", "axis"), ("Flatten", "axis"), ("Concat", "axis"), ("Cast", "to"), ("LRN", "size"),
}  # fmt: skip


@pytest.mark.parametrize("numbers", HUGE, ids=str)
@pytest.mark.parametrize(("op", "attribute"), sorted(WITH_ATTRIBUTE))
def test_an_attribute_of_absurd_numbers(op: str, attribute: str, numbers: list[int]) -> None:
    one = attribute in ("group", "blocksize", "axis", "to", "size")
    node = helper.make_node(op, ["x", "x"] if op in ("Conv", "Concat") else ["x"], ["y"])
    node.attribute.append(helper.make_attribute(attribute, numbers[0] if one else numbers))
    check_types(model([node], shape=(1, 4, 3, 3)))


def check_types(proto: onnx.ModelProto) -> None:
    """It is refused, or all sizes in it are such as there can be."""
    try:
        fn = from_onnx(proto)
    except REFUSED:
        return
    sizes = [size for node in fn.nodes for value in node.results for size in value.shape]
    assert all(not isinstance(size, int) or 0 <= size < 2**63 for size in sizes)


# Texts


@pytest.fixture(scope="module", params=["short", "generic"])
def text(request: pytest.FixtureRequest) -> str:
    return str(digits()) if request.param == "short" else digits().generic()


@pytest.fixture(scope="module")
def constants() -> dict[str, ConstantData]:
    return resources_of(digits())


def test_the_undamaged_text_is_read(text: str, constants: dict[str, ConstantData]) -> None:
    assert len(ml.parse(text, constants).nodes) == len(digits().nodes)


def test_a_text_cut_off(text: str, constants: dict[str, ConstantData]) -> None:
    for end in range(0, len(text.rstrip()), 41):
        with pytest.raises(ParseError):
            ml.parse(text[:end], constants)


def test_a_text_with_a_flipped_bit(text: str, constants: dict[str, ConstantData]) -> None:
    random = np.random.default_rng(0)
    refused = 0
    for _ in range(200):
        damaged = bytearray(text.encode())
        damaged[random.integers(len(damaged))] ^= 1 << random.integers(7)
        try:
            ml.parse(damaged.decode(), constants)
        except ParseError:
            refused += 1
    assert refused > 50


HEAD = "func @f(%x: tensor<2x3xf32>) -> tensor<2x3xf32> {\n  %0 = "
TEXTS = {
    "nothing": "",
    "zeros": "\0" * 1000,
    "an open string": HEAD + '"' + "a" * 10_000_000,
    "escapes": HEAD + '"' + "\\" * 10_000_001,
    "brackets": "(" * 200_000,
    "a power": f"func @f(%x: tensor<[{'*'.join('n' * 1000)}]xf32>)",
    "a large factor": f"func @f(%x: tensor<[{'*'.join(['9' * 18] * 3000)}*n]xf32>)",
    "a long sum": f"func @f(%x: tensor<[{'+'.join(f'n{k}' for k in range(20_000))}]xf32>)",
    "a negative size": "func @f(%x: tensor<[5-7]xf32>)",
    "a size divided by zero": "func @f(%x: tensor<[((n)/(0))]xf32>)",
    "2**62 elements": f"{HEAD}constant {{value = dense<1.0>}} : tensor<{2**62}xf32>",
    "bytes for 2**62": f'{HEAD}constant {{value = dense<"0x00">}} : tensor<{2**62}xi8>',
    "1e400": HEAD + "constant {value = dense<1e400>} : tensor<2x3xf32>",
    "1e39 in f32": HEAD + "constant {value = dense<1e39>} : tensor<2x3xf32>",
    "a broadcast to 2**64": HEAD + f"broadcast %x {{shape = [{2**64 - 1}, 2, 3]}} : tensor<f32>",
    "nested attributes": '"builtin.module"() <{a = ' + "[" * 100_000,
}


@pytest.mark.parametrize("hostile", TEXTS.values(), ids=TEXTS.keys())
def test_a_hostile_text(hostile: str) -> None:
    with pytest.raises(ParseError):
        ml.parse(hostile)


# Constants beside a text


def safetensors(header: bytes, data: bytes = bytes(24)) -> bytes:
    return len(header).to_bytes(8, "little") + header + data


def entry(**changes: object) -> bytes:
    described = {"dtype": '"F32"', "shape": "[2, 3]", "data_offsets": "[0, 24]"} | changes
    inner = ", ".join(f'"{name}": {value}' for name, value in described.items())
    return safetensors(f'{{"w": {{{inner}}}}}'.encode())


CONSTANTS = {
    "nothing": b"",
    "no header": b"\x05\0",
    "a header beyond the file": (2**63).to_bytes(8, "little") + b"{}",
    "no JSON": safetensors(b"{,}"),
    "a list": safetensors(b"[]"),
    "brackets": safetensors(b"[" * 100_000),
    "a number of many digits": safetensors(b'{"w": ' + b"9" * 10_000 + b"}"),
    "an unknown type": entry(dtype='"F31"'),
    "a type that is no name": entry(dtype="[1]"),
    "a negative offset": entry(data_offsets="[-24, 0]"),
    "an offset beyond the end": entry(data_offsets="[24, 48]"),
    "offsets that cross": entry(data_offsets="[24, 0]"),
    "one offset": entry(data_offsets="[0]"),
    "a fraction": entry(data_offsets="[0.0, 24.0]"),
    "a shape for more bytes": entry(shape="[2, 4]"),
    "a negative shape": entry(shape="[-2, -3]"),
    "a huge shape": entry(shape=f"[{2**62}, {2**62}]"),
    "a shape of text": entry(shape='["2", 3]'),
}


@pytest.mark.parametrize("data", CONSTANTS.values(), ids=CONSTANTS.keys())
def test_constants_that_are_not_in_their_file(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(data)
    with pytest.raises(ParseError, match=r"model\.safetensors"):
        read_constants(path)


def test_a_file_of_constants_cut_off_anywhere(tmp_path: Path) -> None:
    data = constants_bytes({"w": ConstantData.of(np.ones((2, 3), np.float32))})
    path = tmp_path / "model.safetensors"
    for end in range(len(data)):
        path.write_bytes(data[:end])
        with pytest.raises(ParseError):
            read_constants(path)
    path.write_bytes(data)
    assert read_constants(path)["w"].array().tolist() == [[1.0] * 3] * 2
