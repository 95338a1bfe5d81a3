"""What a notebook shows of an executable: sizes, memory, times, kernels."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from .markup import boxed, escape, table_markup
from .text import bytes_text
from .tile.program import CallStep, Program, Role

if TYPE_CHECKING:
    from .driver import Executable

_MOST_KERNELS = 40


def summary_of(executable: Executable, compiled: bool) -> str:
    """HTML; of one that waits for its sizes only what it takes and gives."""
    fn = executable.function
    title = f"<b>{escape(repr(executable)[1:-1])}</b>"
    rows = [("", "type"), *((f"%{param.name}", str(param.type)) for param in fn.params[:12])]
    if len(fn.params) > 12:
        rows.append(("", f"{len(fn.params) - 12} more"))
    rows += [("result", str(type_)) for type_ in fn.result_types[:12]]
    parts = [title, table_markup(rows)]
    if compiled:
        parts += [_figures(executable), _kernels(executable.program)]
    return boxed("".join(parts))


def _figures(executable: Executable) -> str:
    memory, program = executable.memory, executable.program
    kept = sum(slot.type.nbytes for slot in program.slots if slot.role is Role.CONSTANT)
    arena = f"{bytes_text(memory.arena_bytes)}, {memory.ratio:.3f} times the least, {memory.proof}"
    seconds = executable.compile_seconds
    steps = ", ".join(f"{name} {took:.3f}" for name, took in seconds.items())
    rows = [
        ("", ""),
        ("arena", arena if memory.arena_bytes else "none: nothing lives between kernels"),
        ("constants", bytes_text(kept)),
        ("compiled in", f"{sum(seconds.values()):.3f} s: {steps}"),
    ]
    return table_markup(rows)


def _kernels(program: Program) -> str:
    """A line for each kernel: what it stands for, how often it is called, for which line first."""
    calls = Counter(call.kernel for call in program.calls)
    first: dict[str, CallStep] = {}
    for call in program.calls:
        first.setdefault(call.kernel, call)
    rows = [("kernel", "operations", "calls", "where")]
    for name, call in list(first.items())[:_MOST_KERNELS]:
        rows.append((f"@{name}", call.label, str(calls[name]), str(call.location)))
    more = len(first) - _MOST_KERNELS
    if more > 0:
        rows.append(("", f"{more} more kernels", "", ""))
    return table_markup(rows, right=(2,))
