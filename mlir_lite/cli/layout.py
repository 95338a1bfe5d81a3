"""Text for people: aligned tables, sizes and times in fitting units, texts cut short."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..passes.memory.plan_memory import lifetimes
from ..text import bytes_text, table
from ..tile.program import Program, Role

_DENSE = re.compile(r"dense<([^<>]{24,}?)( as [^<> ]+)?>")
_CONSTANT = re.compile(r"( *)(%\w+) = constant \{value = (?:dense|resource)<(.*)>\} : \S+")


def seconds_text(seconds: float) -> str:
    """`12.3 µs`, `4.56 ms`, `1.23 s`; in the unit that it has once it is rounded."""
    rounded = float(f"{seconds:.3g}")
    if rounded >= 1:
        return f"{seconds:.2f} s"
    return f"{rounded * 1e3:.3g} ms" if rounded >= 1e-3 else f"{rounded * 1e6:.3g} µs"


def elided(text: str) -> str:
    """IR text for reading: elements of constants left out, constants in a row as one line."""
    lines: list[str] = []
    run: list[re.Match[str]] = []
    for line in [*_DENSE.sub(r"dense<…\2>", text).rstrip().split("\n"), ""]:
        # The elements are gone, and with them what comments were lined up by.
        line = re.sub(r" +// ", "  // ", line)
        match = _CONSTANT.match(line)
        if match is not None:
            run.append(match)
            continue
        lines += _constants(run)
        run.clear()
        lines.append(line)
    return "\n".join(lines[:-1])


def _constants(run: Sequence[re.Match[str]]) -> list[str]:
    """Constants in a row: the line itself if it is one, else names and numbers."""
    if len(run) < 2:
        return [match.string for match in run]
    names = [match[3].rpartition(" as ")[2] for match in run]
    shown = ", ".join(names[:4]) + (", …" if len(names) > 4 else "")
    return [f"{run[0][1]}// {run[0][2]} to {run[-1][2]}: {len(run)} constants: {shown}"]


def shortened(text: str, lines: int) -> str:
    """The first lines of a text, and how many more there are."""
    every = text.rstrip("\n").split("\n")
    if len(every) <= lines:
        return "\n".join(every)
    return "\n".join([*every[:lines], f"… {len(every) - lines} more lines"])


def plan_text(program: Program) -> str:
    """The memory plan: every buffer of the arena with its place, then the figures."""
    slots = sorted(
        (slot for slot in program.slots if slot.role is Role.ARENA),
        key=lambda slot: (slot.offset or 0, slot.name),
    )
    lives = lifetimes(program)
    memory = program.memory
    peak = set(memory.peak if memory is not None else ())
    rows = [("buffer", "type", "bytes", "offset", "steps", "")]
    for slot in slots:
        first, end = lives[slot.name]
        place = (str(slot.type.nbytes), str(slot.offset or 0), f"{first}-{end - 1}")
        note = "alive at the peak" if slot.name in peak else ""
        rows.append((slot.name, str(slot.type), *place, note))
    shown = table(rows, right=(2, 3)) if slots else "  no buffers: nothing lives between kernels"
    return f"{shown}\n\n{memory_text(program)}"


def memory_text(program: Program) -> str:
    """The figures of a memory plan, a line each."""
    memory = program.memory
    if memory is None:
        return "  not planned"
    rows = [
        ("arena", bytes_text(memory.arena_bytes), f"{memory.arena_bytes} bytes"),
        (
            "lower bound",
            bytes_text(memory.lower_bound_bytes),
            f"most bytes alive at one step; ratio {memory.ratio:.3f}, {memory.proof}",
        ),
        ("no sharing", bytes_text(memory.total_bytes), "all intermediates side by side"),
        ("alive at peak", "", ", ".join(memory.peak) or "nothing"),
    ]
    return table(rows, right=(1,))
