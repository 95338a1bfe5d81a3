"""`mlir-lite bench --target cuda`: times by the card's own clock, beside what the card allows."""

from __future__ import annotations

import json
import statistics
import time
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from ..backends.cuda.device_array import DeviceArray
from ..backends.cuda.executable import CudaExecutable
from ..backends.cuda.timing import copy_bandwidth, kernel_seconds, run_seconds
from ..compilation import backend_of, compile_static
from ..errors import UnsupportedError, check
from ..ir import Function
from ..location import UNKNOWN
from ..target import Target
from ..text import table
from ..tile.program import Program
from ..types import Array
from .compile import options
from .counting import matrix_flops, step_works
from .layout import seconds_text
from .model import load_static
from .run import inputs_for
from .step_times import Line, kernel_lines


@dataclass(frozen=True)
class CardFigures:
    """A function on a card; seconds a call, and of a run on the card with its quartiles."""

    card: str
    target: str
    copy_bandwidth: float
    call_seconds: float
    run_seconds: float
    quartiles: tuple[float, float]
    gflops: float | None
    lines: Sequence[Line]


def run(args: Namespace) -> int:
    """The command, for targets that are cards."""
    check(
        args.against is None and args.threads is None,
        "--against and --threads are of CPUs; a card is compared with others by "
        "`python -m gpu.on_card` in tests/backends",
        UnsupportedError,
    )
    loaded = load_static(args)
    fn, arrays = loaded.function, inputs_for(loaded, {}, args.seed)
    executable = compile_static(fn, args.target, None, options(args))
    assert isinstance(executable, CudaExecutable)
    target = backend_of(args.target, precision=args.precision).target
    figures = measure(executable, target, arrays, args.repeat, matrix_flops(fn))
    if args.json:
        derived = ("gflops", "gigabytes", "share")
        lines = [
            asdict(line) | {name: getattr(line, name) for name in derived}
            for line in figures.lines
        ]
        print(json.dumps({"file": args.file, **asdict(figures), "lines": lines}, indent=2))
    else:
        print(_text(fn, figures))
    return 0


def measure(
    executable: CudaExecutable,
    target: Target,
    arrays: Sequence[Array],
    repeat: int,
    flops: int = 0,
) -> CardFigures:
    """Times of an executable. Arithmetic is held against the target's figure, bytes against what
    the card's own copies reach."""
    loaded = executable.loaded()
    bandwidth = copy_bandwidth(loaded.device)
    runs = run_seconds(loaded, arrays, target.l2_bytes, repeat)
    kernels = kernel_seconds(loaded, arrays, target.l2_bytes, repeat)
    low, high = np.percentile(runs, (25, 75))
    seconds = statistics.median(runs)
    lines = [
        Line(
            kernel=line.kernel,
            label=line.label,
            source=line.source,
            count=line.count,
            seconds=kernels.get(line.kernel, 0.0),
            operations=line.operations,
            bytes=line.bytes,
            compute_seconds=line.operations / target.peak_flops,
            data_seconds=line.bytes / bandwidth,
            place="memory",
        )
        for line in _works(executable.program)
    ]
    return CardFigures(
        loaded.device.name,
        target.name,
        bandwidth,
        _call_seconds(executable, arrays, repeat),
        seconds,
        (float(low), float(high)),
        flops / seconds / 1e9 if flops else None,
        sorted(lines, key=lambda line: -line.seconds),
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
    quartiles = "-".join(seconds_text(entry).replace(" ", "") for entry in figures.quartiles)
    rate = "" if figures.gflops is None else f", {figures.gflops:.0f} GFLOP/s of matrix work"
    head = ("time", "count", "GFLOP/s", "GB/s", "bound by", "of limit", "kernel", "source")
    rows = [
        (
            seconds_text(line.seconds),
            str(line.count),
            f"{line.gflops:.0f}",
            f"{line.gigabytes:.0f}",
            line.bound,
            f"{line.share:.0%}",
            line.kernel,
            line.source,
        )
        for line in figures.lines
    ]
    return "\n".join(
        [
            f"@{fn.name}({inputs})",
            f"{figures.card} as {figures.target}; its own copies: "
            f"{figures.copy_bandwidth / 1e9:.0f} GB/s",
            f"on the card {seconds_text(figures.run_seconds)} ({quartiles}), arrays from memory"
            f"{rate}; a call from Python {seconds_text(figures.call_seconds)}",
            "",
            "each kernel alone, from memory:",
            table([head, *rows], right=range(4), indent=""),
        ]
    )
