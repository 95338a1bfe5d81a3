"""From a function of known sizes to a planned program: passes, lowering, the memory plan."""

from __future__ import annotations

import gc
import time
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from .backends import base
from .errors import InputError
from .ir import Function
from .options import Options, backend_of
from .passes.algorithms.convolutions import check_winograd
from .passes.algorithms.strassen import check_strassen
from .passes.dump import DumpFolder, both, new_folder
from .passes.lowering.lower import Lowered, lower
from .passes.manager import run_passes
from .passes.memory.plan_memory import plan_memory
from .passes.narrowing.precisions import check_precision
from .passes.pipelines import Step, cpu_pipeline, cuda_pipeline
from .report import memory_report, report_of
from .target import Target
from .tile.program import Program

# Names of files by stage.
_DUMPED = {"tile": "program.tile", "llvm": "program.ll", "cuda": "program.cu"}

Made: TypeAlias = tuple[base.Backend, Function, Lowered, Program, dict[str, float]]


def check_options(target: str, options: Options) -> None:
    """The error for a target, or a choice, that there is not, before anything is compiled."""
    check_winograd(options.winograd)
    check_strassen(options.strassen)
    steps_of(options, backend_of(target, options.tuning, options.precision).target)


def steps_of(options: Options, target: Target) -> tuple[Step, ...]:
    """The passes that a function goes through."""
    if options.passes is not None:
        return options.passes
    if target.gpu is not None:
        return cuda_pipeline(target, winograd=options.winograd)
    check_precision(options.precision, target)
    return cpu_pipeline(
        target,
        winograd=options.winograd,
        strassen=options.strassen,
        precision=options.precision,
    )


def report_for(fn: Function, target: str, options: Options) -> str:
    """How each convolution of a function of known sizes is computed, why, and how accurately; and
    what memory the program takes."""
    options = replace(options, observe=None, dump=None)
    backend, _, lowered, program, _ = lower_for(fn, target, options)
    convolutions = report_of(fn, steps_of(options, backend.target), backend.target)
    return f"{convolutions}\n{memory_report(fn, program, lowered.constants)}"


def lower_for(fn: Function, target: str, options: Options) -> Made:
    """Everything before machine code: the backend, the function of groups, the planned program,
    and the seconds of each step."""
    backend = backend_of(target, options.tuning, options.precision)
    seconds: dict[str, float] = {}
    clock = time.perf_counter()

    def lap(name: str) -> None:
        nonlocal clock
        gc.collect(0)  # the nodes that each pass has replaced, before there are more
        now = time.perf_counter()
        seconds[name], clock = now - clock, now

    steps = steps_of(options, backend.target)
    observe = options.observe
    dumps = None
    if options.dump is not None:
        dumps = _dumps(options.dump, fn.name)
        dumps.function("input", fn)
        observe = both(observe, dumps)
    fused = run_passes(fn, steps, verify=options.verify, observe=observe)
    lap("passes")
    lowered = lower(fused, backend.target)
    lap("lower")
    program = plan_memory(lowered)
    lap("plan")
    if dumps is not None:
        for name, text in backend.stage_texts(program).items():
            if name not in ("asm", "ptx", "sass", "resources"):  # made from others at a cost
                dumps.text(_DUMPED.get(name, name), text())
    return backend, fused, lowered, program, seconds


def _dumps(folder: Path, name: str) -> DumpFolder:
    """A new folder of dumps in another; `InputError` where there can be none."""
    try:
        return DumpFolder(new_folder(folder, name))
    except OSError as error:
        raise InputError(
            f"no dumps can be written to '{folder}' ({error.strerror}); it is what dump= or "
            "MLIR_LITE_DUMP says"
        ) from None
