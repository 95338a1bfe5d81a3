"""Tensors of ONNX files as constant data: checked against their declared sizes, never copied.

A tensor keeps its bytes in `raw_data`, in a list of numbers, or in a file beside the model, which
is then mapped into memory.
"""

from __future__ import annotations

import math
import os
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import ParseError, UnsupportedError, check
from ...ir import ConstantData, InFile, InMemory
from ...types import DTYPES, Array, DType, TensorType, dtype_of
from ..names import constant_name

# Numbers of `TensorProto.DataType` in onnx.proto.
_DTYPES = {
    1: "f32", 2: "u8", 3: "i8", 5: "i16", 6: "i32", 7: "i64", 9: "bool", 10: "f16", 11: "f64",
    16: "bf16",
}  # fmt: skip

# The list that holds the numbers of each type where there is no `raw_data`.
_LISTS = {"f32": "float_data", "f64": "double_data", "i64": "int64_data"}
_MAX_RANK = 64


def element_type(number: int, what: str) -> DType:
    """The element type of that number in onnx.proto; `UnsupportedError` for one we do not have."""
    if number not in _DTYPES:
        import onnx

        known = number in onnx.TensorProto.DataType.values()
        name = onnx.TensorProto.DataType.Name(number) if known else str(number)
        raise UnsupportedError(
            f"{what} has the element type {name}; the compiler has {', '.join(DTYPES)}"
        )
    return DTYPES[_DTYPES[number]]


# A `TensorProto` is a protobuf message, which has no static type.
def read_tensor(tensor: Any, folder: Path | None) -> ConstantData:
    """The data of a tensor; `folder` is the model's, inside which external data may lie.

    `ParseError` where the bytes do not fit the declared shape or are not in the folder.
    """
    label = text(tensor.name)
    what = f"the tensor '{label}'"
    dtype = element_type(tensor.data_type, what)
    type_ = TensorType(_sizes(tensor.dims, what), dtype)
    name = constant_name(label)
    if tensor.data_location == tensor.EXTERNAL:
        return ConstantData(type_, _external(tensor, type_, folder, what), name)
    if tensor.HasField("raw_data"):
        return ConstantData(type_, InMemory(_raw(tensor.raw_data, type_, what)), name)
    return ConstantData(type_, InMemory(_listed(tensor, type_, what)), name)


def read_sparse_tensor(tensor: Any, folder: Path | None) -> tuple[str, ConstantData]:
    """The name of a sparse tensor, and its data with the zeros, which are made when it is read.

    `ParseError` where an index is outside of the tensor, or there is not one for each value.
    """
    label = text(tensor.values.name)
    what = f"the sparse tensor '{label}'"
    parts = (tensor.values, tensor.indices)
    values, indices = (read_tensor(part, folder).array() for part in parts)
    type_ = TensorType(_sizes(tensor.dims, what), dtype_of(values))
    count = len(values) if values.ndim == 1 else -1
    check(indices.dtype == np.int64, f"{what} has indices of {indices.dtype}", ParseError)
    linear = indices.shape == (count,)
    fits = linear or indices.shape == (count, type_.rank)
    text_ = f"{what}, {type_}, has values {values.shape} at indices {indices.shape}"
    check(fits, text_, ParseError)
    limit = type_.elements if linear else np.array(type_.shape)
    inside = bool(((indices >= 0) & (indices < limit)).all())
    check(inside, f"{what}, {type_}, has an index outside", ParseError)
    return label, ConstantData(type_, _Spread(type_, values, indices), constant_name(label))


@dataclass(frozen=True, eq=False)
class _Spread:
    """Values at indices, of the flat tensor or of its axes, and zeros elsewhere."""

    type: TensorType
    values: Array
    indices: Array

    def read(self) -> Array:
        dense = np.zeros(self.type.static_shape, self.type.dtype.numpy)
        at = self.indices
        if at.ndim == 2:
            dense[tuple(at.T)] = self.values
        else:
            dense.reshape(-1)[at] = self.values
        return dense

    def origin(self) -> Hashable:
        return self


def text(entry: str | bytes) -> str:
    """A text of the file; protobuf gives bytes for one that is not UTF-8."""
    if isinstance(entry, str):
        return entry
    try:
        return entry.decode()
    except UnicodeDecodeError:
        raise ParseError(f"{entry!r} is no UTF-8 text") from None


def _sizes(dims: Iterable[int], what: str) -> tuple[int, ...]:
    """The declared sizes, if these can be any."""
    sizes = tuple(dims)
    check(len(sizes) <= _MAX_RANK, f"{what} has {len(sizes)} axes", ParseError)
    check(all(size >= 0 for size in sizes), f"{what} has a negative size: {sizes}", ParseError)
    return sizes


def _byte_count(type_: TensorType) -> int:
    # Python's integers: the product of absurd sizes does not overflow.
    return math.prod(type_.static_shape) * type_.dtype.bytes


def _raw(data: bytes, type_: TensorType, what: str) -> Array:
    _check_length(len(data), type_, what)
    little = type_.dtype.numpy.newbyteorder("<") if type_.dtype.bits > 8 else type_.dtype.numpy
    return np.frombuffer(data, little).reshape(type_.static_shape)


def _check_length(have: int, type_: TensorType, what: str) -> None:
    want = _byte_count(type_)
    check(have == want, f"{what}, {type_}, needs {want} bytes, but has {have}", ParseError)


def _listed(tensor: Any, type_: TensorType, what: str) -> Array:
    """The numbers of a typed list; 16-bit floats lie in `int32_data` as their bits."""
    dtype = type_.dtype
    numbers = getattr(tensor, _LISTS.get(dtype.name, "int32_data"))
    count = math.prod(type_.static_shape)
    check(
        len(numbers) == count,
        f"{what}, {type_}, needs {count} numbers, but has {len(numbers)}",
        ParseError,
    )
    if dtype.name in ("f16", "bf16"):
        bits = np.array(numbers, np.int64).astype(np.uint16)
        return bits.view(dtype.numpy).reshape(type_.static_shape)
    wide = np.array(numbers, np.int64 if dtype.kind in "iub" else np.float64)
    return wide.astype(dtype.numpy).reshape(type_.static_shape)


def _external(tensor: Any, type_: TensorType, folder: Path | None, what: str) -> InFile:
    check(folder is not None, f"{what} lies in another file; give the model's path", ParseError)
    assert folder is not None
    entries = {text(entry.key): text(entry.value) for entry in tensor.external_data}
    location = entries.get("location", "")
    path = _inside(folder, location, what)
    offset = _number(entries.get("offset", "0"), what)
    want = _byte_count(type_)
    length = _number(entries["length"], what) if "length" in entries else want
    _check_length(length, type_, what)
    size = path.stat().st_size
    check(
        offset + want <= size,
        f"{what} needs bytes {offset} to {offset + want} of '{location}', which has {size}",
        ParseError,
    )
    return InFile.of(str(path), offset, type_)


def _inside(folder: Path, location: str, what: str) -> Path:
    """The file, which must be a plain one inside the model's folder, no link out of it."""
    root = Path(os.path.realpath(folder))
    path = Path(os.path.realpath(root / location)) if "\0" not in location else root
    check(
        path != root and path.is_relative_to(root),
        f"{what} lies in '{location}', which is not inside the model's folder",
        ParseError,
    )
    check(path.is_file(), f"{what} lies in '{location}', which is no file", ParseError)
    return path


def _number(digits: str, what: str) -> int:
    check(
        digits.isascii() and digits.isdigit() and len(digits) < 20,
        f"{what} has external data at {digits!r}, which is no number",
        ParseError,
    )
    return int(digits)
