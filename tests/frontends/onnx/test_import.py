"""What is read of a model: names, sizes, locations, constants, shape arithmetic, and reports."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from mlir_lite.errors import InputError, ParseError, UnsupportedError
from mlir_lite.frontends.onnx import OnnxModel, from_onnx
from mlir_lite.frontends.onnx.refusals import REFUSALS
from mlir_lite.frontends.onnx.table import READERS
from mlir_lite.interpreter import evaluate
from mlir_lite.ir import Function, run_reference
from mlir_lite.ops.regions.control import Scan
from mlir_lite.types import Array


def model(
    text: str, weights: Sequence[tuple[str, Array]] = (), metadata: dict[str, str] | None = None
) -> onnx.ModelProto:
    """A model from ONNX's own text form, with initializers."""
    proto = onnx.parser.parse_model(text)
    tensors = [numpy_helper.from_array(array, name) for name, array in weights]
    proto.graph.initializer.extend(tensors)
    onnx.helper.set_model_props(proto, metadata or {})
    return proto


def graph(body: str, inputs: str, outputs: str = "float y", opset: int = 18) -> str:
    return f'<ir_version: 8, opset_import: ["" : {opset}]> g ({inputs}) => ({outputs}) {{ {body} }}'


def types(fn: Function) -> tuple[list[str], list[str]]:
    return [str(value.type) for value in fn.params], [str(type_) for type_ in fn.result_types]


def ops(fn: Function) -> list[str]:
    return [node.op.name for node in fn.nodes]


# Names and sizes


def test_named_sizes_stay_named() -> None:
    fn = from_onnx(model(graph("y = Relu(x)", "float[batch, 3] x")))
    assert types(fn) == (["tensor<[batch]x3xf32>"], ["tensor<[batch]x3xf32>"])


def test_sizes_without_a_name_get_one() -> None:
    proto = model(graph("y = Relu(x)", "float[d0, N, M] x"))
    shape = proto.graph.input[0].type.tensor_type.shape
    shape.dim[1].Clear()
    shape.dim[2].dim_value = -1
    assert types(from_onnx(proto))[0] == ["tensor<[d0]x[d1]x[d2]xf32>"]


def test_question_marks_are_not_one_size() -> None:
    proto = model(graph("y = Relu(x)", "float[N, M] x"))
    for dim in proto.graph.input[0].type.tensor_type.shape.dim:
        dim.dim_param = "?"
    assert types(from_onnx(proto))[0] == ["tensor<[d0]x[d1]xf32>"]


def test_size_names_become_identifiers_that_differ() -> None:
    proto = model(graph("y = Relu(x)", "float[N, M] x"))
    dims = proto.graph.input[0].type.tensor_type.shape.dim
    dims[0].dim_param, dims[1].dim_param = "a.b", "a:b"
    assert types(from_onnx(proto))[0] == ["tensor<[a_b]x[a_b_2]xf32>"]


def test_input_names_that_cannot_be_printed_are_changed_and_mapped() -> None:
    proto = model(graph("y = Add(a, b)", "float[2] a, float[2] b"))
    proto.graph.input[0].name = proto.graph.node[0].input[0] = "serving:0"
    proto.graph.input[1].name = proto.graph.node[0].input[1] = "serving/0"
    read = OnnxModel.read(proto)
    assert read.names == {"serving:0": "serving_0", "serving/0": "serving_0_2"}
    assert [value.name for value in read.function().params] == ["serving_0", "serving_0_2"]


def test_shapes_given_replace_those_of_the_file() -> None:
    proto = model(graph("y = Relu(x)", "float[N, M] x"))
    fn = from_onnx(proto, shapes={"x": ("rows", 4)})
    assert types(fn)[0] == ["tensor<[rows]x4xf32>"]


@pytest.mark.parametrize("shape", [(2, 5), (2,), (2, 4, 1)])
def test_shapes_that_contradict_the_file_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="'x' has the shape"):
        from_onnx(model(graph("y = Relu(x)", "float[N, 4] x")), shapes={"x": shape})


