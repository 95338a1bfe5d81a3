"""Run the benchmark, from the folder `tests`:

  python -m benchmark --threads 1,2 --work gemm,models --json results.json

Engines that are not installed are left out and named. Every engine runs in a process of its own,
with one thread on one processor, in turn with the others. The first run makes the cases, which
takes torch and a minute for all; they are kept in the cache folder. An engine can be any of
mlir-lite, onnxruntime, openvino, jax, torch, torch-compile; work is groups (gemm, conv,
conv-nhwc, memory, attention, models, bf16, int8, recurrent, train, call, start) or names. `call` is
one of a tiny model, as users write it; `start` from a model's file to the first result in a fresh
process, with nothing kept and again, and how much that process grows at most.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace, RawDescriptionHelpFormatter
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

import platformdirs

from mlir_lite.backends.llvm.backend import CpuBackend, cpu_target
from mlir_lite.backends.llvm.ceilings import measure_ceilings
from mlir_lite.cli.model import positive

from .cases import prepare
from .engines import ENGINES, OURS, missing
from .measure import Row, measure
from .options import add_rounds
from .report import json_text, starts_text, table_text
from .start import Start, import_seconds, measure_starts
from .workload import Workload
from .workloads import START, WORKLOADS, chosen


def main(argv: Sequence[str] | None = None) -> int:
    """Run and print; 1 where an engine failed."""
    args = arguments(argv)
    absent = missing(args.engines)
    engines = [name for name in args.engines if name not in absent]
    ceilings = {
        threads: measure_ceilings(CpuBackend(*cpu_target("cpu", threads)), threads)
        for threads in args.threads
    }
    rows = [row for work in args.work if work.group != START for row in _rows(work, engines, args)]
    packages = ("llvmlite", *(ENGINES[name].package for name in engines if name != OURS))
    versions = {package: version(package) for package in packages}
    print(", ".join(f"{package} {found}" for package, found in versions.items()))
    print(table_text(rows, ceilings, engines, absent, markdown=args.markdown))
    starts = [
        start for work in args.work if work.group == START for start in _starts(work, engines, args)
    ]
    imports = {name: import_seconds(name) for name in dict.fromkeys(s.engine for s in starts)}
    if starts:
        print("", starts_text(starts, imports, markdown=args.markdown), sep="\n")
    if args.json is not None:
        args.json.write_text(
            json_text(rows, starts, imports, ceilings, absent, versions), encoding="utf-8"
        )
    failures = [timing.failure for row in rows for timing in row.timings.values()]
    return 1 if any([*failures, *(start.failure for start in starts)]) else 0


def _rows(work: Workload, engines: Sequence[str], args: Namespace) -> Iterator[Row]:
    """A row for each number of threads; says on stderr what is being measured."""
    case = prepare(work, args.cache)
    for threads in args.threads:
        print(f"{work.name}, {threads}t …", file=sys.stderr, flush=True)
        yield measure(case, engines, threads, repeat=args.repeat, passes=args.passes)


def _starts(work: Workload, engines: Sequence[str], args: Namespace) -> Iterator[Start]:
    """A line for each engine, with the most threads; says on stderr what is being measured."""
    print(f"{work.name} …", file=sys.stderr, flush=True)
    case = prepare(work, args.cache)
    yield from measure_starts(case, engines, max(args.threads), passes=args.passes)


def arguments(argv: Sequence[str] | None) -> Namespace:
    """What a command line asks for; `SystemExit` with a message where it is none."""
    parser = ArgumentParser(
        prog="benchmark", description=__doc__, formatter_class=RawDescriptionHelpFormatter
    )
    add_rounds(parser)
    parser.add_argument(
        "--engines", type=_engines, default=list(ENGINES), metavar="NAME,NAME", help="(all)"
    )
    parser.add_argument(
        "--work", type=_work, default=list(WORKLOADS.values()), metavar="NAME,NAME", help="(all)"
    )
    parser.add_argument("--passes", type=positive, default=2, metavar="N", help="passes (2)")
    parser.add_argument("--markdown", action="store_true", help="print a Markdown table")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the figures there, too")
    parser.add_argument(
        "--cache", type=Path, default=platformdirs.user_cache_path("mlir-lite") / "benchmark",
        metavar="DIR", help="where the cases are kept (the user's cache)",
    )  # fmt: skip
    return parser.parse_args(argv)


def _engines(text: str) -> list[str]:
    names = text.split(",")
    for name in names:
        if name not in ENGINES:
            raise ArgumentTypeError(f"no engine '{name}'; there are {', '.join(ENGINES)}")
    return names


def _work(text: str) -> list[Workload]:
    try:
        return chosen(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None


if __name__ == "__main__":
    raise SystemExit(main())
