"""Text out: names, strings and numbers as the IRs spell them, an indenting writer, and tables.

What is written here `lexer` reads back.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from .location import Location

# Names as MLIR's suffix identifiers: dots join words, as in `i.o` and `layer.0.weight`.
NAME = r"[A-Za-z_][\w$]*(?:\.[\w$]+)*"  # MLIR's names may hold a dollar sign, too
# The doubled quantifiers never go back: an open string of megabytes is an error at once.
STRING = r'"(?:[^"\\\n]++|\\.)*+"'
_IDENTIFIER = re.compile(NAME, re.ASCII)
_ESCAPED = re.compile(r'\\(?:([nt"\\])|((?:[0-9A-Fa-f]{2})(?:\\[0-9A-Fa-f]{2})*)|.)')
_ESCAPES = {"n": "\n", "t": "\t", '"': '"', "\\": "\\"}

_WIDTH = 100  # columns: the comments of longer lines are not lined up with the others


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
        column = max((width for width in widths if width <= _WIDTH), default=0) + 4
        for number, comment in self._comments.items():
            lines[number] = f"{lines[number].ljust(column - 2)}  // {comment}"
        return "".join(line + "\n" for line in lines)


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
