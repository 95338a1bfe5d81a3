"""Memory for results: what the user dropped is used again.

A page that was never written costs the kernel of the operating system more than writing to it
ten times, so a large result is better made in memory that an earlier one has left.
"""

from __future__ import annotations

import ctypes
import weakref
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import numpy as np

from ..memory import aligned_bytes
from ..types import Array
from .arrays import ArraySpec

Allocator: TypeAlias = Callable[[], Array]

LARGE = 1 << 20  # bytes from which the allocator asks the operating system rather than its lists
KEPT = 2  # free blocks kept: `y = f(x)` in a loop makes a result while the last one is alive


def allocator(spec: ArraySpec) -> Allocator:
    """What makes a new, uninitialised array for a result. Several threads may call it."""
    if spec.type.nbytes < LARGE:
        return partial(np.empty, spec.type.static_shape, spec.type.dtype.numpy)
    return _Blocks(spec).array


class _Blocks:
    """Blocks of memory for one result; a block comes back when nothing refers to it any more.

    An array and all of its views, in NumPy or elsewhere, hold the one object they got the memory
    from, so its end is the end of them all.
    """

    def __init__(self, spec: ArraySpec) -> None:
        self._shape, self._dtype = spec.type.static_shape, spec.type.dtype.numpy
        self._holder = ctypes.c_ubyte * spec.type.nbytes
        self._free: deque[Array] = deque(maxlen=KEPT)  # appending to a full one drops the oldest

    def array(self) -> Array:
        try:
            block = self._free.pop()
        except IndexError:
            block = aligned_bytes(ctypes.sizeof(self._holder))
        holder = self._holder.from_buffer(block.data)
        weakref.finalize(holder, self._free.append, block).atexit = False
        return np.ndarray(self._shape, self._dtype, buffer=memoryview(holder))
