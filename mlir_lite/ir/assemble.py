"""What both parsers share: names in scope, and the making of an operation from what was read.

Everything that does not fit is a `ParseError` at its place in the text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..errors import MlirLiteError
from ..lexer import Cursor, Token
from ..location import Location
from ..text import nearest
from ..types import TensorType
from .builder import OpTable
from .constant import ConstantData, InMemory
from .dense import Elements, dense_array
from .op import Op, result_types
from .schema import AttributeField, Schema, fits, kind_text, schema_of
from .value import Node, Value


@dataclass(frozen=True)
class ConstantText:
    """Constant data as it was read: its type may be that of the result, which follows later."""

    elements: Elements
    name: str
    type: TensorType | None
    is_resource: bool = False


class Read(NamedTuple):
    """An attribute as it was read, and where."""

    value: object
    token: Token


class OpText(NamedTuple):
    """An operation as it was read. Its `results` are the types in the text, at `types_token`."""

    token: Token
    cls: type[Op]
    operands: Mapping[str, object]
    attributes: Mapping[str, Read]
    results: Sequence[TensorType]
    types_token: Token
    location: Location


class Scope:
    """The values that a function's text has defined, by their spelling."""

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor
        self._values: dict[str, Value] = {}

    def define(self, token: Token, value: Value) -> None:
        if token.text in self._values:
            raise self._cursor.error(f"{token.text} is defined twice", token)
        self._values[token.text] = value

    def result_names(self) -> list[Token]:
        """`%0, %1 =` before an operation, or nothing."""
        cursor = self._cursor
        if cursor.token.kind != "value":
            return []
        names = [cursor.advance()]
        while cursor.accept(","):
            names.append(cursor.expect_kind("value", "a result"))
        cursor.expect("=")
        return names

    def define_results(self, names: Sequence[Token], node: Node, token: Token) -> None:
        if len(names) != len(node.results):
            message = f"'{node.op.name}' gives {len(node.results)} results, not {len(names)}"
            raise self._cursor.error(message, token)
        for name, value in zip(names, node.results, strict=True):
            self.define(name, value)

    def use(self) -> Value:
        """The value that is named next."""
        token = self._cursor.expect_kind("value", "a value")
        if token.text not in self._values:
            near = nearest(token.text, self._values)
            raise self._cursor.error(f"{token.text} is not defined here{near}", token)
        return self._values[token.text]


class Assembler:
    """Makes operations of a table, with the constants that a text names."""

    def __init__(
        self, cursor: Cursor, table: OpTable, resources: Mapping[str, ConstantData]
    ) -> None:
        self._cursor = cursor
        self._table = table
        self._resources = resources

    def op_class(self, name: str, token: Token) -> type[Op]:
        cls = self._table.classes.get(name)
        if cls is None:
            near = nearest(name, self._table.classes)
            raise self._cursor.error(f"there is no operation '{name}'{near}", token)
        return cls

    def node(self, text: OpText) -> Node:
        """The operation, its types inferred and compared with those of the text."""
        fields = {**text.operands, **self._attributes(text, schema_of(text.cls))}
        name = text.cls.name
        try:
            op = text.cls(**fields)
            inferred = result_types(op)
        except MlirLiteError as error:
            given = ", ".join(str(v.type) for v in _values_in(text.operands))
            raise self._cursor.error(f"'{name}' ({given}): {error}", text.token) from error
        except Exception as error:
            # A type rule may rely on what no traced program gives, as an axis of 10**9.
            message = f"'{name}' cannot be: {type(error).__name__}: {error}"
            raise self._cursor.error(message, text.token) from error
        if tuple(text.results) != inferred:
            raise self._cursor.error(
                f"'{name}' gives {_list(inferred)}, the text says {_list(text.results)}",
                text.types_token,
            )
        return Node(op, inferred, text.location)

    def _attributes(self, text: OpText, schema: Schema) -> dict[str, object]:
        name, known = text.cls.name, [entry.name for entry in schema.attributes]
        for given, read in text.attributes.items():
            if given not in known:
                message = f"'{name}' has no attribute '{given}'{nearest(given, known)}"
                raise self._cursor.error(message, read.token)
        inferred = text.results[0] if text.results else None
        fields: dict[str, object] = {}
        for entry in schema.attributes:
            if entry.name in text.attributes:
                read = text.attributes[entry.name]
                fields[entry.name] = self._attribute(entry, read, inferred)
            elif not entry.has_default:
                raise self._cursor.error(f"'{name}' needs the attribute '{entry.name}'", text.token)
        return fields

    def _attribute(
        self, entry: AttributeField, read: Read, inferred: TensorType | None
    ) -> object:
        value = self._with_constants(read, inferred)
        if type(value) is int and not fits(value, entry.hint) and fits(0.0, entry.hint):
            value = float(value)
        if not fits(value, entry.hint):
            message = f"the attribute '{entry.name}' is not of the kind {kind_text(entry.hint)}"
            raise self._cursor.error(message, read.token)
        return value

    def _with_constants(self, read: Read, inferred: TensorType | None) -> object:
        match read.value:
            case tuple():
                parts = (Read(part, read.token) for part in read.value)
                return tuple(self._with_constants(part, inferred) for part in parts)
            case ConstantText():
                return self._constant(read.value, inferred, read.token)
        return read.value

    def _constant(
        self, text: ConstantText, inferred: TensorType | None, token: Token
    ) -> ConstantData:
        type_ = text.type or inferred
        if type_ is None:
            raise self._cursor.error("this constant needs a type", token)
        if text.is_resource:
            return self._resource(text.name, type_, token)
        try:
            array = dense_array(text.elements, type_)
        except (MlirLiteError, ValueError) as error:  # NumPy has limits to the rank and the size
            raise self._cursor.error(str(error), token) from None
        return ConstantData(type_, InMemory(array), text.name)

    def _resource(self, name: str, type_: TensorType, token: Token) -> ConstantData:
        data = self._resources.get(name)
        if data is None:
            near = nearest(name, self._resources)
            raise self._cursor.error(f"the resource '{name}' is not given{near}", token)
        if data.type != type_:
            message = f"the resource '{name}' is {data.type}, the text says {type_}"
            raise self._cursor.error(message, token)
        return data


def _values_in(operands: Mapping[str, object]) -> list[Value]:
    found: list[Value] = []
    for entry in operands.values():
        entries = entry if isinstance(entry, tuple) else (entry,)
        found.extend(value for value in entries if isinstance(value, Value))
    return found


def _list(types_: Sequence[TensorType]) -> str:
    return ", ".join(map(str, types_)) or "no result"
