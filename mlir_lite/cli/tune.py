"""Measure the choices that the cost model predicts, and write a record of those that are faster.

  mlir-lite tune model.onnx --shape x=1x3x224x224 --trials 200 -o record.json
  mlir-lite run model.onnx --shape x=1x3x224x224 --random-inputs 0 --tune record.json

Each line is a kernel: its time with the model's choices and with the best ones found, how many
like it the model has, and its operations. A record holds for the machine it was made on.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace

from ..tuner import Tuned, tune
from .compile import add_target_arguments, winograd
from .files import emit
from .layout import seconds_text
from .model import add_model_arguments, load_static, positive


def add_arguments(parser: ArgumentParser) -> None:
    add_model_arguments(parser)
    add_target_arguments(parser)
    parser.add_argument("--threads", type=positive, metavar="N", help="threads to time with")
    parser.add_argument(
        "--trials", type=positive, default=200, metavar="N", help="candidates to time in all (200)"
    )
    parser.add_argument(
        "--kernels", type=positive, default=10, metavar="N", help="the costliest so many (10)"
    )
    parser.add_argument("-o", "--output", metavar="OUT", help="write there instead of to stdout")


def run(args: Namespace) -> int:
    record = tune(
        load_static(args).function,
        args.target,
        args.threads,
        trials=args.trials,
        kernels=args.kernels,
        winograd=winograd(args),
        report=_print,
    )
    emit(str(record), args.output)
    return 0


def _print(tuned: Tuned) -> None:
    times = f"{seconds_text(tuned.model_seconds):>8} -> {seconds_text(tuned.seconds):>8}"
    ratio = tuned.model_seconds / tuned.seconds
    counted = f"{tuned.piece.count} times, {tuned.trials} trials"
    print(f"{times}  {ratio:.2f}x  {counted}  {tuned.piece.label}", file=sys.stderr)
