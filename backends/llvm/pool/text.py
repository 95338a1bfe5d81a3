"""The LLVM text of the thread pool: `@ml_worker`, `@ml_parallel(_toward)`, `@ml_stop`.

A pool is one block of memory. Work is cut into chunks (`pool_chunks`) and published by raising
`generation`. A worker that has spun long enough sleeps on `generation` itself (a futex). Fields
that different threads write often stand on lines apart, and a worker that waits looks at a line
that nothing of the work is written to.
"""

from __future__ import annotations

from string import Template

from ..machine.machine import Machine
from .chunks import CHUNKS, share_text
from .header import PoolHeader
from .waiting import pause_text, waiting_text

PIECES = 16  # that a thread without others goes backwards through: small beside its caches


def pool_text(machine: Machine, *, futex: bool) -> str:
    """The module of the pool's functions.

    With `futex` it needs the C library's `syscall`; without, the functions of `waiting_text`.
    """
    declaration, pause = pause_text(machine)
    offsets = {
        name: str(getattr(PoolHeader, name).offset)
        for name in PoolHeader.__annotations__
        if name != "_fields_"
    }
    functions = Template(_FUNCTIONS).substitute(
        offsets, pause=pause, per_thread=str(CHUNKS), pieces=str(PIECES)
    )
    waiting = waiting_text(machine, futex=futex)
    return "\n".join([declaration, waiting, share_text(offsets), functions])


