"""Expressions from their texts, as `printer.py` writes them; nothing is folded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from ..lexer import Cursor, Token
from ..text import nearest
from ..types import DTYPES, DType, bool_
from .combiners import COMBINERS
from .functions import FUNCTIONS
from .nodes import INDEX, Apply, Cast, Expr, Load, Reduce, Var, boolean, const
from .printer import INFIX, LOGICAL, NOT, UNARY


class _Operator(NamedTuple):
    function: str
    level: int


_OPERATORS: Mapping[str, _Operator] = {
    infix.sign: _Operator(function, infix.level)
    for table in (INFIX, LOGICAL)
    for function, infix in table.items()
}


@dataclass(frozen=True)
class _Literal:
    """A number whose type its neighbour tells."""

    value: int | float
    token: Token


_Operand: TypeAlias = Expr | _Literal


def parse_expr(text: str, types: Mapping[str, DType], expected: DType | None = None) -> Expr:
    """The expression of a text among buffers and variables of these types; `ParseError`."""
    cursor = Cursor(text)
    expr = ExprParser(cursor, types).expr(expected)
    cursor.finish()
    return expr


class ExprParser:
    """Reads expressions among buffers and variables of known types.

    `types` maps buffers and variables to their types; variables left out are indices.
    """

    def __init__(self, cursor: Cursor, types: Mapping[str, DType]) -> None:
        self._cursor = cursor
        self._types = types

    def expr(self, expected: DType | None = None) -> Expr:
        """The expression that is next, where the type `expected` is known."""
        return self._settle(self._infix(0), expected)

    def exprs(self, closing: str, expected: DType | None = None) -> tuple[Expr, ...]:
        """Expressions with commas between them, up to a word that is left standing."""
        return tuple(self._settle(operand, expected) for operand in self._operands(closing))

    def at(self) -> tuple[str, tuple[Expr, ...], Token]:
        """An element of a buffer: its name, its indices, and where."""
        token = self._cursor.token
        name = self._cursor.expect_name("a buffer")
        return name, self._indices(), token

    def check_buffer(self, name: str, token: Token) -> DType:
        if name not in self._types:
            near = nearest(name, self._types)
            raise self._cursor.error(f"there is no buffer '{name}'{near}", token)
        return self._types[name]

    def _indices(self) -> tuple[Expr, ...]:
        self._cursor.expect("[")
        indices = self.exprs("]", INDEX)
        self._cursor.expect("]")
        return indices

    def _operands(self, closing: str) -> list[_Operand]:
        operands: list[_Operand] = []
        while not self._cursor.at(closing):
            if operands:
                self._cursor.expect(",")
            operands.append(self._infix(0))
        return operands

    def _infix(self, level: int) -> _Operand:
        """Operators that bind at least as tightly as `level`."""
        cursor = self._cursor
        with cursor.nested():
            left = self._operand()
            while True:
                token = cursor.token
                operator = _OPERATORS.get(token.text)
                if operator is None or operator.level < level:
                    return left
                cursor.advance()
                right = self._infix(operator.level + 1)
                left = self._apply(operator.function, [left, right], token)

    def _operand(self) -> _Operand:
        cursor, token = self._cursor, self._cursor.token
        number = cursor.accept_number()
        if number is not None:
            dtype = self._ascribed()
            literal = _Literal(number, token)
            return literal if dtype is None else self._settle(literal, dtype)
        match token.text:
            case "(":
                cursor.advance()
                inner = self._infix(0)
                cursor.expect(")")
                return inner
            case "-" | "~":
                cursor.advance()
                function = "neg" if token.text == "-" else "not"
                return self._apply(function, [self._infix(UNARY)], token)
            case "not":
                cursor.advance()
                return self._apply("not", [self._infix(NOT)], token)
            case "true" | "false":
                return boolean(cursor.advance().text == "true")
            case "reduce":
                return self._reduce()
        return self._named()

    def _named(self) -> Expr:
        """A load, a function, a cast or a variable."""
        cursor, token = self._cursor, self._cursor.token
        name = cursor.expect_name("an expression")
        if cursor.at("["):
            indices = self._indices()
            return Load(self._ascribed() or self.check_buffer(name, token), name, indices)
        if cursor.at("("):
            return self._call(name, token)
        return Var(self._ascribed() or self._types.get(name, INDEX), name)

    def _ascribed(self) -> DType | None:
        """`:f32` behind a literal, variable or load."""
        return expect_dtype(self._cursor) if self._cursor.accept(":") else None

    def _call(self, name: str, token: Token) -> Expr:
        self._cursor.expect("(")
        args = self._operands(")")
        self._cursor.expect(")")
        if name in DTYPES and len(args) == 1:
            return Cast(DTYPES[name], self._settle(args[0], None))
        if name not in FUNCTIONS:
            message = f"there is no function '{name}'{nearest(name, FUNCTIONS)}"
            raise self._cursor.error(message, token)
        return self._apply(name, args, token)

    def _apply(self, function: str, args: Sequence[_Operand], token: Token) -> Expr:
        entry = FUNCTIONS[function]
        if len(args) != entry.arity:
            message = f"'{function}' takes {entry.arity} arguments, got {len(args)}"
            raise self._cursor.error(message, token)
        first = 1 if function == "select" else 0
        known = next((arg.dtype for arg in args[first:] if isinstance(arg, Expr)), None)
        wanted = [bool_] * first + [known] * (len(args) - first)
        settled = tuple(map(self._settle, args, wanted))
        types = [arg.dtype for arg in settled]
        alike = all(dtype == types[first] for dtype in types[first:])
        if not alike or any(dtype != bool_ for dtype in types[:first]):
            shown = ", ".join(map(str, types))
            raise self._cursor.error(f"'{function}' of types that do not fit: {shown}", token)
        return Apply(bool_ if entry.gives_bool else types[first], function, settled)

    def _reduce(self) -> Expr:
        """`reduce argmax(k in 0..4; x[k], k)[1]`."""
        cursor = self._cursor
        cursor.expect("reduce")
        token = cursor.token
        combiner = expect_combiner(cursor)
        cursor.expect("(")
        axes: list[tuple[str, int]] = []
        while not cursor.at(";"):
            if axes:
                cursor.expect(",")
            axis = cursor.expect_name("an axis")
            for word in ("in", "0", ".."):
                cursor.expect(word)
            axes.append((axis, cursor.expect_int()))
        cursor.expect(";")
        values = self.exprs(")")
        cursor.expect(")")
        component = 0
        if cursor.accept("["):
            component = cursor.expect_int()
            cursor.expect("]")
        states = len(COMBINERS[combiner].identity)
        if len(values) != states or not 0 <= component < states:
            raise cursor.error(f"'{combiner}' has {states} states", token)
        dtype = self._ascribed() or values[component].dtype
        return Reduce(dtype, combiner, tuple(axes), values, component)

    def _settle(self, operand: _Operand, dtype: DType | None) -> Expr:
        """A literal as a constant of its neighbour's type, else as an index."""
        if isinstance(operand, Expr):
            return operand
        value, token = operand.value, operand.token
        if dtype is None and isinstance(value, float):
            raise self._cursor.error("the type of this number is not known; write 0.0:f32", token)
        dtype = dtype or INDEX
        if dtype == bool_ or (isinstance(value, float) and not dtype.is_float):
            raise self._cursor.error(f"a number of type {dtype} is expected", token)
        if isinstance(value, int) and not _in_range(value, dtype):
            raise self._cursor.error(f"the number is out of the range of {dtype}", token)
        return const(value, dtype)


def _in_range(value: int, dtype: DType) -> bool:
    match dtype.kind:
        case "i":
            return -(1 << dtype.bits - 1) <= value < 1 << dtype.bits - 1
        case "u":
            return 0 <= value < 1 << dtype.bits
    return True


def expect_dtype(cursor: Cursor) -> DType:
    """The element type whose name comes next; `ParseError` for another name."""
    token = cursor.expect_kind("name", "an element type")
    if token.text not in DTYPES:
        near = nearest(token.text, DTYPES)
        raise cursor.error(f"there is no element type '{token.text}'{near}", token)
    return DTYPES[token.text]


def expect_combiner(cursor: Cursor) -> str:
    """The combiner whose name comes next; `ParseError` for another name."""
    token = cursor.expect_kind("name", "a combiner")
    if token.text not in COMBINERS:
        near = nearest(token.text, COMBINERS)
        raise cursor.error(f"there is no combiner '{token.text}'{near}", token)
    return token.text
