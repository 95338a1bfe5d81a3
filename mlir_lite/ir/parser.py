"""Functions from their texts: the short form here, MLIR's generic form in `generic_parser.py`.

Which of the two a text is shows in its first word. The operations are kept as they stand there:
nothing is dropped, merged or folded.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import ParseError, check
from ..lexer import Cursor
from ..location import UNKNOWN
from ..type_parser import SPELLINGS, expect_size, expect_tensor_type
from ..types import TensorType
from .assemble import Assembler, ConstantText, OpText, Read, Scope
from .builder import OpTable
from .constant import ConstantData
from .dense import Elements, expect_elements
from .function import Function
from .generic_parser import parse_generic
from .op import Op
from .schema import Arity, schema_of
from .value import Node, Value

NO_RESOURCES: Mapping[str, ConstantData] = {}
_WORDS: Mapping[str, object] = {"none": None, "true": True, "false": False, **SPELLINGS}


def parse_functions(
    text: str,
    table: OpTable,
    resources: Mapping[str, ConstantData] = NO_RESOURCES,
    file: str = "<text>",
) -> tuple[Function, ...]:
    """The functions of a text. `resources` are the constants that it names.

    `ParseError` with file, line and column for whatever does not fit.
    """
    cursor = Cursor(text, file)
    assembler = Assembler(cursor, table, resources)
    if cursor.token.kind == "string":
        return parse_generic(cursor, assembler)
    functions: list[Function] = []
    while cursor.token.kind != "end":
        cursor.expect("func")
        functions.append(_FunctionParser(cursor, assembler).function(region=False))
    return tuple(functions)


def parse(
    text: str,
    table: OpTable,
    resources: Mapping[str, ConstantData] = NO_RESOURCES,
    file: str = "<text>",
) -> Function:
    """The one function of a text."""
    functions = parse_functions(text, table, resources, file)
    count = len(functions)
    check(count == 1, f"{file}: expected one function, got {count}", ParseError)
    return functions[0]


class _FunctionParser:
    """Reads one function; each region has one of its own, as it sees no outer values."""

    def __init__(self, cursor: Cursor, assembler: Assembler) -> None:
        self._cursor = cursor
        self._assembler = assembler
        self._scope = Scope(cursor)
        self._static: list[str] = []
        self._donated: dict[str, int] = {}

    def function(self, *, region: bool) -> Function:
        """`@name(params) -> results { … }`; a region has no `-> results` and may lack a name."""
        cursor = self._cursor
        name = ""
        if not region or cursor.token.kind == "symbol":
            name = cursor.string(cursor.expect_kind("symbol", "a name, as @f"))
        params = self._parameters()
        declared = None if region else self._result_types()
        cursor.expect("{")
        with cursor.nested():
            nodes: list[Node] = []
            while not cursor.at("return"):
                nodes.append(self._node())
        token = cursor.expect("return")
        results = () if cursor.at("}") else self._values()
        types = tuple(value.type for value in results)
        if declared is not None and declared != types:
            given = ", ".join(map(str, types)) or "nothing"
            expected = ", ".join(map(str, declared)) or "nothing"
            raise cursor.error(f"@{name} returns {expected}, got {given}", token)
        cursor.expect("}")
        static = frozenset(self._static)
        return Function(name, params, tuple(nodes), results, static, self._donated)

    def _parameters(self) -> tuple[Value, ...]:
        cursor = self._cursor
        cursor.expect("(")
        params: list[Value] = []
        while not cursor.at(")"):
            if params:
                cursor.expect(",")
            params.append(self._parameter())
        cursor.expect(")")
        return tuple(params)

    def _parameter(self) -> Value:
        cursor = self._cursor
        token = cursor.expect_kind("value", "a parameter")
        name = cursor.string(token)
        cursor.expect(":")
        param = Value(expect_tensor_type(cursor), name=name)
        self._scope.define(token, param)
        if cursor.accept("{"):
            self._mark(name)
            while cursor.accept(","):
                self._mark(name)
            cursor.expect("}")
        return param

    def _mark(self, name: str) -> None:
        """`static`, or `donated = 0`, which names a result by its position."""
        cursor = self._cursor
        if cursor.accept("donated"):
            cursor.expect("=")
            self._donated[name] = cursor.expect_int("the position of a result")
            return
        cursor.expect("static")
        self._static.append(name)

    def _result_types(self) -> tuple[TensorType, ...]:
        cursor = self._cursor
        cursor.expect("->")
        if not cursor.accept("("):
            return (expect_tensor_type(cursor),)
        types = () if cursor.at(")") else self._types()
        cursor.expect(")")
        return types

    def _types(self) -> tuple[TensorType, ...]:
        types = [expect_tensor_type(self._cursor)]
        while self._cursor.accept(","):
            types.append(expect_tensor_type(self._cursor))
        return tuple(types)

    def _values(self) -> tuple[Value, ...]:
        values = [self._scope.use()]
        while self._cursor.accept(","):
            values.append(self._scope.use())
        return tuple(values)

    def _node(self) -> Node:
        cursor = self._cursor
        names = self._scope.result_names()
        token = cursor.expect_kind("name", "an operation or 'return'")
        cls = self._assembler.op_class(token.text, token)
        operands = self._operands(cls)
        attributes = self._attributes()
        region = schema_of(cls).region
        if region and (cursor.at("(") or cursor.token.kind == "symbol"):
            attributes[region] = Read(self._region(), token)
        types_token = cursor.token
        types: tuple[TensorType, ...] = ()
        if names:
            if not cursor.accept(":"):
                what = f"expected ':' and the types that '{cls.name}' gives"
                raise cursor.error(f"{what}, got {cursor.token}")
            types_token = cursor.token
            types = self._types()
        location = cursor.accept_location() or UNKNOWN
        node = self._assembler.node(
            OpText(token, cls, operands, attributes, types, types_token, location)
        )
        self._scope.define_results(names, node, token)
        return node

    def _operands(self, cls: type[Op]) -> dict[str, object]:
        cursor = self._cursor
        operands: dict[str, object] = {}
        for name, arity in schema_of(cls).operands:
            if operands and not cursor.accept(","):
                comma = "a comma and " if cursor.token.kind == "value" else ""
                what = f"'{cls.name}' needs {comma}the operand '{name}'"
                raise cursor.error(f"{what}, got {cursor.token}")
            operands[name] = self._operand(arity)
        if cursor.at(",") or cursor.token.kind == "value":
            takes = ", ".join(cls.operand_fields) or "nothing"
            raise cursor.error(f"'{cls.name}' takes {takes} and no more operands")
        return operands

    def _operand(self, arity: Arity) -> Value | tuple[Value, ...] | None:
        cursor = self._cursor
        if arity == Arity.OPTIONAL and cursor.accept("_"):
            return None
        if arity != Arity.MANY:
            return self._scope.use()
        cursor.expect("[")
        values = () if cursor.at("]") else self._values()
        cursor.expect("]")
        return values

    def _attributes(self) -> dict[str, Read]:
        cursor = self._cursor
        attributes: dict[str, Read] = {}
        if not cursor.accept("{"):
            return attributes
        while not cursor.at("}"):
            if attributes:
                cursor.expect(",")
            token = cursor.expect_kind("name", "an attribute's name")
            if token.text in attributes:
                raise cursor.error(f"the attribute '{token.text}' is given twice", token)
            cursor.expect("=")
            attributes[token.text] = Read(self._attribute(), token)
        cursor.expect("}")
        return attributes

    def _attribute(self) -> object:
        cursor, token = self._cursor, self._cursor.token
        if token.kind == "string":
            return cursor.expect_string()
        if token.kind == "symbol" or token.text == "(":
            return self._region()
        if token.text == "[":
            return cursor.listed(self._attribute)
        if token.text == "<":
            return expect_size(cursor)
        if token.text in ("dense", "resource"):
            return self._constant()
        if token.kind == "name" and token.text in _WORDS:
            return _WORDS[cursor.advance().text]
        number = cursor.accept_number()
        if number is None:
            raise cursor.error(f"expected an attribute, got {token}")
        return number

    def _region(self) -> Function:
        return _FunctionParser(self._cursor, self._assembler).function(region=True)

    def _constant(self) -> ConstantText:
        """`dense<[1, 2] as name>` or `resource<name>`, with `: type` if it is not the result's."""
        cursor = self._cursor
        is_resource = cursor.advance().text == "resource"
        cursor.expect("<")
        elements: Elements = None
        name = ""
        if is_resource:
            name = cursor.expect_name("the name of a resource")
        else:
            elements = expect_elements(cursor)
            if cursor.accept("as"):
                name = cursor.expect_name("the name of a constant")
        cursor.expect(">")
        type_ = expect_tensor_type(cursor) if cursor.accept(":") else None
        return ConstantText(elements, name, type_, is_resource)
