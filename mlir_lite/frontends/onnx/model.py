"""An ONNX file as plain dataclasses: the only place that sees protobuf messages.

Each node carries the version of its operator that is in force at the model's opset.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from ...errors import ParseError, UnsupportedError, check, missing_extra
from ...ir import ConstantData
from ...types import DType
from .definitions import Readable, version_in_force, write_out
from .weights import element_type, read_sparse_tensor, read_tensor, text
from .wire import light_model

NEWEST_OPSET = 28
_STANDARD = ("", "ai.onnx")


@dataclass(frozen=True, eq=False)
class OnnxInput:
    """A graph input; a size is an integer, a name, or None where the file does not say.

    `shape` is None where the file gives no rank.
    """

    name: str
    dtype: DType
    shape: tuple[int | str | None, ...] | None


@dataclass(frozen=True, eq=False)
class OnnxNode:
    """One node; `version` is None for an operator that the installed package does not know."""

    op_type: str
    domain: str
    version: int | None
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Attribute]


@dataclass(frozen=True, eq=False)
class OnnxGraph:
    """The model's graph, a branch of an `If`, or the body of a loop, which has `parameters`."""

    name: str
    inputs: tuple[OnnxInput, ...]
    outputs: tuple[str, ...]
    initializers: Mapping[str, ConstantData]
    nodes: tuple[OnnxNode, ...]
    parameters: tuple[str, ...] = ()


Attribute: TypeAlias = (
    int
    | float
    | str
    | ConstantData
    | OnnxGraph
    | tuple[int, ...]
    | tuple[float, ...]
    | tuple[str, ...]
    | None
)


@dataclass(frozen=True, eq=False)
class OnnxFile:
    """A whole model; `path` is what locations show."""

    path: str
    graph: OnnxGraph
    metadata: Mapping[str, str]


# A `ModelProto`, as every protobuf message, has no static type.
def read_model(source: str | Path | bytes | Any, readable: Readable) -> OnnxFile:
    """Read a file, its bytes, or an `onnx.ModelProto`.

    `readable` says of an operator and its version whether it is read as it is.

    Raises `ParseError` for what is no valid model, `UnsupportedError` for a newer format,
    `MissingExtraError` without the package `onnx`.
    """
    try:
        import onnx
    except ImportError:
        raise missing_extra("onnx", "onnx") from None
    folder, shown = None, "<model>"
    if isinstance(source, (str, Path)):
        path = Path(source)
        check(path.is_file(), f"there is no file '{path}'", ParseError)
        folder, shown = path.parent, path.name
        source = light_model(path)
    if isinstance(source, bytes):
        proto = onnx.ModelProto()
        try:
            proto.ParseFromString(source)
        # The error's class is the protobuf package's, of which onnx alone knows.
        except Exception as error:
            raise ParseError(f"{shown} is not an ONNX model: {error}") from None
    else:
        check(
            isinstance(source, onnx.ModelProto),
            f"a model is a path, bytes or an onnx.ModelProto, not {type(source).__name__}",
            ParseError,
        )
        proto = source
    check(proto.HasField("graph"), f"{shown} holds no graph", ParseError)
    opsets = _opsets(proto, shown)
    reader = _Reader(shown, folder, opsets)
    proto = write_out(proto, opsets, readable)
    metadata = {text(entry.key): text(entry.value) for entry in proto.metadata_props}
    return OnnxFile(shown, reader.graph(proto.graph, outer=False), metadata)


def _opsets(proto: Any, shown: str) -> Mapping[str, int]:
    import onnx

    opsets = {text(entry.domain): entry.version for entry in proto.opset_import}
    version = opsets.get("", opsets.get("ai.onnx", 1))
    newest = min(NEWEST_OPSET, onnx.defs.onnx_opset_version())
    check(
        version <= newest,
        f"{shown} uses opset {version}; up to {newest} are supported",
        UnsupportedError,
    )
    check(version >= 1, f"{shown} uses opset {version}", ParseError)
    return opsets | {"": version}


