"""The ways to run a program that must agree with the truth, by name."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any
from unittest import mock

import numpy as np

import mlir_lite as ml
from mlir_lite import Function
from mlir_lite.backends.llvm.backend import cpu_target
from mlir_lite.ir import run_reference
from mlir_lite.ir.verify import verify
from mlir_lite.lowering import lower_for
from mlir_lite.options import Options
from mlir_lite.passes.pipelines import cpu_pipeline
from mlir_lite.tile.checks.verify import verify_kernel, verify_program
from mlir_lite.types import Array

from .any_order import depends_on_order
from .judge import Truth
from .programs import Program

Way = Callable[[Program, Truth], str]  # what is wrong, or nothing


def run(fn: Function, arrays: tuple[Array, ...], **options: Any) -> tuple[Array, ...]:
    """The results of compiled code; `options` are those of `ml.compile`."""
    found = ml.compile(fn, **options)(*[array.copy() for array in arrays])
    return found if isinstance(found, tuple) else (found,)


def compiled(program: Program, truth: Truth) -> str:
    """At one thread and at two: right, and the same bits."""
    one, two = (run(program.fn, program.arrays, threads=threads) for threads in (1, 2))
    same = all(a.tobytes() == b.tobytes() for a, b in zip(one, two, strict=True))
    return truth.wrong(one) or ("" if same else "two threads give other bits")


def any_order(program: Program, truth: Truth) -> str:
    """Scheduled for more threads than most loops have turns: verified, and in any order."""
    with mock.patch.dict(os.environ, {"MLIR_LITE_THREADS": "5"}):
        _, _, lowered, planned, _ = lower_for(program.fn, "cpu", Options())
    for kernel in planned.kernels:
        verify_kernel(kernel)
    verify_program(planned)
    if depends_on_order(planned, lowered.constants, program.arrays):
        return "another order of iterations gives other bits"
    return ""


def with_options(least: float = 0.0, **options: Any) -> Way:
    def way(program: Program, truth: Truth) -> str:
        return truth.wrong(run(program.fn, program.arrays, **options), least)

    return way


def each_pass(program: Program, truth: Truth) -> str:
    """Each pass alone, on the program as it is, and after the passes before it."""
    target, _ = cpu_target("cpu")
    whole = program.fn
    for step in cpu_pipeline(target):
        with np.errstate(all="ignore"):
            alone = step.run(program.fn)
            whole = step.run(whole)
            for which, fn in (("alone", alone), ("in its turn", whole)):
                verify(fn)
                wrong = truth.wrong(run_reference(fn, program.arrays))
                if wrong:
                    return f"{step.name} {which}: {wrong}"
    return ""


def printed(program: Program, truth: Truth) -> str:
    """Read back from both forms of text, with the same bits."""
    resources = ml.resources_of(program.fn)
    short = _without_lines(str(program.fn))
    for text in (str(program.fn), program.fn.generic()):
        again = ml.parse(text, resources)
        if _without_lines(str(again)) != short:
            return "the text that is read back prints otherwise"
        for own, found in zip(truth.own, run_reference(again, program.arrays), strict=True):
            if own.tobytes() != np.asarray(found).tobytes():
                return "what is read back computes something else"
    return ""


def _without_lines(text: str) -> str:
    """Without the comments that name the user's lines."""
    return "\n".join(line.partition("//")[0].rstrip() for line in text.splitlines())


def donated(program: Program, truth: Truth) -> str:
    """Every parameter given away that may be, to the first result of its type."""
    places: dict[str, int] = {}
    for param in program.fn.params:
        for at, result in enumerate(program.fn.results):
            if result.type == param.type and at not in places.values():
                places[param.name] = at
                break
    if not places:
        return ""
    arrays = [array.copy() for array in program.arrays]
    found = ml.compile(program.fn, donate=places)(*arrays)
    results = found if isinstance(found, tuple) else (found,)
    for param, array in zip(program.fn.params, arrays, strict=True):
        if param.name in places and results[places[param.name]] is not array:
            return f"'{param.name}' is not the array that is returned"
    return truth.wrong(results)


def given_out(program: Program, truth: Truth) -> str:
    """Results written into arrays that are handed over; a second call gives the same bits."""
    executable = ml.compile(program.fn)
    arrays = tuple(array.copy() for array in program.arrays)
    out = [np.full(own.shape, 3, own.dtype) for own in truth.own]
    first = executable(*arrays)
    executable(*arrays, out=out if len(out) > 1 else out[0])
    whole = first if isinstance(first, tuple) else (first,)
    if any(a.tobytes() != b.tobytes() for a, b in zip(whole, out, strict=True)):
        return "a second call gives other bits"
    changed = [a.tobytes() != b.tobytes() for a, b in zip(arrays, program.arrays, strict=True)]
    return "a parameter is overwritten" if any(changed) else truth.wrong(out)


WAYS: Mapping[str, Way] = {
    "compiled": compiled,
    "any order": any_order,
    "haswell": with_options(target="cpu:haswell"),
    "plain x86-64": with_options(target="cpu:x86-64"),
    "each pass": each_pass,
    "printed": printed,
    "donated": donated,
    "given out": given_out,
    "winograd 4": with_options(1e-4, winograd=4),
    "winograd 2": with_options(1e-5, winograd=2),
    "winograd off": with_options(winograd="off"),
    "strassen": with_options(strassen="auto"),
    "bf16": with_options(0.1, precision="bf16"),
    "interpreted": with_options(target="reference"),
}
