"""The LLVM text of the thread pool: `@ml_worker`, `@ml_parallel`, `@ml_stop`.

A pool is one block of memory. Work is published by raising `generation` and acknowledged by each
worker writing that number to its own slot; a worker that has spun long enough sleeps on
`generation` itself (a futex). Fields that different threads write often stand on lines apart.
"""

from __future__ import annotations

import ctypes
from string import Template

from .machine import Machine

# Two lines of 64 bytes: processors fetch lines in pairs, so neighbours would still disturb.
SLOT_BYTES = 128


class PoolHeader(ctypes.Structure):
    """The start of a pool's memory; the slots of the workers follow, `SLOT_BYTES` each."""

    generation: int  # number of the current work; the word that sleepers wait on
    sleepers: int  # workers asleep or about to be
    task: int | None  # void (ptr context, i64 lo, i64 hi)
    context: int | None
    extent: int
    threads: int  # the caller included; 1 once the pool is stopped
    spins: int  # pauses before a worker sleeps and before a waiting caller yields
    stop: int  # 1: workers return
    busy: int  # 1: a caller is handing out work

    _fields_ = (
        ("generation", ctypes.c_int32),
        ("sleepers", ctypes.c_int32),
        ("task", ctypes.c_void_p),
        ("context", ctypes.c_void_p),
        ("extent", ctypes.c_int64),
        ("threads", ctypes.c_int32),
        ("spins", ctypes.c_int32),
        ("stop", ctypes.c_int32),
        ("padding", ctypes.c_char * (SLOT_BYTES - 44)),
        ("busy", ctypes.c_int32),
    )


POOL_BYTES = 2 * SLOT_BYTES  # the header, rounded up; worker i's slot is the i-th thing after it

# Numbers of the system calls futex and sched_yield: the kernel's asm/unistd.h of each architecture.
_LINUX_CALLS = {"x86_64": (202, 24), "aarch64": (98, 124), "riscv64": (98, 124)}
_FUTEX_WAIT_PRIVATE, _FUTEX_WAKE_PRIVATE = 128, 129

# Declaration and call of the instruction that tells the processor that a thread is only waiting.
_HINT = ("declare void @llvm.aarch64.hint(i32)", "call void @llvm.aarch64.hint(i32 1)")
_PAUSE = {
    "x86_64": ("declare void @llvm.x86.sse2.pause()", "call void @llvm.x86.sse2.pause()"),
    "aarch64": _HINT,
    "arm64": _HINT,
}


def has_futex(machine: Machine) -> bool:
    """Whether waiting can go through Linux's futex; elsewhere Python callbacks do it."""
    return "linux" in machine.triple and machine.architecture in _LINUX_CALLS


def pool_text(machine: Machine, *, futex: bool) -> str:
    """The module of the pool's functions.

    With `futex` it needs the C library's `syscall`; without, `ml_park(ptr pool, i32 seen)` (return
    once the generation is not `seen`), `ml_wake(ptr pool)` and `ml_yield()`.
    """
    declaration, pause = _PAUSE.get(machine.architecture, ("", ""))
    offsets = {
        name: str(getattr(PoolHeader, name).offset)
        for name in PoolHeader.__annotations__
        if name != "_fields_"
    }
    functions = Template(_FUNCTIONS).substitute(
        offsets, pause=pause, slots=str(POOL_BYTES), slot=str(SLOT_BYTES)
    )
    waiting = _CALLBACKS
    if futex:
        wait_call, yield_call = _LINUX_CALLS[machine.architecture]
        waiting = Template(_SYSTEM_CALLS).substitute(
            futex=wait_call,
            sched_yield=yield_call,
            wait=_FUTEX_WAIT_PRIVATE,
            wake=_FUTEX_WAKE_PRIVATE,
        )
    return "\n".join([declaration, waiting, functions])


_CALLBACKS = """
declare void @ml_park(ptr, i32)
declare void @ml_wake(ptr)
declare void @ml_yield()
"""

