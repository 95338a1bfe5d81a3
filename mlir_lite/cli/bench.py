"""Time a model, alone or against another runtime, in turn and on the same inputs.

  mlir-lite bench model.onnx --shape x=1x3x48x192 --against onnxruntime --threads 1,2

A time is the median over rounds of blocks of calls; in each round every runtime has its block.
GFLOP/s count the multiplications and additions of matrix products and convolutions as the model
has them, whatever algorithm runs. A ratio above 1 means that mlir-lite is faster.

Of a card (--target cuda) the times are by its own clock, of runs that take turns on arrays together
larger than its cache; below stands each kernel alone, beside what the card allows.
"""

from __future__ import annotations

import json
import statistics
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import partial

import numpy as np

from ..backends.llvm.threads import default_threads
from ..driver import compile as compile_function
from ..errors import UnsupportedError, check
from ..interpreter import evaluate
from ..ir import Function, results_of
from ..text import table
from ..types import Array
from . import bench_card
from .compile import add_compile_arguments, winograd
from .counting import matrix_flops
from .layout import seconds_text
from .model import Loaded, add_model_arguments, load_static, positive
from .run import inputs_for
from .runners import FILE_RUNTIMES, Apart, Here, Runner, in_turn


def add_arguments(parser: ArgumentParser) -> None:
    add_model_arguments(parser)
    add_compile_arguments(parser)
    parser.add_argument(
        "--against", choices=(*FILE_RUNTIMES, "numpy"),
        help="compare with another runtime of .onnx files, or with our own NumPy interpreter",
    )  # fmt: skip
    parser.add_argument(
        "--threads", metavar="N,N", type=_thread_counts, help="thread counts, one after the other"
    )
    parser.add_argument("--repeat", type=positive, default=15, metavar="N", help="rounds (15)")
    parser.add_argument("--seed", type=int, default=0, help="of the made-up inputs (0)")
    parser.add_argument("--json", action="store_true", help="print JSON")


@dataclass(frozen=True)
class Figures:
    """One line of the report; seconds a call, quartiles beside the medians."""

    threads: int
    compile_seconds: float
    seconds: float
    quartiles: tuple[float, float]
    gflops: float | None
    other_seconds: float | None = None
    other_quartiles: tuple[float, float] | None = None
    ratio: float | None = None
    error: float | None = None  # largest difference, relative to the largest element


def run(args: Namespace) -> int:
    if args.target.partition(":")[0] == "cuda":
        return bench_card.run(args)
    loaded = load_static(args)
    arrays = inputs_for(loaded, {}, args.seed)
    flops = matrix_flops(loaded.function)
    counts = args.threads or [default_threads()]
    lines = [_measure(args, loaded, arrays, flops, count) for count in counts]
    if args.json:
        report = {
            "file": args.file,
            "function": loaded.function.name,
            "inputs": {param.name: str(param.type) for param in loaded.function.params},
            "flops": flops,
            "against": args.against,
            "measured": [asdict(line) for line in lines],
        }
        print(json.dumps(report, indent=2))
    else:
        _print(args, loaded.function, flops, lines)
    return 0


def _thread_counts(text: str) -> list[int]:
    return [positive(part) for part in text.split(",")]


def _measure(
    args: Namespace, loaded: Loaded, arrays: Sequence[Array], flops: int, threads: int
) -> Figures:
    executable = compile_function(
        loaded.function,
        args.target,
        threads,
        verify=args.verify,
        winograd=winograd(args),
        precision=args.precision,
        tune=args.tune,
    )
    runners: dict[str, Runner] = {"mlir-lite": Here(lambda: results_of(executable(*arrays)))}
    with ExitStack() as ended:
        if args.against is not None:
            runners[args.against] = other = _other(args, loaded, arrays, threads)
            if isinstance(other, Apart):
                ended.callback(other.close)
        times = in_turn(runners, args.repeat)
        results = {name: runner.results() for name, runner in runners.items()}
    own = times["mlir-lite"]
    figures = Figures(
        threads,
        sum(executable.compile_seconds.values()),
        statistics.median(own),
        _quartiles(own),
        flops / statistics.median(own) / 1e9 if flops else None,
    )
    if args.against is None:
        return figures
    theirs = times[args.against]
    return replace(
        figures,
        other_seconds=statistics.median(theirs),
        other_quartiles=_quartiles(theirs),
        ratio=statistics.median(theirs) / figures.seconds,
        error=relative_error(results["mlir-lite"], results[args.against]),
    )


def _other(args: Namespace, loaded: Loaded, arrays: Sequence[Array], threads: int) -> Runner:
    """The runtime to compare with."""
    if args.against == "numpy":
        return Here(lambda: results_of(evaluate(loaded.function, *arrays)))
    check(
        args.file.lower().endswith(".onnx"),
        f"{args.against} runs .onnx files only; --against numpy compares with the interpreter",
        UnsupportedError,
    )
    check(not args.value, f"--value cannot be given to {args.against}", UnsupportedError)
    by_param = {param: name for name, param in loaded.names.items()}
    params = loaded.function.params
    feeds = {by_param[param.name]: array for param, array in zip(params, arrays, strict=True)}
    make = partial(
        FILE_RUNTIMES[args.against], args.file, threads, feeds, list(loaded.outputs),
        precision=args.precision,
    )  # fmt: skip
    return Apart(args.against, make)


def _quartiles(times: Sequence[float]) -> tuple[float, float]:
    low, high = np.percentile(times, (25, 75))
    return float(low), float(high)


def relative_error(have: Sequence[Array], want: Sequence[Array]) -> float:
    """The largest difference over all results, relative to each result's largest element."""
    worst = 0.0
    for ours, theirs in zip(have, want, strict=True):
        if ours.size:
            wide = np.asarray(theirs).astype(np.float64)
            difference = float(np.max(np.abs(ours.astype(np.float64) - wide)))
            worst = max(worst, difference / (float(np.max(np.abs(wide))) or 1.0))
    return worst


def _print(args: Namespace, fn: Function, flops: int, lines: Sequence[Figures]) -> None:
    inputs = ", ".join(f"{param.name} {param.type}" for param in fn.params)
    print(f"@{fn.name}({inputs}): {flops / 1e9:.4g} GFLOP of matrix work a call\n")
    head = ["threads", "compile", "mlir-lite", "quartiles", "GFLOP/s"]
    if args.against is not None:
        head += [args.against, "quartiles", "ratio", "error"]
    rows = [head, *map(_row, lines)]
    print(table(rows, right=range(len(head)), indent=""))


def _row(line: Figures) -> list[str]:
    row = [
        str(line.threads),
        seconds_text(line.compile_seconds),
        seconds_text(line.seconds),
        _range(line.quartiles),
        "-" if line.gflops is None else f"{line.gflops:.1f}",
    ]
    if line.other_seconds is not None and line.other_quartiles is not None:
        row += [seconds_text(line.other_seconds), _range(line.other_quartiles)]
        row += [f"{line.ratio:.2f}", f"{line.error:.1e}"]
    return row


def _range(quartiles: tuple[float, float]) -> str:
    return "-".join(seconds_text(entry).replace(" ", "") for entry in quartiles)
