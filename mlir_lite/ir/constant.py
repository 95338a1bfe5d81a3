"""The data of constants: an array in memory or a stretch of a file, read when it is needed.

No weight is copied, hashed or printed to make a dump: only data of at most `INLINE_BYTES` is
compared and folded; larger data is known by its name.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from ..errors import InputError, check
from ..types import Array, TensorType, dtype_of

INLINE_BYTES = 4096
_MOST_HASHED = 1 << 20  # bytes that are compared to find out whether data is made of the same


class Source(Protocol):
    """Where data comes from: gives the array, without copying where it can."""

    def read(self) -> Array: ...

    def origin(self) -> Hashable:
        """Equal for equal data: what it is made of. It keeps alive what it stands for."""


def _digest(array: Array) -> str:
    flat = np.ascontiguousarray(array).reshape(-1)  # as bytes: bf16 has no buffer
    return hashlib.sha256(flat.view(np.uint8).data).hexdigest()


@dataclass(frozen=True, eq=False)
class InMemory:
    """An array in memory, given as it is."""

    array: Array

    def read(self) -> Array:
        return self.array

    def origin(self) -> Hashable:
        if self.array.nbytes > _MOST_HASHED:
            return self
        # What passes and caches make is another object each time.
        return self.array.shape, str(self.array.dtype), _digest(self.array)


@dataclass(frozen=True, eq=False)
class InFile:
    """`type.nbytes` bytes of a file from `offset` on, little-endian, mapped into memory.

    `InputError` where the file is no longer the one that was there at `modified` (nanoseconds).
    """

    path: str
    offset: int
    type: TensorType
    modified: int

    @staticmethod
    def of(path: str, offset: int, type_: TensorType) -> InFile:
        """Data of the file as it is now."""
        return InFile(path, offset, type_, os.stat(path).st_mtime_ns)

    def read(self) -> Array:
        shape = self.type.static_shape
        same = os.path.exists(self.path) and os.stat(self.path).st_mtime_ns == self.modified
        check(same, f"'{self.path}' has changed since its weights were found in it", InputError)
        if self.type.nbytes == 0:
            return np.empty(shape, self.type.dtype.numpy)
        return np.memmap(self.path, self.type.dtype.numpy, "r", self.offset, shape)

    def origin(self) -> Hashable:
        return self.path, self.offset, self.type, self.modified


def _may_change(array: object) -> bool:
    """Whether an array, or one that it is a view of, can be written into."""
    while isinstance(array, np.ndarray):
        if array.flags.writeable:
            return True
        array = array.base
    return False


@dataclass(frozen=True, eq=False)
class ConstantData:
    """A constant tensor: its type, where its bytes are, and the name that stands for it in text."""

    type: TensorType
    source: Source = field(repr=False)
    name: str = ""

    @staticmethod
    def of(array: Array, name: str = "") -> ConstantData:
        """An array as it is, not copied: whoever gives it does not write into it any more."""
        return ConstantData(TensorType(tuple(array.shape), dtype_of(array)), InMemory(array), name)

    @staticmethod
    def captured(array: Array) -> ConstantData:
        """What an array holds now: a copy, unless nobody can write into it."""
        return ConstantData.of(array.copy() if _may_change(array) else array)

    @property
    def is_small(self) -> bool:
        """Whether it is compared, folded and printed by value."""
        return self.type.nbytes <= INLINE_BYTES

    def array(self) -> Array:
        """The elements, from where they are."""
        return self.source.read()

    def key(self) -> object:
        """Equal for equal small data; for large data the identity of the source."""
        if self.is_small:
            return (str(self.type), np.ascontiguousarray(self.array()).tobytes())
        return id(self.source)

    def digest(self) -> str:
        """SHA-256 of the bytes; read only when a cache asks."""
        return _digest(self.array())
