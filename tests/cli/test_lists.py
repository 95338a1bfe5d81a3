"""The small commands: `ops`, `passes`, `env`, `cache`, `plan`, `demo`."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from mlir_lite.environment import VARIABLES
from mlir_lite.ops.table import TABLE
from mlir_lite.passes.pipelines import PASSES

from .conftest import Cli

# Two buffers of 4 that overlap a third of 3 in time, one at a time.
PROBLEM = "id,lower,upper,size\na,0,2,4\nb,2,4,4\nc,1,3,3\n"


def test_ops_lists_all(cli: Cli) -> None:
    lines = cli("ops").out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == sorted(TABLE.classes)


def test_ops_describes_one(cli: Cli) -> None:
    text = cli("ops", "conv").out
    assert "%weight" in text
    assert re.search(r"groups +attribute, int, has a default", text)
    assert re.search(r"strides +attribute, tuple\[int, \.\.\.\]\n", text)


def test_ops_helps_with_a_misspelt_name(cli: Cli) -> None:
    done = cli("ops", "matmull")
    assert done.code == 1
    assert "did you mean 'matmul'" in done.err


def test_passes_lists_all_with_options(cli: Cli) -> None:
    text = cli("passes").out
    table, pipeline = text.split("\n\n")
    assert [line.split()[0] for line in table.splitlines()[1:]] == sorted(PASSES)
    assert re.search(r"^winograd +choice=auto ", table, re.MULTILINE)
    assert pipeline.endswith("fuse\n")


def test_env_shows_values(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLIR_LITE_THREADS", "3")
    monkeypatch.delenv("MLIR_LITE_DUMP", raising=False)
    lines = cli("env").out.splitlines()[1:]
    assert [line.split()[0] for line in lines] == [variable.name for variable in VARIABLES]
    values = {line.split()[0]: line.split()[1] for line in lines}
    assert (values["MLIR_LITE_THREADS"], values["MLIR_LITE_DUMP"]) == ("3", "not")


def test_cache_fills_explains_and_clears(
    cli: Cli, layer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLIR_LITE_CACHE_DIR", str(tmp_path / "cache"))
    explain = ("cache", "explain", layer, "--shape", "batch=3")
    assert "miss: the cache is empty" in cli(*explain).out
    cli("run", layer, "--shape", "batch=3", "--random-inputs", 0)
    lines = cli(*explain).out.splitlines()
    assert lines
    assert all(": hit: " in line for line in lines)
    assert "text: line " in cli("cache", "explain", layer, "--shape", "batch=4").out
    count = len(list((tmp_path / "cache").iterdir()))
    assert f"{count} entries" in cli("cache", "list").out
    assert cli("cache", "clear").out == f"deleted {count} entries of {tmp_path / 'cache'}\n"
    assert "0 entries" in cli("cache", "list").out


@pytest.mark.parametrize(
    ("capacity", "code", "verdict"), [(7, 0, "7 bytes: fits"), (6, 1, "6 bytes: does not fit")]
)
def test_plan_says_whether_it_fits(
    cli: Cli, tmp_path: Path, capacity: int, code: int, verdict: str
) -> None:
    path = tmp_path / "problem.csv"
    path.write_text(PROBLEM)
    done = cli("plan", path, "--capacity", capacity)
    assert done.code == code
    assert verdict in done.out
    assert "7 bytes" in done.out


def test_plan_writes_offsets_that_are_no_overlap(cli: Cli, tmp_path: Path) -> None:
    path, output = tmp_path / "problem.csv", tmp_path / "solved.csv"
    path.write_text(PROBLEM)
    assert "optimal" in cli("plan", path, "-o", output).out
    rows = [line.split(",") for line in output.read_text().splitlines()[1:]]
    places = {name: (int(offset), int(offset) + int(size)) for name, _, _, size, offset in rows}
    for other in ("a", "b"):
        assert places["c"][1] <= places[other][0] or places[other][1] <= places["c"][0]
    assert cli("plan", output).code == 0


def test_plan_of_a_wrong_file_shows_the_place(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "problem.csv"
    path.write_text(PROBLEM.replace("c,1,3,3", "c,3,1,3"))
    done = cli("plan", path)
    assert done.code == 1
    assert f"{path}:4:5: " in done.err


def test_demo_reads_digits_in_seconds(cli: Cli) -> None:
    start = time.perf_counter()
    done = cli("demo")
    # 5 s are promised; the rest is for machines that do other things at the time.
    assert time.perf_counter() - start < 20
    assert done.code == 0
    accuracy = re.search(r"accuracy +([\d.]+)% +(\d+) of (\d+) images", done.out)
    assert accuracy is not None
    assert float(accuracy[1]) >= 97
    assert int(accuracy[3]) >= 300
    difference = re.search(r"difference +(\S+)", done.out)
    assert difference is not None
    assert float(difference[1]) < 1e-5
    assert "lower bound" in done.out
    assert max(map(len, done.out.splitlines())) < 200


def test_demo_is_whole_for_any_batch(cli: Cli) -> None:
    first, second = (cli("demo", "--batch", count).out for count in (1, 37))
    found = [re.search(r"accuracy +\S+ +(\d+) of", text) for text in (first, second)]
    assert found[0] is not None and found[1] is not None
    assert found[0][1] == found[1][1]
