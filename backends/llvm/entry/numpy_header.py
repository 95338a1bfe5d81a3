"""Where NumPy keeps data, shape, dtype and flags in an array object's memory.

NumPy's C header fixes the order of these fields (`PyArrayObject_fields` in `ndarraytypes.h`), but
no Python interface promises it, and what precedes them depends on the interpreter. So the layout
is tried on real arrays before compiled code relies on it; where a trial fails, or the interpreter
is not CPython, arrays are examined through Python instead.
"""

from __future__ import annotations

import ctypes
import platform
from dataclasses import dataclass
from functools import cache

import numpy as np

from ....types import Array

C_CONTIGUOUS = 0x0001  # NPY_ARRAY_C_CONTIGUOUS: disregards strides of axes of size 1 and of empties
WRITEABLE = 0x0400  # NPY_ARRAY_WRITEABLE


@dataclass(frozen=True)
class ArrayHeader:
    """Byte offsets from `id(array)`."""

    type: int  # pointer to the Python type
    data: int  # pointer to the first element
    rank: int  # int32
    shape: int  # pointer to `rank` int64
    strides: int  # pointer to `rank` int64
    dtype: int  # pointer to the dtype object
    flags: int  # int32


def expected_header() -> ArrayHeader:
    """The layout of NumPy 1.7 to 2.x on 64-bit CPython."""
    start = object.__basicsize__  # 16; more in builds without the GIL; the type pointer ends it
    return ArrayHeader(
        type=start - 8,
        data=start,
        rank=start + 8,
        shape=start + 16,
        strides=start + 24,
        dtype=start + 40,
        flags=start + 48,
    )


@cache
def array_header() -> ArrayHeader | None:
    """The layout in this process, or None where it cannot be relied on."""
    # Elsewhere id() need not be an address, so not even a trial is safe.
    if platform.python_implementation() != "CPython" or ctypes.sizeof(ctypes.c_void_p) != 8:
        return None
    header = expected_header()
    return header if all(describes(header, array) for array in _trial_arrays()) else None


def describes(header: ArrayHeader, array: Array) -> bool:
    """Whether reading `array` through `header` gives what NumPy says of it."""
    if header.flags + 4 > np.ndarray.__basicsize__:
        return False
    base = id(array)
    plain = (
        _pointer(base + header.type) == id(type(array))
        and _pointer(base + header.data) == array.__array_interface__["data"][0]
        and _int32(base + header.rank) == array.ndim
        and _pointer(base + header.dtype) == id(array.dtype)
        and _int32(base + header.flags) == array.flags.num
    )
    if not plain:
        return False
    shape, strides = _pointer(base + header.shape), _pointer(base + header.strides)
    # NumPy allocates both at once. Seen to be so, the two pointers can be followed safely.
    if strides - shape != 8 * array.ndim:
        return False
    return _int64s(shape, array.ndim) == array.shape and _int64s(strides, array.ndim) == (
        array.strides
    )


def _trial_arrays() -> tuple[Array, ...]:
    """Arrays that differ in every field."""
    readonly = np.zeros((2, 3, 5), np.float32)
    readonly.flags.writeable = False
    return (
        np.zeros((), np.int8),
        np.zeros(7, np.float64),
        np.zeros((3, 11), np.int64)[::2, ::-3],
        np.zeros((4, 1, 6), np.bool_).T,
        np.zeros((0, 9), np.uint16),
        readonly,
    )


def _pointer(address: int) -> int:
    return ctypes.c_uint64.from_address(address).value


def _int32(address: int) -> int:
    return ctypes.c_int32.from_address(address).value


def _int64s(address: int, count: int) -> tuple[int, ...]:
    return tuple((ctypes.c_int64 * count).from_address(address))