_FUNCTIONS = """
; Take part in the work of each generation after %first until told to stop.
define void @ml_worker(ptr %pool, i32 %first) nounwind {
entry:
  %generation = getelementptr i8, ptr %pool, i64 $generation
  %sleepers = getelementptr i8, ptr %pool, i64 $sleepers
  %stop.at = getelementptr i8, ptr %pool, i64 $stop
  %spins.at = getelementptr i8, ptr %pool, i64 $spins
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
  call void @ml_share(ptr %pool, i32 %new, i1 true, ptr null, ptr null)
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

; Wait until all chunks are done.
define internal void @ml_join(ptr %pool, i64 %chunks) nounwind {
entry:
  %finished.at = getelementptr i8, ptr %pool, i64 $finished
  %spins.at = getelementptr i8, ptr %pool, i64 $spins
  %spins = load i32, ptr %spins.at
  br label %look
look:
  %count = phi i32 [ 0, %entry ], [ %count.next, %wait ], [ 0, %yield ]
  %now = load atomic i64, ptr %finished.at acquire, align 8
  %all = icmp eq i64 %now, %chunks
  br i1 %all, label %done, label %wait
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

; Run the task over [0, extent) on all threads.
define void @ml_parallel(ptr %pool, ptr %task, ptr %context, i64 %extent) nounwind {
  %ends = call i64 @ml_parallel_toward(
    ptr %pool, ptr %task, ptr %context, i64 %extent, i1 false, ptr null, ptr null
  )
  ret void
}

; The same by the caller alone: in pieces where it goes from the end to the start, or asks whether
; to go on; else at once.
define internal i64 @ml_alone(
  ptr %task, ptr %context, i64 %extent, i1 %backwards, ptr %poll, ptr %state
) nounwind {
entry:
  %polls = icmp ne ptr %poll, null
  %parted = or i1 %backwards, %polls
  %few = icmp slt i64 %extent, $pieces
  %most = select i1 %few, i64 %extent, i64 $pieces
  %pieces = select i1 %parted, i64 %most, i64 1
  br label %look
look:
  %number = phi i64 [ 0, %entry ], [ %after, %run ], [ %after, %ask ]
  %more = icmp slt i64 %number, %pieces
  br i1 %more, label %run, label %done
run:
  %after = add i64 %number, 1
  %from.last = sub i64 %pieces, %after
  %piece = select i1 %backwards, i64 %from.last, i64 %number
  %behind = add i64 %piece, 1
  %lo.scaled = mul i64 %piece, %extent
  %hi.scaled = mul i64 %behind, %extent
  %lo = udiv i64 %lo.scaled, %pieces
  %hi = udiv i64 %hi.scaled, %pieces
  call void %task(ptr %context, i64 %lo, i64 %hi)
  br i1 %polls, label %ask, label %look
ask:
  %ends = call i64 %poll(ptr %state)
  %goes = icmp eq i64 %ends, 0
  br i1 %goes, label %look, label %end
end:
  ret i64 %ends
done:
  ret i64 0
}

; Run the task over [0, extent) on all threads, each `backwards` through its share or forward. Alone
; where there is no pool, nothing to share, or the pool is at work for another caller (or for this
; one: a task may call this again). A %poll that is not null is asked on the way; once its answer is
; other than 0 no more is begun, and that is the result, which else is 0.
define i64 @ml_parallel_toward(
  ptr %pool, ptr %task, ptr %context, i64 %extent, i1 %backwards, ptr %poll, ptr %state
) nounwind {
entry:
  %absent = icmp eq ptr %pool, null
  %small = icmp sle i64 %extent, 1
  %direct = or i1 %absent, %small
  br i1 %direct, label %alone, label %ask
ask:
  %threads.at = getelementptr i8, ptr %pool, i64 $threads
  %busy = getelementptr i8, ptr %pool, i64 $busy
  %count = load i32, ptr %threads.at
  %stopped = icmp ule i32 %count, 1
  br i1 %stopped, label %alone, label %lock
lock:
  %taken = cmpxchg ptr %busy, i32 0, i32 1 acquire monotonic
  %free = extractvalue { i32, i1 } %taken, 1
  br i1 %free, label %publish, label %alone
alone:
  %ends = call i64 @ml_alone(
    ptr %task, ptr %context, i64 %extent, i1 %backwards, ptr %poll, ptr %state
  )
  ret i64 %ends
publish:
  %back = zext i1 %backwards to i64
  %backwards.at = getelementptr i8, ptr %pool, i64 $backwards
  store i64 %back, ptr %backwards.at
  %generation.at = getelementptr i8, ptr %pool, i64 $generation
  %task.at = getelementptr i8, ptr %pool, i64 $task
  %context.at = getelementptr i8, ptr %pool, i64 $context
  %extent.at = getelementptr i8, ptr %pool, i64 $extent
  %chunks.at = getelementptr i8, ptr %pool, i64 $chunks
  %share.at = getelementptr i8, ptr %pool, i64 $share
  %callers.at = getelementptr i8, ptr %pool, i64 $callers
  %workers.at = getelementptr i8, ptr %pool, i64 $workers
  %finished.at = getelementptr i8, ptr %pool, i64 $finished
  %threads.i32 = load i32, ptr %threads.at
  %threads = zext i32 %threads.i32 to i64
  %most = mul i64 %threads, $per_thread
  %few = icmp ult i64 %extent, %most
  %chunks = select i1 %few, i64 %extent, i64 %most
  %rounding = sub i64 %threads, 1
  %rounded = add i64 %chunks, %rounding
  %share = udiv i64 %rounded, %threads
  store ptr %task, ptr %task.at
  store ptr %context, ptr %context.at
  store i64 %extent, ptr %extent.at
  store i64 %chunks, ptr %chunks.at
  store i64 %share, ptr %share.at
  %cancelled.at = getelementptr i8, ptr %pool, i64 $cancelled
  store atomic i64 0, ptr %cancelled.at monotonic, align 8
  store atomic i64 0, ptr %finished.at monotonic, align 8
  %old = load atomic i32, ptr %generation.at monotonic, align 4
  %coming = add i32 %old, 1
  %wide = zext i32 %coming to i64
  %ticket = shl i64 %wide, 32
  %rest = sub i64 %chunks, %share
  %share.end = shl i64 %share, 16
  %rest.end = shl i64 %rest, 16
  %callers = or i64 %ticket, %share.end
  %workers = or i64 %ticket, %rest.end
  store atomic i64 %callers, ptr %callers.at release, align 8
  store atomic i64 %workers, ptr %workers.at release, align 8
  %generation = call i32 @ml_publish(ptr %pool)
  call void @ml_share(ptr %pool, i32 %generation, i1 false, ptr %poll, ptr %state)
  call void @ml_join(ptr %pool, i64 %chunks)
  %cancelled = load atomic i64, ptr %cancelled.at monotonic, align 8
  store atomic i32 0, ptr %busy release, align 4
  ret i64 %cancelled
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
