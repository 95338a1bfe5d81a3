"""The benchmark: its table, its workloads, and that what is missing or fails is named."""

from __future__ import annotations

import json
import re
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mlir_lite.backends.llvm.ceilings import Ceilings
from mlir_lite.cli import runners
from mlir_lite.cli.runners import relative_error

from . import __main__ as program
from . import engines, factorisation, sparse
from .cases import Case, prepare
from .engines import ENGINES, OURS, make_call, missing
from .measure import Row, Timing, measure
from .report import ratios_text, starts_text, table_text
from .start import measure_starts
from .workloads import GROUPS, START, WORKLOADS, chosen

CEILINGS = {
    count: Ceilings(
        threads=count, flops=count * 100e9, l2_read=100e9, l3_read=50e9, memory_read=20e9,
        memory_copy=10e9, l2_bytes=1 << 20, l3_bytes=32 << 20,
    )
    for count in (1, 2)
}  # fmt: skip


def row(name: str, threads: int, group: str = "models", **seconds: float) -> Row:
    timings = {engine.replace("_", "-"): Timing(took, 1e-6) for engine, took in seconds.items()}
    return Row(name, group, threads, 10**9, 1 << 10, timings)


ROWS = [
    row("a", 1, mlir_lite=0.02, onnxruntime=0.04, jax=0.08),
    row("b", 1, mlir_lite=0.02, jax=0.16),
    row("c", 1, "gemm", mlir_lite=0.5),
    Row("d", "models", 2, 10**9, 0, {OURS: Timing(0.01), "jax": Timing(failure="too tired")}),
]


def test_the_table_compares_with_the_best_rival() -> None:
    text = table_text(ROWS, CEILINGS, (OURS, "onnxruntime", "jax"), (), markdown=False)
    lines = text.splitlines()
    assert lines[0].startswith("1 thread: ceilings: f32 100 GFLOP/s")
    assert lines[1].startswith("2 threads: ceilings: f32 200 GFLOP/s")
    assert lines[3].split() == [
        "workload", "threads", OURS, "onnxruntime", "jax", "ratio", "of", "peak", "error"
    ]  # fmt: skip
    assert lines[4].split() == [
        "a", "1", "20", "ms", "40", "ms", "80", "ms", "2.00", "50%", "1.0e-06"
    ]  # fmt: skip
    assert lines[5].split()[4:7] == ["-", "160", "ms"]
    assert lines[6].split()[-3:] == ["-", "2%", "1.0e-06"]
    assert "failed" in lines[7]
    # Of 2 and 8; what has no rival, or failed, has no ratio.
    assert lines[9].split() == ["group", "ratios,", "1t", "ratios,", "2t"]
    assert lines[10].split() == ["models", "4.00", "(2.00", "to", "8.00)", "-"]
    assert lines[-1] == "d, 2t, jax: too tired"


def test_the_table_as_markdown() -> None:
    text = table_text(ROWS[:1], CEILINGS, (OURS, "onnxruntime", "jax"), ("torch",), markdown=True)
    assert "not installed, left out: torch" in text
    assert "| a | 20 ms | 40 ms | 80 ms | 2.00 | 50% | 1.0e-06 |" in text.splitlines()
    assert "|---|---:|---:|---:|---:|---:|---:|" in text.splitlines()
    assert "| models | 2.00 | - |" in text.splitlines()


def test_markdown_has_numbers_of_threads_beside_each_other() -> None:
    rows = [*ROWS[:2], row("a", 2, mlir_lite=0.01, onnxruntime=0.03)]
    names = (OURS, "onnxruntime", "jax", "torch")  # of which torch takes nothing
    lines = table_text(rows, CEILINGS, names, (), markdown=True).splitlines()
    assert "| workload | mlir-lite | onnxruntime | jax | ratio | of peak | error |" in lines
    line = "| a | 20 ms / 10 ms | 40 ms / 30 ms | 80 ms / - | 2.00 / 3.00 | 50% | 1.0e-06 |"
    assert line in lines


def test_what_bounds_is_arithmetic_or_bandwidth() -> None:
    timings = {OURS: Timing(1e-2)}
    assert Row("x", "memory", 1, 0, 64 << 20, timings).share(CEILINGS[1]) == pytest.approx(
        (64 << 20) / 20e9 / 1e-2
    )
    assert Row("x", "gemm", 2, 10**9, 8, timings).share(CEILINGS[2]) == pytest.approx(0.5)


def test_the_mean_is_geometric() -> None:
    assert ratios_text([2.0, 8.0]) == "4.00 (2.00 to 8.00)"