# `generation` is the first field, so the pool's address is the futex's.
_SYSTEM_CALLS = """
declare i64 @syscall(i64, ...)

define internal void @ml_park(ptr %pool, i32 %seen) nounwind {
  call i64 (i64, ...) @syscall(i64 $futex, ptr %pool, i64 $wait, i32 %seen, ptr null)
  ret void
}

define internal void @ml_wake(ptr %pool) nounwind {
  call i64 (i64, ...) @syscall(i64 $futex, ptr %pool, i64 $wake, i32 2147483647)
  ret void
}

define internal void @ml_yield() nounwind {
  call i64 (i64, ...) @syscall(i64 $sched_yield)
  ret void
}
"""

_FUNCTIONS = """
; Run the part of the published work that belongs to thread %index: extent / threads iterations,
; one more for the first extent % threads of them.
define internal void @ml_share(ptr %pool, i64 %index) nounwind {
  %threads.at = getelementptr i8, ptr %pool, i64 $threads
  %task.at = getelementptr i8, ptr %pool, i64 $task
  %context.at = getelementptr i8, ptr %pool, i64 $context
  %extent.at = getelementptr i8, ptr %pool, i64 $extent
  %threads.i32 = load i32, ptr %threads.at
  %threads = zext i32 %threads.i32 to i64
  %task = load ptr, ptr %task.at
  %context = load ptr, ptr %context.at
  %extent = load i64, ptr %extent.at
  %even = udiv i64 %extent, %threads
  %rest = urem i64 %extent, %threads
  %one.more = icmp ult i64 %index, %rest
  %before = select i1 %one.more, i64 %index, i64 %rest
  %start = mul i64 %even, %index
  %lo = add i64 %start, %before
  %more = zext i1 %one.more to i64
  %size = add i64 %even, %more
  %hi = add i64 %lo, %size
  %empty = icmp eq i64 %size, 0
  br i1 %empty, label %done, label %run
run:
  call void %task(ptr %context, i64 %lo, i64 %hi)
  br label %done
done:
  ret void
}

; Thread %index: do a share of each generation after %first until told to stop.
define void @ml_worker(ptr %pool, i64 %index, i32 %first) nounwind {
entry:
  %generation = getelementptr i8, ptr %pool, i64 $generation
  %sleepers = getelementptr i8, ptr %pool, i64 $sleepers
  %stop.at = getelementptr i8, ptr %pool, i64 $stop
  %spins.at = getelementptr i8, ptr %pool, i64 $spins
  %slot.offset = mul i64 %index, $slot
  %slots = getelementptr i8, ptr %pool, i64 $slots
  %slot = getelementptr i8, ptr %slots, i64 %slot.offset
  %spins = load i32, ptr %spins.at
  br label %idle
idle:
  %seen = phi i32 [ %first, %entry ], [ %seen, %woken ], [ %new, %work ]
  br label %spin
spin:
  %count = phi i32 [ 0, %idle ], [ %count.next, %again ]
  %now = load atomic i32, ptr %generation acquire, align 4
  %changed = icmp ne i32 %now, %seen
  br i1 %changed, label %check, label %again
again:
  $pause
  %count.next = add i32 %count, 1
  %patient = icmp ult i32 %count.next, %spins
  br i1 %patient, label %spin, label %park
park:
  ; Announced before the second look, as the caller publishes before it looks for sleepers: one of
  ; the two sees the other.
  %others = atomicrmw add ptr %sleepers, i32 1 seq_cst
  %last = load atomic i32, ptr %generation seq_cst, align 4
  %quiet = icmp eq i32 %last, %seen
  br i1 %quiet, label %sleep, label %woken
sleep:
  call void @ml_park(ptr %pool, i32 %seen)
  br label %woken
woken:
  %left = atomicrmw sub ptr %sleepers, i32 1 seq_cst
  br label %idle
check:
  %new = phi i32 [ %now, %spin ]
  %stop = load i32, ptr %stop.at
  %stopping = icmp ne i32 %stop, 0
  br i1 %stopping, label %leave, label %work
work:
  call void @ml_share(ptr %pool, i64 %index)
  store atomic i32 %new, ptr %slot release, align 4
  br label %idle
leave:
  ret void
}

; Raise the generation and wake who sleeps; returns the new number.
define internal i32 @ml_publish(ptr %pool) nounwind {
  %generation = getelementptr i8, ptr %pool, i64 $generation
  %sleepers.at = getelementptr i8, ptr %pool, i64 $sleepers
  %old = atomicrmw add ptr %generation, i32 1 seq_cst
  %new = add i32 %old, 1
  %sleepers = load atomic i32, ptr %sleepers.at seq_cst, align 4
  %awake = icmp eq i32 %sleepers, 0
  br i1 %awake, label %done, label %wake
wake:
  call void @ml_wake(ptr %pool)
  br label %done
done:
  ret i32 %new
}

; Wait until worker %index has acknowledged %wanted.
define internal void @ml_join(ptr %pool, i64 %index, i32 %wanted) nounwind {
entry:
  %slot.offset = mul i64 %index, $slot
  %slots = getelementptr i8, ptr %pool, i64 $slots
  %slot = getelementptr i8, ptr %slots, i64 %slot.offset
  %spins.at = getelementptr i8, ptr %pool, i64 $spins
  %spins = load i32, ptr %spins.at
  br label %look
look:
  %count = phi i32 [ 0, %entry ], [ %count.next, %wait ], [ 0, %yield ]
  %now = load atomic i32, ptr %slot acquire, align 4
  %finished = icmp eq i32 %now, %wanted
  br i1 %finished, label %done, label %wait
wait:
  $pause
  %count.next = add i32 %count, 1
  %patient = icmp ult i32 %count.next, %spins
  br i1 %patient, label %look, label %yield
yield:
  call void @ml_yield()
  br label %look
done:
  ret void
}

; Run the task over [0, extent) on all threads. Alone where there is no pool, nothing to share, or
; the pool is at work for another caller (or for this one: a task may call this again).
define void @ml_parallel(ptr %pool, ptr %task, ptr %context, i64 %extent) nounwind {
entry:
  %absent = icmp eq ptr %pool, null
  %small = icmp sle i64 %extent, 1
  %direct = or i1 %absent, %small
  br i1 %direct, label %alone, label %ask
ask:
  %threads.at = getelementptr i8, ptr %pool, i64 $threads
  %busy = getelementptr i8, ptr %pool, i64 $busy
  %taken = cmpxchg ptr %busy, i32 0, i32 1 acquire monotonic
  %free = extractvalue { i32, i1 } %taken, 1
  br i1 %free, label %publish, label %alone
alone:
  call void %task(ptr %context, i64 0, i64 %extent)
  ret void
publish:
  %task.at = getelementptr i8, ptr %pool, i64 $task
  %context.at = getelementptr i8, ptr %pool, i64 $context
  %extent.at = getelementptr i8, ptr %pool, i64 $extent
  store ptr %task, ptr %task.at
  store ptr %context, ptr %context.at
  store i64 %extent, ptr %extent.at
  %threads.i32 = load i32, ptr %threads.at
  %threads = zext i32 %threads.i32 to i64
  %generation = call i32 @ml_publish(ptr %pool)
  call void @ml_share(ptr %pool, i64 0)
  br label %next
next:
  %worker = phi i64 [ 1, %publish ], [ %worker.next, %join ]
  %pending = icmp ult i64 %worker, %threads
  br i1 %pending, label %join, label %done
join:
  call void @ml_join(ptr %pool, i64 %worker, i32 %generation)
  %worker.next = add i64 %worker, 1
  br label %next
done:
  store atomic i32 0, ptr %busy release, align 4
  ret void
}

; Send the workers home, after the work at hand. Later work is done by its caller alone.
define void @ml_stop(ptr %pool) nounwind {
entry:
  %threads.at = getelementptr i8, ptr %pool, i64 $threads
  %stop = getelementptr i8, ptr %pool, i64 $stop
  %busy = getelementptr i8, ptr %pool, i64 $busy
  br label %ask
ask:
  %taken = cmpxchg ptr %busy, i32 0, i32 1 acquire monotonic
  %free = extractvalue { i32, i1 } %taken, 1
  br i1 %free, label %publish, label %wait
wait:
  call void @ml_yield()
  br label %ask
publish:
  store i32 1, ptr %threads.at
  store i32 1, ptr %stop
  %generation = call i32 @ml_publish(ptr %pool)
  store atomic i32 0, ptr %busy release, align 4
  ret void
}
"""
