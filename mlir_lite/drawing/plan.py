"""A memory plan as SVG: every buffer of the arena over the calls during which it is in use, at the
addresses where it lies, in the colour of the kernel that writes it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count

from ..markup import escape
from ..memory import ALIGNMENT
from ..passes.memory.plan_memory import lifetimes
from ..sizes import round_up
from ..text import bytes_text
from ..tile.program import CallStep, Program, Role, Slot
from .placing import LETTER
from .svg import INK, PALE, sheet, text_at

_FACES = (
    "#8fb8de", "#b7d99a", "#f2c879", "#d7a8dd", "#93d0c9", "#f0a58f", "#b9b3ea", "#d8cfa8",
    "#a9cbb7", "#e9b3ca", "#c3ccd4", "#e3dd84",
)  # fmt: skip
_LEFT, _TOP, _BELOW = 78.0, 62.0, 46.0
_HEIGHT = 360.0
_LEAST_WIDTH, _MOST_WIDTH = 420.0, 1400.0
_NAMED_CALLS = 60  # of which the kernels are named below the picture
_SMALL = 9.0
_CAPTION = "what lies in the arena from call to call; marked above: where most is in use"


@dataclass(frozen=True)
class _Scale:
    """From calls and bytes to points."""

    step: float
    arena: int

    def x(self, call: float) -> float:
        return _LEFT + call * self.step

    def y(self, offset: float) -> float:
        return _TOP + _HEIGHT * (1 - offset / self.arena)


def plan_svg(program: Program) -> str:
    """The picture of a program's arena; it says how near that is to the least there can be."""
    slots = [slot for slot in program.slots if slot.role is Role.ARENA]
    lives, calls = lifetimes(program), program.calls
    arena = program.memory.arena_bytes if program.memory is not None else 0
    width = min(_MOST_WIDTH, max(_LEAST_WIDTH, 26.0 * len(calls)))
    scale = _Scale(width / max(1, len(calls)), max(1, arena))
    names = list(_call_names(calls, scale)) if len(calls) <= _NAMED_CALLS else []
    below = max((len(call.label or call.kernel) for call in calls), default=0) * 3.6 + 30
    title = f"@{program.name}: {_figures(program)}"
    body = [
        text_at(20, 26, title, size=13, bold=True),
        text_at(20, 44, _CAPTION, colour=PALE),
        *_axes(scale, len(calls)),
        *_peak(program, scale),
        *_buffers(slots, lives, calls, scale),
        *names,
    ]
    height = _TOP + _HEIGHT + (min(below, 190.0) if names else _BELOW)
    wide = max(_LEFT + width + 30, len(title) * LETTER * 1.25 + 40)
    return sheet(wide, height, body, title)


def _figures(program: Program) -> str:
    memory = program.memory
    if memory is None or not memory.arena_bytes:
        return "nothing lies between kernels"
    least = f"{memory.ratio:.3f} times the lower bound ({memory.proof})"
    apart = f"{bytes_text(memory.total_bytes)} side by side"
    return f"an arena of {bytes_text(memory.arena_bytes)}, {least}; {apart}"


def _axes(scale: _Scale, calls: int) -> Iterator[str]:
    for offset in _ticks(scale.arena):
        y = scale.y(offset)
        yield (
            f'<path d="M{_LEFT:.1f} {y:.1f}H{scale.x(calls):.1f}" stroke="#e3e7ea" '
            'stroke-dasharray="2 3"/>'
        )
        yield text_at(_LEFT - 8, y + 3, bytes_text(offset), colour=PALE, anchor="end", size=_SMALL)
    frame = f"M{_LEFT:.1f} {scale.y(scale.arena):.1f}H{scale.x(calls):.1f}V{scale.y(0):.1f}"
    yield f'<path d="{frame}H{_LEFT:.1f}z" fill="none" stroke="#b6bec5"/>'
    if calls > _NAMED_CALLS:
        every = 10 ** max(0, math.floor(math.log10(calls)) - 1) * 5
        for call in range(0, calls, every):
            yield text_at(scale.x(call), scale.y(0) + 14, str(call), colour=PALE, size=_SMALL)


