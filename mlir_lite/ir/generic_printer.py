"""Functions in MLIR's generic form, which MLIR's own tools parse with unregistered dialects.

    "builtin.module"() ({
      "func.func"() <{sym_name = "f", function_type = (tensor<64x8xf32>) -> tensor<64x8xf32>}> ({
      ^bb0(%x: tensor<64x8xf32>):
        %0 = "mlir_lite.relu"(%x) : (tensor<64x8xf32>) -> tensor<64x8xf32> loc("f.py":6:0)
        "func.return"(%0) : (tensor<64x8xf32>) -> ()
      }) : () -> ()
    }) : () -> ()

What MLIR has no attribute for is a dictionary: a size is `{size = "2*batch"}`, constant data with a
name `{value = dense<…>, name = "…"}`, a function `{region = 0}`, whose name stands in the property
`regions`. `operand_segments` counts the operands of each field where there is a choice.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Collection, Iterator, Mapping, Sequence

from ..errors import VerifyError, check
from ..location import UNKNOWN, Location
from ..sizes import Dim
from ..text import Writer, float_text, is_identifier, quote, with_point
from ..types import DType, TensorType, bool_, u8
from .constant import ConstantData
from .dense import dense_text
from .function import Function
from .op import Op
from .resources import resource_names
from .schema import schema_of
from .value import Node, Value

_DTYPES: Mapping[DType, str] = {bool_: "i1", u8: "ui8"}
_NO_WORD = re.compile(r"\W+", re.ASCII)


def print_generic(fn: Function) -> str:
    """The text of a module that holds the function."""
    writer = Writer()
    writer.end('"builtin.module"() ({')
    with writer.indented():
        _GenericPrinter(writer, resource_names(fn)).function(fn)
    writer.end("}) : () -> ()")
    return writer.text()


class _GenericPrinter:
    """Prints one function; names are unique in all its regions together, as MLIR wants."""

    def __init__(self, writer: Writer, resources: Mapping[ConstantData, str]) -> None:
        self._writer = writer
        self._resources = resources
        self._keys: dict[str, str] = {}
        for name in resources.values():
            if name not in self._keys:
                self._keys[name] = _identifier(name, self._keys.values(), "constant")
        self._names: dict[Value, str] = {}
        self._taken: set[str] = set()
        self._results = 0

    def function(self, fn: Function) -> None:
        inputs = [param.type for param in fn.params]
        name, type_ = quote(fn.name), _function_type(inputs, fn.result_types)
        arguments = self._arguments(fn)
        described = f", arg_attrs = {arguments}" if "mlir_lite" in arguments else ""
        self._writer.write('"func.func"() ')
        self._writer.write(f"<{{sym_name = {name}, function_type = {type_}{described}}}> (")
        self._body(fn, "func.return")
        self._writer.end(") : () -> ()")

    def _arguments(self, fn: Function) -> str:
        """Name the parameters; a dictionary for each, of what its name does not tell."""
        return f"[{', '.join(self._argument(fn, param) for param in fn.params)}]"

    def _argument(self, fn: Function, param: Value) -> str:
        entries = []
        if self._define_parameter(param) != param.name:
            entries.append(f"mlir_lite.name = {quote(param.name)}")
        if param.name in fn.static:
            entries.append("mlir_lite.static")
        if param.name in fn.donated:
            entries.append(f"mlir_lite.donated = {fn.donated[param.name]} : i64")
        return f"{{{', '.join(entries)}}}"

    def _define_parameter(self, param: Value) -> str:
        name = _identifier(param.name, self._taken, "arg")
        self._taken.add(name)
        self._names[param] = f"%{name}"
        return name

    def _body(self, fn: Function, terminator: str) -> None:
        """`{`, the block with its parameters (defined already), the nodes, `}`."""
        self._writer.end("{")
        params = ", ".join(f"{self._name(param)}: {_type(param.type)}" for param in fn.params)
        self._writer.end(f"^bb0({params}):")
        with self._writer.indented():
            for node in fn.nodes:
                self._node(node)
            self._writer.write(f'"{terminator}"({self._values(fn.results)}) : ')
            self._writer.end(_function_type(fn.result_types, ()))
        self._writer.write("}")

    def _name(self, value: Value) -> str:
        return self._names.get(value, "%?")

    def _values(self, values: Sequence[Value]) -> str:
        return ", ".join(map(self._name, values))

    def _node(self, node: Node) -> None:
        op, writer = node.op, self._writer
        for result in node.results:
            self._names[result] = f"%{self._results}"
            self._results += 1
        results = f"{self._values(node.results)} = " if node.results else ""
        writer.write(f'{results}"mlir_lite.{op.name}"({self._values(op.operands)})')
        regions: list[Function] = []
        entries = [
            f"{name} = {self._attribute(value, regions)}" for name, value in op.attributes.items()
        ]
        if schema_of(type(op)).has_segments:
            entries.append(f"operand_segments = array<i64: {', '.join(_segments(op))}>")
        if regions:
            self._regions(regions)
        if entries:
            writer.write(f" {{{', '.join(entries)}}}")
        inputs = [value.type for value in op.operands]
        outputs = [value.type for value in node.results]
        writer.end(f" : {_function_type(inputs, outputs)}{_location(node.location)}")

    def _regions(self, regions: Sequence[Function]) -> None:
        described = ", ".join(
            f"{{name = {quote(fn.name)}, args = {self._arguments(fn)}}}" for fn in regions
        )
        self._writer.write(f" <{{regions = [{described}]}}> (")
        for position, fn in enumerate(regions):
            self._writer.write(", " if position else "")
            self._body(fn, "mlir_lite.return")
        self._writer.write(")")

    def _attribute(self, value: object, regions: list[Function]) -> str:
        """The text of an attribute; the functions it holds are added to `regions`."""
        match value:
            case None:
                return "unit"
            case bool():
                return "true" if value else "false"
            case int():
                fits = -(1 << 63) <= value < 1 << 64
                check(fits, f"the attribute {value} does not fit in 64 bits", VerifyError)
                return f"{value} : {'i64' if value < 1 << 63 else 'ui64'}"
            case float():
                return f"{_float(value)} : f64"
            case str():
                return quote(value)
            case DType():
                return _DTYPES.get(value, value.name)
            case Dim():
                return f"{{size = {quote(str(value))}}}"
            case tuple():
                return f"[{', '.join(self._attribute(part, regions) for part in value)}]"
            case ConstantData():
                return self._constant(value)
            case Function():
                regions.append(value)
                return f"{{region = {len(regions) - 1} : i64}}"
        raise VerifyError(f"no text for an attribute of class {type(value).__name__}")

    def _constant(self, data: ConstantData) -> str:
        name = self._resources.get(data, data.name)
        if data in self._resources:
            key = self._keys[name]
            text = f"dense_resource<{key}> : {_type(data.type)}"
        else:
            key = ""
            elements = dense_text(data.array(), data.type.dtype, mlir=True)
            text = f"dense<{elements}> : {_type(data.type)}"
        return text if name == key else f"{{value = {text}, name = {quote(name)}}}"


def _identifier(name: str, taken: Collection[str], otherwise: str) -> str:
    """The name, or one like it that MLIR takes for an identifier and that is not taken yet."""
    stem = name if is_identifier(name) else _NO_WORD.sub("_", name).strip("_0123456789")
    stem, attempt = stem or otherwise, 0
    found = stem
    while found in taken:
        found, attempt = f"{stem}.{attempt}", attempt + 1
    return found


def _segments(op: Op) -> Iterator[str]:
    """How many operands each operand field has."""
    for name in op.operand_fields:
        entry = getattr(op, name)
        yield str(len(entry) if isinstance(entry, tuple) else int(entry is not None))


def _function_type(inputs: Sequence[TensorType], results: Sequence[TensorType]) -> str:
    given, returned = ", ".join(map(_type, inputs)), ", ".join(map(_type, results))
    return f"({given}) -> {returned if len(results) == 1 else f'({returned})'}"


def _type(type_: TensorType) -> str:
    dtype = _DTYPES.get(type_.dtype, type_.dtype.name)
    shape = "".join(f"{entry}x" if isinstance(entry, int) else "?x" for entry in type_.shape)
    if type_.is_static:
        return f"tensor<{shape}{dtype}>"
    named = "x".join(str(e) if isinstance(e, int) else f"[{e}]" for e in type_.shape)
    return f'tensor<{shape}{dtype}, "{named}">'


def _float(value: float) -> str:
    """A float as MLIR reads it: with a point, or as its bits."""
    if math.isfinite(value):
        return with_point(float_text(value))
    return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"


def _location(location: Location) -> str:
    """` loc("file":6:0)`, ` loc("name"("file":6:0))`, or nothing."""
    if location == UNKNOWN:
        return ""
    place = f"{quote(location.file)}:{location.line}:0"
    return f" loc({quote(location.name)}({place}))" if location.name else f" loc({place})"
