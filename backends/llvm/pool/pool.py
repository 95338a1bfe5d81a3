"""Threads that wait inside compiled code, and the code they run.

Handing work to a Python thread costs 50 µs, to a thread that already spins in machine code 0.1 µs.
So each worker is a daemon Python thread that calls `@ml_worker` once and stays there (ctypes has
released the GIL), and a kernel hands out work by calling `@ml_parallel`:

    call void @ml_parallel(ptr %pool, ptr @task, ptr %context, i64 %extent)

calls `void task(ptr context, i64 lo, i64 hi)` on every thread with its share of [0, extent) and
returns when all are done. The shares are contiguous and depend on extent and thread count alone.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType

from ....errors import check
from ....sizes import round_up
from ...code_cache import default_cache
from ..machine.jit import Library, compile_objects
from ..machine.machine import Machine
from ..machine.threads import available_cpus, default_threads
from .header import PoolHeader
from .text import pool_text
from .waiting import has_futex

# Pauses before a waiting thread goes to sleep: some 50 to 150 µs, longer than the serial parts
# between two kernels. Where threads outnumber CPUs the spinner holds the CPU its partner needs.
_SPINS = 3000
_SPINS_OVERSUBSCRIBED = 50

_ALIGNMENT = 128


class _Parking:
    """Sleep and wake-up through Python, for systems without futexes."""

    def __init__(self) -> None:
        self.reset()
        self.symbols = MappingProxyType(
            {
                "ml_park": ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int32)(self._park),
                "ml_wake": ctypes.CFUNCTYPE(None, ctypes.c_void_p)(self._wake),
                "ml_yield": ctypes.CFUNCTYPE(None)(self._yield),
            }
        )

    def reset(self) -> None:
        """A fresh condition: after a fork the old one may be held by a thread that is gone."""
        self.condition = threading.Condition()

    def _park(self, pool: int, seen: int) -> None:
        header = PoolHeader.from_address(pool)
        with self.condition:
            while header.generation == seen:
                self.condition.wait()

    def _wake(self, _pool: int) -> None:
        with self.condition:
            self.condition.notify_all()

    def _yield(self) -> None:
        time.sleep(0)


@dataclass(frozen=True)
class PoolCode:
    """The compiled pool functions of this process; `symbols` is what executables link against."""

    library: Library
    worker: Callable[[int, int], None]
    stop: Callable[[int], None]
    parking: _Parking
    symbols: Mapping[str, int]


@cache
def pool_code(*, futex: bool | None = None) -> PoolCode:
    """Compile or load the pool functions, once in a process.

    `futex=False` takes the way of systems without futexes; by default the system decides.
    """
    machine = Machine.host()
    futex = has_futex(machine) if futex is None else futex
    parking = _Parking()
    [code] = compile_objects(
        [pool_text(machine, futex=futex)], machine, cache=default_cache(), workers=1
    )
    if futex:
        libc = ctypes.CDLL(None)
        symbols = {"syscall": ctypes.cast(libc.syscall, ctypes.c_void_p).value or 0}
    else:
        symbols = {
            name: ctypes.cast(callback, ctypes.c_void_p).value or 0
            for name, callback in parking.symbols.items()
        }
    handing = ("ml_parallel", "ml_parallel_toward")
    library = Library([code], exports=("ml_worker", "ml_stop", *handing), symbols=symbols)
    worker = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int32)
    stop = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
    return PoolCode(
        library=library,
        worker=worker(library.address("ml_worker")),
        stop=stop(library.address("ml_stop")),
        parking=parking,
        symbols=MappingProxyType({name: library.address(name) for name in handing}),
    )


@dataclass
class _Block:
    """The memory of one pool and its threads; the threads hold it, so it outlives them."""

    threads: int
    memory: ctypes.Array[ctypes.c_char] = field(init=False)
    address: int = field(init=False)
    workers: list[threading.Thread] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self.memory = ctypes.create_string_buffer(ctypes.sizeof(PoolHeader) + _ALIGNMENT)
        self.address = round_up(ctypes.addressof(self.memory), _ALIGNMENT)

    def start(self, code: PoolCode) -> None:
        """Zero the block and start its threads: at first, and in the child of a fork."""
        ctypes.memset(self.address, 0, ctypes.sizeof(PoolHeader))
        header = PoolHeader.from_address(self.address)
        header.threads = self.threads
        oversubscribed = self.threads > available_cpus()
        header.spins = _SPINS_OVERSUBSCRIBED if oversubscribed else _SPINS
        self.workers = [
            threading.Thread(
                target=_work, args=(code, self), name=f"mlir-lite-{index}", daemon=True
            )
            for index in range(1, self.threads)
        ]
        for worker in self.workers:
            worker.start()


def _work(code: PoolCode, block: _Block) -> None:
    code.worker(block.address, 0)


def _stop(code: PoolCode, block: _Block) -> None:
    code.stop(block.address)


class ThreadPool:
    """`threads` threads, the caller's included, that compiled code shares work among.

    `address` goes to `@ml_parallel`. Two callers at once are safe: the second finds the pool busy
    and does its work alone. A closed pool is safe too: all work is done by the caller. In the
    child of a fork the pool has new threads at the same address.
    """

    def __init__(self, threads: int, *, futex: bool | None = None) -> None:
        """Start the threads; `futex` as in `pool_code`."""
        check(threads >= 1, f"a pool needs at least 1 thread, got {threads}", ValueError)
        self.threads = threads
        self._code = pool_code(futex=futex)
        self._block = _Block(threads)
        self._block.start(self._code)
        # The collector does not wait for the threads (it may run while any lock is held): they
        # leave by themselves and hold the block until then. At exit `close_all` does wait.
        self._finalizer = weakref.finalize(self, _stop, self._code, self._block)
        self._finalizer.atexit = False
        _REGISTRY.live.add(self)

    @property
    def address(self) -> int:
        """The pool's address, the same for life; only valid while this object lives."""
        return self._block.address

    @property
    def closed(self) -> bool:
        """Whether the threads were told to leave."""
        return not self._finalizer.alive

    def close(self) -> None:
        """Stop the threads and wait until they have left."""
        # Not by calling the finalizer: at interpreter exit `weakref` no longer runs any.
        if self._finalizer.detach() is not None:
            _stop(self._code, self._block)
        for worker in self._block.workers:
            worker.join()

    def restart_after_fork(self) -> None:
        """Give the child of a fork threads of its own: only the forking thread came along."""
        if not self.closed:
            self._code.parking.reset()
            self._block.start(self._code)


