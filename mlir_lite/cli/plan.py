"""Solve a memory allocation problem: buffers with lifetimes, as low an arena as possible.

The file is CSV with a line per buffer, alive at the steps in [lower, upper):

  id,lower,upper,size
  a,0,3,4096

Exit code 1 if --capacity is given and no placement within it was found.
"""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace

from ..errors import InputError, check
from ..frontends.minimalloc import parse_minimalloc
from ..passes.memory.allocation import allocate
from ..text import table
from .files import emit, read_text
from .layout import seconds_text


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE.csv", help="the buffers, or - for stdin")
    parser.add_argument("--capacity", type=int, metavar="N", help="stop at a height of N bytes")
    parser.add_argument(
        "--seconds", type=float, metavar="S", help="end the search after S seconds"
    )
    parser.add_argument(
        "--alignment", type=int, default=1, metavar="N", help="offsets are multiples of N bytes (1)"
    )
    parser.add_argument("-o", "--output", metavar="OUT", help="write the CSV with offsets there")


def run(args: Namespace) -> int:
    check(
        not args.file.lower().endswith((".onnx", ".mlir")),
        f"{args.file} is a model, and plan takes buffers as CSV; the memory plan of a model shows "
        f"`mlir-lite compile {args.file} --emit plan`",
        InputError,
    )
    lives = parse_minimalloc(read_text(args.file), "<stdin>" if args.file == "-" else args.file)
    start = time.perf_counter()
    plan = allocate(
        lives, alignment=args.alignment, capacity=args.capacity, seconds=args.seconds
    )
    took = time.perf_counter() - start
    ratio = plan.height / plan.lower_bound if plan.lower_bound else 1.0
    rows = [
        ("buffers", f"{len(lives)}"),
        ("height", f"{plan.height} bytes"),
        ("lower bound", f"{plan.lower_bound} bytes (ratio {ratio:.4f})"),
        ("proven bound", f"{plan.bound} bytes{', so this is optimal' if plan.optimal else ''}"),
        ("ended by", plan.proof),
        ("search", f"{plan.nodes} nodes, {seconds_text(took)}"),
    ]
    fits = args.capacity is None or plan.height <= args.capacity
    if args.capacity is not None:
        rows.append(("capacity", f"{args.capacity} bytes: {'fits' if fits else 'does not fit'}"))
    print(table(rows, indent=""))
    if args.output is not None:
        lines = [
            f"{life.name},{life.start},{life.end},{life.size},{plan.offsets[life.name]}"
            for life in lives
        ]
        emit("\n".join(["id,lower,upper,size,offset", *lines]) + "\n", args.output)
    return 0 if fits else 1
