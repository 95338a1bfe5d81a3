"""`@ml_body`: the function that runs through a program's table of rows.

It is one loop over the table of rows that `step_rows` makes, so that a model of a thousand
steps compiles as fast as one of two. The row of a call gathers its pointers into a context and
hands it to `@ml_parallel_toward`; others count turns and jump. Between them `State.poll` is
asked whether to end here, because of a signal.

A timed program also reads the machine's counter before the first row and after each one, and adds
what each took:

    @ml_ticks = global [ROWS + 1 x i64] zeroinitializer     ; the start, then a sum for each row
"""

from __future__ import annotations

from string import Template

from ..kernels.kernel import SLOT_WORDS, symbol
from .state import STATE_TYPE, State
from .step_rows import LONG, SHARES, Kind, Table

BODY = "ml_body"
TICKS = "ml_ticks"


def body_text(table: Table, counter: str | None) -> str:
    """The module that defines `@ml_body`."""
    declarations = [f"declare void {symbol(task)}(ptr, i64, i64)" for task in table.tasks]
    rows = [
        f"  %ml_step {{ i64 {row.kind}, ptr {(row.task and symbol(row.task)) or 'null'}, "
        f"i64 {row.a}, i64 {row.b}, i64 {row.c}, i64 {row.turns}, "
        f"i64 {row.share} }}"
        for row in table.rows
    ]
    flat = ", ".join(f"i64 {number}" for number in table.arguments)
    return Template(_BODY).substitute(
        state_type=STATE_TYPE,
        declarations="\n".join(declarations),
        rows=len(rows),
        steps=",\n".join(rows),
        numbers=len(table.arguments),
        arguments=flat,
        width=table.width,
        moves=_moves(table.depth),
        depth=max(1, table.depth),
        slots=table.most_arguments + 1,
        body=BODY,
        words=SLOT_WORDS,
        shares=SHARES,
        long=LONG,
        bytes_used=8 * SLOT_WORDS,
        kinds=_kinds(),
        **_clock(len(rows), counter),
        **{field: str(number) for number, (field, *_) in enumerate(State._fields_)},
    )


def _kinds() -> str:
    """The jump to what a row's kind asks for."""
    targets = "\n".join(f"    i64 {kind.value}, label %{kind.name.lower()}" for kind in Kind)
    return f"  switch i64 %kind, label %done [\n{targets}\n  ]"


def _moves(depth: int) -> str:
    """The instructions that move a pointer by the turns of the loops around."""
    text = "  %moved.0 = add i64 %offset, 0\n"
    for loop in range(depth):
        text += (
            f"  %turns.{loop}.at = getelementptr i64, ptr %turns, i64 {loop}\n"
            f"  %turns.{loop} = load i64, ptr %turns.{loop}.at\n"
            f"  %stride.{loop}.at = getelementptr i64, ptr %argument, i64 {loop + 3}\n"
            f"  %stride.{loop} = load i64, ptr %stride.{loop}.at\n"
            f"  %move.{loop} = mul i64 %turns.{loop}, %stride.{loop}\n"
            f"  %moved.{loop + 1} = add i64 %moved.{loop}, %move.{loop}\n"
        )
    return text + f"  %moved = add i64 %moved.{depth}, 0"


def _clock(rows: int, counter: str | None) -> dict[str, str]:
    """What the text has at its three places for a clock: nothing, unless timed."""
    if counter is None:
        return {"ticks": "", "tick_at_entry": "", "tick_after_run": ""}
    return {
        "ticks": f"declare i64 @{counter}()\n"
        f"@{TICKS} = global [{rows + 1} x i64] zeroinitializer\n",
        "tick_at_entry": "  %tick.last = alloca i64\n"
        f"  call void @llvm.memset.p0.i64(ptr @{TICKS}, i8 0, i64 {8 * (rows + 1)}, i1 false)\n"
        f"  %tick.first = call i64 @{counter}()\n"
        f"  store i64 %tick.first, ptr @{TICKS}\n"
        "  store i64 %tick.first, ptr %tick.last\n",
        "tick_after_run": f"  %tick = call i64 @{counter}()\n"
        "  %tick.before = load i64, ptr %tick.last\n"
        "  store i64 %tick, ptr %tick.last\n"
        "  %tick.took = sub i64 %tick, %tick.before\n"
        f"  %tick.at = getelementptr i64, ptr @{TICKS}, i64 %number.next\n"
        "  %tick.sum = load i64, ptr %tick.at\n"
        "  %tick.more = add i64 %tick.sum, %tick.took\n"
        "  store i64 %tick.more, ptr %tick.at\n",
    }