class _Registry:
    """The pools of this process: which to rebuild after a fork, which to share."""

    def __init__(self) -> None:
        self.live: weakref.WeakSet[ThreadPool] = weakref.WeakSet()
        self._shared: weakref.WeakValueDictionary[int, ThreadPool] = weakref.WeakValueDictionary()
        self._lock = threading.Lock()

    def shared(self, threads: int) -> ThreadPool:
        """The pool of this size that others hold, or a new one."""
        with self._lock:
            pool = self._shared.get(threads)
            if pool is None or pool.closed:
                pool = ThreadPool(threads)
                self._shared[threads] = pool
            return pool

    def close_all(self) -> None:
        """At interpreter exit: let the threads return to Python while it can still receive them."""
        for pool in tuple(self.live):
            pool.close()

    def after_fork(self) -> None:
        """In the child: new threads in every pool, and a lock that nobody can be holding."""
        self._lock = threading.Lock()
        for pool in tuple(self.live):
            pool.restart_after_fork()


# The one thing a process shares: threads are a resource of the process, and the hook that rebuilds
# them after a fork can only be registered for the process.
_REGISTRY = _Registry()
atexit.register(_REGISTRY.close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_REGISTRY.after_fork)


def shared_pool(threads: int | None = None) -> ThreadPool | None:
    """A pool of `threads` (by default `default_threads()`), None for one thread.

    Executables of the same size share one pool; it stops when the last of them lets go of it.
    """
    count = default_threads() if threads is None else threads
    check(count >= 1, f"threads must be at least 1, got {count}", ValueError)
    return None if count == 1 else _REGISTRY.shared(count)