@dataclass(frozen=True)
class _Reader:
    """Turns messages into dataclasses."""

    shown: str
    folder: Path | None
    opsets: Mapping[str, int]

    def graph(self, proto: Any, *, outer: bool) -> OnnxGraph:
        """A graph; `outer` where names of an enclosing graph may be used in it."""
        graph_name = text(proto.name)
        what = f"{self.shown}, graph '{graph_name}'"
        weights: dict[str, ConstantData] = {}
        folder = self.folder
        read = [(text(tensor.name), read_tensor(tensor, folder)) for tensor in proto.initializer]
        read += [read_sparse_tensor(tensor, folder) for tensor in proto.sparse_initializer]
        for name, data in read:
            check(name not in weights, f"{what}: two tensors '{name}'", ParseError)
            weights[name] = data
        given = () if outer else proto.input  # what a body takes has the types of what it is given
        inputs = tuple(self._input(info) for info in given if info.name not in weights)
        nodes = tuple(self._node(node, place) for place, node in enumerate(proto.node))
        outputs = tuple(text(info.name) for info in proto.output)
        parameters = tuple(text(info.name) for info in proto.input) if outer else ()
        graph = OnnxGraph(graph_name, inputs, outputs, weights, nodes, parameters)
        _check_names(graph, what, outer)
        return graph

    def _input(self, info: Any) -> OnnxInput:
        name = text(info.name)
        what = f"the input '{name}'"
        kind = info.type.WhichOneof("value")
        check(kind is not None, f"{what} has no type", ParseError)
        check(kind == "tensor_type", f"{what} is a {kind}, not a tensor", UnsupportedError)
        tensor = info.type.tensor_type
        dtype = element_type(tensor.elem_type, what)
        if not tensor.HasField("shape"):
            return OnnxInput(name, dtype, None)
        return OnnxInput(name, dtype, tuple(_size(dim) for dim in tensor.shape.dim))

    def _node(self, node: Any, place: int) -> OnnxNode:
        domain = "" if node.domain in _STANDARD else text(node.domain)
        op_type = text(node.op_type)
        inputs, outputs = tuple(map(text, node.input)), tuple(map(text, node.output))
        # Exporters leave many nodes without a name; the first output's is unique.
        name = text(node.name) or next(filter(None, outputs), f"#{place}")
        attributes = {text(entry.name): self._attribute(entry) for entry in node.attribute}
        version = version_in_force(op_type, domain, self.opsets.get(domain, 1))
        return OnnxNode(op_type, domain, version, name, inputs, outputs, attributes)

    def _attribute(self, attribute: Any) -> Attribute:
        import onnx

        kinds = onnx.AttributeProto
        match attribute.type:
            case kinds.INT:
                return int(attribute.i)
            case kinds.FLOAT:
                return float(attribute.f)
            case kinds.STRING:
                return text(attribute.s)
            case kinds.INTS:
                return tuple(attribute.ints)
            case kinds.FLOATS:
                return tuple(attribute.floats)
            case kinds.STRINGS:
                return tuple(map(text, attribute.strings))
            case kinds.TENSOR:
                return read_tensor(attribute.t, self.folder)
            case kinds.GRAPH:
                return self.graph(attribute.g, outer=True)
        # Sparse tensors, types and lists of graphs: the operators that take them are not read.
        return None


def _size(dim: Any) -> int | str | None:
    """A size; exporters write -1 as well as nothing for an unknown one."""
    kind = dim.WhichOneof("value")
    if kind == "dim_value":
        return int(dim.dim_value) if dim.dim_value >= 0 else None
    named = kind == "dim_param" and any(char.isalnum() for char in text(dim.dim_param))
    # Some exporters write "?" for every unknown size, which does not make them equal.
    return text(dim.dim_param) if named else None


def _check_names(graph: OnnxGraph, what: str, outer: bool) -> None:
    """Every name is given once, and before it is used."""
    names = [*(entry.name for entry in graph.inputs), *graph.parameters, *graph.initializers]
    given = set(names)
    check(
        len(names) == len(given),
        f"{what}: two inputs of one name",
        ParseError,
    )
    later = {name for node in graph.nodes for name in node.outputs}
    for node in graph.nodes:
        for name in filter(None, node.inputs):
            if name in given:
                continue
            check(
                name not in later,
                f"{what}: node '{node.name}' uses '{name}' before it is given; "
                "the graph is not sorted or has a cycle",
                ParseError,
            )
            check(
                outer, f"{what}: node '{node.name}' uses '{name}', which nobody gives", ParseError
            )
        for name in filter(None, node.outputs):
            check(name not in given, f"{what}: '{name}' is given twice", ParseError)
            given.add(name)
    for name in graph.outputs:
        check(outer or name in given, f"{what}: nobody gives the output '{name}'", ParseError)
