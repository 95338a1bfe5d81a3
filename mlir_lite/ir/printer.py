"""Functions as text in the short form, for people; `parser.py` reads it back.

    func @f(%x: tensor<64x784xf32>, %n: tensor<i64> {static}) -> tensor<64x10xf32> {
      %0 = matmul %x, %w : tensor<64x10xf32>                      // classifier.py:6
      %1 = broadcast %b {shape = [64, 10]} : tensor<64x10xf32>    // classifier.py:6
      %2 = concat [%0, %1] {axis = 0} : tensor<128x10xf32>        // classifier.py:8
      return %2
    }

Attributes that equal their defaults are left out, an absent operand is `_`, and a `Function` that
is an operation's only one stands behind the braces.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..location import UNKNOWN, Location
from ..sizes import Dim
from ..text import Writer, float_text, location_text, name_text, quote
from ..types import DType, TensorType
from .constant import ConstantData
from .dense import dense_text
from .function import Function
from .generic_printer import print_generic
from .resources import resource_names
from .schema import schema_of
from .value import Node, Value

__all__ = ["print_function", "print_generic"]


def print_function(fn: Function, *, locations: bool = False) -> str:
    """The function's text; with `locations` they are written so that the parser reads them."""
    writer = Writer()
    printer = _Printer(writer, locations, resource_names(fn))
    writer.write("func ")
    printer.function(fn, name_text(fn.name, "@"))
    writer.end()
    return writer.text()


class _Printer:
    """Prints one function; each region has one of its own, as it sees no outer values."""

    def __init__(
        self, writer: Writer, locations: bool, resources: Mapping[ConstantData, str]
    ) -> None:
        self._writer = writer
        self._locations = locations
        self._resources = resources
        self._names: dict[Value, str] = {}

    def function(self, fn: Function, head: str, *, region: bool = False) -> None:
        """`head(params) -> results {`, the body, `}`; a region's `return` tells its results."""
        self._names = name_values(fn)
        params = ", ".join(self._parameter(fn, param) for param in fn.params)
        results = "" if region else f" -> {_result_types(fn.result_types)}"
        self._writer.end(f"{head}({params}){results} {{")
        with self._writer.indented():
            for node in fn.nodes:
                self._node(node)
            self._writer.end(f"return {self._values(fn.results)}".rstrip())
        self._writer.write("}")

    def _parameter(self, fn: Function, param: Value) -> str:
        marks = ["static"] * (param.name in fn.static)
        if param.name in fn.donated:
            marks.append(f"donated = {fn.donated[param.name]}")
        said = f" {{{', '.join(marks)}}}" if marks else ""
        return f"{self._name(param)}: {param.type}{said}"

    def _name(self, value: Value) -> str:
        """The value's name; a value of nowhere, which only a broken function has, is `%?`."""
        return self._names.get(value, "%?")

    def _values(self, values: Iterable[Value]) -> str:
        return ", ".join(map(self._name, values))

    def _node(self, node: Node) -> None:
        op, writer = node.op, self._writer
        results = f"{self._values(node.results)} = " if node.results else ""
        operands = ", ".join(self._operand(getattr(op, name)) for name in op.operand_fields)
        writer.write(f"{results}{op.name} {operands}".rstrip())
        self._attributes(node)
        if node.results:
            writer.write(f" : {', '.join(str(value.type) for value in node.results)}")
        self._end(node.location)

    def _operand(self, entry: Value | tuple[Value, ...] | None) -> str:
        if entry is None:
            return "_"
        return self._name(entry) if isinstance(entry, Value) else f"[{self._values(entry)}]"

    def _attributes(self, node: Node) -> None:
        schema = schema_of(type(node.op))
        inferred = node.results[0].type if node.results else None
        separator = " {"
        for entry in schema.attributes:
            value: object = getattr(node.op, entry.name)
            if entry.name != schema.region and not entry.is_default(value):
                self._writer.write(f"{separator}{entry.name} = ")
                self._attribute(value, inferred)
                separator = ", "
        if separator == ", ":
            self._writer.write("}")
        if schema.region:
            self._writer.write(" ")
            self._region(getattr(node.op, schema.region))

    def _attribute(self, value: object, inferred: TensorType | None) -> None:
        match value:
            case Function():
                self._region(value)
            case tuple():
                self._writer.write("[")
                for position, entry in enumerate(value):
                    self._writer.write(", " if position else "")
                    self._attribute(entry, inferred)
                self._writer.write("]")
            case ConstantData():
                self._writer.write(self._constant(value, inferred))
            case _:
                self._writer.write(scalar_text(value))

    def _constant(self, data: ConstantData, inferred: TensorType | None) -> str:
        """Few elements as `dense<…>`, else `resource<name>`; its type unless the first result's."""
        type_ = "" if data.type == inferred else f" : {data.type}"
        if data in self._resources:
            return f"resource<{name_text(self._resources[data])}>{type_}"
        elements = dense_text(data.array(), data.type.dtype)
        name = f" as {name_text(data.name)}" if data.name else ""
        return f"dense<{elements}{name}>{type_}"

    def _region(self, fn: Function) -> None:
        name = name_text(fn.name, "@") if fn.name else ""
        inner = _Printer(self._writer, self._locations, self._resources)
        inner.function(fn, name, region=True)

    def _end(self, location: Location) -> None:
        if location == UNKNOWN:
            self._writer.end()
        elif self._locations:
            self._writer.end(f" {location_text(location)}")
        else:
            self._writer.end(comment=str(location))


def name_values(fn: Function) -> dict[Value, str]:
    """The names in a function's text: parameters by their own, results numbered.

    Only a broken function has parameters of one name; they are told apart all the same.
    """
    names: dict[Value, str] = {}
    taken: set[str] = set()
    for param in fn.params:
        name = name_text(param.name, "%")
        if name in taken:
            name = name_text(f"{param.name}.{len(taken)}", "%")
        taken.add(name)
        names[param] = name
    results = (value for node in fn.nodes for value in node.results)
    names.update((value, f"%{number}") for number, value in enumerate(results))
    return names


def head_text(node: Node) -> str:
    """`conv {groups = 4}`: an operation without operands, results, constants and regions."""
    shown = [
        f"{entry.name} = {_plain_text(value)}"
        for entry in schema_of(type(node.op)).attributes
        if not entry.is_default(value := getattr(node.op, entry.name))
        and not isinstance(value, (Function, ConstantData))
    ]
    return f"{node.op.name} {{{', '.join(shown)}}}" if shown else node.op.name


def _plain_text(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_plain_text, value))}]"
    return scalar_text(value)


def scalar_text(value: object) -> str:
    """An attribute that holds no other: a number, a string, a type, a size or nothing."""
    match value:
        case None:
            return "none"
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return float_text(value)
        case str():
            return quote(value)
        case DType():
            return value.name
        case Dim():
            return f"<{value}>"
    return f"?{type(value).__name__}"  # only in a broken function: the verifier refuses it


def _result_types(types: tuple[TensorType, ...]) -> str:
    return str(types[0]) if len(types) == 1 else f"({', '.join(map(str, types))})"
