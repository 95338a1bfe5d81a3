"""Compile a small trained network that reads handwritten digits, and watch every step.

Nothing is downloaded: the weights and the images are part of the package.
"""

from __future__ import annotations

import statistics
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable

import numpy as np

from ..demo.assets import load
from ..demo.model import digits
from ..driver import Executable
from ..driver import compile as compile_function
from ..dsl.specialise import specialise
from ..interpreter import evaluate
from ..ir import Function
from ..passes.manager import Record
from ..sizes import round_up
from ..text import table
from ..types import Array
from .layout import elided, memory_text, seconds_text, shortened
from .model import positive

BATCH = 64
LINES = 65  # of one function
RUNS = 20


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--batch", type=positive, default=BATCH, metavar="N", help=f"images a call ({BATCH})"
    )
    parser.add_argument("--threads", type=positive, metavar="N", help="threads to run with")
    parser.add_argument("--full", action="store_true", help="print the IR whole")


def run(args: Namespace) -> int:
    fn, assets = digits(), load()
    _title("1. The network as traced from Python: mlir_lite/demo/model.py")
    print(_ir(str(fn), args.full))

    records: list[Record] = []
    static = specialise(fn, {"batch": args.batch})
    executable = compile_function(
        static, threads=args.threads, observe=lambda record, _: records.append(record)
    )
    _title(f"2. What each pass changed (batch = {args.batch})")
    print(_passes(records))

    _title("3. After the passes: every group becomes one kernel")
    print(_ir(executable.stages["fused"], args.full))

    _title("4. Memory: one arena for everything between kernels")
    print(memory_text(executable.program))

    _title("5. Machine code")
    print(_compilation(executable))

    _title("6. Run on images that were not in training")
    print(_runs(static, executable, assets.images, assets.labels))
    return 0


def _title(text: str) -> None:
    print(f"\n{text}\n{'-' * len(text)}")


def _ir(text: str, full: bool) -> str:
    return text if full else shortened(elided(text), LINES)


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


def _runs(static: Function, executable: Executable, images: Array, labels: Array) -> str:
    """Accuracy over all images, then the time of one batch, compiled and interpreted."""
    batch = int(static.params[0].type.static_shape[0])
    # The last batch is filled up with the first images.
    count = round_up(len(images), batch)
    filled = np.resize(images, (count, *images.shape[1:])).reshape(-1, batch, *images.shape[1:])
    scores = np.concatenate([np.asarray(executable(part)) for part in filled])[: len(images)]
    correct = int(np.sum(np.argmax(scores, axis=1) == labels))
    have, want = np.asarray(executable(filled[0])), np.asarray(evaluate(static, filled[0]))
    compiled = _median(lambda: executable(filled[0]), RUNS)
    interpreted = _median(lambda: evaluate(static, filled[0]), 3)
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
