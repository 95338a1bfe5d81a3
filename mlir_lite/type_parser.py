"""Types and sizes from their texts: `tensor<64x[2*batch]xf32>`, and MLIR's
`tensor<64x?xf32, "64x[2*batch]">`, whose encoding says the named sizes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from .errors import TypeRuleError
from .lexer import MAX_DIGITS, Cursor
from .sizes import Dim, Quotient, Shape, Size
from .text import nearest
from .types import DTYPES, DType, TensorType, bool_, u8

# MLIR's own names for two of the types are read as well.
SPELLINGS: Mapping[str, DType] = {**DTYPES, "i1": bool_, "ui8": u8}

_ENTRY = r"(?:\d+|\?|\[[^\[\]]*\])x"
_TENSOR = re.compile(rf'tensor<((?:{_ENTRY})*)([A-Za-z]\w*)(?:\s*,\s*"([^"]*)")?>')
_SIZES = re.compile(rf"(?:{_ENTRY})*")
_SIZE_TOKEN = re.compile(r"\d+|[^\W\d]\w*|\S")
_MAX_DEPTH = 32  # nested quotients of a size
_MAX_LENGTH = 4096  # characters of a size


@lru_cache(maxsize=4096)
def parse_tensor_type(text: str) -> TensorType:
    """The type; ValueError that says what is wrong with it."""
    match = _TENSOR.fullmatch(text)
    if match is None:
        raise ValueError(f"'{text}' is no tensor type, as tensor<2x3xf32> is")
    sizes, dtype, encoding = match.groups()
    if dtype not in SPELLINGS:
        near = nearest(dtype, DTYPES) or f"; there are {', '.join(DTYPES)}"
        raise ValueError(f"there is no element type '{dtype}'{near}")
    sizes = sizes if encoding is None else encoding + "x"
    if _SIZES.fullmatch(sizes) is None:
        raise ValueError(f'"{encoding}" is no shape, as "64x[2*batch]" is')
    try:
        return TensorType(_shape(sizes), SPELLINGS[dtype])
    except TypeRuleError as error:  # a named size that comes to a negative number
        raise ValueError(str(error)) from None


def _shape(text: str) -> Shape:
    entries = re.findall(_ENTRY, text)
    return tuple(_entry(entry.removesuffix("x")) for entry in entries)


def _entry(text: str) -> Size:
    if text == "?":
        raise ValueError('a size `?` is named by an encoding, as in tensor<?xf32, "[n]">')
    return parse_size(text[1:-1]) if text.startswith("[") else _integer(text)


def _integer(digits: str) -> int:
    value = int(digits) if len(digits) <= MAX_DIGITS else 1 << 63
    if value >= 1 << 63:
        raise ValueError("a size is below 2**63")
    return value


@lru_cache(maxsize=4096)
def parse_size(text: str) -> Size:
    """A size, as `2*batch+1` or `((n+1)/(2))`; ValueError where it is none."""
    if len(text) > _MAX_LENGTH:
        raise ValueError(f"a size is written with at most {_MAX_LENGTH} characters")
    reader = _SizeReader(text)
    try:
        value = reader.sum()
    except TypeRuleError as error:  # arithmetic beyond any network's
        raise ValueError(str(error)) from None
    reader.expect("")
    return value


class _SizeReader:
    """Reads the text of a size by recursive descent."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = [*_SIZE_TOKEN.findall(text), ""]
        self._next = 0
        self._depth = 0

    def _accept(self, token: str) -> bool:
        if self._tokens[self._next] != token:
            return False
        self._next += 1
        return True

    def expect(self, token: str) -> None:
        if self._tokens[self._next] != token:
            raise ValueError(f"'{self._text}' is no size, as 2*batch+1 is")
        self._next += 1

    def sum(self) -> Size:
        total: Size = -self._product() if self._accept("-") else self._product()
        while True:
            if self._accept("+"):
                total = total + self._product()
            elif self._accept("-"):
                total = total - self._product()
            else:
                return total

    def _product(self) -> Size:
        total = self._factor()
        while self._accept("*"):
            total = total * self._factor()
        return total

    def _factor(self) -> Size:
        token = self._tokens[self._next]
        if token == "(":
            return self._quotient()
        if token.isdecimal():
            self._next += 1
            return _integer(token)
        if not token.isidentifier():
            self.expect("a name")
        self._next += 1
        return Dim.named(token)

    def _quotient(self) -> Size:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise ValueError(f"a size has quotients nested more than {_MAX_DEPTH} levels deep")
        self.expect("(")
        self.expect("(")
        top = self.sum()
        for token in (")", "/", "("):
            self.expect(token)
        bottom = self.sum()
        if bottom == 0:
            raise ValueError(f"'{self._text}' divides by zero")
        self.expect(")")
        self.expect(")")
        self._depth -= 1
        return Dim((((Quotient(top, bottom),), 1),))


def expect_tensor_type(cursor: Cursor) -> TensorType:
    """The tensor type that is next; `ParseError` where there is none."""
    token = cursor.expect_kind("type", "a tensor type")
    try:
        return parse_tensor_type(token.text)
    except ValueError as error:
        raise cursor.error(str(error), token) from None


def expect_size(cursor: Cursor) -> Size:
    """A size in angle brackets: `<2*batch>`."""
    start = cursor.expect("<")
    first = cursor.token
    while not cursor.at(">") and cursor.token.kind != "end":
        cursor.advance()
    text = cursor.slice(first, cursor.token)
    cursor.expect(">")
    try:
        return parse_size(text)
    except ValueError as error:
        raise cursor.error(str(error), start) from None
