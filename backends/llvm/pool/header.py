"""The memory of a thread pool: what callers and workers tell one another."""

from __future__ import annotations

import ctypes

# Two lines of 64 bytes: processors fetch lines in pairs, so neighbours would still disturb.
_APART = 128


class PoolHeader(ctypes.Structure):
    """A pool's memory."""

    generation: int  # number of the current work; the word that sleepers wait on
    sleepers: int  # workers asleep or about to be
    stop: int  # 1: workers return
    task: int | None  # void (ptr context, i64 lo, i64 hi)
    context: int | None
    extent: int
    chunks: int  # pieces that [0, extent) is cut into
    share: int  # of these that are the caller's, if no thread is late
    backwards: int  # 1: threads begin with the last of their share
    threads: int  # the caller included; 1 once the pool is stopped
    spins: int  # pauses before a worker sleeps and before a waiting caller yields
    cancelled: int  # not 0: what is left of the work is not done, as the call is to end
    busy: int  # 1: a caller is handing out work
    callers: int  # generation << 32 | end << 16 | start of what is left of the caller's chunks
    workers: int  # the same of the workers' chunks
    finished: int  # chunks done

    _fields_ = (
        ("generation", ctypes.c_int32),
        ("sleepers", ctypes.c_int32),
        ("stop", ctypes.c_int32),
        ("_after_stop", ctypes.c_char * (_APART - 12)),
        ("task", ctypes.c_void_p),
        ("context", ctypes.c_void_p),
        ("extent", ctypes.c_int64),
        ("chunks", ctypes.c_int64),
        ("share", ctypes.c_int64),
        ("backwards", ctypes.c_int64),
        ("threads", ctypes.c_int32),
        ("spins", ctypes.c_int32),
        ("cancelled", ctypes.c_int64),
        ("_after_cancelled", ctypes.c_char * (_APART - 64)),
        ("busy", ctypes.c_int32),
        ("_after_busy", ctypes.c_char * (_APART - 4)),
        ("callers", ctypes.c_int64),
        ("_after_callers", ctypes.c_char * (_APART - 8)),
        ("workers", ctypes.c_int64),
        ("_after_workers", ctypes.c_char * (_APART - 8)),
        ("finished", ctypes.c_int64),
        ("_after_finished", ctypes.c_char * (_APART - 8)),
    )
