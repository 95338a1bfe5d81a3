"""Memory for arenas, weights and large results: aligned for the widest vectors, in huge pages where
it is large.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from .types import Array

ALIGNMENT = 64  # bytes: a cache line, and the widest vector
_HUGE = 2 << 20  # below this an ordinary allocation wastes less


def aligned_bytes(count: int) -> Array:
    """An uninitialised byte array at a multiple of `ALIGNMENT`."""
    if count >= _HUGE:
        return _huge_pages(count)
    whole = np.empty(count + ALIGNMENT, np.uint8)
    start = -whole.ctypes.data % ALIGNMENT
    return whole[start : start + count]


def _huge_pages(count: int) -> Array:
    """Bytes from the start of a huge page on: of private memory, since shared memory has none.
    What does not fill a huge page lies in ordinary ones."""
    size = count + _HUGE
    if not hasattr(mmap, "MADV_HUGEPAGE"):
        block = mmap.mmap(-1, size)
    else:
        block = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    whole = np.frombuffer(block, np.uint8)
    start = -whole.ctypes.data % _HUGE
    if hasattr(mmap, "MADV_HUGEPAGE"):
        block.madvise(mmap.MADV_HUGEPAGE, start, count // _HUGE * _HUGE)
    return whole[start : start + count]


def aligned_empty(shape: Sequence[int], dtype: np.dtype[Any]) -> Array:
    """An uninitialised array at a multiple of `ALIGNMENT`."""
    return aligned_bytes(prod(shape) * dtype.itemsize).view(dtype).reshape(tuple(shape))


def aligned_copy(array: Array) -> Array:
    """The array's elements at an aligned address; itself if it is there already."""
    if array.flags.c_contiguous and array.ctypes.data % ALIGNMENT == 0:
        return array
    copy = aligned_empty(array.shape, array.dtype)
    copy[...] = array
    return copy


def return_freed() -> None:
    """Give memory that was freed back to the operating system. glibc keeps tens of megabytes, after
    the first large array that went."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
        if trim is not None:
            trim(0)
