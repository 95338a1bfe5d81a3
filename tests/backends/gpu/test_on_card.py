"""The script for the time with a card does its work: with the CPU in a card's place."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mlir_lite import Function, Value, f32, function
from mlir_lite.cli.card_ceilings import ProductPeak
from mlir_lite.types import Array

from . import card_jobs, on_card
from .card_jobs import Times
from .card_report import Line, Report
from .card_worker import Apart, Here, JobError
from .examples import EXAMPLES, linear, picked
from .group_cases import CASES as GROUP_CASES
from .group_cases import GroupCase
from .shim import needs_shim
from .torch_shim import put_torch_on_a_card
from .wrapper_cases import CASES


@function(f32[8])
def doubled(x: Value) -> Value:
    return x * 2.0


@function(f32[8])
def tripled(x: Value) -> Value:
    return x * 3.0


def told(
    folder: Path, monkeypatch: pytest.MonkeyPatch, functions: Sequence[Function], *more: str
) -> tuple[dict[str, Any], str, Report]:
    """What the script tells of functions, as JSON, as a table, and as it stands."""
    monkeypatch.setattr(card_jobs, "FUNCTIONS", {fn.name: fn for fn in functions})
    args = on_card.arguments(["--device", "shim", "--output", str(folder), *more])
    report, place = on_card.look(Here(), args, functions)
    found: dict[str, Any] = json.loads(place.with_suffix(".json").read_text())
    return found, place.read_text(), report


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_card, "SHIM_SIZE", 32)
    monkeypatch.setattr(on_card, "GROUP_CASES", ())
    monkeypatch.setattr("mlir_lite.backends.cuda.card.timing._COPY_BYTES", 1 << 16)
    monkeypatch.setattr(card_jobs, "has_card_torch", lambda: False)


@needs_shim
def test_what_fails_and_what_is_wrong_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reference(fn: object, arrays: Sequence[Array]) -> list[Array]:
        if fn is picked:
            raise ValueError("it\nbroke")
        return [2 * arrays[0]]

    monkeypatch.setattr(card_jobs, "run_reference", reference)
    found, text, report = told(tmp_path, monkeypatch, (picked, doubled, tripled))
    assert [line["verdict"] for line in found["lines"]] == ["failed", "yes", "no"]
    assert not report.is_right
    assert found["lines"][1]["error"] == 0.0
    assert found["wrappers"] == f"{len(CASES)} cases in wrappers.npz: as on the CPU"
    assert "| doubled | yes |" in text
    assert "| tripled | **no** |" in text
    assert "| picked | **failed** |" in text
    assert "- error of picked: ValueError: it broke\n" in text


@needs_shim
def test_functions_are_held_against_ceilings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, text, report = told(tmp_path, monkeypatch, (doubled,))
    assert report.is_right
    assert list(found["peaks"]) == ["f32", "tf32", "bf16", "f16"]
    assert {(peak["size"], peak["by"]) for peak in found["peaks"].values()} == {(32, "mlir-lite")}
    (line,) = found["lines"]
    assert line["gigabytes"] == pytest.approx(64 / line["seconds"] / 1e9)
    share = line["gigabytes"] * 1e9 / found["copy_bandwidth"]
    assert line["share"] == pytest.approx(share)
    assert line["gflops"] is None and line["others"] == {}
    assert text.count("ceiling of ") == 5


@needs_shim
def test_products_of_warpgroups_are_exact_or_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_card, "GROUP_CASES", GROUP_CASES[:5])
    monkeypatch.setattr(on_card, "SHIM_STEP", 4)
    found, text, report = told(tmp_path, monkeypatch, ())
    assert report.is_right and list(found["products"].values()) == [True, True]
    assert "- products of warpgroups: 2 exact\n" in text

    monkeypatch.setattr(GroupCase, "exact", lambda case: case.factors()[0])
    found, text, report = told(tmp_path, monkeypatch, ())
    assert not report.is_right
    assert f"- products of warpgroups: **wrong** in {', '.join(found['products'])}\n" in text


@needs_shim
def test_after_three_products_that_fail_the_others_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_card, "GROUP_CASES", GROUP_CASES[:5])
    monkeypatch.setattr(on_card, "SHIM_STEP", 1)
    monkeypatch.setattr(card_jobs, "run_case", lambda *given: 1 / 0)
    found, text, report = told(tmp_path, monkeypatch, ())
    assert found["products"] == {} and not report.is_right
    assert text.count(": ZeroDivisionError: division by zero\n") == 3
    assert f"- {GROUP_CASES[3].name} and what comes after it\n" in text


def test_the_limit_is_that_of_memory_or_of_products() -> None:
    report = Report("a card", "cuda:sm_90", "today", 2e12)
    report.peaks["bf16"] = ProductPeak("bf16", 8192, 1e15, "torch")
    for flops, moved, share in ((10**9, 10**6, 0.5), (10**9, 3 * 10**6, 0.75)):
        line = Line("f")
        on_card.note_times(report, line, Times(2e-6, 1e-6, flops, moved, "bf16"))
        assert line.share == pytest.approx(share)
    unknown = Line("g")
    on_card.note_times(report, unknown, Times(2e-6, 1e-6, 10**9, 10**6, "f64"))
    assert unknown.share is None


@needs_shim
def test_torch_is_beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_torch_on_a_card(monkeypatch)
    monkeypatch.setattr(card_jobs, "has_card_torch", lambda: True)
    monkeypatch.setattr("torch.compile", lambda program, dynamic: program)
    found, text, _ = told(tmp_path, monkeypatch, (doubled,))
    (line,) = found["lines"]
    assert sorted(line["others"]) == ["torch", "torch-compile"]
    cells = next(row for row in text.splitlines() if row.startswith("| doubled")).split("|")
    assert all(cell.strip() for cell in cells[10:14])  # two times with their ratios


@needs_shim
def test_what_torch_cannot_do_is_no_failure_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(card_jobs, "has_card_torch", lambda: True)
    _, text, report = told(tmp_path, monkeypatch, (doubled,))
    assert report.is_right
    assert "Not compared:\n\n- torch of doubled: UnsupportedError: the torch that is here, " in text


@needs_shim
def test_what_there_is_no_time_for_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found, text, report = told(tmp_path, monkeypatch, (doubled,), "--seconds", "5")
    assert "Left out for want of time:\n\n- wrappers\n- copies\n" in text
    assert "- times of doubled\n" in text and "- error of doubled\n" in text
    assert found["lines"][0]["verdict"] == "not known" and report.is_right


@needs_shim
@pytest.mark.parametrize(
    ("factors", "allowed"), [("f32", 2.0**-20), ("tf32", 2.0**-7), ("bf16", 2.0**-4)]
)
def test_what_factors_lose_is_allowed(
    factors: str, allowed: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(card_jobs, "FUNCTIONS", {"linear": linear})
    monkeypatch.setattr(card_jobs, "FACTORS", {"linear": factors})
    found = card_jobs.checked("shim", "linear")
    assert 0 < found.error <= found.allowed == allowed


@pytest.fixture
def worker() -> Iterator[Apart]:
    found = Apart()
    yield found
    found.close()


@pytest.mark.parametrize(
    ("job", "said"),
    [
        (partial(time.sleep, 60), "not done after 1 s"),
        (partial(os._exit, 3), "its process ended"),
        (partial(int, "one"), "ValueError: invalid literal for int() with base 10: 'one'"),
    ],
    ids=["hangs", "dies", "raises"],
)
def test_a_job_that_fails_does_not_stop_the_others(
    worker: Apart, job: partial[object], said: str
) -> None:
    first = worker.do(os.getpid, 30)
    assert first not in (os.getpid(), None)
    assert worker.do(os.getpid, 30) == first
    with pytest.raises(JobError) as failed:
        worker.do(job, 1)
    assert str(failed.value) == said
    assert worker.do(os.getpid, 30) != first


def script(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gpu.on_card", *map(str, arguments)]
    folder = Path(__file__).parents[1]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@needs_shim
def test_the_script_works_in_a_process_beside_it(tmp_path: Path) -> None:
    done = script("--device", "shim", "--output", tmp_path, "--only", "^turned$")
    assert done.returncode == 0, done.stderr
    assert "| turned | yes |" in done.stdout
    assert {file.suffix for file in tmp_path.iterdir()} == {".md", ".json", ".npz"}


@needs_shim
@pytest.mark.slow
def test_all_examples_are_right(tmp_path: Path) -> None:
    done = script("--device", "shim", "--output", tmp_path)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("| yes |") == len(EXAMPLES)
