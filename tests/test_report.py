"""The report of a compilation: what it says of each convolution, and where it can be had."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Value, f32
from mlir_lite.cli import main
from mlir_lite.types import Array


def filters(inner: int) -> Array:
    return np.random.default_rng(0).standard_normal((32, inner, 3, 3)).astype(np.float32)


def cancelling() -> Array:
    """Two channels a thousand times the others, of opposite signs: too much for tiles of 4."""
    array = filters(256)
    array[:, 0], array[:, 1] = 1e3, -1e3
    return array


@ml.function(f32[1, 128, 28, 28], f32[32, 128, 3, 3], f32[1, 256, 28, 28], f32[32, 256, 3, 3])
def pair(x: Value, w: Value, y: Value, v: Value) -> Value:
    first = ml.conv2d(x, w, padding=1)
    return first + ml.conv2d(y, v, padding=1)


@ml.function(f32[2, 3])
def plain(x: Value) -> Value:
    return ml.relu(x)


def bound() -> ml.Function:
    return pair.bind({"w": filters(128), "v": cancelling()})


def rows(report: str) -> list[str]:
    """The lines about convolutions."""
    return [line for line in report.splitlines() if "28x28" in line]


def test_each_convolution_has_a_line() -> None:
    first, second = rows(ml.compile(bound()).report)
    assert first.split()[0].startswith("test_report.py:")
    assert first.split()[0] != second.split()[0]
    assert "1x28x28x128 -> 1x28x28x32, 3x3" in first and "winograd4" in first
    cells = first.split()
    cycles = [int(cell) for cell in cells[-4:-1]]
    assert min(cycles) == cycles[2] > 0  # the chosen one is the cheapest
    assert 1e-7 < float(cells[-1]) <= 1e-5


def test_it_says_what_packing_makes_of_the_weights() -> None:
    line = ml.compile(bound()).report.splitlines()[-1]
    # 128 and 256 channels of 32 filters, f32: 9 taps each as given; 36 points of the first and 16
    # of the second as they are kept.
    assert "constants of 432 KiB as given" in line
    assert "1.06 MiB as they are kept" in line
    assert "an arena of " in line


def test_what_fell_back_says_why() -> None:
    _, second = rows(ml.compile(bound()).report)
    assert "winograd2" in second and "not winograd4: its error was " in second


def test_an_explicit_choice_is_reported_with_its_error() -> None:
    report = ml.compile(bound(), winograd=4).report
    first, second = rows(report)
    assert "beyond" not in first
    assert "winograd4" in second and second.endswith("as asked, beyond 1e-05")


def test_without_winograd_all_are_direct() -> None:
    report = ml.compile(bound(), winograd="off").report
    assert all(" direct " in line for line in rows(report))
    assert "may lose 0.0e+00 in all" in report


def test_report_of_no_convolutions() -> None:
    assert ml.compile(plain).report.startswith("no convolutions\n\nmemory: ")


def test_pipeline_without_the_pass_chooses_nothing() -> None:
    assert "no pass 'winograd'" in ml.compile(plain, passes=()).report


def test_report_on_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "plain.mlir"
    path.write_text(str(plain))
    assert main(["compile", str(path), "--emit", "report"]) == 0
    assert capsys.readouterr().out.startswith("no convolutions\n\nmemory: ")
