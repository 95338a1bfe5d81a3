"""Expressions as text: infix, with the fewest parentheses, each literal's type inferable.

    max(x[i.o * 16 + i.i], 0.0)      f32(n) * (a[i] + 1.0:f32)      not i < 3 and j == 0

A literal, variable or load is followed by `:type` where the text does not tell its type: a bare
literal has the type of its neighbour in the same function or of the place it is written to, else
it is an index or a bool.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ..errors import VerifyError
from ..text import float_text, is_identifier, quote
from ..types import DType, bool_
from .nodes import INDEX, Apply, Cast, Const, Expr, Load, Reduce, Var


class Infix(NamedTuple):
    """An operator: its sign, and how tightly it binds (a comparison does not chain)."""

    sign: str
    level: int


COMPARISON = 4
UNARY = 11
INFIX: Mapping[str, Infix] = {
    "lt": Infix("<", COMPARISON),
    "le": Infix("<=", COMPARISON),
    "gt": Infix(">", COMPARISON),
    "ge": Infix(">=", COMPARISON),
    "eq": Infix("==", COMPARISON),
    "ne": Infix("!=", COMPARISON),
    "or": Infix("|", 5),
    "xor": Infix("^", 6),
    "and": Infix("&", 7),
    "shl": Infix("<<", 8),
    "shr": Infix(">>", 8),
    "add": Infix("+", 9),
    "sub": Infix("-", 9),
    "mul": Infix("*", 10),
    "div": Infix("/", 10),
    "floordiv": Infix("floordiv", 10),
    "mod": Infix("mod", 10),
}
# Of bools, `and`, `or` and `not` are words that bind less tightly than comparisons.
LOGICAL: Mapping[str, Infix] = {"or": Infix("or", 1), "and": Infix("and", 2)}
NOT = 3

# Words that are no names in an expression or at the head of a statement.
RESERVED = frozenset(
    (
        *("and", "or", "not", "true", "false", "inf", "nan", "floordiv", "mod", "reduce"),
        *("in", "out", "of", "layout", "outputs", "buffer", "proc", "kernel", "for", "parallel"),
        *("vector", "unroll", "block", "thread", "warp", "lane", "if", "else", "let", "call"),
        *("sync", "async", "wait"),
    )
)


def name_of(name: str) -> str:
    """The name of a variable, axis or buffer, quoted where it is not a plain word."""
    return name if is_identifier(name) and name not in RESERVED else quote(name)


class ExprPrinter:
    """Prints expressions among buffers and variables of known types.

    `types` maps buffers and variables to their types; variables left out are indices.
    """

    def __init__(self, types: Mapping[str, DType]) -> None:
        self.types = types

    def text(self, expr: Expr, expected: DType | None = None) -> str:
        """The text of an expression that stands where the type `expected` is known."""
        return self._literal(expr, expected) if isinstance(expr, Const) else self._text(expr, 0)

    def joined(self, exprs: tuple[Expr, ...], expected: DType | None = None) -> str:
        return ", ".join(self.text(expr, expected) for expr in exprs)

    def at(self, buffer: str, indices: tuple[Expr, ...]) -> str:
        """An element of a buffer."""
        return f"{name_of(buffer)}[{self.joined(indices, INDEX)}]"

    def _literal(self, const: Const, expected: DType | None) -> str:
        if const.dtype == bool_:
            return "true" if const.value else "false"
        if const.dtype.is_float:
            text = float_text(const.value)
        else:
            text = str(int(const.value))
            expected = expected or INDEX
        return text if const.dtype == expected else f"{text}:{const.dtype}"

    def _text(self, expr: Expr, level: int) -> str:
        match expr:
            case Const():
                return self._literal(expr, None)
            case Var(dtype=dtype, name=name):
                return name_of(name) + self._ascribed(dtype, self.types.get(name, INDEX))
            case Load(dtype=dtype, buffer=buffer, indices=indices):
                return self.at(buffer, indices) + self._ascribed(dtype, self.types.get(buffer))
            case Cast(dtype=dtype, value=value):
                return f"{dtype}({self.text(value)})"
            case Apply():
                return self._apply(expr, level)
            case Reduce():
                return self._reduce(expr)
        raise VerifyError(f"no text for an expression of class {type(expr).__name__}")

    @staticmethod
    def _ascribed(dtype: DType, known: DType | None) -> str:
        return "" if dtype == known else f":{dtype}"

    def _apply(self, expr: Apply, level: int) -> str:
        function, args = expr.function, expr.args
        if function == "not" and expr.dtype == bool_:
            return _wrap(f"not {self._text(args[0], NOT)}", NOT, level)
        # `-1` is a literal: the negation of one is written as a function.
        if function == "not" or (function == "neg" and not isinstance(args[0], Const)):
            sign = "-" if function == "neg" else "~"
            return _wrap(sign + self._text(args[0], UNARY), UNARY, level)
        infix = LOGICAL.get(function) if expr.dtype == bool_ else None
        infix = infix or INFIX.get(function)
        if infix is None:
            return f"{function}({', '.join(self._args(expr, 0, 0))})"
        own = infix.level
        left, right = self._args(expr, own + (own == COMPARISON), own + 1)
        return _wrap(f"{left} {infix.sign} {right}", own, level)

    def _args(self, expr: Apply, first: int, others: int) -> list[str]:
        """The arguments; literals are bare where an argument beside them tells the type."""
        alike = expr.args[1:] if expr.function == "select" else expr.args
        known = next((arg.dtype for arg in alike if not isinstance(arg, Const)), None)
        texts: list[str] = []
        for position, arg in enumerate(expr.args):
            if isinstance(arg, Const):
                condition = expr.function == "select" and position == 0
                texts.append(self._literal(arg, bool_ if condition else known))
            else:
                texts.append(self._text(arg, others if position else first))
        return texts

    def _reduce(self, expr: Reduce) -> str:
        axes = ", ".join(f"{name_of(axis)} in 0..{extent}" for axis, extent in expr.axes)
        part = f"[{expr.component}]" if expr.component else ""
        own = self._ascribed(expr.dtype, expr.values[expr.component].dtype)
        return f"reduce {expr.combiner}({axes}; {self.joined(expr.values)}){part}{own}"


def _wrap(text: str, own: int, level: int) -> str:
    return f"({text})" if own < level else text
