"""The table of a run, as text or Markdown, and the same as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict

from mlir_lite.backends.llvm.ceilings import Ceilings
from mlir_lite.cli.layout import seconds_text
from mlir_lite.cli.profile import ceilings_text
from mlir_lite.text import table

from .engines import OURS
from .measure import Row

_DASH = "-"


def geometric_mean(numbers: Iterable[float]) -> float | None:
    """Of ratios; None of nothing."""
    logs = [math.log(number) for number in numbers]
    return math.exp(sum(logs) / len(logs)) if logs else None


def table_text(
    rows: Sequence[Row],
    ceilings: Mapping[int, Ceilings],
    engines: Sequence[str],
    absent: Sequence[str],
    *,
    markdown: bool,
) -> str:
    """Ceilings on top, a line for each row, the geometric means over whole models below.

    A `ratio` above 1 means that we are faster than the best rival; `of peak` is what the machine
    would take at best, by arithmetic or by bandwidth, over our time; the error is the largest
    difference to float64, relative to the largest element.
    """
    columns = [OURS, *(name for name in engines if name != OURS)]
    head = ["workload", "threads", *columns, "ratio", "of peak", "error"]
    cells = [head, *(_cells(row, columns, ceilings[row.threads]) for row in rows)]
    render = _markdown if markdown else _aligned
    parts = [
        f"{count} thread{'s' if count > 1 else ''}: {ceilings_text(found)}"
        for count, found in ceilings.items()
    ]
    parts += [f"not installed, left out: {', '.join(absent)}"] if absent else []
    parts += ["", render(cells), "", *_means(rows), *_failures(rows)]
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


def _aligned(cells: Sequence[Sequence[str]]) -> str:
    return table(cells, right=range(1, len(cells[0])), indent="")


def _markdown(cells: Sequence[Sequence[str]]) -> str:
    head, *rows = [f"| {' | '.join(row)} |" for row in cells]
    return "\n".join([head, f"|---|{'---:|' * (len(cells[0]) - 1)}", *rows])


def _means(rows: Sequence[Row]) -> list[str]:
    """By number of threads."""
    lines = []
    for threads in dict.fromkeys(row.threads for row in rows):
        ratios = [
            row.ratio
            for row in rows
            if row.threads == threads and row.group == "models" and row.ratio is not None
        ]
        mean = geometric_mean(ratios)
        if mean is not None:
            counted = f"{len(ratios)} whole model{'s' if len(ratios) > 1 else ''}"
            lines.append(f"geometric mean of the ratios of {counted}, {threads}t: {mean:.2f}")
    return lines


def _failures(rows: Sequence[Row]) -> list[str]:
    return [
        f"{row.name}, {row.threads}t, {name}: {timing.failure}"
        for row in rows
        for name, timing in row.timings.items()
        if timing.failure
    ]


def json_text(
    rows: Sequence[Row],
    ceilings: Mapping[int, Ceilings],
    absent: Sequence[str],
    versions: Mapping[str, str],
) -> str:
    """Everything that the table shows, in seconds."""
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
        },
        indent=2,
    )
