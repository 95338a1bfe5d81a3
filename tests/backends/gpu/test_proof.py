"""The table of what is proved of the kernel templates: its command does its work, and says what
fails."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from . import proof
from .shim import needs_shim

pytestmark = [needs_shim, pytest.mark.usefixtures("disassembler")]

ONE = ("--only", "^transposed$", "--cards", "sm_80")


def test_the_command_prints_a_row_a_kernel(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "gpu.proof", *ONE, "--output", str(tmp_path / "table.md")]
    folder = Path(__file__).parents[1]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    head, _, row = ([cell.strip() for cell in line.split("|")] for line in done.stdout.splitlines())
    cells = dict(zip(head, row, strict=True))
    assert (cells["template"], cells["kernel"]) == ("transposed", "transpose_kernel")
    assert (cells["interpreter"], cells["text"], cells["checker"]) == ("0e+00", "0e+00", "nothing")
    assert (tmp_path / "table.md").read_text() == done.stdout


def test_what_is_wrong_is_in_bold(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(proof, "run_program", lambda *given: [np.zeros((96, 70), np.float32)])
    assert proof.main(ONE) == 1
    assert "| **1.0e+00, allowed are " in capsys.readouterr().out
