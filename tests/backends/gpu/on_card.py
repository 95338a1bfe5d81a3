"""All that only a card can tell, in under eight minutes; from the folder `tests/backends`:

  python -m gpu.on_card --output results

1. Every wrapper of the card's assembler: its results are kept, as what the CPU's stand-ins are held
   against (with --record in the golden files, else beside the table); products of warpgroups, which
   must be exact.
2. What the card does at best: its own copies, products of large matrices of each kind of factors.
3. Every example and kernel template: its time by the card's clock, on arrays that take turns,
   beside torch (so cuBLAS and cuDNN) where there is one that knows the card.
4. Their errors against float64, beside what their precision allows.
5. Their times by torch.compile, as far as there is time.

The table is written as Markdown and JSON, named by the day and the card. Work is done in another
process: what hangs or fails is said in the table, and the others go on. So is what the time is too
short for. `--device shim` does the small ones on the CPU in a card's place, to try this script.
"""

from __future__ import annotations

import re
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import TypeVar

from mlir_lite import Function
from mlir_lite.cli.counting import matrix_flops

from . import card_jobs as jobs
from .card_report import Line, Report, write
from .card_worker import Apart, JobError, Worker
from .examples import EXAMPLES
from .group_cases import CASES as GROUP_CASES
from .templates import USUAL
from .wrapper_cases import GOLDEN

T = TypeVar("T")
FACTORS = ("f32", "tf32", "bf16", "f16")
JOB_SECONDS = 60.0  # that a job may take
PRODUCT_SECONDS = 20.0  # that a product of warpgroups may take
MOST_FAILURES = 3  # of them, before the others are left out
LEAST_SECONDS = 10.0  # that there must be left for one
REFERENCE_FLOPS = 5e9  # a second, of the reference in float64
GRADIENT = "_grad"  # torch has kernels for gradients, which the operations of one are not
SHIM_SIZE = 64  # of large matrices, on the CPU
SHIM_STEP = 9  # which products of warpgroups it does


@dataclass(frozen=True)
class Session:
    """The time with a card, and what it has told so far."""

    worker: Worker
    kind: str  # "card" or "shim"
    report: Report
    start: float
    end: float
    has_torch: bool
    has_warpgroups: bool

    @property
    def left(self) -> float:
        return self.end - time.monotonic()

    def ask(
        self, failures: list[str], what: str, job: Callable[[], T], seconds: float = JOB_SECONDS
    ) -> T | None:
        """A job's result; what goes wrong is noted, and so is what there is no time for."""
        if self.left < LEAST_SECONDS:
            self.report.left_out.append(what)
            return None
        try:
            return self.worker.do(job, min(seconds, self.left))
        except JobError as error:
            failures.append(f"{what}: {error}")
            return None


def ceilings(session: Session, wrappers: Path) -> Iterator[None]:
    """The wrappers, and what the card does at best."""
    report, kind = session.report, session.kind
    found = session.ask(report.failures, "wrappers", partial(jobs.wrappers, kind, wrappers))
    report.wrappers = found or ""
    yield
    report.copy_bandwidth = session.ask(report.failures, "copies", partial(jobs.bandwidth, kind))
    size = SHIM_SIZE if kind == "shim" else None
    for factors in FACTORS:
        job = partial(jobs.peak, kind, factors, size)
        peak = session.ask(report.failures, f"products of {factors}", job)
        if peak is not None:
            report.peaks[factors] = peak
        yield


def products(session: Session) -> Iterator[None]:
    """Each product of warpgroups. Where several fail, so would the others."""
    report, before = session.report, len(session.report.failures)
    cases = GROUP_CASES[:: SHIM_STEP if session.kind == "shim" else 1]
    for case in cases:
        if len(report.failures) - before == MOST_FAILURES:
            report.left_out.append(f"{case.name} and what comes after it")
            break
        job = partial(jobs.is_exact, session.kind, case.name)
        exact = session.ask(report.failures, case.name, job, PRODUCT_SECONDS)
        if exact is not None:
            report.products[case.name] = exact
        yield


