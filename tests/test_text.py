"""The writer, the lexer and the errors that point into a text."""

from __future__ import annotations

import math

import pytest

from mlir_lite.errors import ParseError
from mlir_lite.lexer import Cursor
from mlir_lite.location import UNKNOWN, Location
from mlir_lite.sizes import Dim, Size
from mlir_lite.text import Writer, location_text, name_text, nearest, quote, unquote
from mlir_lite.type_parser import parse_size, parse_tensor_type
from mlir_lite.types import TensorType, bool_, f32, u8

STRINGS = [
    "", "plain", 'a "b"', "\\n", "\n\t\0\x1b\x7f", "größe", "\u2028\u200b", "\ud800", "//", "%"
]  # fmt: skip


@pytest.mark.parametrize("text", STRINGS)
def test_a_quoted_string_reads_back(text: str) -> None:
    literal = quote(text)
    assert literal.encode().decode().isprintable()
    assert unquote(literal) == text
    assert Cursor(literal).expect_string() == text


def test_bytes_that_are_no_text_are_an_error() -> None:
    with pytest.raises(ParseError, match="decode"):
        Cursor('"\\FF"').expect_string()


def test_names_that_are_no_words_are_quoted() -> None:
    assert name_text("layer.0.weight", "%") == "%layer.0.weight"
    assert [name_text(name, "%") for name in ("0", "a b", "a-b", "a.", "é")] == [
        '%"0"', '%"a b"', '%"a-b"', '%"a."', '%"é"'
    ]  # fmt: skip


def test_tokens_are_told_apart() -> None:
    cursor = Cursor('%x.1 @"f g" i.o..n 0..64 1.5e-3 0x1F tensor<2x?xf32> -> a<=b // rest\n"s"')
    kinds: list[tuple[str, str]] = []
    while cursor.token.kind != "end":
        token = cursor.advance()
        kinds.append((token.kind, token.text))
    assert kinds == [
        ("value", "%x.1"), ("symbol", '@"f g"'), ("name", "i.o"), ("punct", ".."), ("name", "n"),
        ("int", "0"), ("punct", ".."), ("int", "64"), ("float", "1.5e-3"), ("int", "0x1F"),
        ("type", "tensor<2x?xf32>"), ("punct", "->"), ("name", "a"), ("punct", "<="), ("name", "b"),
        ("string", '"s"'),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "number"),
    [("-3", -3), ("1.5", 1.5), ("-1e3", -1000.0), ("-inf", -math.inf), ("0x10", 16), ("x", None)],
)
def test_numbers_have_signs(text: str, number: float | None) -> None:
    value = Cursor(text).accept_number()
    assert value == number and type(value) is type(number)


def test_a_sign_by_itself_is_no_number() -> None:
    cursor = Cursor("- x")
    assert cursor.accept_number() is None
    assert cursor.token.text == "-"


def test_an_error_shows_the_place_in_a_long_line() -> None:
    cursor = Cursor("a\n" + " " * 300 + "bad" + " x" * 300, "net.mlir")
    cursor.advance()
    first, shown, caret = str(cursor.error("no")).splitlines()
    assert first == "net.mlir:2:301: no"
    assert len(shown) <= 102
    assert shown[caret.index("^") :].startswith("bad ") and caret.endswith("^~~")


def last_token(text: str) -> Cursor:
    cursor = Cursor(text)
    while cursor.token.kind != "end":
        cursor.advance()
    return cursor


def test_an_error_at_the_end_shows_the_last_line() -> None:
    with pytest.raises(ParseError) as caught:
        last_token("a {\n  b").expect("}")
    assert str(caught.value) == "<text>:2:4: expected '}', got the end of the text\n    b\n     ^"


def test_integers_have_a_limit() -> None:
    with pytest.raises(ParseError, match="too large"):
        Cursor("9" * 5000).expect_int()


@pytest.mark.parametrize(
    "location", [Location("/a b/f.py", 6), Location('m"x.onnx', 0, "Conv 1"), Location("", 1)]
)
def test_locations_read_back(location: Location) -> None:
    assert Cursor(location_text(location)).accept_location() == location


def test_mlir_writes_columns_and_unknown_locations() -> None:
    assert Cursor('loc("f.py":6:12)').accept_location() == Location("f.py", 6)
    assert Cursor("loc(unknown)").accept_location() == UNKNOWN
    assert Cursor("x").accept_location() is None


def test_comments_are_lined_up_and_long_lines_left_alone() -> None:
    writer = Writer()
    writer.end("a {", comment="one")
    with writer.indented():
        writer.end("b" * 10, comment="two")
        writer.end("c" * 200, comment="three")
        writer.end("d")
    lines = writer.text().splitlines()
    assert lines[0].index("//") == lines[1].index("//") == 16
    assert lines[2] == "  " + "c" * 200 + "  // three" and lines[3] == "  d"


def test_near_names_are_proposed() -> None:
    assert nearest("matmull", ["matmul", "relu"]) == "; did you mean 'matmul'?"
    assert nearest("zzz", ["matmul"]) == ""


N, M = Dim.named("n"), Dim.named("m")
SIZES: list[Size] = [
    7, N, N * 2 + M * 3 - 5, -N * M * N, (N + 1) // 2, 7 // N * 3 - M, ((N // 2 + 1) // M) * N
]  # fmt: skip


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_sizes_read_back(size: Size) -> None:
    assert parse_size(str(size)) == size


@pytest.mark.parametrize("text", ["", "n+", "2n", "n n", "((n)/(2)", "(n)", "n//2", "-", "1.5"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no size"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "type_"),
    [
        ("tensor<f32>", f32[()]),
        ("tensor<2x3xbool>", bool_[2, 3]),
        ("tensor<[2*n]x0xf32>", f32[N * 2, 0]),
        ('tensor<4x?xi1, "4x[n]">', bool_[4, "n"]),
        ("tensor<8xui8>", u8[8]),
    ],
)
def test_types_read_in_both_spellings(text: str, type_: TensorType) -> None:
    assert parse_tensor_type(text) == type_
    assert parse_tensor_type(str(type_)) == type_
