"""The LLVM text by which threads of a pool take work: `@ml_share`.

Work is cut into chunks. The threads take them through tickets, the caller through its own, the
workers through theirs, and who has none left through the other. So each thread mostly meets the
data it had last time; it goes forward through its chunks, so that what a kernel asks for ahead is
what it needs next; and one that comes late, or is kept from its processor, leaves its last chunks
to the others: these are short, so that all are done at nearly the same time. Where `backwards` is
asked for, a thread begins with the chunks that it did last when it went forward: they are in its
caches still.
"""

from __future__ import annotations

from collections.abc import Mapping
from string import Template

CHUNKS = 8  # of work a thread: enough for a late thread to cost little
LONGER = 4  # times as long as those of the second half of a side are the chunks of the first


def share_text(offsets: Mapping[str, str]) -> str:
    """The functions, for a pool whose fields are at these offsets."""
    return Template(_SHARE).substitute(offsets, longer=str(LONGER))


_SHARE = """
; Where chunk %chunk of the %size of a side begins: those of the first half are %weight long, the
; others 1.
define internal i64 @ml_edge(i64 %chunk, i64 %size, i64 %weight) nounwind {
  %half = lshr i64 %size, 1
  %many = icmp ugt i64 %chunk, %half
  %large = select i1 %many, i64 %half, i64 %chunk
  %small = sub i64 %chunk, %large
  %weighed = mul i64 %large, %weight
  %edge = add i64 %weighed, %small
  ret i64 %edge
}

; Take chunks of the work of %generation and run them until none is left: first those of the own
; side in order, then the other's, its last first. A ticket tells by itself whether a chunk is left
; and of which generation: who comes late may find the fields of the next work beside the ticket of
; work that is done, and takes nothing of either. The fields need no order of their own on any
; processor: the exchange that takes a chunk releases, so they were read before it, and nobody
; writes them from then on until that chunk is reported. The caller asks %poll, if it is not null,
; after each of its chunks; all that are left are not run once the answer is other than 0.
define internal void @ml_share(
  ptr %pool, i32 %generation, i1 %is.worker, ptr %poll, ptr %state
) nounwind {
entry:
  %cancelled.at = getelementptr i8, ptr %pool, i64 $cancelled
  %polls = icmp ne ptr %poll, null
  %callers.at = getelementptr i8, ptr %pool, i64 $callers
  %workers.at = getelementptr i8, ptr %pool, i64 $workers
  %finished.at = getelementptr i8, ptr %pool, i64 $finished
  %task.at = getelementptr i8, ptr %pool, i64 $task
  %context.at = getelementptr i8, ptr %pool, i64 $context
  %extent.at = getelementptr i8, ptr %pool, i64 $extent
  %chunks.at = getelementptr i8, ptr %pool, i64 $chunks
  %share.at = getelementptr i8, ptr %pool, i64 $share
  %backwards.at = getelementptr i8, ptr %pool, i64 $backwards
  %backwards = load i64, ptr %backwards.at
  %is.back = icmp ne i64 %backwards, 0
  %task = load ptr, ptr %task.at
  %context = load ptr, ptr %context.at
  %extent = load i64, ptr %extent.at
  %chunks = load i64, ptr %chunks.at
  %share = load i64, ptr %share.at
  %rest = sub i64 %chunks, %share
  %wide = zext i32 %generation to i64
  %mine = shl i64 %wide, 32
  br label %look
look:
  %done = phi i64 [ 0, %entry ], [ %done, %take ], [ %done.next, %next.chunk ], [ %done, %turn ]
  %others = phi i1 [ false, %entry ], [ %others, %take ], [ %others, %next.chunk ], [ true, %turn ]
  %of.workers = xor i1 %is.worker, %others
  %ticket.at = select i1 %of.workers, ptr %workers.at, ptr %callers.at
  %begin = select i1 %of.workers, i64 %share, i64 0
  %size = select i1 %of.workers, i64 %rest, i64 %share
  %ticket = load atomic i64, ptr %ticket.at acquire, align 8
  %range = sub i64 %ticket, %mine
  %current = icmp ult i64 %range, 4294967296
  %front = and i64 %range, 65535
  %past = lshr i64 %range, 16
  %left = icmp ult i64 %front, %past
  %open = and i1 %current, %left
  br i1 %open, label %take, label %exhausted
exhausted:
  br i1 %others, label %report, label %turn
turn:
  br label %look
take:
  %one = select i1 %others, i64 -65536, i64 1
  %next = add i64 %ticket, %one
  %exchanged = cmpxchg ptr %ticket.at, i64 %ticket, i64 %next acq_rel monotonic
  %won = extractvalue { i64, i1 } %exchanged, 1
  br i1 %won, label %run, label %look
run:
  %back = sub i64 %size, %past
  %number = select i1 %others, i64 %back, i64 %front
  %last = sub i64 %size, 1
  %from.last = sub i64 %last, %number
  %reversed = xor i1 %is.back, %others
  %chunk = select i1 %reversed, i64 %from.last, i64 %number
  %after = add i64 %chunk, 1
  %end = add i64 %begin, %size
  %begin.scaled = mul i64 %begin, %extent
  %end.scaled = mul i64 %end, %extent
  %first = udiv i64 %begin.scaled, %chunks
  %behind = udiv i64 %end.scaled, %chunks
  %length = sub i64 %behind, %first
  %single = icmp eq i64 %chunks, %extent
  %weight = select i1 %single, i64 1, i64 $longer
  %total = call i64 @ml_edge(i64 %size, i64 %size, i64 %weight)
  %lo.edge = call i64 @ml_edge(i64 %chunk, i64 %size, i64 %weight)
  %hi.edge = call i64 @ml_edge(i64 %after, i64 %size, i64 %weight)
  %lo.scaled = mul i64 %lo.edge, %length
  %hi.scaled = mul i64 %hi.edge, %length
  %lo.far = udiv i64 %lo.scaled, %total
  %hi.far = udiv i64 %hi.scaled, %total
  %lo = add i64 %first, %lo.far
  %hi = add i64 %first, %hi.far
  %some = icmp ult i64 %lo, %hi
  %ended = load atomic i64, ptr %cancelled.at monotonic, align 8
  %goes = icmp eq i64 %ended, 0
  %runs = and i1 %some, %goes
  br i1 %runs, label %call, label %next.chunk
call:
  call void %task(ptr %context, i64 %lo, i64 %hi)
  br i1 %polls, label %ask, label %next.chunk
ask:
  %ends = call i64 %poll(ptr %state)
  %ending = icmp ne i64 %ends, 0
  br i1 %ending, label %cancel, label %next.chunk
cancel:
  store atomic i64 %ends, ptr %cancelled.at monotonic, align 8
  br label %next.chunk
next.chunk:
  %done.next = add i64 %done, 1
  br label %look
report:
  %none = icmp eq i64 %done, 0
  br i1 %none, label %leave, label %add
add:
  %before = atomicrmw add ptr %finished.at, i64 %done release
  br label %leave
leave:
  ret void
}
"""
