"""Compile a small trained network that reads handwritten digits, and watch every step.

Nothing is downloaded: the weights and the images are part of the package.
"""

from __future__ import annotations

import statistics
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable

import numpy as np

from ..compile import Executable
from ..compile import compile as compile_function
from ..demo.assets import load
from ..demo.model import digits
from ..dsl.specialise import specialise
from ..interpreter import evaluate
from ..ir import Function
from ..passes.manager import Record
from ..types import Array
from .layout import elided, memory_text, seconds_text, shortened, table

BATCH = 64
GRAPH_LINES = 40
FUSED_LINES = 60
RUNS = 20


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--batch", type=int, default=BATCH, metavar="N", help=f"images a call ({BATCH})")
    parser.add_argument("--threads", type=int, metavar="N", help="threads to run with")
    parser.add_argument("--full", action="store_true", help="print the IR whole")


def run(args: Namespace) -> int:
    fn, assets = digits(), load()
    limit = (10**9, 10**9) if args.full else (GRAPH_LINES, FUSED_LINES)
    _title("1. The network as traced from Python: mlir_lite/demo/model.py")
    print(shortened(elided(str(fn)), limit[0]))

    records: list[Record] = []
    static = specialise(fn, {"batch": args.batch})
    executable = compile_function(
        static, threads=args.threads, observe=lambda record, _: records.append(record)
    )
    _title(f"2. What each pass changed (batch = {args.batch})")
    print(_passes(records))

    _title("3. After the passes: every group becomes one kernel")
    print(shortened(elided(executable.stages["fused"]), limit[1]))

    _title("4. Memory: one arena for everything between kernels")
    print(memory_text(executable.program))

    _title("5. Machine code")
    print(_compilation(executable))

    _title("6. Run on images that were not in training")
    print(_runs(fn, static, executable, assets.images, assets.labels, args.batch))
    return 0


def _title(text: str) -> None:
    print(f"\n{text}\n{'-' * len(text)}")


def _passes(records: list[Record]) -> str:
    rows = [("pass", "time", "operations that came (+) and went (-)")]
    for record in records:
        rows.append((record.name, seconds_text(record.seconds), record.summary() or "."))
    return table(rows, right=(1,))


def _compilation(executable: Executable) -> str:
    seconds = executable.compile_seconds
    rows = [(name, seconds_text(took)) for name, took in seconds.items()]
    rows.append(("in all", seconds_text(sum(seconds.values()))))
    kernels = len(executable.program.kernels)
    lines = {name: executable.stages[name].count("\n") for name in ("tile", "llvm")}
    note = (
        f"  {kernels} kernels: {lines['tile']} lines of Tile IR, {lines['llvm']} of LLVM IR\n"
        "  (kept in a cache, so that a second run skips most of `codegen`)"
    )
    return f"{table(rows, right=(1,))}\n{note}"


def _runs(
    fn: Function,
    static: Function,
    executable: Executable,
    images: Array,
    labels: Array,
    batch: int,
) -> str:
    """Accuracy over all images, then the time of one batch, compiled and interpreted."""
    everything = np.argmax(np.asarray(compile_function(fn)(images)), axis=1)
    correct = int(np.sum(everything == labels))
    sample = np.resize(images, (batch, *images.shape[1:]))
    have, want = np.asarray(executable(sample)), np.asarray(evaluate(static, sample))
    compiled = _median(lambda: executable(sample), RUNS)
    interpreted = _median(lambda: evaluate(static, sample), 3)
    difference = float(np.max(np.abs(have - want)) / np.max(np.abs(want)))
    rows = [
        ("accuracy", f"{correct / len(labels):.1%}", f"{correct} of {len(labels)} images"),
        ("compiled", seconds_text(compiled), f"for a batch of {batch}"),
        ("interpreted", seconds_text(interpreted), f"in NumPy: {interpreted / compiled:.0f}x"),
        ("difference", f"{difference:.1e}", "of the largest score, compiled to interpreted"),
    ]
    return table(rows, right=(1,))


def _median(call: Callable[[], object], runs: int) -> float:
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)
