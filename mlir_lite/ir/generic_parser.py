"""Functions from MLIR's generic form, as `generic_printer.py` writes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from ..lexer import Cursor, Token
from ..location import UNKNOWN
from ..type_parser import expect_tensor_type
from ..types import TensorType
from .assemble import Assembler, OpText, Read, Scope
from .function import Function
from .generic_attributes import AttributeReader, FunctionType
from .op import Op
from .schema import Arity, schema_of
from .value import Node, Value

PREFIX = "mlir_lite."
T = TypeVar("T")


def parse_generic(cursor: Cursor, assembler: Assembler) -> tuple[Function, ...]:
    """The functions of a module, or one function by itself."""
    parser = _SymbolParser(cursor, assembler)
    functions = parser.module() if cursor.at('"builtin.module"') else (parser.function(),)
    cursor.finish()
    return functions


class _SymbolParser:
    """Reads the module and its functions."""

    def __init__(self, cursor: Cursor, assembler: Assembler) -> None:
        self._cursor = cursor
        self._assembler = assembler
        self._reader = AttributeReader(cursor)

    def module(self) -> tuple[Function, ...]:
        self._words('"builtin.module"', "(", ")")
        self._reader.properties()
        self._words("(", "{")
        functions: list[Function] = []
        while not self._cursor.at("}"):
            functions.append(self.function())
        self._words("}", ")")
        self._end()
        return tuple(functions)

    def function(self) -> Function:
        token = self._cursor.token
        self._words('"func.func"', "(", ")")
        properties = self._reader.properties()
        name = self._entry(properties, "sym_name", str, token)
        declared = self._entry(properties, "function_type", FunctionType, token)
        arguments = properties.get("arg_attrs", Read((), token)).value
        self._words("(")
        fn = _BlockParser(self._cursor, self._assembler).function(name, arguments, "func.return")
        self._words(")")
        self._end()
        actual = FunctionType(tuple(param.type for param in fn.params), fn.result_types)
        if declared != actual:
            message = f"@{name}: the function_type is {declared}, the body's {actual}"
            raise self._cursor.error(message, token)
        return fn

    def _entry(
        self, properties: Mapping[str, Read], name: str, kind: type[T], token: Token
    ) -> T:
        """A property that has to be there."""
        read = properties.get(name)
        if read is None or not isinstance(read.value, kind):
            raise self._cursor.error(f"{token.text} needs the property '{name}'", token)
        return read.value

    def _end(self) -> None:
        """What follows the regions of an operation without operands and results."""
        self._reader.attributes()
        self._words(":", "(", ")", "->", "(", ")")
        self._cursor.accept_location()

    def _words(self, *texts: str) -> None:
        for text in texts:
            self._cursor.expect(text)


class _BlockParser:
    """Reads a region of one block as a function; it sees no outer values."""

    def __init__(self, cursor: Cursor, assembler: Assembler) -> None:
        self._cursor = cursor
        self._assembler = assembler
        self._reader = AttributeReader(cursor)
        self._scope = Scope(cursor)

    def function(self, name: str, arguments: object, terminator: str) -> Function:
        """`{ ^bb0(…): … "terminator"(…) … }`; `arguments` has a dictionary per parameter."""
        cursor = self._cursor
        cursor.expect("{")
        with cursor.nested():
            params, marks = self._parameters(arguments)
            nodes: list[Node] = []
            while not cursor.at(f'"{terminator}"'):
                nodes.append(self._node())
            token = cursor.advance()
            results = self._operands()
            self._check_types(results, self._function_type(), token)
            cursor.accept_location()
        cursor.expect("}")
        static = frozenset(param for param, own in marks.items() if "mlir_lite.static" in own)
        positions = {param: own.get("mlir_lite.donated") for param, own in marks.items()}
        donated = {param: at for param, at in positions.items() if isinstance(at, int)}
        return Function(name, params, tuple(nodes), results, static, donated)

    def _parameters(
        self, arguments: object
    ) -> tuple[tuple[Value, ...], dict[str, dict[str, object]]]:
        """The parameters, and by name what their dictionaries say."""
        cursor = self._cursor
        described = arguments if isinstance(arguments, tuple) else ()
        params: list[Value] = []
        marks: dict[str, dict[str, object]] = {}
        if cursor.accept("^"):
            cursor.expect_kind("name", "a block's name")
            for token, type_ in self._block_arguments():
                own = described[len(params)] if len(params) < len(described) else {}
                entries = own if isinstance(own, dict) else {}
                name = str(entries.get("mlir_lite.name", cursor.string(token)))
                params.append(Value(type_, name=name))
                self._scope.define(token, params[-1])
                marks[name] = entries
        return tuple(params), marks

    def _block_arguments(self) -> list[tuple[Token, TensorType]]:
        cursor = self._cursor
        arguments: list[tuple[Token, TensorType]] = []
        if cursor.accept("("):
            while not cursor.at(")"):
                if arguments:
                    cursor.expect(",")
                token = cursor.expect_kind("value", "a parameter")
                cursor.expect(":")
                arguments.append((token, expect_tensor_type(cursor)))
            cursor.expect(")")
        cursor.expect(":")
        return arguments

    def _node(self) -> Node:
        cursor = self._cursor
        names = self._scope.result_names()
        token = cursor.expect_kind("string", "an operation in quotes")
        cls = self._assembler.op_class(cursor.string(token).removeprefix(PREFIX), token)
        values = self._operands()
        regions = self._regions(self._reader.properties().get("regions", Read((), token)))
        attributes = self._reader.attributes()
        segments = attributes.pop("operand_segments", None)
        attributes = {
            name: self._reader.interpret(read, regions) for name, read in attributes.items()
        }
        types_token = cursor.peek()
        type_ = self._function_type()
        self._check_types(values, type_, token)
        operands = self._fields(cls, values, segments, token)
        location = cursor.accept_location() or UNKNOWN
        node = self._assembler.node(
            OpText(token, cls, operands, attributes, type_.results, types_token, location)
        )
        self._scope.define_results(names, node, token)
        return node

    def _operands(self) -> tuple[Value, ...]:
        cursor = self._cursor
        values: list[Value] = []
        cursor.expect("(")
        while not cursor.at(")"):
            if values:
                cursor.expect(",")
            values.append(self._scope.use())
        cursor.expect(")")
        return tuple(values)

    def _regions(self, described: Read) -> list[Function]:
        cursor = self._cursor
        regions: list[Function] = []
        if not cursor.accept("("):
            return regions
        while not cursor.at(")"):
            if regions:
                cursor.expect(",")
            match described.value:
                case tuple() as entries if len(entries) > len(regions):
                    names = entries[len(regions)]
                case _:
                    names = {}
            name, arguments = "", ()
            if isinstance(names, dict):
                name, arguments = str(names.get("name", "")), names.get("args", ())
            block = _BlockParser(cursor, self._assembler)
            regions.append(block.function(name, arguments, PREFIX + "return"))
        cursor.expect(")")
        return regions

    def _function_type(self) -> FunctionType:
        self._cursor.expect(":")
        return self._reader.function_type()

    def _check_types(
        self, values: Sequence[Value], type_: FunctionType, token: Token
    ) -> None:
        actual = tuple(value.type for value in values)
        if actual != type_.inputs:
            given, said = (", ".join(map(str, types)) for types in (actual, type_.inputs))
            raise self._cursor.error(f"the operands are ({given}), the text says ({said})", token)

    def _fields(
        self, cls: type[Op], values: Sequence[Value], segments: Read | None, token: Token
    ) -> dict[str, object]:
        """The operands by field, as the segments divide them."""
        fields = schema_of(cls).operands
        given = segments.value if segments else (1,) * len(fields)
        counts = [c for c in given if isinstance(c, int)] if isinstance(given, tuple) else []
        fits = len(counts) == len(fields) and sum(counts) == len(values)
        if not fits or not all(map(_takes, (arity for _, arity in fields), counts)):
            takes, got = ", ".join(cls.operand_fields) or "nothing", len(values)
            raise self._cursor.error(f"'{cls.name}' takes {takes}, got {got} operands", token)
        divided: dict[str, object] = {}
        rest = iter(values)
        for (name, arity), count in zip(fields, counts, strict=True):
            picked = tuple(next(rest) for _ in range(count))
            divided[name] = picked if arity == Arity.MANY else picked[0] if picked else None
        return divided


def _takes(arity: Arity, count: int) -> bool:
    """Whether an operand field can hold so many values."""
    match arity:
        case Arity.ONE:
            return count == 1
        case Arity.OPTIONAL:
            return count in (0, 1)
    return count >= 0