def test_groups_and_names_choose_workloads() -> None:
    assert [work.name for work in chosen("sum_4096,attention,sum_4096")] == [
        "sum_4096", "attention_s128", "attention_s1024"
    ]  # fmt: skip
    assert GROUPS == (
        "gemm", "conv", "conv-nhwc", "memory", "attention", "models", "bf16", "int8",
        "recurrent", "train", "call", "start",
    )  # fmt: skip
    with pytest.raises(ValueError, match="no workload or group 'gem'"):
        chosen("gem")


def test_engines_that_are_not_installed_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "find_spec", lambda name: None if name == "jax" else object())
    assert missing(list(ENGINES)) == ["jax"]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("torch")
    return tmp_path_factory.mktemp("cases")


SMALL = (
    *("gemm_64", "linear_128x768x3072", "conv3x3_512_512_7_nhwc", "depthwise3x3_144_56"),
    *("mlp_b64", "rnn_b1", "linear_relu_8"),
)
TRAINED = ("train_mlp_b64", "train_lenet_b64", "train_block_b8", "train_lstm_b32")


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("engine", [name for name in ENGINES if name != "torch-compile"])
def test_small_workloads_give_their_float64_result(cache: Path, engine: str, name: str) -> None:
    pytest.importorskip(ENGINES[engine].package)
    case = prepare(WORKLOADS[name], cache)
    if not ENGINES[engine].takes(case):
        pytest.skip("not a workload of this engine")
    # Sums of up to 4608 products in f32, those of Winograd's algorithm among them.
    assert case.error(make_call(engine, case, 1)()) < 5e-6


@pytest.mark.parametrize("name", TRAINED)
@pytest.mark.parametrize("engine", [OURS, "jax", "torch"])
def test_a_step_of_training_gives_its_float64_weights(cache: Path, engine: str, name: str) -> None:
    pytest.importorskip(ENGINES[engine].package)
    case = prepare(WORKLOADS[name], cache)
    call = make_call(engine, case, 1)
    first, then = call(), call()
    assert case.error(first) < 2e-5  # sums of a thousand products, through roots and quotients
    assert len(first) == 1 + len(case.weights())
    assert len(then) == 1 and then[0] < first[0]


def test_weights_that_did_not_move_are_noticed(cache: Path) -> None:
    case = prepare(WORKLOADS["train_mlp_b64"], cache)
    loss, *_ = make_call(OURS, case, 1)()
    stuck = [weight for _, weight in sorted(case.weights().items())]
    assert case.error([loss, *stuck]) > 1e-3


def test_the_reference_is_the_product_in_float64(cache: Path) -> None:
    case = prepare(WORKLOADS["gemm_64"], cache)
    a, b = (array.astype(np.float64) for array in case.inputs().values())
    assert case.error([a @ b]) < 1e-14
    assert case.error([(a + 1e-3) @ b]) > 1e-5
    assert case.flops == 2 * 64**3
    assert case.bytes == 3 * 64 * 64 * 4


def test_weights_count_as_bytes(cache: Path) -> None:
    case = prepare(WORKLOADS["mlp_b64"], cache)
    sizes = (784 * 512 + 512, 512 * 512 + 512, 512 * 10 + 10, 64 * 784, 64 * 10)
    assert case.bytes == 4 * sum(sizes)
    assert case.flops == 2 * 64 * (784 * 512 + 512 * 512 + 512 * 10)


def test_an_engine_that_fails_is_told_of() -> None:
    broken = Case("gemm_64", "gemm", "nowhere.onnx", "nowhere.safetensors", 1, 1)
    found = measure(broken, [OURS], 1, repeat=1, passes=1)
    assert "nowhere.onnx" in found.timings[OURS].failure
    assert found.ours is None and found.ratio is None
    [start] = measure_starts(broken, [OURS], 1, passes=1)
    assert "nowhere.onnx" in start.failure
    assert "gemm_64, 1t, mlir-lite: " in starts_text([start], {OURS: 1.0}, markdown=False)


