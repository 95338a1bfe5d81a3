"""A Program as LLVM modules: its kernels, and `@ml_body`, which calls them in order.

    define void @ml_body(ptr %state, ptr %arguments)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from ....errors import VerifyError
from ....memory import ALIGNMENT
from ....sizes import round_up
from ....target import Target
from ....tile.nodes import Kernel
from ....tile.program import CallStep, LoopStep, Program, Role, Step, blocks_of
from ..kernels.kernel import KernelText, emit_kernel
from .body import body_text
from .step_rows import table_of

# Characters of text from which on a module is compiled while the next one is written. Each takes
# another millisecond, and the last one is waited for.
_MODULE_SIZE = 48_000


@dataclass(frozen=True)
class ProgramText:
    """The modules of a program. The last one defines `@ml_body` and needs `@ml_parallel_toward`.

    `planned_bytes` of the arena hold the program's slots; behind them lies what kernels need for
    themselves: `common_bytes`, and `thread_bytes` for every thread. `call_rows` are the rows of
    the table up to a call's last one, from the last one of the call before.
    """

    modules: tuple[str, ...]
    planned_bytes: int
    common_bytes: int
    thread_bytes: int
    call_rows: tuple[int, ...]
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
    written: Callable[[str], None] = lambda _: None,
) -> ProgramText:
    """The texts of a program's modules; equal programs give equal texts.

    `instructions` says what the machine has of `tile/instructions`; `counter` is the intrinsic
    that a timed program reads into `@ml_ticks`; `written` is told each module as soon as it is.
    """
    aliased = _aliased(program)
    kernels: dict[str, KernelText] = {}
    modules: list[str] = []
    part: list[KernelText] = []
    for kernel in program.kernels:
        text = emit_kernel(
            kernel, target, aliased=aliased[kernel.name], instructions=instructions
        )
        kernels[kernel.name] = text
        part.append(text)
        if sum(len(text.text) for text in part) >= _MODULE_SIZE or kernel is program.kernels[-1]:
            modules.append(module_text(part))
            written(modules[-1])
            part.clear()
    ends = [
        slot.offset + slot.type.nbytes
        for slot in program.slots
        if slot.role is Role.ARENA and slot.offset is not None
    ]
    planned = round_up(max(ends, default=0), ALIGNMENT)
    common = max((kernel.common_bytes for kernel in kernels.values()), default=0)
    thread = max((kernel.thread_bytes for kernel in kernels.values()), default=0)
    table = table_of(program, kernels, planned, planned + common)
    modules.append(body_text(table, counter))
    routines = sorted({name for kernel in kernels.values() for name in kernel.routines})
    return ProgramText(tuple(modules), planned, common, thread, table.call_rows, tuple(routines))


def module_text(kernels: Iterable[KernelText]) -> str:
    """Kernels as one module."""
    texts = list(kernels)
    declarations = sorted(frozenset().union(*(kernel.declarations for kernel in texts)))
    return "\n\n".join(["\n".join(declarations), *(kernel.text for kernel in texts)]) + "\n"


def _aliased(program: Program) -> dict[str, frozenset[str]]:
    """By kernel: the parameters that in some call share memory with one that is written."""
    found: dict[str, set[str]] = {kernel.name: set() for kernel in program.kernels}
    turns = {loop.name: loop.count for loop in _loops(program.steps)}
    for step in program.calls:
        kernel = program.kernel(step.kernel)
        if len(step.args) != len(kernel.params):
            raise VerifyError(f"'{kernel.name}' takes {len(kernel.params)} views")
        ranges = _ranges(program, kernel, step, turns)
        for output in kernel.outputs:
            place, low, high = ranges[output]
            for name, (other, start, stop) in ranges.items():
                if name != output and place == other and start < high and low < stop:
                    found[kernel.name] |= {name, output}
    return {name: frozenset(names) for name, names in found.items()}


def _loops(steps: tuple[Step, ...]) -> Iterator[LoopStep]:
    """All loops of known length in steps."""
    for step in steps:
        if isinstance(step, LoopStep):
            yield step
        for block in blocks_of(step):
            yield from _loops(block)


def _ranges(
    program: Program, kernel: Kernel, step: CallStep, turns: Mapping[str, int]
) -> dict[str, tuple[str, int, int]]:
    """The bytes that each parameter covers in all turns: of the arena, or of a slot of its own."""
    ranges = {}
    for param, view in zip(kernel.params, step.args, strict=True):
        slot = program.slot(view.slot)
        place, bytes_ = slot.memory, slot.type.dtype.bytes
        moves = [stride * (turns[loop] - 1) for loop, stride in view.strides]
        start = (view.offset + sum(min(0, move) for move in moves)) * bytes_
        stop = (view.offset + sum(max(0, move) for move in moves)) * bytes_
        if slot.role is Role.ARENA:
            place = ""
            start, stop = start + (slot.offset or 0), stop + (slot.offset or 0)
        ranges[param.name] = (place, start, stop + param.elements * param.dtype.bytes)
    return ranges
