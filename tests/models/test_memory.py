"""The memory plan of every real model at every size: no plan needs a smaller arena."""

from pathlib import Path

import pytest

from mlir_lite.frontends.onnx import OnnxModel
from mlir_lite.lowering import lower_for
from mlir_lite.options import Options
from mlir_lite.tile.checks.verify import live_bytes, verify_program
from mlir_lite.tile.program import Program

from .case import Case, RealModel
from .catalogue import every_case
from .conftest import LEDGER


@pytest.fixture
def program(case: Case, model_path: Path) -> Program:
    shapes = {name: array.shape for name, array in case.inputs.items()}
    return lower_for(OnnxModel.read(model_path).function(shapes), "cpu", Options())[3]


@every_case
def test_no_plan_needs_a_smaller_arena(
    model: RealModel, case: Case, program: Program, pytestconfig: pytest.Config
) -> None:
    """The verifier counts the bound anew, from what each step of the program reads and writes."""
    memory = program.memory
    assert memory is not None
    pytestconfig.stash[LEDGER].plan(f"{model.name}, {case.name}", memory)
    verify_program(program)
    assert memory.lower_bound_bytes == max(live_bytes(program))
    if memory.proof != "exhaustive search":  # which proves that no plan reaches the bound
        assert memory.arena_bytes == memory.lower_bound_bytes
    assert max(live_bytes(program, in_place=False)) <= memory.without_reuse_bytes
    assert memory.arena_bytes <= memory.without_reuse_bytes <= memory.total_bytes
