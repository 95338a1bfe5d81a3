"""Memory for results: what the user dropped is used again.

A page that was never written costs the kernel of the operating system more than writing to it ten
times, and an ordinary allocator gives pages back as soon as a few results go at once. So a result
is better made in memory that an earlier one has left.
"""

from __future__ import annotations

import ctypes
import os
import weakref
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from math import inf
from time import monotonic
from typing import Any, TypeAlias

import numpy as np

from ..memory import aligned_bytes
from ..types import Array
from .arrays import ArraySpec, address

Allocator: TypeAlias = Callable[[], Array]
_Block: TypeAlias = tuple[int, Array]  # the address, and what owns the memory there

LARGE = 32 << 10  # bytes: fresh pages for less cost little beside what one takes to be lent
LINGER = 10.0  # seconds after which free memory goes, with the next result that is dropped


def allocators(specs: Sequence[ArraySpec]) -> list[Allocator]:
    """What makes a new, uninitialised array for each of an executable's results. Several threads
    may call them."""
    counts = Counter(spec.type.nbytes for spec in specs)
    pools = {nbytes: _Pool(nbytes, count) for nbytes, count in counts.items() if nbytes >= LARGE}
    return [_allocator(spec, pools.get(spec.type.nbytes)) for spec in specs]


def _allocator(spec: ArraySpec, pool: _Pool | None) -> Allocator:
    make = np.empty if pool is None else pool.array
    return partial(make, spec.type.static_shape, spec.type.dtype.numpy)


class _Pool:
    """Blocks of memory for an executable's results of one size. A block comes back when nothing
    refers to it any more.

    An array and all of its views, in NumPy or elsewhere, hold the one object that the block was
    lent as, so its end is the end of them all. As many stay free as one call makes: more only where
    such as were let go have been missed, so that all in all there are never more than have been in
    use at a time. They go when they have not been used for a while, and with the executable. There
    are no locks, since the end of an object may come anywhere.
    """

    def __init__(self, nbytes: int, count: int) -> None:
        self._nbytes = nbytes
        self._free: deque[tuple[float, _Block]] = deque()  # since when; the last one at the end
        self._usual = self._most = count
        self._dropped = 0  # not kept for want of room, lately
        self._lend = _lease(nbytes, weakref.ref(self))
        _EVERY.add(self)

    def array(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        try:
            _, block = self._free.pop()
        except IndexError:
            block = self._fresh()
        lease = self._lend.from_address(block[0])
        lease.block = block
        return np.ndarray(shape, dtype, memoryview(lease))

    def _fresh(self) -> _Block:
        if self._dropped:
            self._dropped -= 1
            self._most += 1
        owner = aligned_bytes(self._nbytes)
        return address(owner), owner

    def take_back(self, block: _Block) -> None:
        now = monotonic()
        if len(self._free) < self._most:
            self._free.append((now, block))
        else:
            self._dropped += 1
        _EVERY.tidy(now)

    def let_go(self, before: float) -> None:
        """Free memory that has not been used since."""
        self._dropped = 0
        with suppress(IndexError):  # there is none, or another thread has taken the last
            while self._free[0][0] < before:
                self._free.popleft()
                self._most = max(self._usual, self._most - 1)


class _Lease(ctypes.Array[ctypes.c_ubyte]):
    """A block while arrays refer to it: what they have their memory from."""

    _type_ = ctypes.c_ubyte
    _length_ = 0
    block: _Block | None = None


def _lease(nbytes: int, home: weakref.ref[_Pool]) -> type[_Lease]:
    """Leases of this many bytes that come back to a pool, as long as there is one."""

    class Lease(_Lease):
        _length_ = nbytes

        def __del__(self) -> None:
            pool = home()
            if pool is not None and self.block is not None:
                pool.take_back(self.block)

    return Lease


class _Pools:
    """All there are in this process."""

    def __init__(self) -> None:
        self._known: weakref.WeakValueDictionary[int, _Pool] = weakref.WeakValueDictionary()
        self._next = 0.0

    def add(self, pool: _Pool) -> None:
        self._known[id(pool)] = pool

    def tidy(self, now: float) -> None:
        """Let go, of all pools, what has not been used for a while."""
        if now >= self._next:
            self._next = now + LINGER
            self.let_go(now - LINGER)

    def let_go(self, before: float = inf) -> None:
        for known in self._known.valuerefs():  # a list: other threads may add to it
            pool = known()
            if pool is not None:
                pool.let_go(before)


_EVERY = _Pools()
if hasattr(os, "register_at_fork"):  # the child would copy each page that it writes to
    os.register_at_fork(after_in_child=_EVERY.let_go)
