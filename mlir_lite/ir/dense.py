"""Constant data as text: `[[1, 2], [3, 4]]`, one element for a uniform tensor, or its bytes.

A text is exact: it reads back as the same bytes. What decimals cannot say is written as hexadecimal
bytes, little-endian, as MLIR writes them.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from ..errors import InputError, check
from ..lexer import Cursor
from ..text import float_text, with_point
from ..types import Array, DType, TensorType

Element: TypeAlias = int | float | bool
# What stands in the brackets: an element, nested lists of them, hexadecimal bytes, or nothing.
Elements: TypeAlias = "Element | list[Elements] | str | None"


def dense_text(array: Array, dtype: DType, *, mlir: bool = False) -> str:
    """What stands between `dense<` and `>`; `mlir` where it is MLIR that reads it."""
    flat = np.ascontiguousarray(array).reshape(-1)
    if flat.size == 0:
        return ""
    uniform = is_uniform(flat)
    listed = flat[:1] if uniform else flat
    if mlir and dtype.is_float and not np.isfinite(listed.astype(np.float64)).all():
        return _bytes_text(listed)
    texts = _element_texts(listed, dtype)
    if dtype.is_float:
        read = np.array(list(map(float, texts))).astype(listed.dtype)
        if read.tobytes() != listed.tobytes():  # the bits of a NaN
            return _bytes_text(listed)
        if mlir:
            texts = list(map(with_point, texts))
    return texts[0] if uniform else _nested(texts, array.shape)


def _bytes_text(flat: Array) -> str:
    return f'"0x{flat.tobytes().hex().upper()}"'


def is_uniform(array: Array) -> bool:
    """Whether all elements are the same bytes; also where there are none."""
    if array.size == 0:
        return True
    raw = np.ascontiguousarray(array).reshape(-1).view(np.uint8).reshape(array.size, -1)
    return bool((raw == raw[0]).all())


def _element_texts(flat: Array, dtype: DType) -> list[str]:
    if dtype.kind == "b":
        return ["true" if entry else "false" for entry in flat.tolist()]
    if not dtype.is_float:
        return list(map(str, flat.tolist()))
    if dtype.bits == 64:
        return list(map(float_text, flat.tolist()))
    # NumPy's shortest text of an f32; the narrower types are subsets of it.
    return list(map(str, flat.astype(np.float32)))


def _nested(texts: list[str], shape: tuple[int, ...]) -> str:
    for extent in reversed(shape):
        texts = [
            f"[{', '.join(texts[start : start + extent])}]"
            for start in range(0, len(texts), extent)
        ]
    return texts[0]


def dense_array(elements: Elements, type_: TensorType) -> Array:
    """The tensor of a text's elements; `InputError` where they do not fit the type."""
    shape = type_.static_shape
    count = int(np.prod(shape, dtype=object))
    check(count < 1 << 40, f"{type_} is too large", InputError)
    if elements is None:
        check(count == 0, f"{type_} has {count} elements, got none", InputError)
        return np.empty(shape, type_.dtype.numpy)
    if isinstance(elements, str):
        return _from_bytes(elements, type_, count)
    if not isinstance(elements, list):
        return np.broadcast_to(_convert([elements], type_.dtype).reshape(()), shape)
    flat: list[Element] = []
    _flatten(elements, shape, type_, flat)
    return _convert(flat, type_.dtype).reshape(shape)


def _flatten(
    elements: Elements, shape: tuple[int, ...], type_: TensorType, flat: list[Element]
) -> None:
    if isinstance(elements, list):
        fits = bool(shape) and len(elements) == shape[0]
        check(fits, f"the lists of elements are not of the shape of {type_}", InputError)
        for part in elements:
            _flatten(part, shape[1:], type_, flat)
    else:
        ends = not shape and elements is not None and not isinstance(elements, str)
        check(ends, f"the lists of elements are not of the shape of {type_}", InputError)
        assert isinstance(elements, (int, float))
        flat.append(elements)


def _convert(flat: list[Element], dtype: DType) -> Array:
    for entry in flat:
        fits = {
            "b": isinstance(entry, bool),
            "f": not isinstance(entry, bool),
        }.get(dtype.kind, type(entry) is int)
        check(fits, f"{entry!r} is no element of a tensor of {dtype}", InputError)
    outside = f"an element is out of the range of {dtype}"
    try:
        if not dtype.is_float:
            return np.array(flat, dtype.numpy)
        wide = np.array(flat, np.float64)
    except OverflowError:
        raise InputError(outside) from None
    with np.errstate(over="ignore"):
        narrow = wide.astype(dtype.numpy)
    check(bool((np.isinf(narrow) == np.isinf(wide)).all()), outside, InputError)
    return narrow


def _from_bytes(digits: str, type_: TensorType, count: int) -> Array:
    check(digits.startswith("0x"), "the bytes of a tensor start with 0x", InputError)
    check(type_.dtype.kind != "b", "the elements of a tensor of bools are listed", InputError)
    try:
        raw = bytes.fromhex(digits[2:])
    except ValueError:
        raise InputError("the bytes of a tensor are hexadecimal digits") from None
    needed = count * type_.dtype.bytes
    if len(raw) == type_.dtype.bytes:
        needed = len(raw)  # one element for all, as MLIR reads it
    check(len(raw) == needed, f"{type_} has {needed} bytes, got {len(raw)}", InputError)
    flat = np.frombuffer(raw, type_.dtype.numpy)
    shape = type_.static_shape
    return flat.reshape(shape) if flat.size == count else np.broadcast_to(flat, shape)


def expect_elements(cursor: Cursor) -> Elements:
    """The elements that are next, up to the bracket that closes them; `ParseError`."""
    if cursor.at(">", "as"):
        return None
    if cursor.token.kind == "string":
        return cursor.expect_string()
    if cursor.at("true", "false"):
        return cursor.advance().text == "true"
    if not cursor.at("["):
        number = cursor.accept_number()
        if number is None:
            raise cursor.error(f"expected the elements of a tensor, got {cursor.token}")
        return number
    parts: list[Elements] = []
    with cursor.nested():
        cursor.expect("[")
        while not cursor.at("]"):
            if parts:
                cursor.expect(",")
            parts.append(expect_elements(cursor))
        cursor.expect("]")
    return parts
