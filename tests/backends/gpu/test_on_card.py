"""The script for the time with a card does its work: with the CPU in a card's place."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from mlir_lite import Value, f32, function
from mlir_lite.types import Array

from . import on_card
from .compiled import card
from .examples import EXAMPLES, picked
from .shim import needs_shim
from .shim_card import ShimCard
from .wrapper_cases import CASES


@function(f32[8])
def doubled(x: Value) -> Value:
    return x * 2.0


@function(f32[8])
def tripled(x: Value) -> Value:
    return x * 3.0


@needs_shim
def test_what_fails_and_what_is_wrong_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reference(fn: object, arrays: Sequence[Array]) -> list[Array]:
        if fn is picked:
            raise ValueError("it | broke")
        return [2 * arrays[0]]

    monkeypatch.setattr(on_card, "EXAMPLES", (doubled, tripled, picked))
    monkeypatch.setattr(on_card, "run_reference", reference)
    assert on_card.main(["--device", "shim", "--output", str(tmp_path)]) == 1
    (file,) = tmp_path.glob("*.json")
    report = json.loads(file.read_text())
    assert [line["is_right"] for line in report["lines"]] == [True, False, False]
    assert report["lines"][0]["error"] == 0.0
    assert report["wrappers"] == f"{len(CASES)} cases in wrappers.npz: as on the CPU"
    text = file.with_suffix(".md").read_text()
    assert "| doubled | yes |" in text
    assert "| tripled | **no** |" in text
    assert "| picked | ValueError: it / broke |" in text


@needs_shim
def test_what_there_is_no_time_for_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_card, "EXAMPLES", (doubled,))
    on_card.main(["--device", "shim", "--seconds", "5", "--output", str(tmp_path)])
    (file,) = tmp_path.glob("*.md")
    assert "Left out for want of time: doubled." in file.read_text()


@needs_shim
def test_times_are_by_the_clock_of_the_device() -> None:
    target = replace(card(), l2_bytes=1 << 12)
    line = on_card.Line("doubled")
    on_card.time_function(ShimCard(), target, doubled, line, None)
    assert line.seconds and line.kernels and line.gigabytes
    assert line.gigabytes == pytest.approx(64 / line.seconds / 1e9)
    assert line.gflops is None and line.twin_seconds is None


@needs_shim
@pytest.mark.slow
def test_all_examples_are_right(tmp_path: Path) -> None:
    assert on_card.main(["--device", "shim", "--output", str(tmp_path)]) == 0
    (file,) = tmp_path.glob("*.json")
    assert len(json.loads(file.read_text())["lines"]) == len(EXAMPLES)
