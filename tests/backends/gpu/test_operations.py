"""Every operation on a card, whole: graph passes, schedule, source. The reference is the oracle.

The schedules run in the tile interpreter, which sees every read out of bounds and every race; the
source, compiled by g++, runs on the CPU with threads and blocks in several orders.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from ops.sample import Sample
from ops.samples import SAMPLES
from ops.test_machine_code import Family, family

from mlir_lite.tile.checks.verify import verify_kernel, verify_program
from mlir_lite.tile.interpreter import run_program
from mlir_lite.tile.program import Program
from mlir_lite.types import Array

from .compiled import Compiled, all_orders, card, planned
from .shim import needs_shim

CHUNK = 40  # operations in one source: g++ takes longest to start


def _by_operation() -> dict[str, list[Sample]]:
    found: dict[str, list[Sample]] = defaultdict(list)
    for sample in SAMPLES:
        if sample.op.name != "constant":
            found[sample.op.name].append(sample)
    return found


_OPERATIONS = _by_operation()


def _chunks() -> list[tuple[str, ...]]:
    names = tuple(_OPERATIONS)
    return [names[at : at + CHUNK] for at in range(0, len(names), CHUNK)]


def _verified(case: Family) -> tuple[Program, dict[str, Array]]:
    # Threads are interleaved one by one: fewer of them show the same faults sooner.
    program, constants = planned(case.fn, card(threads=64))
    for kernel in program.kernels:
        verify_kernel(kernel)
    verify_program(program)
    return program, constants


def _check_interpreter(samples: tuple[Sample, ...]) -> None:
    case = family(samples)
    program, constants = _verified(case)
    with np.errstate(all="ignore"):
        case.check(run_program(program, case.arrays, constants))


@pytest.mark.parametrize("names", _chunks(), ids=lambda names: f"{names[0]}..{names[-1]}")
def test_schedules_compute_the_reference(names: tuple[str, ...]) -> None:
    for name in names:
        _check_interpreter(tuple(_OPERATIONS[name][:1]))


@pytest.mark.parametrize("name", _OPERATIONS)
def test_schedules_of_every_sample_are_verified(name: str) -> None:
    _verified(family(tuple(_OPERATIONS[name])))


@needs_shim
@pytest.mark.parametrize("names", _chunks(), ids=lambda names: f"{names[0]}..{names[-1]}")
def test_source_computes_the_reference(names: tuple[str, ...], tmp_path: Path) -> None:
    case = family(tuple(_OPERATIONS[name][0] for name in names))
    case.check(all_orders(Compiled.of(case.fn, tmp_path), case.arrays))


@pytest.mark.slow
@pytest.mark.parametrize("name", _OPERATIONS)
def test_schedules_compute_every_sample(name: str) -> None:
    _check_interpreter(tuple(_OPERATIONS[name]))


@needs_shim
@pytest.mark.slow
@pytest.mark.parametrize("name", _OPERATIONS)
def test_source_computes_every_sample(name: str, tmp_path: Path) -> None:
    case = family(tuple(_OPERATIONS[name]))
    case.check(all_orders(Compiled.of(case.fn, tmp_path), case.arrays))
