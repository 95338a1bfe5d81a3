"""The reader of MiniMalloc's CSV files: what it accepts, and where it says a file is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlir_lite.errors import ParseError
from mlir_lite.frontends.minimalloc import read_minimalloc
from mlir_lite.passes.memory.allocation import Lifetime

EXPECTED = [Lifetime("a", 0, 3, 4096), Lifetime("b 2", 1, 9, 0)]


@pytest.mark.parametrize(
    "content",
    [
        b"id,lower,upper,size\na,0,3,4096\nb 2,1,9,0\n",
        b"id,lower,upper,size\na,0,3,4096\nb 2,1,9,0",
        b"\xef\xbb\xbfid,lower,upper,size\r\na,0,3,4096\r\n\r\nb 2,1,9,0\r\n",
        b"size,id,offset,upper,lower\n4096,a,,3,0\n0, b 2 ,64,9, 1\n",
    ],
    ids=["plain", "no newline at the end", "Windows", "other columns"],
)
def test_file_is_read(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "instance.csv"
    path.write_bytes(content)
    assert read_minimalloc(path) == EXPECTED


def test_header_alone_is_an_empty_instance(tmp_path: Path) -> None:
    path = tmp_path / "instance.csv"
    path.write_bytes(b"id,lower,upper,size\n")
    assert read_minimalloc(path) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "1:1: expected the header id,lower,upper,size, got an empty file"),
        (b"\n \n", "1:1: expected the header id,lower,upper,size, got an empty file"),
        (b"id,lower,size\na,0,3\n", "1:1: expected a column 'upper', got none"),
        (
            b"id,lower,upper,size,gaps\n",
            "1:21: expected the header id,lower,upper,size, got 'gaps'",
        ),
        (b"id,lower,id,upper,size\n", "1:10: expected the header .*, got 'id', twice"),
        (b"id,lower,upper,size\na,0,3\n", "2:1: expected 4 fields, got 3"),
        (b"id,lower,upper,size\na,0,3,4,5\n", "2:1: expected 4 fields, got 5"),
        (
            b"id,lower,upper,size\na,zero,3,4\n",
            "2:3: expected an integer within 64 bits, got 'zero'",
        ),
        (b"id,lower,upper,size\na,0,3,\n", "2:7: expected an integer .*, got ''"),
        (b"id,lower,upper,size\na,0,3,1_0\n", "2:7: expected an integer .*, got '1_0'"),
        (b"id,lower,upper,size\na,0,3,4.0\n", "2:7: expected an integer .*, got '4.0'"),
        ("id,lower,upper,size\na,0,3,٤\n".encode(), "2:7: expected an integer .*, got '٤'"),
        (b"id,lower,upper,size\na,3,3,4\n", "2:5: expected an integer of at least 4 .*, got '3'"),
        (b"id,lower,upper,size\na,0,3,-4\n", "2:7: expected an integer of at least 0 .*, got '-4'"),
        (b"id,lower,upper,size\na,0,3,9223372036854775808\n", "2:7: .* within 64 bits, got '9223"),
        (b"id,lower,upper,size\na,0,3," + b"9" * 9999, "2:7: .* within 64 bits, got '9{40}'\n"),
        (b"id,lower,upper,size\na,0,3,4\n\na,4,5,4\n", "4:1: expected a new id, got 'a' again"),
        (b"id,lower,upper,size\n,0,3,4\n", "2:1: expected a new id, got an empty one"),
        (b"\x00\x01\x02,,\n\n", "1:1: expected the header"),
        (b"\x7fELF\xff\xfe", "expected UTF-8 text, got byte 0xff at 4"),
    ],
)
def test_error_names_the_place(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "instance.csv"
    path.write_bytes(content)
    with pytest.raises(ParseError, match=rf"instance\.csv:\s?{message}"):
        read_minimalloc(path)


def test_error_shows_the_line_with_a_caret(tmp_path: Path) -> None:
    path = tmp_path / "instance.csv"
    path.write_bytes(b"id,lower,upper,size\na,0,x y,4\n")
    with pytest.raises(ParseError) as caught:
        read_minimalloc(path)
    assert str(caught.value).splitlines()[1:] == ["  a,0,x y,4", "      ^~~"]
