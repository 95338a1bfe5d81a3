"""A Program as LLVM modules: its kernels, and `@ml_body`, which calls them in order.

    define void @ml_body(ptr %state, ptr %arguments)

`@ml_body` is one loop over a table of steps, so that a model of a thousand steps compiles as fast
as one of two. Each step gathers its pointers into a context and hands it to `@ml_parallel`.

A timed program also reads the machine's counter before the first stage and after each one:

    @ml_ticks = global [STAGES + 1 x i64] zeroinitializer
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from string import Template

from ...errors import VerifyError
from ...memory import ALIGNMENT
from ...target import Target
from ...tile.nodes import Kernel
from ...tile.program import CallStep, Program, Role, View
from .emit_kernel import KernelText, emit_kernel, symbol
from .state import STATE_TYPE, State

BODY = "ml_body"
TICKS = "ml_ticks"
_MODULES = 4  # at most; each is compiled by a thread of its own
_MODULE_SIZE = 20_000  # characters of text below which another module is not worth a thread


@dataclass(frozen=True)
class ProgramText:
    """The modules of a program. The last one defines `@ml_body` and needs `@ml_parallel`.

    `planned_bytes` of the arena hold the program's slots; behind them lies what kernels need for
    themselves: `common_bytes`, and `thread_bytes` for every thread. A step of the program runs
    as so many stages as `step_stages` says.
    """

    modules: tuple[str, ...]
    planned_bytes: int
    common_bytes: int
    thread_bytes: int
    step_stages: tuple[int, ...]
    routines: tuple[str, ...] = ()

    def arena_bytes(self, threads: int) -> int:
        """The size of the memory that `State.arena` points to, for a pool of so many threads."""
        return self.planned_bytes + self.common_bytes + threads * self.thread_bytes


def emit_program(
    program: Program,
    target: Target,
    *,
    instructions: frozenset[str] = frozenset(),
    counter: str | None = None,
) -> ProgramText:
    """The texts of a program's modules; equal programs give equal texts.

    `instructions` says what the machine has of `tile/instructions.py`; `counter` is the intrinsic
    that a timed program reads into `@ml_ticks`.
    """
    aliased = _aliased(program)
    kernels = {
        kernel.name: emit_kernel(
            kernel, target, aliased=aliased[kernel.name], instructions=instructions
        )
        for kernel in program.kernels
    }
    ends = [
        slot.offset + slot.type.nbytes
        for slot in program.slots
        if slot.role is Role.ARENA and slot.offset is not None
    ]
    planned = -(-max(ends, default=0) // ALIGNMENT) * ALIGNMENT
    common = max((kernel.common_bytes for kernel in kernels.values()), default=0)
    thread = max((kernel.thread_bytes for kernel in kernels.values()), default=0)
    body = _Table(program, kernels, planned, planned + common, counter).text()
    stages = tuple(len(kernels[step.kernel].stages) for step in program.steps)
    modules = (*_modules(kernels.values()), body)
    routines = sorted({name for kernel in kernels.values() for name in kernel.routines})
    return ProgramText(modules, planned, common, thread, stages, tuple(routines))


def module_text(kernels: Iterable[KernelText]) -> str:
    """Kernels as one module."""
    texts = list(kernels)
    declarations = sorted(frozenset().union(*(kernel.declarations for kernel in texts)))
    return "\n\n".join(["\n".join(declarations), *(kernel.text for kernel in texts)]) + "\n"


def _modules(kernels: Iterable[KernelText]) -> list[str]:
    """Kernels dealt to modules of about the same size, the largest first."""
    ordered = sorted(kernels, key=lambda kernel: (-len(kernel.text), kernel.name))
    total = sum(len(kernel.text) for kernel in ordered)
    count = max(1, min(_MODULES, total // _MODULE_SIZE, len(ordered)))
    bins: list[list[KernelText]] = [[] for _ in range(count)]
    sizes = [0] * count
    for kernel in ordered:
        smallest = sizes.index(min(sizes))
        bins[smallest].append(kernel)
        sizes[smallest] += len(kernel.text)
    return [module_text(part) for part in bins if part]


def _aliased(program: Program) -> dict[str, frozenset[str]]:
    """By kernel: the parameters that in some call share memory with one that is written."""
    found: dict[str, set[str]] = {kernel.name: set() for kernel in program.kernels}
    for step in program.steps:
        kernel = program.kernel(step.kernel)
        if len(step.args) != len(kernel.params):
            raise VerifyError(f"'{kernel.name}' takes {len(kernel.params)} views")
        ranges = _ranges(program, kernel, step)
        for output in kernel.outputs:
            place, low, high = ranges[output]
            for name, (other, start, stop) in ranges.items():
                if name != output and place == other and start < high and low < stop:
                    found[kernel.name] |= {name, output}
    return {name: frozenset(names) for name, names in found.items()}


def _ranges(
    program: Program, kernel: Kernel, step: CallStep
) -> dict[str, tuple[str, int, int]]:
    """The bytes that each parameter covers: of the arena, or of a slot of its own."""
    ranges = {}
    for param, view in zip(kernel.params, step.args, strict=True):
        slot = program.slot(view.slot)
        place, start = slot.memory, view.offset * slot.type.dtype.bytes
        if slot.role is Role.ARENA:
            place, start = "", start + (slot.offset or 0)
        ranges[param.name] = (place, start, start + param.elements * param.dtype.bytes)
    return ranges


@dataclass(frozen=True)
class _Table:
    """The table of steps. An argument is a pointer found at `index` of one of four tables of
    pointers (arguments, the arena, constants, the status), moved by `offset` bytes."""

    program: Program
    kernels: Mapping[str, KernelText]
    common_offset: int
    thread_offset: int
    counter: str | None

    def text(self) -> str:
        """The module that defines `@ml_body`."""
        rows: list[str] = []
        arguments: list[tuple[int, int, int]] = []
        tasks: dict[str, None] = {}
        slots = 1
        for step in self.program.steps:
            kernel = self.kernels[step.kernel]
            for stage in kernel.stages:
                tasks[stage.task] = None
                own = [self._argument(view) for view in step.args]
                own += [(1, 0, self.common_offset)] * bool(kernel.common_bytes)
                own += [(1, 0, self.thread_offset)] * bool(kernel.thread_bytes)
                task = f"ptr {symbol(stage.task)}, i64 {stage.extent}"
                rows.append(f"  %ml_step {{ {task}, i64 {len(own)} }}")
                arguments += own
                slots = max(slots, len(own) + 1)
        declarations = [f"declare void {symbol(task)}(ptr, i64, i64)" for task in tasks]
        flat = ", ".join(f"i64 {number}" for row in arguments for number in row)
        return Template(_BODY).substitute(
            state_type=STATE_TYPE,
            declarations="\n".join(declarations),
            rows=len(rows),
            steps=",\n".join(rows),
            numbers=3 * len(arguments),
            arguments=flat,
            slots=slots,
            body=BODY,
            **self._clock(len(rows)),
            **{field: str(number) for number, (field, *_) in enumerate(State._fields_)},
        )

    def _clock(self, stages: int) -> dict[str, str]:
        """What the text has at its three places for a clock: nothing, unless timed."""
        if self.counter is None:
            return {"ticks": "", "tick_at_entry": "", "tick_after_run": ""}
        return {
            "ticks": f"declare i64 @{self.counter}()\n"
            f"@{TICKS} = global [{stages + 1} x i64] zeroinitializer\n",
            "tick_at_entry": f"  %tick.first = call i64 @{self.counter}()\n"
            f"  store i64 %tick.first, ptr @{TICKS}\n",
            "tick_after_run": f"  %tick = call i64 @{self.counter}()\n"
            f"  %tick.at = getelementptr i64, ptr @{TICKS}, i64 %number.next\n"
            "  store i64 %tick, ptr %tick.at\n",
        }

    def _argument(self, view: View) -> tuple[int, int, int]:
        program, slot = self.program, self.program.slot(view.slot)
        offset = view.offset * slot.type.dtype.bytes
        match slot.role:
            case Role.PARAMETER:
                return 0, program.params.index(slot.name), offset
            case Role.RESULT:
                return 0, len(program.params) + program.results.index(slot.name), offset
            case Role.CONSTANT:
                return 2, constant_slots(program).index(slot.name), offset
            case Role.STATUS:
                return 3, 0, offset
        if slot.offset is None:
            raise VerifyError(f"the slot '{slot.name}' has no place in the arena")
        return 1, 0, slot.offset + offset


def constant_slots(program: Program) -> tuple[str, ...]:
    """The constants in the order of the pointers at `State.constants`."""
    return tuple(slot.name for slot in program.slots if slot.role is Role.CONSTANT)


_BODY = """$state_type
%ml_step = type { ptr, i64, i64 } ; task, extent, number of arguments

