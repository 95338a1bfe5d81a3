"""The CPU's stand-ins for the card's assembler give what a card gave, where one was asked."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from mlir_lite.backends.cuda.code.nvrtc import compile_source
from mlir_lite.backends.cuda.source.source import CudaSource
from mlir_lite.expr import FUNCTIONS
from mlir_lite.tile.program import Program
from mlir_lite.types import Array

from .compiled import card
from .shim import needs_shim
from .shim_card import ShimCard
from .wrapper_cases import CASES, GOLDEN, WrapperCase, run_cases


@pytest.fixture(scope="module")
def found() -> dict[str, Array]:
    return dict(run_cases(ShimCard(), CASES, card()))


@needs_shim
def test_conversions_are_those_of_other_libraries(found: dict[str, Array]) -> None:
    for case in CASES:
        if case.name.startswith("to_"):
            kind = np.float16 if case.name.endswith("_f16") else ml_dtypes.bfloat16
            with np.errstate(over="ignore"):
                bits = case.input().view(np.float32).astype(kind).view(np.uint16)
            halves = found[case.name].view(np.uint16).reshape(-1, 2)
            np.testing.assert_array_equal(halves[:, 0], bits, case.name)
            np.testing.assert_array_equal(halves[:, 1], bits, case.name)


@needs_shim
def test_factors_are_rounded_as_the_function_says(found: dict[str, Array]) -> None:
    (case,) = (case for case in CASES if case.name == "rounded_tf32")
    wanted = FUNCTIONS["tf32"].evaluate(case.input().view(np.float32))
    np.testing.assert_array_equal(found[case.name].view(np.float32), wanted)


@needs_shim
@pytest.mark.skipif(not GOLDEN.exists(), reason="no card has been asked yet")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_results_are_those_of_a_card(case: WrapperCase, found: dict[str, Array]) -> None:
    with np.load(GOLDEN) as kept:
        assert case.agrees(found[case.name], kept[case.name])


@needs_shim
def test_what_differs_is_seen(found: dict[str, Array]) -> None:
    for case in CASES:
        assert case.agrees(found[case.name], found[case.name])
        wrong = found[case.name].copy()
        wrong[0] ^= 1 << 20
        assert not case.agrees(found[case.name], wrong), case.name


@pytest.mark.usefixtures("nvrtc")
@pytest.mark.parametrize("architecture", ["sm_80", "sm_90a"])
def test_the_cards_compiler_takes_the_cases(architecture: str) -> None:
    kernels = {case.name: case.kernel for case in CASES}
    source = CudaSource(Program("wrappers", (), (), (), (), ()), card(), kernels)
    made = compile_source(source.code, architecture)
    assert len(made.usage) == len(CASES)
