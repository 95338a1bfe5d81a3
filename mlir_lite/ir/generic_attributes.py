"""Attributes in MLIR's generic form: the values that MLIR writes, and what they stand for here."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ..lexer import Cursor
from ..type_parser import SPELLINGS, expect_tensor_type, parse_size
from ..types import TensorType
from .assemble import ConstantText, Read
from .dense import expect_elements
from .function import Function

_WORDS: Mapping[str, object] = {"unit": None, "true": True, "false": False, **SPELLINGS}


@dataclass(frozen=True)
class FunctionType:
    """`(inputs) -> results`."""

    inputs: tuple[TensorType, ...]
    results: tuple[TensorType, ...]

    def __str__(self) -> str:
        return f"({', '.join(map(str, self.inputs))}) -> ({', '.join(map(str, self.results))})"


class AttributeReader:
    """Reads attributes as they stand; `interpret` says what a dictionary means."""

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor

    def properties(self) -> dict[str, Read]:
        """`<{…}>`, or nothing."""
        if not (self._cursor.at("<") and self._cursor.peek().text == "{"):
            return {}
        self._cursor.expect("<")
        entries = self.attributes()
        self._cursor.expect(">")
        return entries

    def attributes(self) -> dict[str, Read]:
        """`{name = value, name}`, or nothing; a name by itself is a unit."""
        cursor = self._cursor
        entries: dict[str, Read] = {}
        if not cursor.accept("{"):
            return entries
        with cursor.nested():
            while not cursor.at("}"):
                if entries:
                    cursor.expect(",")
                token = cursor.token
                name = cursor.expect_name("an attribute's name")
                if name in entries:
                    raise cursor.error(f"the attribute '{name}' is given twice", token)
                entries[name] = Read(self._value() if cursor.accept("=") else None, token)
            cursor.expect("}")
        return entries

    def function_type(self) -> FunctionType:
        inputs = self._types()
        self._cursor.expect("->")
        if self._cursor.at("("):
            return FunctionType(inputs, self._types())
        return FunctionType(inputs, (expect_tensor_type(self._cursor),))

    def _types(self) -> tuple[TensorType, ...]:
        cursor = self._cursor
        types: list[TensorType] = []
        cursor.expect("(")
        while not cursor.at(")"):
            if types:
                cursor.expect(",")
            types.append(expect_tensor_type(cursor))
        cursor.expect(")")
        return tuple(types)

    def _value(self) -> object:
        cursor, token = self._cursor, self._cursor.token
        if token.kind == "string":
            return cursor.expect_string()
        match token.text:
            case "[":
                return cursor.listed(self._value)
            case "{":
                return {name: read.value for name, read in self.attributes().items()}
            case "(":
                return self.function_type()
            case "array":
                return self._array()
            case "dense" | "dense_resource":
                return self._constant()
        if token.kind == "name" and token.text in _WORDS:
            return _WORDS[cursor.advance().text]
        return self._number()

    def _array(self) -> tuple[int, ...]:
        """`array<i64: 1, 2>`."""
        cursor = self._cursor
        cursor.expect("array")
        cursor.expect("<")
        cursor.expect("i64")
        entries: list[int] = []
        while cursor.accept("," if entries else ":"):
            entries.append(cursor.expect_int())
        cursor.expect(">")
        return tuple(entries)

    def _constant(self) -> ConstantText:
        cursor = self._cursor
        is_resource = cursor.advance().text == "dense_resource"
        cursor.expect("<")
        name = cursor.expect_name() if is_resource else ""
        elements = None if is_resource else expect_elements(cursor)
        cursor.expect(">")
        cursor.expect(":")
        return ConstantText(elements, name, expect_tensor_type(cursor), is_resource)

    def _number(self) -> int | float:
        """`3 : i64`, `0.5 : f64`, or the bits of a float: `0x7FF0000000000000 : f64`."""
        cursor, token = self._cursor, self._cursor.token
        number = cursor.accept_number()
        if number is None:
            raise cursor.error(f"expected an attribute, got {token}")
        if not cursor.accept(":"):
            return number
        type_ = cursor.expect_kind("name", "the type of a number")
        if type_.text != "f64":
            return number
        if not token.text.startswith("0x"):
            return float(number)
        if len(token.text) > len("0x") + 16:
            raise cursor.error("an f64 has 16 hexadecimal digits", token)
        return float(struct.unpack("<d", struct.pack("<Q", number))[0])

    def interpret(self, read: Read, regions: Sequence[Function]) -> Read:
        """The attribute with dictionaries replaced by the sizes, constants and functions meant."""
        return Read(self._meaning(read, read.value, regions), read.token)

    def _meaning(self, read: Read, value: object, regions: Sequence[Function]) -> object:
        match value:
            case tuple():
                return tuple(self._meaning(read, part, regions) for part in value)
            case {"size": str(text)}:
                return self._size(read, text)
            case {"value": ConstantText() as constant, "name": str(name)}:
                return replace(constant, name=name)
            case {"region": int(position)} if 0 <= position < len(regions):
                return regions[position]
            case dict() | FunctionType():
                raise self._cursor.error(
                    "this is neither a size, a constant nor one of the regions", read.token
                )
        return value

    def _size(self, read: Read, text: str) -> object:
        try:
            return parse_size(text)
        except ValueError as error:
            raise self._cursor.error(str(error), read.token) from None