declare void @ml_parallel(ptr, ptr, ptr, i64)
$declarations

@ml_steps = private unnamed_addr constant [$rows x %ml_step] [
$steps
]
@ml_arguments = private unnamed_addr constant [$numbers x i64] [$arguments]
$ticks
define void @$body(ptr %state, ptr %arguments) nounwind {
entry:
  %context = alloca [$slots x ptr]
  %counter = alloca i64
  %tables = alloca [4 x ptr]
  %arena = getelementptr %ml_state, ptr %state, i32 0, i32 $arena
  %constants.at = getelementptr %ml_state, ptr %state, i32 0, i32 $constants
  %constants = load ptr, ptr %constants.at
  %status.at = getelementptr %ml_state, ptr %state, i32 0, i32 $status
  %status = load ptr, ptr %status.at
  %pool.at = getelementptr %ml_state, ptr %state, i32 0, i32 $pool
  %pool = load ptr, ptr %pool.at
  store ptr %arguments, ptr %tables
  %tables.1 = getelementptr ptr, ptr %tables, i64 1
  store ptr %arena, ptr %tables.1
  %tables.2 = getelementptr ptr, ptr %tables, i64 2
  store ptr %constants, ptr %tables.2
  %tables.3 = getelementptr ptr, ptr %tables, i64 3
  store ptr %status.at, ptr %tables.3
${tick_at_entry}  br label %step
step:
  %number = phi i64 [ 0, %entry ], [ %number.next, %run ]
  %first = phi ptr [ @ml_arguments, %entry ], [ %argument, %run ]
  %more = icmp ult i64 %number, $rows
  br i1 %more, label %start, label %done
start:
  %row = getelementptr %ml_step, ptr @ml_steps, i64 %number
  %count.at = getelementptr %ml_step, ptr %row, i32 0, i32 2
  %count = load i64, ptr %count.at
  br label %gather
gather:
  %slot = phi i64 [ 0, %start ], [ %slot.next, %argument.found ]
  %argument = phi ptr [ %first, %start ], [ %argument.next, %argument.found ]
  %missing = icmp ult i64 %slot, %count
  br i1 %missing, label %argument.found, label %run
argument.found:
  %table.number = load i64, ptr %argument
  %index.at = getelementptr i64, ptr %argument, i64 1
  %index = load i64, ptr %index.at
  %offset.at = getelementptr i64, ptr %argument, i64 2
  %offset = load i64, ptr %offset.at
  %table.at = getelementptr ptr, ptr %tables, i64 %table.number
  %table = load ptr, ptr %table.at
  %base.at = getelementptr ptr, ptr %table, i64 %index
  %base = load ptr, ptr %base.at
  %pointer = getelementptr i8, ptr %base, i64 %offset
  %context.at = getelementptr ptr, ptr %context, i64 %slot
  store ptr %pointer, ptr %context.at
  %argument.next = getelementptr i64, ptr %argument, i64 3
  %slot.next = add i64 %slot, 1
  br label %gather
run:
  ; The slot behind the arguments is there in any context; only some tasks look at it.
  %counter.at = getelementptr ptr, ptr %context, i64 %count
  store ptr %counter, ptr %counter.at
  store i64 0, ptr %counter
  %task.at = getelementptr %ml_step, ptr %row, i32 0, i32 0
  %task = load ptr, ptr %task.at
  %extent.at = getelementptr %ml_step, ptr %row, i32 0, i32 1
  %extent = load i64, ptr %extent.at
  call void @ml_parallel(ptr %pool, ptr %task, ptr %context, i64 %extent)
  %number.next = add i64 %number, 1
${tick_after_run}  %fault = load i64, ptr %status
  %good = icmp eq i64 %fault, 0
  br i1 %good, label %step, label %done
done:
  ret void
}
"""