def test_a_shape_for_no_input_is_refused() -> None:
    with pytest.raises(InputError, match="there is no input 'z'; there are x"):
        from_onnx(model(graph("y = Relu(x)", "float[4] x")), shapes={"z": (4,)})


def test_a_name_leads_from_a_node_to_the_file() -> None:
    proto = model(graph("h = Relu(x) y = Exp(h)", "float[4] x"))
    proto.graph.node[0].name = "/encoder/act"
    first, second = from_onnx(proto).nodes
    assert (str(first.location), str(second.location)) == ("<model>:/encoder/act", "<model>:y")


def test_operations_in_the_loop_of_a_layer_have_its_location() -> None:
    weights = [("w", np.ones((1, 4, 3), "f4")), ("r", np.ones((1, 4, 4), "f4"))]
    proto = model(graph("y = RNN <hidden_size = 4> (x, w, r)", "float[5, 1, 3] x"), weights)
    proto.graph.node[0].name = "/layer/RNN"
    fn = from_onnx(proto)
    (loop,) = (node for node in fn.nodes if isinstance(node.op, Scan))
    assert isinstance(loop.op, Scan)
    assert {str(node.location) for node in loop.op.step.nodes} == {"<model>:/layer/RNN"}


def test_metadata_and_outputs_are_read() -> None:
    read = OnnxModel.read(model(graph("y = Relu(x)", "float[4] x"), metadata={"words": "a b"}))
    assert (read.metadata, read.outputs) == ({"words": "a b"}, ("y",))


# Shape arithmetic


def test_shape_arithmetic_leaves_no_operation() -> None:
    body = """
        s = Shape(x)
        zero = Constant<value_ints = [0]>()
        one = Constant<value_ints = [1]>()
        ax = Constant<value_ints = [0]>()
        n = Slice(s, zero, one, ax)
        narrow = Cast<to = 6>(n)
        wide = Cast<to = 7>(narrow)
        two = Constant<value_ints = [2]>()
        double = Mul(wide, two)
        rest = Constant<value_ints = [-1]>()
        target = Concat<axis = 0>(double, rest)
        y = Reshape(x, target)
    """
    fn = from_onnx(model(graph(body, "float[batch, 6] x")))
    assert ops(fn) == ["reshape"]
    assert types(fn)[1] == ["tensor<[2*batch]x3xf32>"]


def test_expand_by_a_shape_that_may_hold_minus_one() -> None:
    """The pattern of torch's exporter: `where(shape == -1, 1, shape)`."""
    body = """
        s = Shape(x)
        minus = Constant<value_ints = [-1]>()
        ones = ConstantOfShape<value = int64[1] {1}>(two)
        open = Equal(s, minus)
        target = Where(open, ones, s)
        y = Expand(row, target)
    """
    proto = model(
        graph(body, "float[batch, 3] x, float[1, 3] row"), [("two", np.array([2], np.int64))]
    )
    fn = from_onnx(proto)
    assert ops(fn) == ["broadcast"]
    assert types(fn)[1] == ["tensor<[batch]x3xf32>"]


def test_slices_to_the_end_do_not_overflow() -> None:
    body = "y = Slice(x, low, high, ax)"
    limits = [
        ("low", np.array([-(2**63), 1], np.int64)),
        ("high", np.array([2**63 - 1, 2**63 - 1], np.int64)),
        ("ax", np.array([0, 1], np.int64)),
    ]
    fn = from_onnx(model(graph(body, "float[batch, 6] x"), limits))
    assert types(fn)[1] == ["tensor<[batch]x5xf32>"]


