"""The table of a run, as text or Markdown, and the same as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import compress
from typing import TypeAlias

from mlir_lite.backends.llvm.ceilings import Ceilings
from mlir_lite.cli.layout import seconds_text
from mlir_lite.cli.profile import ceilings_text
from mlir_lite.text import bytes_text, table

from .engines import OURS
from .measure import Row
from .start import First, Start

_DASH = "-"
Cells: TypeAlias = Sequence[Sequence[str]]  # by line


def ratios_text(ratios: Sequence[float]) -> str:
    """Their geometric mean, and from which to which they go."""
    mean = math.exp(math.fsum(map(math.log, ratios)) / len(ratios))
    between = f" ({min(ratios):.2f} to {max(ratios):.2f})" if len(ratios) > 1 else ""
    return f"{mean:.2f}{between}"


def table_text(
    rows: Sequence[Row],
    ceilings: Mapping[int, Ceilings],
    engines: Sequence[str],
    absent: Sequence[str],
    *,
    markdown: bool,
) -> str:
    """Ceilings on top, a line for each row, the geometric means of each group's ratios below.

    A `ratio` above 1 means that we are faster than the best rival; `of peak` is what the machine
    would take at best, by arithmetic or by bandwidth, over our time; the error is the largest
    difference to float64, relative to the largest element. In Markdown a workload has one line,
    its numbers of threads beside each other.
    """
    columns = [OURS, *(name for name in engines if name != OURS)]
    head = ["workload", "threads", *columns, "ratio", "of peak", "error"]
    cells = [head, *(_cells(row, columns, ceilings[row.threads]) for row in rows)]
    parts = [
        f"{count} thread{'s' if count > 1 else ''}: {ceilings_text(found)}"
        for count, found in ceilings.items()
    ]
    parts += [f"not installed, left out: {', '.join(absent)}"] if absent else []
    means = _means(rows, list(ceilings))
    shown = [beside(cells), means] if markdown else [cells, means]
    render = markdown_table if markdown else _aligned
    for lines in shown:
        parts += ["", render(lines)] if len(lines) > 1 else []
    parts += ["", *failures] if (failures := _failures(rows)) else []
    return "\n".join(parts)


def _cells(row: Row, columns: Sequence[str], ceilings: Ceilings) -> list[str]:
    ratio, share = row.ratio, row.share(ceilings)
    return [
        row.name,
        str(row.threads),
        *(_time(row, name) for name in columns),
        _DASH if ratio is None else f"{ratio:.2f}",
        _DASH if share is None else f"{share:.0%}",
        _DASH if row.ours is None else f"{row.ours.error:.1e}",
    ]


def _time(row: Row, name: str) -> str:
    timing = row.timings.get(name)
    if timing is None:
        return _DASH
    return "failed" if timing.failure else seconds_text(timing.seconds)


def _aligned(cells: Cells) -> str:
    return table(cells, right=range(1, len(cells[0])), indent="")


def markdown_table(cells: Cells) -> str:
    """A table in Markdown, the first line its head, numbers to the right."""
    head, *rows = [f"| {' | '.join(row)} |" for row in cells]
    return "\n".join([head, f"|---|{'---:|' * (len(cells[0]) - 1)}", *rows])


def beside(cells: Cells) -> Cells:
    """A line for each workload, what differs by the number of threads beside each other; without
    engines that take none of them."""
    head, *lines = cells
    same: dict[str, list[Sequence[str]]] = {}
    for line in lines:
        same.setdefault(line[0], []).append(line)
    joined = [
        [" / ".join(dict.fromkeys(parts)) for parts in zip(*found, strict=True)]
        for found in same.values()
    ]
    full = [name != "threads" and any(line[place] != _DASH for line in joined)
            for place, name in enumerate(head)]
    return [list(compress(line, full)) for line in (head, *joined)]


def _means(rows: Sequence[Row], threads: Sequence[int]) -> Cells:
    """A line for each group, a column for each number of threads."""
    ratios: dict[str, dict[int, list[float]]] = {}
    for row in rows:
        if row.ratio is not None:
            group = ratios.setdefault(row.group, {count: [] for count in threads})
            group[row.threads].append(row.ratio)
    head = ["group", *(f"ratios, {count}t" for count in threads)]
    return [head] + [
        [group, *(ratios_text(found) if found else _DASH for found in by_threads.values())]
        for group, by_threads in ratios.items()
    ]


def _failures(rows: Sequence[Row]) -> list[str]:
    return [
        f"{row.name}, {row.threads}t, {name}: {timing.failure}"
        for row in rows
        for name, timing in row.timings.items()
        if timing.failure
    ]


def starts_text(
    starts: Sequence[Start], imports: Mapping[str, float], *, markdown: bool
) -> str:
    """A line for each model and engine: seconds from the model's file to the first result, and by
    how much the process has grown at most, cold and warm; what imports took below."""
    head = ["start", "threads", "engine", "cold", "warm", "peak cold", "peak warm", "planned"]
    cells = [
        [
            start.name, str(start.threads), start.engine,
            *(_DASH if first is None else seconds_text(first.seconds) for first in _firsts(start)),
            *(_DASH if first is None else _bytes(first.bytes) for first in _firsts(start)),
            _bytes(start.planned),
        ]
        for start in starts
    ]  # fmt: skip
    took = ", ".join(f"{name} {seconds_text(seconds)}" for name, seconds in imports.items())
    failures = [
        f"{start.name}, {start.threads}t, {start.engine}: {start.failure}"
        for start in starts
        if start.failure
    ]
    shown = (markdown_table if markdown else _aligned)([head, *cells])
    return "\n".join([shown, "", f"imports, not counted: {took}", *failures])


def _firsts(start: Start) -> tuple[First | None, First | None]:
    return start.cold, start.warm


def _bytes(count: int | None) -> str:
    return _DASH if count is None else bytes_text(count)


def json_text(
    rows: Sequence[Row],
    starts: Sequence[Start],
    imports: Mapping[str, float],
    ceilings: Mapping[int, Ceilings],
    absent: Sequence[str],
    versions: Mapping[str, str],
) -> str:
    """Everything that the tables show, in seconds and bytes."""
    measured = [
        asdict(row)
        | {"best_rival": row.best_rival, "ratio": row.ratio}
        | {"share": row.share(ceilings[row.threads])}
        for row in rows
    ]
    return json.dumps(
        {
            "versions": dict(versions),
            "not_installed": list(absent),
            "ceilings": [asdict(found) for found in ceilings.values()],
            "rows": measured,
            "starts": [asdict(start) for start in starts],
            "imports": dict(imports),
        },
        indent=2,
    )
