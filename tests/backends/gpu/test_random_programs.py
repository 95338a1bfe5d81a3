"""Random programs as CUDA source, run on the CPU with threads and blocks in several orders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fuzz.judge import Truth
from fuzz.programs import FAMILIES, LOOSE, Families, Program, random_program

from mlir_lite.errors import UnsupportedError

from .compiled import Compiled, all_orders, card
from .shim import needs_shim


def check_together(
    seeds: range, folder: Path, families: Families = FAMILIES, *, special: bool = False
) -> None:
    """Several programs in one source: g++ takes longest to start."""
    found = [random_program(seed, families, special=special, most=6) for seed in seeds]
    programs = {program.fn.name: program for program in found}
    compiled = Compiled.together(
        [program.fn for program in found], folder, target=card(threads=64)
    )
    wrong = [_wrong(program, compiled[name], special) for name, program in programs.items()]
    assert not any(wrong), "\n".join(filter(None, wrong))


def _wrong(program: Program, compiled: Compiled, special: bool) -> str:
    truth = Truth(program.fn, program.arrays, special=special)
    arrays = [np.array(array, order="C") for array in program.arrays]
    try:
        message = truth.wrong(all_orders(compiled, arrays))
    except (AssertionError, UnsupportedError) as error:
        message = str(error)
    return message and f"{message}\n{program.fn}"


@needs_shim
def test_programs(tmp_path: Path) -> None:
    check_together(range(4), tmp_path)


@needs_shim
@pytest.mark.slow
@pytest.mark.parametrize("eight", range(1, 11))
def test_more_programs(eight: int, tmp_path: Path) -> None:
    check_together(range(8 * eight, 8 * eight + 8), tmp_path)


@needs_shim
@pytest.mark.slow
@pytest.mark.parametrize("eight", range(1, 6))
def test_more_programs_of_special_values(eight: int, tmp_path: Path) -> None:
    check_together(range(8 * eight, 8 * eight + 8), tmp_path, LOOSE, special=True)
