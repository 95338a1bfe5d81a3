"""From a function of known sizes to an executable: what is kept between runs, or else passes,
lowering and the memory plan (`lowering`); then the backend.

What compiling gave is kept between runs, and watched passes run again (`warm`).
"""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import TYPE_CHECKING

from . import warm
from .backends import base
from .backends.llvm.backend import CpuBackend
from .backends.llvm.machine.jit import Objects
from .backends.llvm.weights import Weights
from .drawing import FORMS
from .forks import unforked
from .ir import Function
from .memory import return_freed
from .options import Options, backend_of
from .tile.program import Program

if TYPE_CHECKING:
    from .lowering import Made

_LOG = logging.getLogger("mlir_lite")


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
            backend, fused, lowered, program, seconds = _lowered(fn, target, options)
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

    # What only a reader wants is made anew: it is the same, and a start need not wait for it.
    @cache
    def again() -> tuple[Function, Program]:
        _, fused, _, program, _ = _lowered(fn, target, options)
        return fused, program

    with backend.objects() as objects:
        if kept is None:
            kept = _made(fn, backend, target, options, name, seconds, objects)
            gc.collect(1)  # the nodes of all stages, before the weights are made
            return_freed()
        return backend.load(
            kept.image,
            kept.constants,
            lambda: again()[1],
            objects,
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
    objects: Objects,
) -> warm.Kept:
    """Compile up to the texts of machine code, and keep what that gave under a `name`."""
    watch = warm.Watch.on(fn)
    _, _, lowered, program, taken = _lowered(watch.function, target, options)
    seconds |= taken
    kept = warm.Kept(backend.image(program, seconds, objects), lowered.constants)
    with base.timed_as(seconds, "keep"):
        warm.keep(name, watch, kept)
    return kept


def _lowered(fn: Function, target: str, options: Options) -> Made:
    """Everything before machine code."""
    from .lowering import (
        lower_for,  # lazy: a start that finds all of it kept needs none of the passes
    )

    return lower_for(fn, target, options)


def _stages(
    fn: Function, target: str, options: Options, fused: Callable[[], Function]
) -> base.Texts:
    """The texts of what comes before the program, each made when it is asked for."""

    def report() -> str:
        from .lowering import report_for  # lazy, as above

        return report_for(fn, target, options)

    def picture(form: str) -> str:
        from .drawing.forms import picture_text  # lazy, as above

        return picture_text(fused(), form)

    pictures = {form: partial(picture, form) for form in FORMS}
    return {"graph": lambda: str(fn), "report": report, "fused": lambda: str(fused()), **pictures}
