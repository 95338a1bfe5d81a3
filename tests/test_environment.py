"""The environment variables: all of them listed, all of them heard."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import mlir_lite as ml
from mlir_lite.environment import VARIABLES, verify_level
from mlir_lite.errors import InputError, PassError
from mlir_lite.passes.pipelines import PASSES

ROOT = Path(__file__).parents[1]
RELU = """\
func @f(%x: tensor<3xf32>) -> tensor<3xf32> {
  %0 = relu %x : tensor<3xf32>
  return %0
}
"""


def test_every_variable_of_the_source_is_listed() -> None:
    folders = (ROOT / name for name in ("mlir_lite", "passes", "backends"))
    sources = [path for folder in folders for path in folder.rglob("*.py")]
    used = {
        name
        for path in sources
        if path.name != "environment.py"
        for name in re.findall(r"MLIR_LITE_[A-Z_]*[A-Z]", path.read_text(encoding="utf-8"))
    }
    assert used <= {variable.name for variable in VARIABLES}
    assert {"MLIR_LITE_THREADS", "MLIR_LITE_CACHE_DIR"} <= used


def test_dump_writes_a_folder_a_compilation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLIR_LITE_DUMP", str(tmp_path / "dumps"))
    fn = ml.parse(RELU)
    ml.compile(fn)
    ml.compile(fn)
    assert sorted(path.name for path in (tmp_path / "dumps").iterdir()) == ["f", "f.1"]
    names = sorted(path.name for path in (tmp_path / "dumps" / "f").iterdir())
    assert names[0] == "00-input.mlir"
    assert [name.split("-", 1)[1] for name in names[-2:]] == ["program.tile", "program.ll"]
    assert str(ml.parse((tmp_path / "dumps" / "f" / names[1]).read_text())) == str(fn)


def test_dump_argument_comes_before_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLIR_LITE_DUMP", str(tmp_path / "variable"))
    ml.compile(ml.parse(RELU), dump=tmp_path / "argument")
    assert [path.name for path in tmp_path.iterdir()] == ["argument"]


def test_verify_levels() -> None:
    assert verify_level({}) == "structure"
    assert verify_level({"MLIR_LITE_VERIFY": ""}) == "structure"
    assert verify_level({"MLIR_LITE_VERIFY": "each-pass"}) == "each-pass"
    with pytest.raises(InputError, match="off, structure or each-pass, got 'all'"):
        verify_level({"MLIR_LITE_VERIFY": "all"})


def test_verify_variable_finds_the_pass_that_changes_a_result(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def wrong(fn: ml.Function) -> ml.Function:
        return ml.parse(RELU.replace("relu", "negative"))

    changed = {**PASSES, "canonicalize": wrong}
    monkeypatch.setattr("mlir_lite.passes.pipelines.PASSES", changed)
    monkeypatch.setenv("MLIR_LITE_VERIFY", "structure")
    ml.compile(ml.parse(RELU))
    monkeypatch.setenv("MLIR_LITE_VERIFY", "each-pass")
    with pytest.raises(PassError, match="the pass 'canonicalize' changed result 0"):
        ml.compile(ml.parse(RELU))