def time_it(session: Session, line: Line) -> None:
    """The time of a function, and by torch."""
    job = partial(jobs.times, session.kind, line.name)
    times = session.ask(line.failures, f"times of {line.name}", job)
    if times is not None:
        note_times(session.report, line, times)
    beside(session, line, "torch")


def check_it(session: Session, line: Line, flops: int) -> None:
    """The error of a function."""
    seconds = JOB_SECONDS + flops / REFERENCE_FLOPS
    job = partial(jobs.checked, session.kind, line.name)
    checked = session.ask(line.failures, f"error of {line.name}", job, seconds)
    if checked is not None:
        line.error, line.allowed = checked.error, checked.allowed


def note_times(report: Report, line: Line, times: jobs.Times) -> None:
    """Times, and how near they are to what the card's ceilings allow."""
    line.seconds, line.kernels = times.seconds, times.kernels
    line.gigabytes = times.moved / times.seconds / 1e9
    line.gflops = times.flops / times.seconds / 1e9 if times.flops else None
    peak = report.peaks.get(times.factors)
    if report.copy_bandwidth is not None and peak is not None:
        least = max(times.moved / report.copy_bandwidth, times.flops / peak.flops)
        line.share = least / times.seconds


def beside(session: Session, line: Line, runtime: str) -> None:
    """The time of a function by torch, where there is one."""
    if not session.has_torch or line.name.endswith(GRADIENT):
        return
    job = partial(jobs.torch_seconds, session.kind, runtime, line.name)
    taken = session.ask(session.report.not_compared, f"{runtime} of {line.name}", job)
    if taken is not None:
        line.others[runtime] = taken


def work_on(session: Session, functions: Sequence[Function], wrappers: Path) -> Iterator[None]:
    """Do it all, a step at a time."""
    yield from ceilings(session, wrappers)
    if session.has_warpgroups:
        yield from products(session)
    work = {fn.name: matrix_flops(fn) for fn in functions}
    lines = [Line(name) for name in work]
    for line in lines:
        session.report.lines.append(line)
        time_it(session, line)
        yield
    for line in sorted(lines, key=lambda line: work[line.name]):  # those last that may take long
        check_it(session, line, work[line.name])
        yield
    for line in lines:
        beside(session, line, "torch-compile")
        yield


def look(worker: Worker, args: Namespace, functions: Sequence[Function]) -> tuple[Report, Path]:
    """All that there is to tell, written again after each step, should the time run out."""
    start = time.monotonic()
    about = worker.do(partial(jobs.about, args.device), JOB_SECONDS)
    report = Report(about.name, about.target, date.today().isoformat())
    end = start + args.seconds
    session = Session(
        worker, args.device, report, start, end, about.has_torch, about.has_warpgroups
    )
    wrappers = GOLDEN if args.record else args.output / "wrappers.npz"
    for _ in work_on(session, functions, wrappers):
        report.seconds = time.monotonic() - start
        write(report, args.output)
    return report, write(report, args.output)


def arguments(argv: Sequence[str]) -> Namespace:
    parser = ArgumentParser(prog="on_card", description=__doc__)
    parser.add_argument("--device", choices=("card", "shim"), default="card")
    parser.add_argument("--seconds", type=float, default=450.0, help="to be done in (450)")
    parser.add_argument("--output", type=Path, default=Path("."), help="a folder for the results")
    parser.add_argument("--only", default="", metavar="PATTERN", help="functions of these names")
    parser.add_argument("--record", action="store_true", help="renew the golden files")
    args = parser.parse_args(argv)
    args.output.mkdir(parents=True, exist_ok=True)
    return args


def main(argv: Sequence[str]) -> int:
    args = arguments(argv)
    every = EXAMPLES if args.device == "shim" else USUAL
    worker = Apart()
    try:
        report, place = look(worker, args, [fn for fn in every if re.search(args.only, fn.name)])
    except JobError as error:  # without a card there is nothing to tell
        print(f"on_card: {error}", file=sys.stderr)
        return 1
    finally:
        worker.close()
    print(place.read_text())
    return 0 if report.is_right else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
