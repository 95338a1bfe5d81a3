"""Time a model, alone or against another runtime, in turn and on the same inputs.

  mlir-lite bench model.onnx --shape x=1x3x48x192 --against onnxruntime --threads 1,2
  mlir-lite bench model.mlir --against torch,torch-compile

A time is the median over rounds of blocks of calls; in each round every runtime has its block.
PyTorch runs the function as `ml.to_torch` writes it: each operation by calls of torch's own, which
torch-compile then puts together.
GFLOP/s count the multiplications and additions of matrix products and convolutions as the model
has them, whatever algorithm runs. A ratio above 1 means that mlir-lite is faster.

Of a card (--target cuda) the times are by its own clock, of runs that take turns on arrays together
larger than its cache; below stands each kernel alone, beside what the card allows. There torch and
torch-compile alone can be compared with.
"""

from __future__ import annotations

import json
import statistics
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np

from ..backends.llvm.machine.threads import default_threads
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
from .model import Loaded, add_model_arguments, load_model, load_static, natural, pairs, positive
from .run import inputs_for
from .runners import FILE_RUNTIMES, OURS, Apart, Call, Here, Runner, in_turn, relative_error
from .torch_runner import TORCH_RUNTIMES, torch_call

RUNTIMES = (*FILE_RUNTIMES, *TORCH_RUNTIMES, "numpy")


def add_arguments(parser: ArgumentParser) -> None:
    add_model_arguments(parser)
    add_compile_arguments(parser)
    parser.add_argument(
        "--against", metavar="NAME,NAME", type=_runtimes, default=(),
        help=f"compare with others: {', '.join(RUNTIMES)} (our own interpreter)",
    )  # fmt: skip
    parser.add_argument(
        "--threads", metavar="N,N", type=_thread_counts, help="thread counts, one after the other"
    )
    parser.add_argument("--repeat", type=positive, default=15, metavar="N", help="rounds (15)")
    parser.add_argument("--seed", type=natural, default=0, help="of the made-up inputs (0)")
    parser.add_argument("--json", action="store_true", help="print JSON")


@dataclass(frozen=True)
class Other:
    """Another runtime's part of a line; seconds a call, quartiles beside the median."""

    name: str
    seconds: float
    quartiles: tuple[float, float]
    ratio: float
    error: float  # largest difference of our results, relative to the largest element


@dataclass(frozen=True)
class Figures:
    """One line of the report; seconds a call, quartiles beside the median."""

    threads: int
    compile_seconds: float
    seconds: float
    quartiles: tuple[float, float]
    gflops: float | None
    others: tuple[Other, ...]


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


def _runtimes(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(text.split(",")))
    for name in names:
        if name not in RUNTIMES:
            raise ArgumentTypeError(f"there is no '{name}' to compare with: {', '.join(RUNTIMES)}")
    return names


def _measure(
    args: Namespace, loaded: Loaded, arrays: Sequence[Array], flops: int, threads: int
) -> Figures:
    executable = compile_function(
        loaded.function,
        args.target,
        threads,
        verify=args.verify,
        winograd=winograd(args),
        strassen=args.strassen,
        precision=args.precision,
        tune=args.tune,
    )
    runners: dict[str, Runner] = {OURS: Here(lambda: results_of(executable(*arrays)))}
    with ExitStack() as ended:
        for name in args.against:
            runners[name] = other = _other(name, args, loaded, arrays, threads)
            if isinstance(other, Apart):
                ended.callback(other.close)
        times = in_turn(runners, args.repeat)
        results = {name: runner.results() for name, runner in runners.items()}
    seconds = {name: statistics.median(taken) for name, taken in times.items()}
    return Figures(
        threads,
        sum(executable.compile_seconds.values()),
        seconds[OURS],
        _quartiles(times[OURS]),
        flops / seconds[OURS] / 1e9 if flops else None,
        tuple(
            Other(
                name,
                seconds[name],
                _quartiles(times[name]),
                seconds[name] / seconds[OURS],
                relative_error(results[OURS], results[name]),
            )
            for name in args.against
        ),
    )


def _other(
    name: str, args: Namespace, loaded: Loaded, arrays: Sequence[Array], threads: int
) -> Runner:
    """A runtime to compare with."""
    if name == "numpy":
        return Here(lambda: results_of(evaluate(loaded.function, *arrays)))
    if name in TORCH_RUNTIMES:
        return Apart(name, _torch(name, args, arrays, threads))
    check(
        args.file.lower().endswith(".onnx"),
        f"{name} runs .onnx files only; --against torch, torch-compile and numpy run any function",
        UnsupportedError,
    )
    check(not args.value, f"--value cannot be given to {name}", UnsupportedError)
    by_param = {param: name for name, param in loaded.names.items()}
    params = loaded.function.params
    feeds = {by_param[param.name]: array for param, array in zip(params, arrays, strict=True)}
    make = partial(
        FILE_RUNTIMES[name], args.file, threads, feeds, list(loaded.outputs),
        precision=args.precision,
    )  # fmt: skip
    return Apart(name, make)


def _torch(name: str, args: Namespace, arrays: Sequence[Array], threads: int) -> Callable[[], Call]:
    """Makes the call by torch, in a process of its own, which reads the file again."""
    check(args.file != "-", f"{name} needs a file, not the standard input", UnsupportedError)
    sizes, values = pairs(args.shape, "--shape"), pairs(args.value, "--value")
    load = partial(load_model, args.file, sizes, values)
    return partial(torch_call, name, load, arrays, threads, args.precision)


def _quartiles(times: Sequence[float]) -> tuple[float, float]:
    low, high = np.percentile(times, (25, 75))
    return float(low), float(high)


def _print(args: Namespace, fn: Function, flops: int, lines: Sequence[Figures]) -> None:
    inputs = ", ".join(f"{param.name} {param.type}" for param in fn.params)
    print(f"@{fn.name}({inputs}): {flops / 1e9:.4g} GFLOP of matrix work a call\n")
    head = ["threads", "compile", OURS, "quartiles", "GFLOP/s"]
    for name in args.against:
        head += [name, "quartiles", "ratio", "error"]
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
    for other in line.others:
        row += [seconds_text(other.seconds), _range(other.quartiles)]
        row += [f"{other.ratio:.2f}", f"{other.error:.1e}"]
    return row


def _range(quartiles: tuple[float, float]) -> str:
    return "-".join(seconds_text(entry).replace(" ", "") for entry in quartiles)