NAMED = {
    "Resize": (
        "float[n, 2, h, w] x, float[n, 2, k, l] other",
        "s = Shape(other) t = Slice(s, two, four) n = Shape <start = 0, end = 2> (x) "
        'u = Concat <axis = 0> (n, t) y = Resize <mode = "linear"> (x, , , u)',
    ),
    "MaxPool": (
        "float[n, 2, 4, 5] x, float[n, 2, 7, 3] other",
        "m, p = MaxPool <kernel_shape = [2, 2]> (x) y = Cast <to = 1> (p)",
    ),
    "sizes as numbers": (
        "float[n, 2, h, w] x, float[n, 2, k, l] other",
        "s = Shape(x) t = Cast <to = 1> (s) u = Gather(t, two) v = Sqrt(u) y = Mul(x, v)",
    ),
}


@pytest.mark.parametrize("case", NAMED)
def test_named_sizes_need_no_number(case: str) -> None:
    inputs, body = NAMED[case]
    proto = model(graph(body, inputs), [("two", np.array([2])), ("four", np.array([4]))])
    x, other = (
        np.random.default_rng(0).standard_normal(shape).astype(np.float32)
        for shape in ((3, 2, 4, 5), (3, 2, 7, 3))
    )
    named = from_onnx(proto)
    known = from_onnx(proto, shapes={"x": x.shape, "other": other.shape})
    assert "n" in named.sizes and not known.sizes
    np.testing.assert_array_equal(evaluate(named, x, other), evaluate(known, x, other))


def test_a_size_that_fits_only_as_a_multiple_becomes_one() -> None:
    body = """
        half = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(x)
        up = Resize<mode = "nearest", coordinate_transformation_mode = "asymmetric",
                    nearest_mode = "floor">(half, , scales)
        y = Add(up, x)
    """
    scales = [("scales", np.array([1, 1, 2, 2], np.float32))]
    fn = from_onnx(model(graph(body, "float[1, 1, H, W] x"), scales))
    assert types(fn)[0] == ["tensor<1x1x[2*H]x[2*W]xf32>"]


def test_a_size_that_must_be_one_number_becomes_it() -> None:
    body = "flat = Squeeze(x, ax) y = Relu(flat)"
    fn = from_onnx(model(graph(body, "float[N, K] x"), [("ax", np.array([1], np.int64))]))
    assert types(fn) == (["tensor<[N]x1xf32>"], ["tensor<[N]xf32>"])


def test_sizes_that_never_fit_name_the_node_and_the_way_out() -> None:
    body = "y = Concat<axis = 0>(x, z)"
    proto = model(graph(body, "float[N, 3] x, float[N, M, 3] z"))
    with pytest.raises(UnsupportedError, match=r"node 'y' \(Concat\).*import with shapes="):
        from_onnx(proto)


# Values that decide shapes

RESHAPE = graph("y = Reshape(x, target)", "float[2, 6] x, int64[3] target")


def test_an_input_that_decides_a_shape_is_named() -> None:
    read = OnnxModel.read(model(RESHAPE))
    assert read.static == {"target"}
    with pytest.raises(UnsupportedError, match="value of 'target'; give it with values="):
        read.function()


def test_a_value_given_becomes_a_constant() -> None:
    fn = from_onnx(model(RESHAPE), values={"target": np.array([3, -1, 2])})
    assert types(fn) == (["tensor<2x6xf32>"], ["tensor<3x2x2xf32>"])


@pytest.mark.parametrize("value", [np.array([3, 4]), np.array([3, 4, 1], np.int32)])
def test_a_value_that_does_not_fit_is_refused(value: Array) -> None:
    with pytest.raises(InputError, match="the input 'target'"):
        from_onnx(model(RESHAPE), values={"target": value})


@pytest.mark.parametrize(("truth", "expected"), [(True, "exp"), (False, "negative")])
def test_a_known_condition_picks_its_branch(truth: bool, expected: str) -> None:
    body = """
        y = If(c) <
            then_branch = a () => (float[4] t) { t = Exp(x) },
            else_branch = b () => (float[4] e) { e = Neg(x) }
        >
    """
    proto = model(graph(body, "float[4] x, bool c"))
    assert OnnxModel.read(proto).static == set()
    assert ops(from_onnx(proto)) == ["cond"]
    assert ops(from_onnx(proto, values={"c": np.array(truth)})) == [expected]