def test_a_start_keeps_what_it_compiles_where_it_is_told(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLIR_LITE_CACHE_DIR", str(tmp_path / "own"))  # put back after the test
    case = replace(prepare(WORKLOADS["mlp_b64_start"], cache), kept=str(tmp_path / "kept"))
    assert case.onnx == prepare(WORKLOADS["mlp_b64"], cache).onnx
    make_call(OURS, case, 1)
    assert list((tmp_path / "kept").glob("*.program"))


def test_a_run_prints_the_table_and_writes_json(
    cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(runners, "BLOCK_SECONDS", 1e-5)
    monkeypatch.setattr(program, "measure_ceilings", lambda _, threads: CEILINGS[threads])
    monkeypatch.setattr(program, "missing", lambda names: [name for name in names if name == "jax"])
    out = tmp_path / "results.json"
    code = program.main(
        ["--work", "gemm_64,mlp_b64_start", "--engines", f"{OURS},onnxruntime,jax", "--repeat", "1"]
        + ["--threads", "1", "--passes", "1", "--cache", str(cache), "--json", str(out)]
    )
    printed = capsys.readouterr().out
    report = json.loads(out.read_text())
    assert code == 0
    assert "not installed, left out: jax" in printed
    (measured,) = report["rows"]
    assert set(measured["timings"]) == {OURS, "onnxruntime"}
    assert measured["best_rival"] == "onnxruntime"
    assert all(timing["error"] < 5e-6 for timing in measured["timings"].values())
    assert report["not_installed"] == ["jax"]
    assert list(report["versions"]) == ["llvmlite", "onnxruntime"]
    assert f"onnxruntime {report['versions']['onnxruntime']}\n" in printed
    ours, theirs = report["starts"]
    assert (ours["engine"], theirs["engine"]) == (OURS, "onnxruntime")
    assert all(start[when]["error"] < 5e-6 for start in (ours, theirs) for when in ("cold", "warm"))
    weights = 4 * (784 * 512 + 512 * 512 + 512 * 10)
    assert theirs["planned"] is None
    assert weights < ours["planned"] < 1.2 * weights
    if sys.platform == "linux":
        assert weights < ours["warm"]["bytes"]
    lines = [line.split()[:3] for line in printed.splitlines()]
    assert ["mlp_b64_start", "1", OURS] in lines and ["mlp_b64_start", "1", "onnxruntime"] in lines
    assert "imports, not counted: mlir-lite" in printed


FRONT, PAGE = Path(__file__).parents[2] / "README.md", Path(__file__).with_name("README.md")


def tables(text: str) -> dict[str, dict[str, str]]:
    """The lines of the tables by their first cell, a line's cells by what stands above them."""
    found: dict[str, dict[str, str]] = {}
    for table in re.findall(r"^\|.*\n\|---.*\n(?:\|.*\n)+", text, re.M):
        above, _, *lines = [re.split(r" *\| *", line)[1:-1] for line in table.splitlines()]
        found |= {line[0].strip("`"): dict(zip(above, line, strict=True)) for line in lines}
    return found


def numbers(text: str) -> list[float]:
    return [float(part) for part in re.findall(r"[\d.]+", text)]


def test_the_front_page_has_figures_of_the_first_machine() -> None:
    front = tables(FRONT.read_text(encoding="utf-8"))
    rows = tables(PAGE.read_text(encoding="utf-8").split("\n## ")[1])
    for group in GROUPS:
        names = [name for name in rows if name in WORKLOADS and WORKLOADS[name].group == group]
        if not names or group == START:
            continue
        pairs = [numbers(rows[name]["ratio"]) for name in names]
        for place, threads in enumerate(("1 thread", "2 threads")):
            wanted = ratios_text([pair[place % len(pair)] for pair in pairs])
            shown = numbers(front[group][threads])  # a mean of ratios that were not yet rounded
            assert shown == pytest.approx(numbers(wanted), abs=0.011), f"{group}: {wanted}"
        if group == "models":
            assert all(front[name].items() <= rows[name].items() for name in names)


@pytest.mark.parametrize("page", [FRONT, PAGE], ids=["front", "page"])
def test_commands_of_the_pages_are_understood(page: Path) -> None:
    lines = re.findall(r"^python -m benchmark (.*)$", page.read_text(encoding="utf-8"), re.M)
    assert lines
    for line in lines:
        assert program.arguments(shlex.split(line, comments=True)).work


@pytest.mark.parametrize("columns", [1, 5])
def test_sparse_products_give_what_float64_gives(columns: int) -> None:
    pytest.importorskip("scipy")
    a = sparse.laplacian(7).astype(np.float32)
    x = sparse.dense(a, columns)
    for make in (sparse.ours, sparse.scipys):
        assert relative_error(make(a, x, 1)(), [a.astype(np.float64) @ x]) < 1e-6


def test_factorisation_gives_what_float64_gives() -> None:
    ratings = factorisation.made_up(20, 30, 150)
    wanted = factorisation.numpy_rows(ratings, 5, 1, np.float64)()
    for make in (factorisation.ours, factorisation.numpy_rows):
        for have, want in zip(make(ratings, 5, 1)(), wanted, strict=True):
            np.testing.assert_allclose(have, want, atol=2e-4 * np.abs(want).max())
