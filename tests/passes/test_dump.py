"""Dumps: numbered files that are read back, one for each pass."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import mlir_lite as ml
from mlir_lite import Function, Value, f32
from mlir_lite.ir import run_reference
from mlir_lite.ir.resource_file import read_constants
from mlir_lite.passes.dump import DumpFolder, both, new_folder
from mlir_lite.passes.manager import Record, run_passes
from mlir_lite.passes.pipelines import Step

WEIGHT = np.random.default_rng(0).standard_normal((40, 40)).astype(np.float32)
STEPS = (Step("canonicalize"), Step("constant-fold"), Step("fuse"))


@ml.function(f32[2, 40], f32[40, 40])
def layer(x: Value, w: Value) -> Value:
    return ml.relu(x @ ml.transpose(w, (1, 0)) * 1.0)


BOUND = layer.bind({"w": WEIGHT})


def read_back(path: Path) -> Function:
    """The function of a dumped text, with the constants beside it."""
    return ml.parse(path.read_text(), read_constants(path.with_suffix(".safetensors")))


def test_files_are_numbered_and_named_by_their_pass(tmp_path: Path) -> None:
    dumps = DumpFolder(tmp_path / "dumps")
    dumps.function("input", BOUND)
    run_passes(BOUND, STEPS, observe=dumps)
    dumps.text("program.tile", "text")
    assert sorted(path.name for path in (tmp_path / "dumps").glob("*.[mt]*")) == [
        "00-input.mlir",
        "01-canonicalize.mlir",
        "02-constant-fold.mlir",
        "03-fuse.mlir",
        "04-program.tile",
    ]


def test_every_dump_is_read_back_and_computes_the_same(tmp_path: Path) -> None:
    dumps = DumpFolder(tmp_path)
    run_passes(BOUND, STEPS, observe=dumps)
    x = np.ones((2, 40), np.float32)
    (want,) = run_reference(BOUND, (x,))
    paths = sorted(tmp_path.glob("*.mlir"))
    assert len(paths) == len(STEPS)
    for path in paths:
        (got,) = run_reference(read_back(path), (x,))
        np.testing.assert_array_equal(got, want)


def test_constants_that_did_not_change_are_written_once(tmp_path: Path) -> None:
    dumps = DumpFolder(tmp_path)
    for name in ("one", "two"):
        dumps.function(name, BOUND)
    one, two = (tmp_path / f"{name}.safetensors" for name in ("00-one", "01-two"))
    assert one.samefile(two)
    run_passes(BOUND, STEPS, observe=dumps)  # folding transposes the weight
    assert not (tmp_path / "03-constant-fold.safetensors").samefile(one)


def test_a_function_without_constants_has_no_file_of_them(tmp_path: Path) -> None:
    DumpFolder(tmp_path).function("input", layer)
    assert [path.name for path in tmp_path.iterdir()] == ["00-input.mlir"]


def test_a_folder_that_exists_is_left_alone(tmp_path: Path) -> None:
    names = [new_folder(tmp_path / "dumps", "layer").name for _ in range(3)]
    assert names == ["layer", "layer.1", "layer.2"]


def test_two_observers_are_told_both() -> None:
    seen: list[str] = []

    def first(record: Record, _: Function) -> None:
        seen.append(f"first {record.name}")

    def second(record: Record, _: Function) -> None:
        seen.append(f"second {record.name}")

    run_passes(layer, STEPS[:1], observe=both(first, second))
    run_passes(layer, STEPS[:1], observe=both(None, second))
    assert seen == ["first canonicalize", "second canonicalize", "second canonicalize"]
