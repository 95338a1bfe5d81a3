"""`mlir-lite bench --target cuda`: times by the card's own clock, beside what the card allows.

Arithmetic is held against products of large matrices with the same factors, bytes against the
card's own copies, all measured on the card.
"""

from __future__ import annotations

import json
import statistics
import time
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial

import numpy as np

from ..backends.cuda.card.device_array import DeviceArray
from ..backends.cuda.card.runner import Loaded
from ..backends.cuda.card.timing import Runs, copy_bandwidth, kernel_seconds
from ..backends.cuda.executable import CudaExecutable
from ..compilation import compile_static
from ..errors import UnsupportedError, check
from ..ir import Function, results_of
from ..location import UNKNOWN
from ..options import backend_of
from ..text import table
from ..tile.program import Program
from ..types import Array
from .card_ceilings import ProductPeak, factors_of, measure_peak
from .compile import options
from .counting import matrix_flops, step_works
from .layout import seconds_text
from .model import load_static
from .run import inputs_for
from .runners import OURS, relative_error
from .step_times import Line, kernel_lines
from .torch_card import Sampled, TorchRuns
from .torch_runner import TORCH_RUNTIMES


@dataclass(frozen=True)
class Taken:
    """What a function takes: seconds of a run on the card, with quartiles, and of a call."""

    run_seconds: float
    quartiles: tuple[float, float]
    call_seconds: float


@dataclass(frozen=True)
class OtherTaken(Taken):
    """What it takes by torch."""

    name: str
    is_graph: bool  # whether a run was launched as one
    ratio: float
    error: float  # largest difference of our results, relative to the largest element


@dataclass(frozen=True)
class CardFigures:
    """A function on a card, beside the card's ceilings."""

    card: str
    target: str
    copy_bandwidth: float
    peaks: Mapping[str, ProductPeak]
    ours: Taken
    flops: int  # of matrix work, whatever the algorithm
    others: Sequence[OtherTaken]
    factors: Mapping[str, str]  # of each kernel: what its arithmetic is held against
    lines: Sequence[Line]


def run(args: Namespace) -> int:
    """The command, for targets that are cards."""
    for name in args.against:
        known = name in TORCH_RUNTIMES
        have = " and ".join(TORCH_RUNTIMES)
        check(known, f"{name} does not run on cards here; {have} do", UnsupportedError)
    check(args.threads is None, "--threads are of CPUs", UnsupportedError)
    loaded = load_static(args)
    fn, arrays = loaded.function, inputs_for(loaded, {}, args.seed)
    figures = measure(_compiled(args, fn, args.precision), fn, arrays, args)
    if args.json:
        derived = ("gflops", "gigabytes", "bound", "share")
        lines = [
            asdict(line) | {name: getattr(line, name) for name in derived} for line in figures.lines
        ]
        print(json.dumps({"file": args.file, **asdict(figures), "lines": lines}, indent=2))
    else:
        print(_text(fn, figures))
    return 0


def _compiled(args: Namespace, fn: Function, precision: str) -> CudaExecutable:
    """The executable, on the card: without one this is where it ends."""
    executable = compile_static(fn, args.target, None, replace(options(args), precision=precision))
    assert isinstance(executable, CudaExecutable)
    executable.loaded()
    return executable


def _loaded(args: Namespace, fn: Function, precision: str) -> Loaded:
    return _compiled(args, fn, precision).loaded()


def measure(
    executable: CudaExecutable, fn: Function, arrays: Sequence[Array], args: Namespace
) -> CardFigures:
    """Times of an executable, and of the function by others; and the card's own ceilings, which
    each kernel is held against."""
    target = backend_of(args.target, precision=args.precision).target
    loaded, cache = executable.loaded(), target.l2_bytes
    others = {name: TorchRuns(name, fn, arrays, args.precision, cache) for name in args.against}
    samples = sampled({OURS: Runs(loaded, arrays, cache), **others}, args.repeat)
    ours = Taken(*_median(samples[OURS]), _call_seconds(executable, arrays, args.repeat))
    program = executable.program
    factors = {call.kernel: factors_of(program.kernel(call.kernel)) for call in program.calls}
    load = partial(_loaded, args)
    peaks = {
        kind: measure_peak(kind, load, cache, args.repeat) for kind in sorted({*factors.values()})
    }
    bandwidth = copy_bandwidth(loaded.device)
    kernels = kernel_seconds(loaded, arrays, cache, args.repeat)
    rates = {name: peaks[kind].flops for name, kind in factors.items()}
    return CardFigures(
        loaded.device.name,
        target.name,
        bandwidth,
        peaks,
        ours,
        matrix_flops(fn),
        [
            _other(name, runs, samples[name], ours, results_of(executable(*arrays)))
            for name, runs in others.items()
        ],
        factors,
        _held_against(_works(program), kernels, rates, bandwidth),
    )


