"""All that only a card can tell, in one go; from the folder `tests/backends`:

  python -m gpu.on_card --output results

1. Every wrapper of the card's assembler: its results are kept, as what the CPU's stand-ins are held
   against (with --record in the golden files, else beside the table).
2. Every example and kernel template: its error against float64, beside what its precision allows.
3. Its time by the card's clock, on arrays that take turns, beside cuBLAS and cuDNN through torch,
   where there is a torch that knows the card.

The table is written as JSON and as Markdown, named by the day and the card. What the time is too
short for is left out and said; a case that fails is a line of the table, and the others go on.
`--device shim` runs the small ones on the CPU in a card's place, to try this script.
"""

from __future__ import annotations

import json
import re
import statistics
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from functools import partial
from pathlib import Path

import numpy as np

from mlir_lite import Function
from mlir_lite.backends.cuda.device import Device
from mlir_lite.backends.cuda.here import found_card
from mlir_lite.backends.cuda.timing import copy_bandwidth, kernel_seconds, run_seconds
from mlir_lite.cli.counting import matrix_flops
from mlir_lite.ir import run_reference
from mlir_lite.target import Target, named_target, nearest_card
from mlir_lite.tile.uses import turns_of
from mlir_lite.types import Array

from .examples import EXAMPLES, arrays_for
from .on_shim import executable_on
from .shim_card import ShimCard
from .templates import TEMPLATES
from .torch_twins import Twin, twin_of
from .wrapper_cases import CASES, GOLDEN, run_cases

REPEAT = 20  # samples of a time
UNITS = 8  # of rounding, relative to the largest result, that an error may be in a turn of a loop
EPSILON = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}


@dataclass
class Line:
    """What was found of a function."""

    name: str
    error: float | None = None  # relative to the largest result
    allowed: float | None = None
    seconds: float | None = None
    kernels: float | None = None  # seconds of all kernels, each alone and from memory
    twin: str = ""
    twin_seconds: float | None = None
    gflops: float | None = None
    gigabytes: float | None = None
    failure: str = ""

    @property
    def is_right(self) -> bool:
        return not self.failure and (
            self.error is None or self.allowed is None or self.error <= self.allowed
        )


@dataclass
class Report:
    """All that was found on a card."""

    card: str
    target: str
    day: str
    copy_bandwidth: float = 0.0
    wrappers: str = ""
    lines: list[Line] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def markdown(self) -> str:
        head = (
            "function", "right", "error", "allowed", "µs", "GFLOP/s", "GB/s", "µs of kernels",
            "beside", "its µs", "ratio",
        )  # fmt: skip
        every = (head, ("---",) * len(head), *map(_cells, self.lines))
        rows = [" | ".join(cells) for cells in every]
        left = ", ".join(self.left_out)
        return "\n".join(
            [
                f"# {self.card}, {self.day}",
                "",
                f"As {self.target}; its own copies move {self.copy_bandwidth / 1e9:.0f} GB/s. "
                "Times are of runs on arrays that take turns, larger than the cache together; a "
                "ratio above 1 means that mlir-lite is faster.",
                "",
                f"Wrappers: {self.wrappers}",
                "",
                *(f"| {row} |" for row in rows),
                *(["", f"Left out for want of time: {left}."] if left else []),
                "",
            ]
        )


def _cells(line: Line) -> tuple[str, ...]:
    def number(value: float | None, form: str, scale: float = 1.0) -> str:
        return "" if value is None else format(value * scale, form)

    ratio = None
    if line.seconds and line.twin_seconds:
        ratio = line.twin_seconds / line.seconds
    return (
        line.name,
        line.failure.replace("|", "/")[:80] or ("yes" if line.is_right else "**no**"),
        number(line.error, ".1e"),
        number(line.allowed, ".1e"),
        number(line.seconds, ".1f", 1e6),
        number(line.gflops, ".0f"),
        number(line.gigabytes, ".0f"),
        number(line.kernels, ".1f", 1e6),
        line.twin,
        number(line.twin_seconds, ".1f", 1e6),
        number(ratio, ".2f"),
    )


@dataclass(frozen=True)
class Clock:
    """The time that is left."""

    end: float

    @property
    def left(self) -> float:
        return self.end - time.monotonic()


def inputs_for(fn: Function) -> list[Array]:
    """Random arrays of the parameters' types; indices as the examples want them."""
    return [
        array.astype(param.type.dtype.numpy)
        for param, array in zip(fn.params, arrays_for(fn), strict=True)
    ]


def check_function(device: Device, target: Target, fn: Function, line: Line) -> None:
    """The error of a function against float64."""
    arrays = inputs_for(fn)
    run = executable_on(device, fn, target)
    found = run(*arrays)
    again = run(*arrays)  # as a graph
    every = found if isinstance(found, tuple) else (found,)
    twice = again if isinstance(again, tuple) else (again,)
    wide = [array if array.dtype.kind in "iub" else array.astype(np.float64) for array in arrays]
    for result, other in zip(every, twice, strict=True):
        assert result.tobytes() == other.tobytes(), "the graph computes something else"
    exact = run_reference(fn, wide)
    line.error = largest_error(every, exact)
    units = UNITS * max(turns_of(run.program), default=1)
    line.allowed = units * max(EPSILON.get(result.dtype.name, 0.0) for result in every)


