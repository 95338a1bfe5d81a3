"""Text in and out: an indenting writer, tables, and a lexer whose errors point into the source.

The IRs share this lexer; `//` starts a comment.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from .errors import ParseError
from .location import UNKNOWN, Location

# Names as MLIR's suffix identifiers: dots join words, as in `i.o` and `layer.0.weight`.
_NAME = r"[A-Za-z_][\w$]*(?:\.[\w$]+)*"  # MLIR's names may hold a dollar sign, too
# The doubled quantifiers never go back: an open string of megabytes is an error at once.
_STRING = r'"(?:[^"\\\n]++|\\.)*+"'
_IDENTIFIER = re.compile(_NAME, re.ASCII)
_TOKEN = re.compile(
    rf"""
      (?P<skip>(?:[ \t\r\n]++|//[^\n]*+)++)
    | (?P<type>tensor<[^<>\n]*>)
    | (?P<name>{_NAME})
    | (?P<value>%(?:{_NAME}|\d+|{_STRING}))
    | (?P<symbol>@(?:{_NAME}|{_STRING}))
    | (?P<float>\d+\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+)
    | (?P<int>0x[0-9A-Fa-f]+|\d+)
    | (?P<string>{_STRING})
    | (?P<punct>->|\.\.|<<|>>|[<>=!+*]=|[-+*/<>=(){{}}\[\],:;&|^~])
    | (?P<bad>.)
    """,
    re.VERBOSE | re.ASCII,
)
_ESCAPED = re.compile(r'\\(?:([nt"\\])|((?:[0-9A-Fa-f]{2})(?:\\[0-9A-Fa-f]{2})*)|.)')
_ESCAPES = {"n": "\n", "t": "\t", '"': '"', "\\": "\\"}

MAX_DEPTH = 120  # nested brackets and blocks: well inside Python's own recursion limit
MAX_DIGITS = 20  # of an integer: 2**64 has as many
_EXCERPT = 100  # columns shown of a long line


def is_identifier(name: str) -> bool:
    """Whether the name stands in a text as it is, without quotes."""
    return _IDENTIFIER.fullmatch(name) is not None


def quote(text: str) -> str:
    """A string literal with MLIR's escapes: `\\n`, `\\t`, `\\"`, `\\\\` and bytes as two digits."""
    if text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    return '"' + "".join(map(_escape, text)) + '"'


def _escape(character: str) -> str:
    for letter, meant in _ESCAPES.items():
        if character == meant:
            return "\\" + letter
    if character.isprintable():
        return character
    return "".join(f"\\{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))


def unquote(literal: str) -> str:
    """The text of a string literal; ValueError for an escape there is not."""

    def meant(match: re.Match[str]) -> str:
        letter, digits = match.groups()
        if letter:
            return _ESCAPES[letter]
        if not digits:
            raise ValueError(f"no escape {match.group()!r} in a string")
        return bytes.fromhex(digits.replace("\\", "")).decode("utf-8", "surrogatepass")

    return _ESCAPED.sub(meant, literal[1:-1]) if "\\" in literal else literal[1:-1]


def name_text(name: str, sigil: str = "") -> str:
    """A name after its sigil, quoted where it is no identifier."""
    return sigil + (name if is_identifier(name) else quote(name))


def fresh_name(name: str, taken: set[str], mark: str = "_") -> str:
    """The name, with a mark and a number after it where it is taken; it is taken then."""
    candidate, count = name, 0
    while candidate in taken:
        count += 1
        candidate = f"{name}{mark}{count}"
    taken.add(candidate)
    return candidate


def float_text(value: float) -> str:
    """The shortest text that reads back as the same number; `nan`, `inf`, `-inf`."""
    return repr(float(value))


def with_point(number: str) -> str:
    """The text of a float as MLIR reads it: `1e-05` becomes `1.0e-05`."""
    return number if "." in number else number.replace("e", ".0e")


def location_text(location: Location) -> str:
    """`loc("file":6)`, or `loc("name"("file":6))` for things with a name."""
    place = f"{quote(location.file)}:{location.line}"
    return f"loc({quote(location.name)}({place}))" if location.name else f"loc({place})"


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean …?` where a known name is near, else nothing."""
    near = difflib.get_close_matches(name, list(known), n=3)
    return "; did you mean " + " or ".join(f"'{entry}'" for entry in near) + "?" if near else ""


def table(rows: Iterable[Sequence[str]], *, right: Iterable[int] = (), indent: str = "  ") -> str:
    """Rows with their columns lined up, those in `right` to the right; the last is as it is."""
    lines = list(rows)
    to_right = set(right)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        indent
        + "  ".join(
            cell.rjust(width) if place in to_right else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


class Writer:
    """Builds a text line by line: `write` adds to the current line, `end` finishes it."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._comments: dict[int, str] = {}
        self._parts: list[str] = []
        self._depth = 0

    def write(self, text: str) -> None:
        if not self._parts:
            self._parts.append("  " * self._depth)
        self._parts.append(text)

    def end(self, text: str = "", comment: str = "") -> None:
        """Finish the line; comments are lined up in one column."""
        if text:
            self.write(text)
        if comment:
            self._comments[len(self._lines)] = comment
        self._lines.append("".join(self._parts))
        self._parts.clear()

    @contextmanager
    def indented(self) -> Iterator[None]:
        self._depth += 1
        yield
        self._depth -= 1

    def text(self) -> str:
        """The lines, each ended."""
        lines = list(self._lines)
        widths = [len(lines[number]) for number in self._comments]
        column = max((width for width in widths if width <= _EXCERPT), default=0) + 4
        for number, comment in self._comments.items():
            lines[number] = f"{lines[number].ljust(column - 2)}  // {comment}"
        return "".join(line + "\n" for line in lines)


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

    def peek(self, ahead: int = 1) -> Token:
        """A token after the current one."""
        return self._tokens[min(self._next + ahead, len(self._tokens) - 1)]

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


def bytes_text(count: int) -> str:
    """`512 B`, `12.3 KiB`, `5.01 MiB`."""
    if count < 1024:
        return f"{count} B"
    size, units = float(count), ("KiB", "MiB", "GiB", "TiB")
    for unit in units:
        size /= 1024
        if size < 1000 or unit == units[-1]:
            break
    return f"{size:.3g} {unit}"
