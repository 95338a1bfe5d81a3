"""Reader of memory allocation instances in MiniMalloc's CSV format.

    id,lower,upper,size
    a,0,3,4096

A buffer a line, alive at the steps in [lower, upper), `size` in bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ..lexer import Source, decoded
from ..passes.memory.allocation import Lifetime

_COLUMNS = ("id", "lower", "upper", "size")
# The offset of a solved instance says nothing about the problem.
_IGNORED = ("offset",)
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}", re.ASCII)
_LIMIT = 2**63


class _Field(NamedTuple):
    """A field of a line, without the blanks around it, and where it starts in the text."""

    text: str
    start: int

    @property
    def end(self) -> int:
        return self.start + max(1, len(self.text))


def read_minimalloc(path: str | Path) -> list[Lifetime]:
    """The lifetimes of a file: see `parse_minimalloc`; `OSError` if it cannot be read."""
    return parse_minimalloc(decoded(Path(path).read_bytes(), str(path)), str(path))


def parse_minimalloc(text: str, file: str) -> list[Lifetime]:
    """The lifetimes of a text that came from this file, in its order.

    Raises `ParseError`, with file, line and column, for anything else than the format above with
    its columns in any order, unique ids, lower < upper, 0 <= size and integers within 64 bits.
    """
    source = Source(text, file)
    lines = _lines(text)
    header = next(lines, None)
    if header is None:
        raise source.error(f"expected the header {','.join(_COLUMNS)}, got an empty file", 0, 1)
    columns = _columns(source, header)

    lifetimes: dict[str, Lifetime] = {}
    for fields in lines:
        if len(fields) != len(header):
            raise source.error(
                f"expected {len(header)} fields, got {len(fields)}", fields[0].start, fields[-1].end
            )
        name = fields[columns["id"]]
        if not name.text or name.text in lifetimes:
            got = f"'{name.text[:40]}' again" if name.text else "an empty one"
            raise source.error(f"expected a new id, got {got}", name.start, name.end)
        start = _integer(source, fields[columns["lower"]])
        end = _integer(source, fields[columns["upper"]], least=start + 1)
        size = _integer(source, fields[columns["size"]], least=0)
        lifetimes[name.text] = Lifetime(name.text, start, end, size)
    return list(lifetimes.values())


def _lines(text: str) -> Iterator[list[_Field]]:
    """The fields of each line that is not blank."""
    start = 0
    for line in text.split("\n"):
        if line.strip():
            yield list(_fields(line, start))
        start += len(line) + 1


def _fields(line: str, start: int) -> Iterator[_Field]:
    for field in line.split(","):
        yield _Field(field.strip(), start + len(field) - len(field.lstrip()))
        start += len(field) + 1


def _columns(source: Source, header: list[_Field]) -> dict[str, int]:
    """Where each column stands."""
    columns: dict[str, int] = {}
    for position, field in enumerate(header):
        if field.text not in (*_COLUMNS, *_IGNORED) or field.text in columns:
            problem = "twice" if field.text in columns else "a column that is not supported"
            raise source.error(
                f"expected the header {','.join(_COLUMNS)}, got {field.text[:40]!r}, {problem}",
                field.start,
                field.end,
            )
        columns[field.text] = position
    for name in _COLUMNS:
        if name not in columns:
            raise source.error(
                f"expected a column '{name}', got none", header[0].start, header[-1].end
            )
    return columns


def _integer(source: Source, field: _Field, least: int = -_LIMIT) -> int:
    """The integer of a field, at least `least`."""
    value = int(field.text) if _INTEGER.fullmatch(field.text) else None
    if value is None or not least <= value < _LIMIT:
        wanted = f"an integer of at least {least}" if least > -_LIMIT else "an integer"
        raise source.error(
            f"expected {wanted} within 64 bits, got {field.text[:40]!r}", field.start, field.end
        )
    return value
