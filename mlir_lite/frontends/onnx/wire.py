"""A model file without its weights: their bytes stay in the file, and are read from there.

Protobuf would hold a copy of the whole file. Here the message is walked by its wire format
(https://protobuf.dev/programming-guides/encoding), and each large `raw_data` of an initializer is
written as ONNX's external data: this same file, from that byte on.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

LARGE = 1 << 12  # bytes from which on the data of a tensor stays in the file

# Fields of onnx.proto: ModelProto.graph, GraphProto.initializer, and of TensorProto.
_GRAPH, _INITIALIZER = 7, 5
_RAW_DATA, _EXTERNAL_DATA, _DATA_LOCATION = 9, 13, 14
_KEY, _VALUE, _EXTERNAL = 1, 2, 1
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types
_WIDTHS = {_FIXED64: 8, _FIXED32: 4}
_MAX_VARINT = 10  # bytes


@dataclass(frozen=True)
class _Field:
    """A field of a message: where it starts, its content (the bytes of nested ones), its end."""

    number: int
    kind: int
    start: int
    content: int
    end: int


def light_model(path: Path) -> bytes:
    """The file's message, with the large weights of the main graph left where they are.

    What is no well-formed message is given as it is: reading it will say what is wrong. So is a
    file behind a link, as external data must lie in the model's own folder.
    """
    if os.path.getsize(path) < LARGE or path.is_symlink():
        return path.read_bytes()
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            return b"".join(_model(data, path.name))
        except ValueError:
            return bytes(data)


def _model(data: mmap.mmap, name: str) -> Iterator[bytes]:
    for entry in _fields(data, 0, len(data)):
        if entry.number == _GRAPH and entry.kind == _BYTES:
            yield _nested(_GRAPH, b"".join(_graph(data, entry, name)))
        else:
            yield data[entry.start : entry.end]


def _graph(data: mmap.mmap, graph: _Field, name: str) -> Iterator[bytes]:
    for entry in _fields(data, graph.content, graph.end):
        if entry.number == _INITIALIZER and entry.end - entry.content >= LARGE:
            yield _nested(_INITIALIZER, b"".join(_tensor(data, entry, name)))
        else:
            yield data[entry.start : entry.end]


def _tensor(data: mmap.mmap, tensor: _Field, name: str) -> Iterator[bytes]:
    raw: _Field | None = None
    for entry in _fields(data, tensor.content, tensor.end):
        large = entry.end - entry.content >= LARGE
        if large and entry.number == _RAW_DATA and entry.kind == _BYTES:
            raw = entry
        else:
            yield data[entry.start : entry.end]
    if raw is None:
        return
    # At the end: of a field given twice the last counts, and writers may say where the data is.
    yield _tag(_DATA_LOCATION, _VARINT) + _varint(_EXTERNAL)
    where = {"location": name, "offset": str(raw.content), "length": str(raw.end - raw.content)}
    for key, value in where.items():
        pair = _nested(_KEY, key.encode()) + _nested(_VALUE, value.encode())
        yield _nested(_EXTERNAL_DATA, pair)


def _fields(data: mmap.mmap, start: int, end: int) -> Iterator[_Field]:
    """The fields of a message; ValueError where it is cut short or not one."""
    while start < end:
        tag, place = _read_varint(data, start, end)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            _, stop = _read_varint(data, place, end)
        elif kind == _BYTES:
            size, place = _read_varint(data, place, end)
            stop = place + size
        else:
            stop = place + _WIDTHS.get(kind, end)
        if stop > end:
            raise ValueError(f"a field at byte {start} ends beyond its message")
        yield _Field(number, kind, start, place, stop)
        start = stop


def _read_varint(data: mmap.mmap, start: int, end: int) -> tuple[int, int]:
    """A number and where it ends."""
    value = 0
    for place in range(start, min(end, start + _MAX_VARINT)):
        value |= (data[place] & 0x7F) << 7 * (place - start)
        if data[place] < 0x80:
            return value, place + 1
    raise ValueError(f"no number at byte {start}")


def _varint(value: int) -> bytes:
    digits = bytearray()
    while value > 0x7F:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    digits.append(value)
    return bytes(digits)


def _tag(number: int, kind: int) -> bytes:
    return _varint(number << 3 | kind)


def _nested(number: int, content: bytes) -> bytes:
    return _tag(number, _BYTES) + _varint(len(content)) + content