# Constants


def test_weights_are_not_copied() -> None:
    weight = np.arange(2048, dtype=np.float32)
    proto = model(graph("y = Add(x, w)", "float[2048] x"), [("w", weight)])
    (constant,) = (node for node in from_onnx(proto).nodes if node.op.name == "constant")
    array = constant.op.reference()
    assert not array.flags.owndata and not array.flags.writeable
    np.testing.assert_array_equal(array, weight)


@pytest.mark.parametrize("dtype", ["float16", "float64", "int8", "uint8", "int16", "int32", "bool"])
@pytest.mark.parametrize("raw", [True, False])
def test_every_element_type_is_read(dtype: str, raw: bool) -> None:
    array = np.array([[1, 0, 3], [0, 5, 100]]).astype(dtype)
    kind = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
    data = array.tobytes() if raw else array.reshape(-1).tolist()
    proto = onnx.parser.parse_model(graph("y = Identity(w)", "float[1] x"))
    proto.graph.initializer.append(onnx.helper.make_tensor("w", kind, array.shape, data, raw))
    result = evaluate(from_onnx(proto), np.zeros(1, np.float32))
    assert isinstance(result, np.ndarray) and result.dtype == array.dtype
    np.testing.assert_array_equal(result, array)


def _sparse(indices: Array, values: int = 2) -> onnx.ModelProto:
    """A model that gives a sparse initializer of shape (2, 3)."""
    proto = onnx.parser.parse_model(graph("y = Identity(w)", "float[1] x"))
    numbers = numpy_helper.from_array(np.arange(1, values + 1, dtype=np.float32), "w")
    places = numpy_helper.from_array(indices.astype(np.int64), "places")
    proto.graph.sparse_initializer.append(
        onnx.helper.make_sparse_tensor(numbers, places, [2, 3])
    )
    return proto


@pytest.mark.parametrize("indices", [[1, 5], [[0, 1], [1, 2]]], ids=["flat", "of axes"])
def test_a_sparse_initializer_is_read_with_its_zeros(indices: list[object], tmp_path: Path) -> None:
    proto = _sparse(np.array(indices))
    onnx.save(proto, tmp_path / "sparse.onnx")
    for source in (proto, tmp_path / "sparse.onnx"):
        result = evaluate(from_onnx(source), np.zeros(1, np.float32))
        np.testing.assert_array_equal(result, np.array([[0, 1, 0], [0, 0, 2]], np.float32))


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        (np.array([1, 6]), "the sparse tensor 'w', tensor<2x3xf32>, has an index outside"),
        (np.array([[0, 3], [1, 2]]), "has an index outside"),
        (np.array([-1, 2]), "has an index outside"),
        (np.array([1, 2, 3]), r"has values \(2,\) at indices \(3,\)"),
    ],
)
def test_a_broken_sparse_initializer_is_refused(indices: Array, message: str) -> None:
    with pytest.raises(ParseError, match=message):
        from_onnx(_sparse(indices))


def test_bfloat16_is_read() -> None:
    proto = onnx.parser.parse_model(graph("y = Cast<to = 1>(w)", "float[1] x"))
    kind = onnx.TensorProto.BFLOAT16
    proto.graph.initializer.append(onnx.helper.make_tensor("w", kind, [3], [1.5, -2.0, 0.25]))
    result = evaluate(from_onnx(proto), np.zeros(1, np.float32))
    np.testing.assert_array_equal(result, np.array([1.5, -2.0, 0.25], np.float32))


def external(folder: Path, location: str, size: int = 16) -> onnx.ModelProto:
    """A model whose weight of four floats lies in another file."""
    proto = model(graph("y = Add(x, w)", "float[4] x"), [("w", np.zeros(4, np.float32))])
    onnx.external_data_helper.set_external_data(proto.graph.initializer[0], location, 0, size)
    proto.graph.initializer[0].ClearField("raw_data")
    (folder / "model.onnx").write_bytes(proto.SerializeToString())
    return proto


