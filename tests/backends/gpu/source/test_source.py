"""The source as it was read, as NVIDIA's compilers take it, and as it computes on the CPU."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Function
from mlir_lite.backends.cuda.code.nvrtc import compile_source, ptx_text
from mlir_lite.backends.cuda.source.source import CudaSource
from mlir_lite.errors import RunError, UnsupportedError
from mlir_lite.ir import run_reference

from ..compiled import Compiled, all_orders, card, planned
from ..examples import BY_NAME, EXAMPLES, arrays_for, picked
from ..shim import needs_shim

GOLDEN = Path(__file__).parents[3] / "golden" / "cuda"

each_example = pytest.mark.parametrize("fn", EXAMPLES, ids=lambda fn: fn.name)


def source_of(fn: Function, name: str = "sm_90") -> CudaSource:
    target = card(name)
    return CudaSource.of(planned(fn, target)[0], target)


@each_example
def test_source_is_as_it_was_read(fn: Function, request: pytest.FixtureRequest) -> None:
    text = str(source_of(fn))
    file = GOLDEN / f"{fn.name}.cu"
    if request.config.getoption("--update-golden", default=False):
        file.write_text(text)
    assert text == file.read_text()


@needs_shim
@each_example
def test_source_computes_what_the_function_says(fn: Function, tmp_path: Path) -> None:
    arrays = arrays_for(fn)
    found = all_orders(Compiled.of(fn, tmp_path), arrays)
    wide = [array.astype(np.float64) if array.dtype.kind == "f" else array for array in arrays]
    for result, exact in zip(found, run_reference(fn, wide), strict=True):
        # A sum of some hundred terms in another order; or factors of bf16, and a rounded result.
        near = 1e-5 if result.dtype.itemsize > 2 else 2.0**-7
        np.testing.assert_allclose(result.astype(exact.dtype), exact, rtol=near, atol=near)


@needs_shim
def test_data_out_of_range_are_an_error_with_a_line(tmp_path: Path) -> None:
    x, at = arrays_for(picked)
    with pytest.raises(RunError, match=r"examples.py:\d+: .*out of range"):
        Compiled.of(picked, tmp_path)(x, at + 10)


@pytest.mark.usefixtures("nvrtc")
@pytest.mark.parametrize("architecture", ["sm_80", "sm_90a", "sm_100"])
def test_the_cards_compiler_has_no_complaint(architecture: str) -> None:
    for name in BY_NAME:
        compile_source((GOLDEN / f"{name}.cu").read_text(), architecture, strict=True)


@pytest.mark.usefixtures("nvrtc")
def test_assembler_and_resources_are_stages() -> None:
    stages = ml.compile(BY_NAME["softmax"], target="cuda:sm_80").stages
    assert ".target sm_80" in stages["ptx"]
    assert "bar.sync" in stages["ptx"]
    header, row = stages["resources"].splitlines()
    assert header.split() == ["kernel", "registers", "shared", "spilled", "occupancy"]
    assert row.split()[0].endswith("_kernel")
    assert row.split()[-2:] == ["0", "100%"]


@pytest.mark.usefixtures("disassembler")
def test_machine_code_is_a_stage() -> None:
    assert "BAR.SYNC" in ml.compile(BY_NAME["softmax"], target="cuda:sm_80").stages["sass"]


@pytest.mark.usefixtures("nvrtc")
def test_a_wrong_source_has_no_assembler() -> None:
    with pytest.raises(RunError, match="identifier \"y\" is undefined"):
        ptx_text('extern "C" __global__ void wrong(float* x) { *x = y; }', "sm_90")


@pytest.mark.usefixtures("nvrtc")
def test_a_wrong_source_is_refused_with_the_compilers_words() -> None:
    with pytest.raises(RunError, match="identifier \"y\" is undefined"):
        compile_source('extern "C" __global__ void wrong(float* x) { *x = y; }', "sm_90")


def test_kernels_tell_the_users_lines() -> None:
    source = str(source_of(BY_NAME["linear"]))
    assert re.search(r"// matmul .*relu: examples.py:\d+", source)


@pytest.mark.parametrize("name", ["sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120"])
def test_every_card_compiles(name: str) -> None:
    executable = ml.compile(BY_NAME["linear"], target=f"cuda:{name}")
    assert f"for cuda:{name}" in executable.stages["cuda"]
    assert "block" in executable.stages["tile"]


def test_an_unknown_card_is_an_error() -> None:
    with pytest.raises(UnsupportedError, match="known are cuda:sm_80"):
        ml.compile(BY_NAME["linear"], target="cuda:sm_1")


def test_a_call_says_what_can_be_done() -> None:
    executable = ml.compile(BY_NAME["linear"], target="cuda:sm_90")
    with pytest.raises(UnsupportedError, match="--emit cpp-host"):
        executable(*arrays_for(BY_NAME["linear"]))
