"""What the documentation shows is true: its code runs, its IR parses, its commands exist."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import mlir_lite as ml
from mlir_lite.cli import COMMANDS
from mlir_lite.environment import VARIABLES
from mlir_lite.ir.verify import verify
from mlir_lite.passes.pipelines import parse_pipeline
from mlir_lite.target import Target

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "CONTRIBUTING.md", "tests/benchmark/README.md")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[str]:
    return [
        text
        for page in PAGES
        for found, text in BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))
        if found == language
    ]


def run_code(code: str, folder: Path) -> str:
    """Output of a script in a file of its own, as operations want to know their line."""
    script = folder / "classifier.py"
    script.write_text(code, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=False, cwd=folder
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


IDS = ["readme", "loops", "training", "torch", "op", "pass", "backend"]


@pytest.mark.parametrize("code", blocks("python"), ids=IDS)
def test_code_runs(code: str, tmp_path: Path) -> None:
    if "import torch" in code:
        pytest.importorskip("torch")
    run_code(code, tmp_path)


def test_the_first_example_prints_the_ir_that_follows_it(tmp_path: Path) -> None:
    shown, result = blocks("mlir")[0], "785.0 program @classifier"
    printed = run_code(blocks("python")[0], tmp_path)
    assert printed.startswith(shown)
    assert result in printed


def test_the_loop_prints_the_steps_that_follow_it(tmp_path: Path) -> None:
    code = blocks("python")[1].replace("compile(rnn)", 'compile(rnn, target="cpu:avx512")')
    printed = run_code(code, tmp_path).replace(f"{tmp_path}/classifier.py", "rnn.py")
    assert blocks("text")[0] in printed


@pytest.mark.parametrize("text", blocks("mlir"), ids=["graph", "fused"])
def test_ir_parses_and_verifies(text: str) -> None:
    verify(ml.parse(text))


def test_the_passes_make_the_second_ir_of_the_first() -> None:
    before, after = (ml.parse(text) for text in blocks("mlir"))
    fused = before
    for step in parse_pipeline("canonicalize,fuse", Target("cpu")):
        fused = step.run(fused)
    assert str(fused) == str(after)


def test_commands_exist() -> None:
    """Every `mlir-lite` line of the pages names a command and options that its help has."""
    lines = [
        line.split("#")[0].split("&&")[-1].strip()
        for block in blocks("sh")
        for line in block.splitlines()
    ]
    commands = [shlex.split(line)[1:] for line in lines if line.startswith("mlir-lite")]
    assert len(commands) >= 7
    for command, *arguments in commands:
        help_text = subprocess.run(
            [sys.executable, "-m", "mlir_lite", command, "--help"],
            capture_output=True, text=True, check=True, cwd=ROOT,
        ).stdout  # fmt: skip
        for argument in arguments:
            assert not argument.startswith("--") or argument in help_text


def test_all_commands_and_variables_are_told() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in (*COMMANDS, *(variable.name for variable in VARIABLES)):
        assert f"`{name}`" in text


def test_files_that_the_pages_name_exist() -> None:
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        for name in re.findall(r"`((?:[\w.]+/)+[\w.]*)`", text):
            assert (ROOT / name).exists(), f"{page} names {name}"
        for link in re.findall(r"\]\((?!https?:)([^)]+)\)", text):
            assert ((ROOT / page).parent / link).exists(), f"{page} has a link to {link}"
