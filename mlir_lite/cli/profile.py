"""Show where a model's time goes: every kernel inside whole runs, and what the machine allows.

  mlir-lite profile model.onnx --shape x=1x3x224x224 --threads 1
  mlir-lite profile model.mlir --steps --trace trace.json

Times are means over the faster half of the calls. Operations and bytes are counted from the loops
of the kernels. A kernel is bound by `compute`, or by the place that its data come from (L2, L3,
memory), whichever takes longer at this machine's ceilings, which are measured first; `of limit` is
how near it comes. A kernel may pass its limit: where part of its data lie nearer than the rest, and
in products in matrix registers, as the limit of these is that of f32. The trace is in Chrome's
format: open it in Perfetto.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from ..backends.llvm.ceilings import Ceilings, measure_ceilings
from ..backends.llvm.machine.threads import default_threads
from ..lowering import lower_for
from ..text import table
from ..tile.instructions.table import dot_factors
from ..tile.program import Program
from .compile import add_compile_arguments, machine_backend, options
from .files import write_atomically
from .layout import seconds_text
from .model import add_model_arguments, load_static, natural, positive
from .run import inputs_for
from .step_times import Line, StepTimes, kernel_lines, step_lines, time_steps


def add_arguments(parser: ArgumentParser) -> None:
    add_model_arguments(parser)
    add_compile_arguments(parser)
    parser.add_argument("--threads", type=positive, metavar="N", help="threads to run with")
    parser.add_argument("--repeat", type=positive, default=20, metavar="N", help="calls (20)")
    parser.add_argument("--seed", type=natural, default=0, help="of the made-up inputs (0)")
    parser.add_argument("--steps", action="store_true", help="a line a step, not a kernel")
    parser.add_argument("--trace", type=Path, metavar="OUT", help="write a Chrome trace there")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: Namespace) -> int:
    loaded = load_static(args)
    arrays = inputs_for(loaded, {}, args.seed)
    threads = args.threads or default_threads()
    backend, _, lowered, program, _ = lower_for(loaded.function, args.target, options(args))
    machine = machine_backend(backend)
    ceilings = measure_ceilings(machine, threads)
    executable = machine.compile(program, lowered.constants, threads=threads, timed=True)
    times = time_steps(executable, arrays, args.repeat)
    lines = step_lines(program, times.steps.tolist(), ceilings)
    if args.trace is not None:
        write_atomically(args.trace, json.dumps(trace(program, times, lines)).encode())
    if not args.steps:
        lines = kernel_lines(lines)
    if args.json:
        print(json.dumps(_report(args.file, times, lines, ceilings), indent=2))
    else:
        print(_text(loaded.function.name, times, lines, ceilings))
    return 0


def _report(
    file: str, times: StepTimes, lines: Sequence[Line], ceilings: Ceilings
) -> dict[str, object]:
    derived = ("gflops", "gigabytes", "bound", "share")
    return {
        "file": file,
        "ceilings": asdict(ceilings),
        "calls": times.calls,
        "call_seconds": times.call,
        "steps_seconds": times.inside,
        "lines": [
            asdict(line) | {name: getattr(line, name) for name in derived} for line in lines
        ],
    }


def _text(name: str, times: StepTimes, lines: Sequence[Line], ceilings: Ceilings) -> str:
    head = ("time", "call", "count", "GFLOP/s", "GB/s", "bound by", "of limit", "kernel", "source")
    rows = [head, *(_row(line, times) for line in lines)]
    limit = sum(line.limit_seconds for line in lines)
    outside = times.call - times.inside
    return "\n".join(
        [
            f"@{name}, the faster half of {times.calls} calls, "
            f"{_counted(ceilings.threads, 'thread')}",
            ceilings_text(ceilings),
            "",
            table(rows, right=range(5), indent=""),
            "",
            f"steps {seconds_text(times.inside)} + around them {seconds_text(outside)} "
            f"({outside / times.call:.1%}) = call {seconds_text(times.call)}; "
            f"at their limits the steps take {seconds_text(limit)}",
        ]
    )


def ceilings_text(ceilings: Ceilings) -> str:
    """The machine's ceilings in one line."""
    read = ", ".join(
        f"{place} {rate / 1e9:.0f}"
        for place, rate in (
            ("L2", ceilings.l2_read),
            ("L3", ceilings.l3_read),
            ("memory", ceilings.memory_read),
        )
    )
    rates = {"f32": ceilings.flops} | {
        dot_factors(name): rate for name, rate in ceilings.dots.items()
    }
    products = ", ".join(f"{name} {rate / 1e9:.0f}" for name, rate in rates.items())
    return (
        f"ceilings: {products} GFLOP/s; read, GB/s: {read}; "
        f"copy in memory {ceilings.memory_copy / 1e9:.0f}"
    )


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _row(line: Line, times: StepTimes) -> tuple[str, ...]:
    return (
        seconds_text(line.seconds),
        f"{line.seconds / times.call:.1%}",
        str(line.count),
        f"{line.gflops:.1f}",
        f"{line.gigabytes:.1f}",
        line.bound,
        f"{line.share:.0%}",
        line.kernel,
        line.source,
    )


def trace(program: Program, times: StepTimes, steps: Sequence[Line]) -> dict[str, object]:
    """A call of usual length in Chrome's trace format: an event a step, in microseconds."""
    events: list[dict[str, object]] = [
        {"ph": "M", "name": "process_name", "pid": 1, "args": {"name": f"@{program.name}"}}
    ]
    for line, start, took in zip(steps, times.starts, times.durations, strict=True):
        events.append(
            {
                "ph": "X",
                "name": line.kernel,
                "cat": "step",
                "pid": 1,
                "tid": 1,
                "ts": float(start) * 1e6,
                "dur": float(took) * 1e6,
                "args": {
                    "operations": line.label,
                    "source": line.source,
                    "flops": line.operations,
                    "bytes": line.bytes,
                    "bound": line.bound,
                },
            }
        )
    return {"traceEvents": events, "displayTimeUnit": "ms"}
