"""Every operation, whole: graph passes, schedule, machine code. The reference is the oracle.

All samples of an operation make one function, so that each operation is compiled once a target.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import pytest

from mlir_lite.backends.llvm.backend import CpuBackend, cpu_target
from mlir_lite.ir import Builder, Function, Value, parameter, results_of
from mlir_lite.ops.table import TABLE
from mlir_lite.passes.lowering.lower import Lowered, lower
from mlir_lite.passes.manager import run_passes
from mlir_lite.passes.memory.plan_memory import plan_memory
from mlir_lite.passes.pipelines import cpu_pipeline
from mlir_lite.target import Target
from mlir_lite.tile.checks.verify import verify_kernel, verify_program
from mlir_lite.tile.interpreter import run_program
from mlir_lite.tile.program import Program
from mlir_lite.types import Array

from .close import assert_close
from .sample import Sample
from .samples import SAMPLES

TARGETS = ("cpu", "cpu:haswell", "cpu:x86-64")


@dataclass(frozen=True)
class Family:
    """All samples of an operation as one function of all their operands."""

    fn: Function
    arrays: tuple[Array, ...]
    samples: tuple[Sample, ...]

    def check(self, results: tuple[Array, ...]) -> None:
        """Compare the results, sample by sample."""
        remaining = list(results)
        with np.errstate(all="ignore"):
            for sample in self.samples:
                expected = results_of(sample.op.reference(*sample.arguments))
                actual, remaining = remaining[: len(expected)], remaining[len(expected) :]
                try:
                    assert_close(sample.form(tuple(actual)), sample.form(expected))
                except AssertionError as error:
                    raise AssertionError(f"{sample}: {error}") from error


def family(samples: tuple[Sample, ...]) -> Family:
    builder = Builder(TABLE)
    params: list[Value] = []
    results: list[Value] = []
    arrays: list[Array] = []
    with builder.active():
        for number, sample in enumerate(samples):
            own = {
                value: parameter(f"{value.name}_{number}", value.type)
                for value in dict.fromkeys(sample.op.operands)
            }
            params += own.values()
            values = dict(zip(sample.op.operands, sample.arrays, strict=True))
            arrays += [np.array(values[value], order="C") for value in own]
            results += builder.emit(sample.op.map_operands(own.__getitem__))
    name = samples[0].op.name
    return Family(builder.finish(name, params, results), tuple(arrays), samples)


def families() -> list[Family]:
    by_name: dict[str, list[Sample]] = defaultdict(list)
    for sample in SAMPLES:
        if sample.op.name != "constant":
            by_name[sample.op.name].append(sample)
    return [family(tuple(samples)) for samples in by_name.values()]


FAMILIES = pytest.mark.parametrize("family", families(), ids=lambda family: family.fn.name)


def lowered(fn: Function, target: Target) -> tuple[Lowered, Program]:
    found = lower(run_passes(fn, cpu_pipeline(target)), target)
    return found, plan_memory(found)


@FAMILIES
def test_scheduled_kernels_are_the_reference(family: Family) -> None:
    """In the tile interpreter, which sees every read out of bounds and every race."""
    target, _ = cpu_target("cpu:avx512", 1)
    found, program = lowered(family.fn, target)
    for kernel in program.kernels:
        verify_kernel(kernel)
    verify_program(program)
    constants = {name: data.array() for name, data in found.constants.items()}
    with np.errstate(all="ignore"):
        family.check(run_program(program, family.arrays, constants))


@FAMILIES
@pytest.mark.parametrize("target_name", TARGETS)
def test_machine_code_is_the_reference(family: Family, target_name: str) -> None:
    target, machine = cpu_target(target_name, 1)
    found, program = lowered(family.fn, target)
    executable = CpuBackend(target, machine).compile(program, found.constants, threads=1)
    results = executable(*family.arrays)
    family.check(results if isinstance(results, tuple) else (results,))
