"""Curves of a training as an SVG picture, which any browser shows.

A few lines and labels: a plotting library would be the largest thing to install.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape

import numpy as np

from ..types import Array

WIDTH, HEIGHT, MARGIN = 640, 220, 48
_MOST_POINTS = 600  # of a line: beyond that one sees no more of it
_COLOURS = ("#1f77b4", "#d62728", "#2ca02c")
_PALE = "#c6d4e1"


@dataclass
class Panel:
    """One measure: a number for each step, and by label one for the end of each epoch."""

    title: str
    steps: Array
    epochs: dict[str, Array] = field(default_factory=dict)


def chart(panels: Sequence[Panel]) -> str:
    """The picture of these panels, one below the other."""
    height = HEIGHT * max(1, len(panels))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="sans-serif" font-size="11">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
    ]
    for number, panel in enumerate(panels):
        parts.append(f'<g transform="translate(0 {number * HEIGHT})">')
        parts.extend(_panel(panel))
        parts.append("</g>")
    return "\n".join([*parts, "</svg>\n"])


def _panel(panel: Panel) -> Iterator[str]:
    count = len(panel.steps)
    every = [panel.steps, *panel.epochs.values()]
    values = np.concatenate([series[np.isfinite(series)] for series in every])
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    high = high if high > low else low + 1.0
    left, right, top, bottom = MARGIN, WIDTH - 12, 24, HEIGHT - 28

    def points(steps: Array, numbers: Array) -> str:
        x = left + (right - left) * steps / max(1, count)
        y = bottom - (bottom - top) * (numbers - low) / (high - low)
        finite = np.isfinite(y)
        pairs = zip(x[finite], y[finite], strict=True)
        return " ".join(f"{a:.1f},{b:.1f}" for a, b in pairs)

    yield f'<text x="{left}" y="14" font-weight="bold">{escape(panel.title)}</text>'
    yield f'<path d="M{left} {top}V{bottom}H{right}" fill="none" stroke="#888"/>'
    for value, y in ((high, top + 4), (low, bottom)):
        yield f'<text x="{left - 6}" y="{y}" text-anchor="end">{value:.3g}</text>'
    yield f'<text x="{right}" y="{bottom + 16}" text-anchor="end">{count} steps</text>'
    yield _line(points(*_thinned(panel.steps)), _PALE, 1.0)
    for at, (label, series) in enumerate(panel.epochs.items()):
        ends = count * np.arange(1, len(series) + 1) / max(1, len(series))
        colour = _COLOURS[at % len(_COLOURS)]
        yield _line(points(ends, series), colour, 1.8)
        x = left + 120 + 140 * at
        yield f'<text x="{x}" y="14" fill="{colour}">{escape(label)} by epoch</text>'


def _thinned(values: Array) -> tuple[Array, Array]:
    """The numbers of steps and the means of so many neighbours that few points are left."""
    width = max(1, -(-len(values) // _MOST_POINTS))
    starts = np.arange(0, len(values), width)
    if not len(starts):
        return starts, values
    sums = np.add.reduceat(values, starts)
    counts = np.minimum(starts + width, len(values)) - starts
    return starts + counts / 2, sums / counts


def _line(points: str, colour: str, width: float) -> str:
    shape = f'fill="none" stroke="{colour}" stroke-width="{width}"'
    return f'<polyline points="{points}" {shape}/>'
