"""Functions written out: those of the file, and operators that the standard defines by others.

An operator that no reader reads may still have a definition in simpler ones (attention, losses);
the package `onnx` knows it and puts it in the operator's place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from ...errors import ParseError, check
from .weights import text

Readable: TypeAlias = Callable[[str, int], bool]
_Callee: TypeAlias = tuple[str, str, str]  # domain, name and overload of a function

# Definitions may use operators that have one themselves.
_MOST_ROUNDS = 4

# A function that calls another twice, and so on thirty times, is a short file and 2**30 nodes.
_MOST_NODES = 100_000
_OWN_DOMAIN = "mlir_lite.definitions"
_MOST_DEPTH = 100  # the package's own limit


def version_in_force(op_type: str, domain: str, opset: int) -> int | None:
    """The version in which the operator took the form that it has in this opset."""
    schema = _schema(op_type, domain, opset)
    return None if schema is None else int(schema.since_version)


# A schema, as everything of the package `onnx`, has no static type.
def _schema(op_type: str, domain: str, opset: int) -> Any:
    import onnx

    try:
        return onnx.defs.get_schema(op_type, opset, domain)
    except onnx.defs.SchemaError:
        return None


def write_out(model: Any, opsets: Mapping[str, int], readable: Readable) -> Any:
    """The `ModelProto` without functions, and without operators that are not readable but defined.

    `ParseError` where the file's functions cannot be put in place.
    """
    import onnx.inliner

    if model.functions:
        _check_growth(model)
        try:
            model = onnx.inliner.inline_local_functions(model)
        except Exception as error:
            # The C++ behind this raises errors of many classes, without a common base.
            raise ParseError(f"the functions of the model do not fit: {error}") from None
    for _ in range(_MOST_ROUNDS):
        found = {text(node.op_type) for node in _defined(model.graph, opsets, readable)}
        if not found:
            return model
        model = _with_defaults(model, opsets, readable)
        chosen = [("", op_type) for op_type in sorted(found)]
        try:
            model = _without_gaps(model, opsets, readable)
            model = onnx.inliner.inline_selected_functions(
                model, chosen, inline_schema_functions=True
            )
        except Exception:
            # As above; most often types that a definition asks for are not known. The node stays,
            # and is reported with the others.
            return model
    return model


def _without_gaps(model: Any, opsets: Mapping[str, int], readable: Readable) -> Any:
    """The model with operators written out that leave an operand out, and whose definition depends
    on the operands' types: the inliner asks for the type of each, which that one does not have."""
    import onnx

    gaps = [node for node in _defined(model.graph, opsets, readable) if "" in node.input]
    types = _types(model) if gaps else {}
    functions: list[Any] = []
    for node in gaps:
        schema = _schema(node.op_type, "", opsets[""])
        known = all(name in types for name in node.input if name)
        if not known or not schema.has_context_dependent_function:
            continue
        operands = [types[name].SerializeToString() if name else b"" for name in node.input]
        body = schema.get_context_dependent_function(node.SerializeToString(), operands)
        function = onnx.FunctionProto.FromString(body)
        function.domain, function.name = _OWN_DOMAIN, f"{node.op_type}_{len(functions)}"
        node.domain, node.op_type = function.domain, function.name
        functions.append(function)
    if not functions:
        return model
    model.functions.extend(functions)
    model.opset_import.append(onnx.helper.make_opsetid(_OWN_DOMAIN, 1))
    return onnx.inliner.inline_local_functions(model)


def _types(model: Any) -> dict[str, Any]:
    """The types of values, by name, as far as they are known."""
    import onnx

    graph = onnx.shape_inference.infer_shapes(model).graph
    found = {
        entry.name: onnx.helper.make_tensor_type_proto(entry.data_type, entry.dims)
        for entry in graph.initializer
    }
    return found | {
        entry.name: entry.type for entry in (*graph.input, *graph.value_info, *graph.output)
    }


def _check_growth(model: Any) -> None:
    """`ParseError` where the functions written out would be more nodes than any network has."""
    bodies = {
        (function.domain, function.name, function.overload): [
            _callee(node) for node in _nodes(function)
        ]
        for function in model.functions
    }
    # What each function comes to, where calls nested deeper than the round count as one node.
    sizes: dict[_Callee, int] = {}
    for _ in range(_MOST_DEPTH):
        found = {
            name: min(sum(sizes.get(callee, 1) for callee in body), _MOST_NODES + 1)
            for name, body in bodies.items()
        }
        if found == sizes:
            break
        sizes = found
    total = sum(sizes.get(_callee(node), 1) for node in _nodes(model.graph))
    check(
        total <= _MOST_NODES,
        f"the functions of the model, written out, are more than {_MOST_NODES} nodes",
        ParseError,
    )


def _callee(node: Any) -> _Callee:
    return node.domain, node.op_type, node.overload


def _nodes(graph: Any) -> Iterator[Any]:
    """The nodes of a graph or a function, and of the branches in it."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _nodes(attribute.g)


def _with_defaults(model: Any, opsets: Mapping[str, int], readable: Readable) -> Any:
    """A copy in which the operators to be written out have all their attributes."""
    copy = type(model)()
    copy.CopyFrom(model)
    for node in _defined(copy.graph, opsets, readable):
        given = {attribute.name for attribute in node.attribute}
        for name, attribute in _schema(node.op_type, "", opsets[""]).attributes.items():
            if name not in given and attribute.default_value.type:
                node.attribute.append(attribute.default_value)
    return copy


def _defined(graph: Any, opsets: Mapping[str, int], readable: Readable) -> Iterator[Any]:
    """The nodes of a graph, and of its branches, whose operator has only a definition."""
    for node in _nodes(graph):
        if node.domain not in ("", "ai.onnx"):
            continue
        op_type = text(node.op_type)
        schema = _schema(op_type, "", opsets[""])
        if schema is None or readable(op_type, schema.since_version):
            continue
        if schema.has_function or schema.has_context_dependent_function:
            yield node