def _ticks(arena: int) -> list[int]:
    """0, the whole arena, and round numbers of bytes between."""
    step = 1 << max(0, math.ceil(math.log2(max(arena, 2) / 5)))
    between = [step * number for number in range(1, 6) if step * number < 0.93 * arena]
    return [0, *between, arena]


def _peak(program: Program, scale: _Scale) -> Iterator[str]:
    """Marks the calls at which most bytes are in use: no plan could do with less."""
    lives = lifetimes(program)
    total = [0] * len(program.calls)
    homes: dict[tuple[int, int], set[int | None]] = {}
    for name, (start, end) in lives.items():
        slot = program.slot(name)
        size = round_up(slot.type.nbytes, ALIGNMENT)
        for call in range(start, min(end, len(total))):
            here = homes.setdefault((call, size), set())
            if slot.offset not in here:  # a result in its operand's place counts once
                here.add(slot.offset)
                total[call] += size
    for call, size in enumerate(total):
        if size and size == max(total):
            yield (
                f'<rect x="{scale.x(call):.1f}" y="{_TOP - 6:.1f}" width="{scale.step:.1f}" '
                f'height="5" fill="#d98a2b"><title>most is in use here: {bytes_text(size)}'
                "</title></rect>"
            )


def _buffers(
    slots: list[Slot],
    lives: Mapping[str, tuple[int, int]],
    calls: tuple[CallStep, ...],
    scale: _Scale,
) -> Iterator[str]:
    faces: dict[str, str] = {}
    numbers = count()
    ordered = sorted(slots, key=lambda slot: (lives[slot.name], slot.name))
    seen_to = _seen_to(ordered, lives)
    for slot in ordered:
        start, end = lives[slot.name]
        call = calls[start]
        if call.kernel not in faces:
            faces[call.kernel] = _FACES[next(numbers) % len(_FACES)]
        x, y = scale.x(start), scale.y((slot.offset or 0) + slot.type.nbytes)
        width, height = (seen_to[slot.name] - start) * scale.step, scale.y(slot.offset or 0) - y
        hint = (
            f"%{slot.name}: {slot.type}, {bytes_text(slot.type.nbytes)} at {slot.offset or 0}\n"
            f"calls {start} to {end - 1}, written by {call.label or call.kernel}\n"
            f"{call.location.full()}"
        )
        yield f"<g><title>{escape(hint)}</title>"
        yield (
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0.7):.1f}" '
            f'height="{max(height, 0.7):.1f}" fill="{faces[call.kernel]}" '
            'stroke="#4a5661" stroke-width="0.6"/>'
        )
        if height >= 11 and width >= len(slot.name) * LETTER * 0.8 + 6:
            yield text_at(
                x + width / 2, y + height / 2 + 3, slot.name, anchor="middle", size=_SMALL
            )
        yield "</g>"


def _seen_to(
    ordered: Sequence[Slot], lives: Mapping[str, tuple[int, int]]
) -> dict[str, float]:
    """Up to which call a buffer is drawn: that in which a result takes its place."""
    ends: dict[str, float] = {}
    last: dict[int | None, str] = {}
    for slot in ordered:
        start, end = lives[slot.name]
        before = last.get(slot.offset)
        if before is not None and lives[before][1] > start:
            ends[before] = float(max(start, lives[before][0] + 1))
        ends[slot.name] = float(end)
        last[slot.offset] = slot.name
    return ends


def _call_names(calls: tuple[CallStep, ...], scale: _Scale) -> Iterator[str]:
    for number, call in enumerate(calls):
        x, y = scale.x(number + 0.5), scale.y(0) + 10
        label = call.label or call.kernel
        label = label if len(label) <= 40 else f"{label[:39]}…"
        yield (
            f'<text transform="translate({x:.1f} {y:.1f}) rotate(38)" font-size="{_SMALL}" '
            f'fill="{INK}">{escape(label)}</text>'
        )
