"""Text in: a lexer whose errors point into the source, and a cursor over its words.

The IRs share it; `//` starts a comment.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from .errors import ParseError
from .location import UNKNOWN, Location
from .text import NAME, STRING, unquote

_TOKEN = re.compile(
    rf"""
      (?P<skip>(?:[ \t\r\n]++|//[^\n]*+)++)
    | (?P<type>tensor<[^<>\n]*>)
    | (?P<name>{NAME})
    | (?P<value>%(?:{NAME}|\d+|{STRING}))
    | (?P<symbol>@(?:{NAME}|{STRING}))
    | (?P<float>\d+\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+)
    | (?P<int>0x[0-9A-Fa-f]+|\d+)
    | (?P<string>{STRING})
    | (?P<punct>->|\.\.|<<|>>|[<>=!+*]=|[-+*/<>=(){{}}\[\],:;&|^~])
    | (?P<bad>.)
    """,
    re.VERBOSE | re.ASCII,
)
MAX_DEPTH = 120  # nested brackets and blocks: well inside Python's own recursion limit
MAX_DIGITS = 20  # of an integer: 2**64 has as many
_EXCERPT = 100  # columns shown of a long line


class Token(NamedTuple):
    """A word of a text: `kind` is a group of the lexer's pattern, or "end"."""

    kind: str
    text: str
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)

    def __str__(self) -> str:
        return "the end of the text" if self.kind == "end" else f"'{self.text}'"


class Source:
    """A text with the name of its file; makes the errors that point into it."""

    def __init__(self, text: str, file: str) -> None:
        self.text = text
        self.file = file

    def error(self, message: str, start: int, end: int) -> ParseError:
        """`file:line:column: message`, the line, and a caret under `start`..`end`."""
        head = self.text.rfind("\n", 0, start) + 1
        tail = self.text.find("\n", start)
        line = self.text[head : tail if tail >= 0 else len(self.text)]
        number, column = self.text.count("\n", 0, head) + 1, start - head
        cut = max(0, column - _EXCERPT // 2)
        shown = line[cut : cut + _EXCERPT].replace("\t", " ")
        marks = "~" * (min(end - start, len(shown) - (column - cut)) - 1)
        caret = " " * (column - cut) + "^" + marks
        return ParseError(f"{self.file}:{number}:{column + 1}: {message}\n  {shown}\n  {caret}")


def decoded(raw: bytes, file: str) -> str:
    """The text of a file's bytes, without a mark of byte order; `ParseError` where it is none."""
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        found = f"byte {raw[error.start]:#04x} at {error.start}"
        raise ParseError(f"{file}: expected UTF-8 text, got {found}: this is no text") from None


class Cursor:
    """Reads the tokens of a text one after the other."""

    def __init__(self, text: str, file: str = "<text>") -> None:
        """`ParseError` at a character that belongs to no token."""
        self.source = Source(text, file)
        self._tokens: list[Token] = []
        self._next = 0
        self._depth = 0
        for match in _TOKEN.finditer(text):
            kind = match.lastgroup or "bad"
            if kind == "bad":
                character = match.group()
                what = "a string without an end" if character == '"' else repr(character)
                raise self.source.error(f"unexpected {what}", match.start(), match.end())
            if kind != "skip":
                self._tokens.append(Token(kind, match.group(), match.start()))
        self._tokens.append(Token("end", "", len(text)))
        self.token = self._tokens[0]

    def peek(self) -> Token:
        """The token after the current one."""
        return self._tokens[min(self._next + 1, len(self._tokens) - 1)]

    def advance(self) -> Token:
        """Step over the current token and give it."""
        token = self.token
        if token.kind != "end":
            self._next += 1
            self.token = self._tokens[self._next]
        return token

    def error(self, message: str, token: Token | None = None) -> ParseError:
        """An error at a token, by default the current one."""
        place = token or self.token
        return self.source.error(message, place.start, place.end)

    def at(self, *texts: str) -> bool:
        return self.token.text in texts

    def accept(self, text: str) -> bool:
        """Step over this word if it is next."""
        if self.token.text != text or self.token.kind == "end":
            return False
        self.advance()
        return True

    def expect(self, text: str) -> Token:
        if self.token.text != text:
            raise self.error(f"expected '{text}', got {self.token}")
        return self.advance()

    def expect_kind(self, kind: str, what: str) -> Token:
        if self.token.kind != kind:
            raise self.error(f"expected {what}, got {self.token}")
        return self.advance()

    def finish(self) -> None:
        if self.token.kind != "end":
            raise self.error(f"expected the end of the text, got {self.token}")

    @contextmanager
    def nested(self) -> Iterator[None]:
        """A level of brackets; too many are an error, not a stack overflow."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self.error(f"nested more than {MAX_DEPTH} levels deep")
        yield
        self._depth -= 1

    def listed(self, entry: Callable[[], object]) -> tuple[object, ...]:
        """`[entry, entry, …]`, a level of brackets."""
        entries: list[object] = []
        with self.nested():
            self.expect("[")
            while not self.at("]"):
                if entries:
                    self.expect(",")
                entries.append(entry())
            self.expect("]")
        return tuple(entries)

    def slice(self, start: Token, end: Token) -> str:
        """The source from one token up to another."""
        return self.source.text[start.start : end.start]

    def string(self, token: Token) -> str:
        """The text of a string literal, or of a name, value or symbol that may be quoted."""
        literal = token.text.lstrip("%@") if token.kind in ("value", "symbol") else token.text
        if not literal.startswith('"'):
            return literal
        try:
            return unquote(literal)
        except ValueError as error:
            raise self.error(str(error), token) from None

    def expect_string(self) -> str:
        return self.string(self.expect_kind("string", "a string"))

    def expect_name(self, what: str = "a name") -> str:
        """A name, quoted or not."""
        if self.token.kind not in ("name", "string"):
            raise self.error(f"expected {what}, got {self.token}")
        return self.string(self.advance())

    def expect_int(self, what: str = "an integer") -> int:
        """An integer with its sign."""
        negative = self.accept("-")
        token = self.expect_kind("int", what)
        return -self.int_of(token) if negative else self.int_of(token)

    def int_of(self, token: Token) -> int:
        if len(token.text) > MAX_DIGITS:
            raise self.error("the integer is too large", token)
        return int(token.text, 0) if token.text.startswith("0x") else int(token.text)

    def accept_number(self) -> int | float | None:
        """A number with its sign, `nan` and `inf` included; None if none is next."""
        token = self.peek() if self.token.text == "-" else self.token
        if token.kind == "int":
            return self.expect_int()
        if token.kind != "float" and token.text not in ("inf", "nan"):
            return None
        negative = self.accept("-")
        self.advance()
        value = math.nan if token.text == "nan" else float(token.text)
        if token.kind == "float" and math.isinf(value):
            raise self.error("the number is too large for a float of 64 bits", token)
        return -value if negative else value

    def accept_location(self) -> Location | None:
        """`loc("file":6)`, `loc("file":6:0)`, `loc("name"("file":6))`, `loc(unknown)`."""
        if not self.accept("loc"):
            return None
        self.expect("(")
        if self.accept("unknown"):
            self.expect(")")
            return UNKNOWN
        name, file = "", self.expect_string()
        if self.accept("("):
            name, file = file, self.expect_string()
        self.expect(":")
        line = self.expect_int("a line")
        if self.accept(":"):
            self.expect_int("a column")
        if name:
            self.expect(")")
        self.expect(")")
        return Location(file, line, name)
