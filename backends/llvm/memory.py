"""Memory for arenas and constants: aligned for the widest vectors, in huge pages where large."""

from __future__ import annotations

import mmap

import numpy as np

from ...tile.program import ALIGNMENT
from ...types import Array

_HUGE = 2 << 20  # below this an ordinary allocation wastes less


def aligned_bytes(count: int) -> Array:
    """An uninitialised byte array at a multiple of `ALIGNMENT`."""
    if count >= _HUGE:
        return _huge_pages(count)
    whole = np.empty(count + ALIGNMENT, np.uint8)
    start = -whole.ctypes.data % ALIGNMENT
    return whole[start : start + count]


def _huge_pages(count: int) -> Array:
    """Bytes from the start of a huge page on: of private memory, since shared memory has none."""
    size = count + _HUGE
    if not hasattr(mmap, "MADV_HUGEPAGE"):
        block = mmap.mmap(-1, size)
    else:
        block = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        block.madvise(mmap.MADV_HUGEPAGE)
    whole = np.frombuffer(block, np.uint8)
    start = -whole.ctypes.data % _HUGE
    return whole[start : start + count]


def aligned_copy(array: Array) -> Array:
    """The array's elements at an aligned address; itself if it is there already."""
    if array.flags.c_contiguous and array.ctypes.data % ALIGNMENT == 0:
        return array
    copy = aligned_bytes(array.nbytes).view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy
