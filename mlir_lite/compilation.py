"""From a function of known sizes to an executable: passes, lowering, the memory plan, the backend.

What compiling gave is kept between runs, and watched passes run again (`warm`).
"""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from . import warm
from .backends import base
from .backends.llvm.backend import CpuBackend, cpu_target
from .backends.llvm.weights import Weights
from .backends.reference import ReferenceBackend
from .environment import Verify
from .errors import InputError, check
from .forks import unforked
from .ir import Function
from .memory import return_freed
from .passes.algorithms.convolutions import check_winograd
from .passes.algorithms.strassen import check_strassen
from .passes.dump import DumpFolder, both, new_folder
from .passes.lowering.lower import Lowered, lower
from .passes.manager import Observer, run_passes
from .passes.memory.plan_memory import plan_memory
from .passes.narrowing.precision import check_precision
from .passes.pipelines import Step, cpu_pipeline, cuda_pipeline
from .report import memory_report, report_of
from .target import Target, named_target, nearest_card
from .tile.program import Program
from .tuning import Chooser, Tuning

_LOG = logging.getLogger("mlir_lite")
# Names of files by stage.
_DUMPED = {"tile": "program.tile", "llvm": "program.ll", "cuda": "program.cu"}


@dataclass(frozen=True)
class Options:
    """What changes how a function is compiled."""

    verify: Verify = "structure"
    winograd: str | int = "auto"
    strassen: str = "off"
    precision: str = "f32"
    passes: tuple[Step, ...] | None = None  # instead of the target's own pipeline
    observe: Observer | None = None  # sees every pass's record and the function after it
    dump: Path | None = None  # a folder for the IR after each pass
    tuning: Chooser = Tuning()  # answers that come before those of the cost model

    @property
    def is_silent(self) -> bool:
        """Whether nobody watches the passes, so that they need not run if their result is known."""
        unseen = self.observe is None and self.dump is None and self.verify != "each-pass"
        return unseen and isinstance(self.tuning, Tuning)

    @property
    def deciding(self) -> tuple[object, ...]:
        """What of this, beside the target's figures, decides the result."""
        steps = None if self.passes is None else tuple(map(str, self.passes))
        return self.winograd, self.strassen, self.precision, steps


def backend_of(
    target: str, tuning: Chooser = Options.tuning, precision: str = Options.precision
) -> base.Backend:
    """The backend that a target's name asks for, with measured choices among its figures, and on a
    card with what the factors of f32 products are rounded to.

    `InputError` for choices that were measured on another machine.
    """
    if target == "reference":
        return ReferenceBackend(replace(cpu_target("cpu:avx512", 1)[0], tuning=tuning))
    if target.partition(":")[0] == "cuda":
        from .backends.cuda.backend import CudaBackend  # lazy: what a CPU never needs
        from .backends.cuda.card.here import found_card

        card = named_target(nearest_card(found_card().capability) if target == "cuda" else target)
        assert card is not None and card.gpu is not None
        gpu = replace(card.gpu, factors=precision)
        return CudaBackend(replace(card, tuning=tuning, gpu=gpu))
    figures, machine = cpu_target(target)
    if isinstance(tuning, Tuning) and tuning.choices:
        check(
            tuning.machine == machine.cpu,
            f"the tuning record is of the machine '{tuning.machine}', the target '{target}' is "
            f"'{machine.cpu}': make one for it with `mlir-lite tune`",
            InputError,
        )
    return CpuBackend(replace(figures, tuning=tuning), machine)


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


def lower_for(
    fn: Function, target: str, options: Options
) -> tuple[base.Backend, Function, Lowered, Program, dict[str, float]]:
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


@contextmanager
def _without_collection() -> Iterator[None]:
    """No search for cycles, again and again, among the hundreds of thousands of nodes that a
    compilation makes: it would take an eighth of its time. After a stage one look at what is new
    frees most of it (see `lower_for`)."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _dumps(folder: Path, name: str) -> DumpFolder:
    """A new folder of dumps in another; `InputError` where there can be none."""
    try:
        return DumpFolder(new_folder(folder, name))
    except OSError as error:
        raise InputError(
            f"no dumps can be written to '{folder}' ({error.strerror}); it is what dump= or "
            "MLIR_LITE_DUMP says"
        ) from None


def compile_static(
    fn: Function,
    target: str,
    threads: int | None,
    options: Options,
    weights: Weights | None = None,
) -> base.Executable:
    """Compile a function whose sizes are all known; `weights` are the arrays that executables of
    other sizes have made."""
    with unforked(), _without_collection():
        backend = backend_of(target, options.tuning, options.precision)
        if isinstance(backend, CpuBackend) and options.is_silent:
            executable: base.Executable = _kept_or_made(
                fn, backend, target, threads, options, weights
            )
        else:
            backend, fused, lowered, program, seconds = lower_for(fn, target, options)
            executable = backend.compile(
                program,
                lowered.constants,
                threads=threads,
                stages=_stages(fn, target, options, lambda: fused),
                seconds=seconds,
            )
    steps = ", ".join(f"{name} {took:.3f}" for name, took in executable.compile_seconds.items())
    _LOG.info("compiled @%s for %s; seconds: %s", fn.name, target, steps)
    return executable


def _kept_or_made(
    fn: Function,
    backend: CpuBackend,
    target: str,
    threads: int | None,
    options: Options,
    weights: Weights | None,
) -> base.Executable:
    """Compile through what `warm` keeps between runs."""
    start = time.perf_counter()
    name = warm.entry_name(fn, backend.target, backend.machine, options.deciding)
    kept = warm.find(name, fn)
    seconds = {"find": time.perf_counter() - start}
    if kept is None:
        kept = _made(fn, backend, target, options, name, seconds)
        gc.collect(1)  # the nodes of all stages, before the weights are made
        return_freed()

    # What only a reader wants is made anew: it is the same, and a start need not wait for it.
    @cache
    def again() -> tuple[Function, Program]:
        _, fused, _, program, _ = lower_for(fn, target, options)
        return fused, program

    return backend.load(
        kept.image,
        kept.constants,
        lambda: again()[1],
        threads=threads,
        stages=_stages(fn, target, options, lambda: again()[0]),
        seconds=seconds,
        weights=weights,
    )


def _made(
    fn: Function,
    backend: CpuBackend,
    target: str,
    options: Options,
    name: str,
    seconds: dict[str, float],
) -> warm.Kept:
    """Compile up to the texts of machine code, and keep what that gave under a `name`."""
    watch = warm.Watch.on(fn)
    _, _, lowered, program, taken = lower_for(watch.function, target, options)
    seconds |= taken
    kept = warm.Kept(backend.image(program, seconds), lowered.constants)
    with base.timed_as(seconds, "keep"):
        warm.keep(name, watch, kept)
    return kept


def _stages(
    fn: Function, target: str, options: Options, fused: Callable[[], Function]
) -> base.Texts:
    """The texts of what comes before the program, each made when it is asked for."""
    return {
        "graph": lambda: str(fn),
        "report": lambda: report_for(fn, target, options),
        "fused": lambda: str(fused()),
    }