def test_external_data_is_mapped_from_the_models_folder(tmp_path: Path) -> None:
    external(tmp_path, "weights.bin")
    (tmp_path / "weights.bin").write_bytes(np.arange(4, dtype=np.float32).tobytes())
    result = evaluate(from_onnx(tmp_path / "model.onnx"), np.ones(4, np.float32))
    np.testing.assert_array_equal(result, np.arange(1, 5, dtype=np.float32))


@pytest.mark.parametrize("location", ["../weights.bin", "link.bin", "/etc/hostname", "", "none"])
def test_external_data_outside_of_the_folder_is_refused(tmp_path: Path, location: str) -> None:
    folder = tmp_path / "inner"
    folder.mkdir()
    (tmp_path / "weights.bin").write_bytes(bytes(16))
    (folder / "link.bin").symlink_to(tmp_path / "weights.bin")
    external(folder, location)
    with pytest.raises(ParseError, match="the tensor 'w' lies in"):
        from_onnx(folder / "model.onnx")


def test_external_data_that_is_too_short_is_refused(tmp_path: Path) -> None:
    external(tmp_path, "weights.bin")
    (tmp_path / "weights.bin").write_bytes(bytes(12))
    with pytest.raises(ParseError, match=r"needs bytes 0 to 16 of 'weights\.bin', which has 12"):
        from_onnx(tmp_path / "model.onnx")


# Reports


def test_all_unsupported_nodes_are_reported_at_once() -> None:
    body = """
        a = Unique(x)
        b = Unique(x)
        y = StringNormalizer(x)
        z = other.Thing(x)
    """
    text = graph(body, "float[4, 4] x", "float y, float z").replace(
        '"" : 18', '"" : 18, "other" : 1'
    )
    with pytest.raises(UnsupportedError) as caught:
        from_onnx(model(text))
    assert str(caught.value).splitlines() == [
        "<model> needs what is not supported:",
        f"  Unique (version 11) x2 at 'a', 'b': {REFUSALS['Unique']}",
        f"  StringNormalizer (version 10) x1 at 'y': {REFUSALS['StringNormalizer']}",
        "  other.Thing x1 at 'z': this operator is not supported",
    ]


def test_only_operators_that_no_reader_reads_are_refused_by_name() -> None:
    assert REFUSALS.keys().isdisjoint(READERS)
    for name in REFUSALS:
        assert onnx.defs.has(name), name


def test_numbers_are_random_by_node_and_the_same_in_each_run() -> None:
    body = """
        a = RandomNormal <shape = [3, 5]> ()
        b = RandomNormalLike(a)
        c = RandomUniform <shape = [3, 5], low = 2.0, high = 3.0, seed = 7.0> ()
    """
    text = graph(body, "float[1] x", "float[3, 5] a, float[3, 5] b, float[3, 5] c")
    first, second = (run_reference(from_onnx(model(text)), [np.zeros(1, np.float32)]) for _ in "12")
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)
    a, b, c = first
    assert not np.array_equal(a, b)
    assert ((c >= 2) & (c < 3)).all()


def test_a_region_of_adaptive_samples_is_refused_with_an_alternative() -> None:
    text = graph(
        "y = RoiAlign <output_height = 2, output_width = 2> (x, rois, batch)",
        "float[1, 3, 8, 8] x, float[5, 4] rois, int64[5] batch",
        "float y",
    )
    with pytest.raises(UnsupportedError, match="export it with sampling_ratio=2"):
        from_onnx(model(text))


def test_local_functions_are_written_out() -> None:
    text = """
        <ir_version: 8, opset_import: ["" : 18, "local" : 1]>
        g (float[4] x) => (float[4] y) { y = local.twice(x) }
        <opset_import: ["" : 18], domain: "local">
        twice (a) => (b) { b = Add(a, a) }
    """
    assert ops(from_onnx(onnx.parser.parse_model(text))) == ["add"]
