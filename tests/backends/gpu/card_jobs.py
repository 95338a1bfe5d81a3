"""What is asked of a card, one job each: they run in the process that has the card."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from mlir_lite import Function
from mlir_lite.backends.cuda.card.device import Device
from mlir_lite.backends.cuda.card.here import found_card
from mlir_lite.backends.cuda.card.runner import Loaded
from mlir_lite.backends.cuda.card.timing import copy_bandwidth, kernel_seconds, run_seconds
from mlir_lite.cli.card_ceilings import ProductPeak, factors_of, measure_peak
from mlir_lite.cli.counting import matrix_flops
from mlir_lite.cli.torch_card import TorchRuns, has_card_torch
from mlir_lite.ir import results_of, run_reference
from mlir_lite.target import Target, named_target, nearest_card
from mlir_lite.tile.analyses.uses import turns_of
from mlir_lite.tile.program import Program
from mlir_lite.types import Array

from .examples import arrays_for
from .group_cases import CASES as GROUP_CASES
from .group_cases import run_case
from .on_shim import executable_on
from .shim_card import ShimCard
from .templates import FACTORS, USUAL
from .wrapper_cases import CASES, run_cases

REPEAT = {"card": 20, "shim": 2}  # samples of a time
SHIM_CACHE = 1 << 12  # bytes: what the CPU, in a card's place, runs again and again is little
UNITS = 8  # of rounding, relative to the largest result, that an error may be in a turn of a loop
EPSILON = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}
ROUNDED = {"tf32": 2.0**-10, "f16": 2.0**-10, "bf16": 2.0**-7}  # what factors lose

PRODUCTS = {case.name: case for case in GROUP_CASES}
FUNCTIONS: Mapping[str, Function] = {fn.name: fn for fn in USUAL}


@dataclass(frozen=True)
class About:
    """The card, the target whose code it gets, whether torch knows it, and whether it has products
    of warpgroups."""

    name: str
    target: str
    has_torch: bool
    has_warpgroups: bool


@dataclass(frozen=True)
class Times:
    """Seconds of a run, and of its kernels, each alone and from memory; what there is to do."""

    seconds: float
    kernels: float
    flops: int
    moved: int  # bytes of parameters and results
    factors: str  # of the products, where there are any


@dataclass(frozen=True)
class Checked:
    """How far results are from those in float64, relative to the largest."""

    error: float
    allowed: float

    @property
    def is_right(self) -> bool:
        return self.error <= self.allowed


@cache
def device_of(kind: str) -> Device:
    """The card, or the CPU in its place; this process works on it from then on."""
    device: Device = ShimCard() if kind == "shim" else found_card()
    device.enter()
    return device


def about(kind: str) -> About:
    """What is here."""
    device = device_of(kind)
    gpu = _target(kind).gpu
    has_warpgroups = gpu is not None and gpu.warpgroup_products
    return About(device.name, _target(kind).name, has_card_torch(), has_warpgroups)


def bandwidth(kind: str) -> float:
    """Bytes a second that the card copies."""
    return copy_bandwidth(device_of(kind))


def peak(kind: str, factors: str, size: int | None = None) -> ProductPeak:
    """The fastest product of such factors."""

    def loaded(fn: Function, precision: str) -> Loaded:
        return executable_on(device_of(kind), fn, _target(kind, precision)).loaded()

    return measure_peak(factors, loaded, _target(kind).l2_bytes, REPEAT[kind], size)


def times(kind: str, name: str) -> Times:
    """The time of a function."""
    fn = FUNCTIONS[name]
    target = _target(kind, FACTORS.get(name, "f32"))
    arrays = inputs_for(fn)
    run = executable_on(device_of(kind), fn, target)
    loaded = run.loaded()
    alone = kernel_seconds(loaded, arrays, target.l2_bytes, max(1, REPEAT[kind] // 4))
    kinds = {factors_of(kernel) for kernel in run.program.kernels} - {"f32"}
    return Times(
        statistics.median(run_seconds(loaded, arrays, target.l2_bytes, REPEAT[kind])),
        sum(alone.values()),
        matrix_flops(fn),
        sum(value.type.nbytes for value in (*fn.params, *fn.results)),
        min(kinds, default="f32"),
    )


def torch_seconds(kind: str, runtime: str, name: str) -> float:
    """The time of a function by torch, on the card that torch knows."""
    fn, precision = FUNCTIONS[name], FACTORS.get(name, "f32")
    runs = TorchRuns(runtime, fn, inputs_for(fn), precision, _target(kind).l2_bytes)
    return statistics.median(runs.sample() for _ in range(REPEAT[kind]))


def checked(kind: str, name: str) -> Checked:
    """The error of a function."""
    fn, factors = FUNCTIONS[name], FACTORS.get(name, "f32")
    arrays = inputs_for(fn)
    run = executable_on(device_of(kind), fn, _target(kind, factors))
    every, twice = results_of(run(*arrays)), results_of(run(*arrays))  # as a graph
    for result, other in zip(every, twice, strict=True):
        assert result.tobytes() == other.tobytes(), "the graph computes something else"
    return against_float64(fn, run.program, arrays, every, factors)


def against_float64(
    fn: Function, program: Program, arrays: Sequence[Array], found: Sequence[Array], factors: str
) -> Checked:
    """The error of results that a program gave."""
    wide = [array if array.dtype.kind in "iub" else array.astype(np.float64) for array in arrays]
    units = UNITS * max(turns_of(program), default=1)
    unit = max(EPSILON.get(result.dtype.name, 0.0) for result in found)
    return Checked(
        largest_error(found, run_reference(fn, wide)),
        units * max(unit, ROUNDED.get(factors, 0.0)),
    )


def wrappers(kind: str, file: Path) -> str:
    """Keep what the card makes of the wrappers, and say where its stand-in differs."""
    found = run_cases(device_of(kind), CASES, _target(kind))
    np.savez_compressed(file, allow_pickle=False, **found)
    stand_in = run_cases(ShimCard(), CASES, _target(kind))
    wrong = [case.name for case in CASES if not case.agrees(stand_in[case.name], found[case.name])]
    differ = f"the CPU's stand-ins differ in {', '.join(wrong)}" if wrong else "as on the CPU"
    return f"{len(CASES)} cases in {file.name}: {differ}"


def is_exact(kind: str, case: str) -> bool:
    """Whether a product of warpgroups is what it must be."""
    product = PRODUCTS[case]
    return np.array_equal(run_case(device_of(kind), product, _target(kind)), product.exact())


def _target(kind: str, factors: str = "f32") -> Target:
    target = named_target(nearest_card(device_of(kind).capability))
    assert target is not None and target.gpu is not None
    cache_bytes = SHIM_CACHE if kind == "shim" else target.l2_bytes
    return replace(target, l2_bytes=cache_bytes, gpu=replace(target.gpu, factors=factors))


def inputs_for(fn: Function) -> list[Array]:
    """Random arrays of the parameters' types; indices as the examples want them."""
    return [
        array.astype(param.type.dtype.numpy)
        for param, array in zip(fn.params, arrays_for(fn), strict=True)
    ]


def largest_error(found: Sequence[Array], exact: Sequence[Array]) -> float:
    """The largest of all results, relative to the largest element of each."""
    worst = 0.0
    for result, known in zip(found, exact, strict=True):
        largest = float(np.max(np.abs(known))) or 1.0
        error = float(np.max(np.abs(result.astype(np.float64) - known))) / largest
        worst = max(worst, error if error == error else float("inf"))
    return worst