def largest_error(found: Sequence[Array], exact: Sequence[Array]) -> float:
    """The largest of all results, relative to the largest element of each."""
    worst = 0.0
    for result, known in zip(found, exact, strict=True):
        largest = float(np.max(np.abs(known))) or 1.0
        error = float(np.max(np.abs(result.astype(np.float64) - known))) / largest
        worst = max(worst, error if error == error else float("inf"))
    return worst


def time_function(
    device: Device, target: Target, fn: Function, line: Line, twin: Twin | None
) -> None:
    """The time of a function, and of its twin in torch."""
    arrays = inputs_for(fn)
    loaded = executable_on(device, fn, target).loaded()
    line.seconds = statistics.median(run_seconds(loaded, arrays, target.l2_bytes, REPEAT))
    line.kernels = sum(kernel_seconds(loaded, arrays, target.l2_bytes, REPEAT // 4).values())
    moved = sum(value.type.nbytes for value in (*fn.params, *fn.results))
    line.gigabytes = moved / line.seconds / 1e9
    flops = matrix_flops(fn)
    line.gflops = flops / line.seconds / 1e9 if flops else None
    if twin is not None:
        line.twin = twin.name
        line.twin_seconds = twin.seconds(arrays, target.l2_bytes, REPEAT)


def guarded(line: Line, work: Callable[[], None]) -> None:
    """Do something; what goes wrong is noted."""
    try:
        work()
    except Exception as error:  # whatever it is: the others are still to be looked at
        line.failure = line.failure or f"{type(error).__name__}: {error}".replace("\n", " ")


def record_wrappers(device: Device, target: Target, report: Report, file: Path) -> None:
    """Keep what the card makes of the wrappers, and say where its stand-in differs."""
    found = run_cases(device, CASES, target)
    np.savez_compressed(file, allow_pickle=False, **found)
    stand_in = run_cases(ShimCard(), CASES, target)
    wrong = [case.name for case in CASES if not case.agrees(stand_in[case.name], found[case.name])]
    differ = f"the CPU's stand-ins differ in {', '.join(wrong)}" if wrong else "as on the CPU"
    report.wrappers = f"{len(CASES)} cases in {file.name}: {differ}"


def work_on(device: Device, report: Report, args: Namespace) -> Iterator[Report]:
    """Do it all, the report after each step."""
    clock = Clock(time.monotonic() + args.seconds)
    target = named_target(report.target)
    assert target is not None
    device.enter()
    wrappers = GOLDEN if args.record else args.output / "wrappers.npz"
    noted = Line("wrappers")
    guarded(noted, partial(record_wrappers, device, target, report, wrappers))
    report.wrappers = report.wrappers or noted.failure
    if args.device == "card":
        report.copy_bandwidth = copy_bandwidth(device)
    yield report
    for fn in EXAMPLES if args.device == "shim" else TEMPLATES:
        if not re.search(args.only, fn.name):
            continue
        if clock.left < 10:
            report.left_out.append(fn.name)
        else:
            line = Line(fn.name)
            report.lines.append(line)
            if args.device == "card":
                guarded(line, partial(time_function, device, target, fn, line, twin_of(fn)))
            guarded(line, partial(check_in_time, device, target, fn, line, clock, report))
        yield report


def check_in_time(
    device: Device, target: Target, fn: Function, line: Line, clock: Clock, report: Report
) -> None:
    """Check a function, if the reference, which a CPU computes, will be there in time."""
    if clock.left < 20 + matrix_flops(fn) / 5e9:
        report.left_out.append(f"the error of {fn.name}")
        return
    check_function(device, target, fn, line)


def write(report: Report, folder: Path) -> Path:
    """The report in both forms; the place of the table."""
    card = re.sub(r"\W+", "_", report.card)
    stem = folder / f"{report.day}-{card}"
    lines = [asdict(line) | {"is_right": line.is_right} for line in report.lines]
    stem.with_suffix(".json").write_text(json.dumps(asdict(report) | {"lines": lines}, indent=2))
    stem.with_suffix(".md").write_text(report.markdown())
    return stem.with_suffix(".md")


def main(argv: Sequence[str]) -> int:
    parser = ArgumentParser(prog="on_card", description=__doc__)
    parser.add_argument("--device", choices=("card", "shim"), default="card")
    parser.add_argument("--seconds", type=float, default=450.0, help="to be done in (450)")
    parser.add_argument("--output", type=Path, default=Path("."), help="a folder for the results")
    parser.add_argument("--only", default="", metavar="PATTERN", help="functions of these names")
    parser.add_argument("--record", action="store_true", help="renew the golden files")
    args = parser.parse_args(argv)
    args.output.mkdir(parents=True, exist_ok=True)
    device: Device = ShimCard() if args.device == "shim" else found_card()
    report = Report(device.name, nearest_card(device.capability), date.today().isoformat())
    for _ in work_on(device, report, args):
        place = write(report, args.output)  # what there is so far, should the time run out
    print(place.read_text())
    return 0 if all(line.is_right for line in report.lines) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
