"""`mlir-lite tune`, and the commands that take the record which it writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlir_lite.backends.llvm.machine.machine import Machine
from mlir_lite.tuning import Choice, Tuning, read_tuning

from .conftest import Cli

HERE = Machine.host().cpu
PRODUCT = """\
func @product(%x: tensor<96x32xf32>, %w: tensor<32x64xf32>) -> tensor<96x64xf32> {
  %0 = matmul %x, %w : tensor<96x64xf32>
  %1 = relu %0 : tensor<96x64xf32>
  return %1
}
"""
PROBLEM = "product 96x32x64 f32, finish of 1"


@pytest.fixture
def product(tmp_path: Path) -> Path:
    path = tmp_path / "product.mlir"
    path.write_text(PRODUCT)
    return path


@pytest.fixture
def record(tmp_path: Path) -> Path:
    return tmp_path / "record.json"


def test_a_record_is_written(cli: Cli, product: Path, record: Path) -> None:
    done = cli("tune", product, "--trials", 3, "--threads", 1, "-o", record)
    assert done.code == 0 and done.out == ""
    assert "1 times, 3 trials  matmul relu: tensor<96x32xf32>" in done.err
    assert read_tuning(record).machine == HERE


def test_without_a_file_the_record_is_printed(cli: Cli, product: Path) -> None:
    done = cli("tune", product, "--trials", 1, "--threads", 1)
    assert f'"machine": "{HERE}"' in done.out


def test_a_record_changes_the_loops(cli: Cli, product: Path, record: Path) -> None:
    record.write_text(str(Tuning(HERE, (Choice(PROBLEM, "tile", "3x1"),))))
    tuned = cli("compile", product, "--emit", "tile", "--tune", record).out
    assert "0..32" in tuned  # 96 rows, 3 at a time
    assert tuned != cli("compile", product, "--emit", "tile").out


@pytest.mark.parametrize("command", ["compile", "run", "bench"])
def test_a_wrong_record_is_an_error(command: str, cli: Cli, product: Path, record: Path) -> None:
    record.write_text(str(Tuning(HERE, (Choice(PROBLEM, "tile", "99x9"),))))
    inputs = ("--random-inputs", 0) if command == "run" else ()
    done = cli(command, product, *inputs, "--tune", record)
    assert done.code == 1 and "'99x9' as the tile" in done.err
