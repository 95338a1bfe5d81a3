"""Memory for arenas, weights and large results: aligned for the widest vectors, in huge pages where
it is large.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from collections.abc import Sequence
from itertools import accumulate
from math import prod
from typing import Any

import numpy as np
from numpy.lib.array_utils import byte_bounds

from .sizes import round_up
from .types import Array

ALIGNMENT = 64  # bytes: a cache line, and the widest vector
HUGE_PAGE = 2 << 20  # below this an ordinary allocation wastes less
_PIECE = 4 << 20  # bytes of memory that are read from at once


def aligned_bytes(count: int) -> Array:
    """An uninitialised byte array at a multiple of `ALIGNMENT`."""
    if count >= HUGE_PAGE:
        return _huge_pages(count)
    whole = np.empty(count + ALIGNMENT, np.uint8)
    start = -whole.ctypes.data % ALIGNMENT
    return whole[start : start + count]


def _huge_pages(count: int) -> Array:
    """Bytes from the start of a huge page on: of private memory, since shared memory has none.
    What fills no more than half of a huge page lies in ordinary ones."""
    advised = (count + HUGE_PAGE // 2 - 1) // HUGE_PAGE * HUGE_PAGE
    size = max(count, advised) + HUGE_PAGE
    if not hasattr(mmap, "MAP_PRIVATE"):
        block = mmap.mmap(-1, size)
    else:  # the child of a fork would work in its parent's memory otherwise
        block = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    whole = np.frombuffer(block, np.uint8)
    start = -whole.ctypes.data % HUGE_PAGE
    if hasattr(mmap, "MADV_HUGEPAGE"):
        block.madvise(mmap.MADV_HUGEPAGE, start, advised)
    return whole[start : start + count]


def aligned_empty(shape: Sequence[int], dtype: np.dtype[Any]) -> Array:
    """An uninitialised array at a multiple of `ALIGNMENT`."""
    return aligned_bytes(prod(shape) * dtype.itemsize).view(dtype).reshape(tuple(shape))


def side_by_side(arrays: Sequence[tuple[Sequence[int], np.dtype[Any]]]) -> list[Array]:
    """Uninitialised arrays of these shapes, each at a multiple of `ALIGNMENT`, in one block: huge
    pages hold together what none of them would fill."""
    sizes = [prod(shape) * dtype.itemsize for shape, dtype in arrays]
    ends = list(accumulate(round_up(size, ALIGNMENT) for size in sizes))
    block = aligned_bytes(ends[-1] if ends else 0)
    return [
        block[start : start + size].view(dtype).reshape(tuple(shape))
        for start, size, (shape, dtype) in zip([0, *ends], sizes, arrays, strict=False)
    ]


def aligned_copy(array: Array) -> Array:
    """The array's elements at an aligned address; itself if it is there already."""
    if array.flags.c_contiguous and array.ctypes.data % ALIGNMENT == 0:
        return array
    copy = aligned_empty(array.shape, array.dtype)
    copy_by_pieces(array, copy)
    return copy


def copy_by_pieces(source: Array, target: Array) -> None:
    """Fill `target` with `source`, of the same shape: a piece after the other in the order of
    memory, so that of a mapped file no more than one is held beside the copy."""
    if not source.size or not source.ndim:
        target[...] = source
        return
    # Along an axis of one element there is no order.
    sizes = zip(source.strides, source.shape, strict=True)
    strides = [abs(step) * (size > 1) for step, size in sizes]
    stride, axis = max(zip(strides, range(source.ndim), strict=True))
    rows, results = np.moveaxis(source, axis, 0), np.moveaxis(target, axis, 0)
    count = max(1, _PIECE // max(1, stride))
    for start in range(0, len(rows), count):
        piece = rows[start : start + count]
        results[start : start + count] = piece
        _forget(piece)


def _forget(array: Array) -> None:
    """Give back the pages of an array if it lies in a file that is mapped to be read: to read them
    again would bring them again."""
    owner = array
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    mapped: object = owner.base
    # Of a file that is mapped to be written to, the pages may be all there is of what they hold.
    if not (isinstance(owner, np.memmap) and owner.mode == "r" and isinstance(mapped, mmap.mmap)):
        return
    if hasattr(mmap, "MADV_DONTNEED"):
        begin = np.frombuffer(mapped, np.uint8).ctypes.data
        first, end = ((place - begin) // mmap.PAGESIZE for place in byte_bounds(array))
        size = (end - first) * mmap.PAGESIZE
        mapped.madvise(mmap.MADV_DONTNEED, first * mmap.PAGESIZE, size)


def return_freed() -> None:
    """Give memory that was freed back to the operating system. glibc keeps tens of megabytes, after
    the first large array that went."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
        if trim is not None:
            trim(0)