_BODY = """$state_type
%ml_step = type { i64, ptr, i64, i64, i64, i64, i64 } ; kind, task, numbers: see step_rows.py

declare i64 @ml_parallel_toward(ptr, ptr, ptr, i64, i1, ptr, ptr)
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
$declarations

@ml_steps = private unnamed_addr constant [$rows x %ml_step] [
$steps
]
@ml_arguments = private unnamed_addr constant [$numbers x i64] [$arguments]
$ticks
define void @$body(ptr %state, ptr %arguments) nounwind {
entry:
  %context = alloca [$slots x ptr]
  %used = alloca [$words x i64]
  %turns = alloca [$depth x i64]
  %tables = alloca [4 x ptr]
  %arena = getelementptr %ml_state, ptr %state, i32 0, i32 $arena
  %constants.at = getelementptr %ml_state, ptr %state, i32 0, i32 $constants
  %constants = load ptr, ptr %constants.at
  %status.at = getelementptr %ml_state, ptr %state, i32 0, i32 $status
  %status = load ptr, ptr %status.at
  %pool.at = getelementptr %ml_state, ptr %state, i32 0, i32 $pool
  %pool = load ptr, ptr %pool.at
  %poll.at = getelementptr %ml_state, ptr %state, i32 0, i32 $poll
  %poll = load ptr, ptr %poll.at
  %polls = icmp ne ptr %poll, null
  %left = alloca i64
  store i64 $shares, ptr %left
  store ptr %arguments, ptr %tables
  %tables.1 = getelementptr ptr, ptr %tables, i64 1
  store ptr %arena, ptr %tables.1
  %tables.2 = getelementptr ptr, ptr %tables, i64 2
  store ptr %constants, ptr %tables.2
  %tables.3 = getelementptr ptr, ptr %tables, i64 3
  store ptr %status.at, ptr %tables.3
  call void @llvm.memset.p0.i64(ptr %used, i8 0, i64 $bytes_used, i1 false)
${tick_at_entry}  br label %step
step:
  %number = phi i64 [ 0, %entry ], [ %number.next, %ask ],
    [ %number.next, %asked ], [ %target, %jumped ]
  %more = icmp ult i64 %number, $rows
  br i1 %more, label %start, label %done
start:
  %row = getelementptr %ml_step, ptr @ml_steps, i64 %number
  %number.next = add i64 %number, 1
  %kind = load i64, ptr %row
  %a.at = getelementptr %ml_step, ptr %row, i32 0, i32 2
  %a = load i64, ptr %a.at
  %b.at = getelementptr %ml_step, ptr %row, i32 0, i32 3
  %b = load i64, ptr %b.at
  %c.at = getelementptr %ml_step, ptr %row, i32 0, i32 4
  %c = load i64, ptr %c.at
  %turn.at = getelementptr i64, ptr %turns, i64 %a
  %first = getelementptr i64, ptr @ml_arguments, i64 %c
$kinds
jump:
  br label %jumped
begin:
  store i64 0, ptr %turn.at
  br label %jumped
turn:
  %turn.now = load i64, ptr %turn.at
  %turn.next = add i64 %turn.now, 1
  store i64 %turn.next, ptr %turn.at
  %again = icmp ult i64 %turn.next, %b
  %turn.target = select i1 %again, i64 %c, i64 %number.next
  br label %jumped
limit:
  %turned = load i64, ptr %turn.at
  %turned.next = add i64 %turned, 1
  store i64 %turned.next, ptr %turn.at
  %over = icmp uge i64 %turned, %b
  br i1 %over, label %fail, label %jumped
fail:
  store i64 %c, ptr %status
  br label %done
branch:
  br label %gather
branched:
  %flag.at = load ptr, ptr %context
  %flag = load i8, ptr %flag.at
  %set = icmp ne i8 %flag, 0
  %branch.target = select i1 %set, i64 %number.next, i64 %a
  br label %jumped
jumped:
  %target = phi i64 [ %a, %jump ], [ %number.next, %begin ], [ %turn.target, %turn ],
    [ %number.next, %limit ], [ %branch.target, %branched ]
  br label %step
call:
  br label %gather
gather:
  %slot = phi i64 [ 0, %call ], [ 0, %branch ], [ %slot.next, %argument.found ]
  %argument = phi ptr [ %first, %call ], [ %first, %branch ], [ %argument.next, %argument.found ]
  %missing = icmp ult i64 %slot, %b
  br i1 %missing, label %argument.found, label %gathered
argument.found:
  %table.number = load i64, ptr %argument
  %index.at = getelementptr i64, ptr %argument, i64 1
  %index = load i64, ptr %index.at
  %offset.at = getelementptr i64, ptr %argument, i64 2
  %offset = load i64, ptr %offset.at
$moves
  %table.at = getelementptr ptr, ptr %tables, i64 %table.number
  %table = load ptr, ptr %table.at
  %base.at = getelementptr ptr, ptr %table, i64 %index
  %base = load ptr, ptr %base.at
  %pointer = getelementptr i8, ptr %base, i64 %moved
  %context.at = getelementptr ptr, ptr %context, i64 %slot
  store ptr %pointer, ptr %context.at
  %argument.next = getelementptr i64, ptr %argument, i64 $width
  %slot.next = add i64 %slot, 1
  br label %gather
gathered:
  %task.at = getelementptr %ml_step, ptr %row, i32 0, i32 1
  %task = load ptr, ptr %task.at
  %none = icmp eq ptr %task, null
  br i1 %none, label %branched, label %run
run:
  ; The slot behind the arguments is there in any context; only some tasks look at it.
  %used.at = getelementptr ptr, ptr %context, i64 %b
  store ptr %used, ptr %used.at
  %turning.at = getelementptr %ml_step, ptr %row, i32 0, i32 5
  %turning = load i64, ptr %turning.at
  %alternates = icmp sge i64 %turning, 0
  %counting = select i1 %alternates, i64 %turning, i64 0
  %count.at = getelementptr i64, ptr %turns, i64 %counting
  %count = load i64, ptr %count.at
  %odd = trunc i64 %count to i1
  %backwards = select i1 %alternates, i1 %odd, i1 false
  %share.at = getelementptr %ml_step, ptr %row, i32 0, i32 6
  %share = load i64, ptr %share.at
  %long = icmp sge i64 %share, $long
  %within = select i1 %long, ptr %poll, ptr null
  %stopped = call i64 @ml_parallel_toward(
    ptr %pool, ptr %task, ptr %context, i64 %a, i1 %backwards, ptr %within, ptr %state
  )
  %stops = icmp ne i64 %stopped, 0
  br i1 %stops, label %stop, label %ran
stop:
  store i64 %stopped, ptr %status
  br label %done
ran:
${tick_after_run}  %fault = load i64, ptr %status
  %good = icmp eq i64 %fault, 0
  br i1 %good, label %ask, label %done
ask:
  %left.before = load i64, ptr %left
  %left.after = sub i64 %left.before, %share
  store i64 %left.after, ptr %left
  %due = icmp sle i64 %left.after, 0
  %asks = and i1 %due, %polls
  br i1 %asks, label %asked, label %step
asked:
  store i64 $shares, ptr %left
  %ends = call i64 %poll(ptr %state)
  %goes = icmp eq i64 %ends, 0
  br i1 %goes, label %step, label %end
end:
  store i64 %ends, ptr %status
  br label %done
done:
  ret void
}
"""