def _held_against(
    works: Sequence[Line],
    seconds: Mapping[str, float],
    flops: Mapping[str, float],
    bandwidth: float,
) -> list[Line]:
    """The work of each kernel with its time and what it takes at least, the slowest first."""
    lines = [
        replace(
            work,
            seconds=seconds.get(work.kernel, 0.0),
            compute_seconds=work.operations / flops[work.kernel],
            data_seconds=work.bytes / bandwidth,
            place="memory",
        )
        for work in works
    ]
    return sorted(lines, key=lambda line: -line.seconds)


def sampled(runs: Mapping[str, Sampled], repeat: int) -> Mapping[str, list[float]]:
    """Seconds of runs of each, a sample a round, measured in turn."""
    rounds = [{name: each.sample() for name, each in runs.items()} for _ in range(repeat)]
    return {name: [found[name] for found in rounds] for name in runs}


def _median(samples: Sequence[float]) -> tuple[float, tuple[float, float]]:
    """And the quartiles."""
    low, high = np.percentile(samples, (25, 75))
    return statistics.median(samples), (float(low), float(high))


def _other(
    name: str, runs: TorchRuns, samples: Sequence[float], ours: Taken, results: Sequence[Array]
) -> OtherTaken:
    seconds, quartiles = _median(samples)
    calls = [runs.call_seconds() for _ in samples]
    return OtherTaken(
        seconds,
        quartiles,
        statistics.median(calls),
        name,
        runs.is_graph,
        seconds / ours.run_seconds,
        relative_error(results, runs.results()),
    )


def _call_seconds(executable: CudaExecutable, arrays: Sequence[Array], repeat: int) -> float:
    """Of a call from Python on arrays that are on the card, to its end."""
    loaded = executable.loaded()
    loaded.device.enter()
    stream = loaded.device.stream()
    given = [DeviceArray.upload(array, loaded.device, stream) for array in arrays]
    samples = []
    for _ in range(repeat + 2):
        start = time.perf_counter()
        results = executable(*given, stream=stream.handle)
        stream.synchronise()
        samples.append(time.perf_counter() - start)
        del results
    return statistics.median(samples[2:])


def _works(program: Program) -> list[Line]:
    """What each kernel does in a run."""
    steps = [
        Line(
            step.kernel,
            step.label,
            "" if step.location == UNKNOWN else str(step.location),
            1, 0.0, work.operations, work.bytes, 0.0, 0.0, "",
        )
        for step, work in zip(program.calls, step_works(program), strict=True)
    ]  # fmt: skip
    return kernel_lines(steps)


def _text(fn: Function, figures: CardFigures) -> str:
    inputs = ", ".join(f"{param.name} {param.type}" for param in fn.params)
    return "\n".join(
        [
            f"@{fn.name}({inputs})",
            f"{figures.card} as {figures.target}, {_ceilings(figures)}",
            "",
            _whole_text(figures),
            "",
            "each kernel alone, from memory:",
            _kernels_text(figures),
        ]
    )


def _ceilings(figures: CardFigures) -> str:
    peaks = [
        f"{peak.factors} {peak.flops / 1e12:.4g} TFLOP/s ({peak.by}, {peak.size}x{peak.size})"
        for peak in figures.peaks.values()
    ]
    return (
        f"measured: its own copies {figures.copy_bandwidth / 1e9:.0f} GB/s; "
        f"products of {', '.join(peaks)}"
    )


def _whole_text(figures: CardFigures) -> str:
    """The function by each, a line each."""
    rows = [("", "on the card", "quartiles", "GFLOP/s", "a call from Python", "ratio", "error", "")]
    for name, taken in ((OURS, figures.ours), *((other.name, other) for other in figures.others)):
        low, high = (seconds_text(entry).replace(" ", "") for entry in taken.quartiles)
        rate = f"{figures.flops / taken.run_seconds / 1e9:.0f}" if figures.flops else "-"
        beside = ("", "", "")
        if isinstance(taken, OtherTaken):
            how = "" if taken.is_graph else "not as a graph"
            beside = (f"{taken.ratio:.2f}", f"{taken.error:.1e}", how)
        times = seconds_text(taken.run_seconds), f"{low}-{high}", rate
        rows.append((name, *times, seconds_text(taken.call_seconds), *beside))
    return table(rows, right=range(1, 7), indent="")


def _kernels_text(figures: CardFigures) -> str:
    head = ("time", "count", "GFLOP/s", "GB/s", "bound by", "of limit", "kernel", "source")
    rows = [
        (
            seconds_text(line.seconds),
            str(line.count),
            f"{line.gflops:.0f}",
            f"{line.gigabytes:.0f}",
            _bound(line, figures.factors[line.kernel]),
            f"{line.share:.0%}",
            line.kernel,
            line.source,
        )
        for line in figures.lines
    ]
    return table([head, *rows], right=range(4), indent="")


def _bound(line: Line, factors: str) -> str:
    return f"{line.bound} ({factors})" if line.bound == "compute" else line.bound
