"""`mlir-lite bench`: what is measured and counted."""

from __future__ import annotations

import io
import json
import os
import re
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite.cli import runners
from mlir_lite.cli.counting import matrix_flops
from mlir_lite.cli.runners import (
    Apart,
    Here,
    Runner,
    in_turn,
    onnxruntime_call,
    openvino_call,
    relative_error,
)
from mlir_lite.cli.torch_runner import first_call, torch_call
from mlir_lite.errors import MissingExtraError, UnsupportedError
from mlir_lite.types import Array

from .conftest import Cli


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of a call or two: the figures do not matter here."""
    monkeypatch.setattr(runners, "BLOCK_SECONDS", 1e-5)
    monkeypatch.setattr(runners, "PAUSE_SECONDS", 0.0)


@pytest.mark.usefixtures("short")
def test_json_holds_every_figure(cli: Cli, product_onnx: Path) -> None:
    done = cli(
        "bench", product_onnx, "--shape", "n=5", "--against", "onnxruntime", "--threads", "1,2",
        "--repeat", 3, "--json",
    )  # fmt: skip
    report = json.loads(done.out)
    assert report["flops"] == 2 * 5 * 64 * 33
    assert report["inputs"] == {"x": "tensor<5x64xf32>"}
    assert [line["threads"] for line in report["measured"]] == [1, 2]
    for line in report["measured"]:
        (other,) = line["others"]
        assert 0 < line["seconds"] < 1
        assert other["name"] == "onnxruntime"
        assert other["ratio"] == pytest.approx(other["seconds"] / line["seconds"])
        assert line["gflops"] == pytest.approx(report["flops"] / line["seconds"] / 1e9)
        assert other["error"] < 1e-5  # sums of 64 terms in f32


@pytest.mark.usefixtures("short")
def test_table_against_the_interpreter(cli: Cli, chain: Path) -> None:
    done = cli("bench", chain, "--against", "numpy", "--repeat", 2, "--threads", 1)
    head, line = done.out.splitlines()[2:]
    assert head.split()[0] == "threads"
    assert line.split()[0] == "1"
    assert "0 GFLOP of matrix work" in done.out


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("runtime", sorted(runners.FILE_RUNTIMES))
def test_runtimes_of_onnx_files_give_our_results(
    cli: Cli, product_onnx: Path, runtime: str
) -> None:
    pytest.importorskip(runtime)
    done = cli(
        "bench", product_onnx, "--shape", "n=5", "--against", runtime, "--threads", 1,
        "--repeat", 1, "--json",
    )  # fmt: skip
    (line,) = json.loads(done.out)["measured"]
    (other,) = line["others"]
    assert other["error"] < 1e-5  # sums of 64 terms in f32
    assert other["seconds"] > 0


def test_a_runtime_that_is_not_installed_is_an_error_that_says_how_to_get_it(
    product_onnx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingExtraError, match=r"mlir-lite\[bench\]"):
        openvino_call(str(product_onnx), 1, {}, ["y"])


def test_onnxruntime_takes_onnx_files_only(cli: Cli, chain: Path) -> None:
    done = cli("bench", chain, "--against", "onnxruntime")
    assert done.code == 1
    assert "onnxruntime runs .onnx files only" in done.err


@pytest.mark.usefixtures("short")
def test_several_are_compared_with_at_once(cli: Cli, layer: Path) -> None:
    pytest.importorskip("torch")
    done = cli(
        "bench", layer, "--shape", "batch=5", "--against", "torch,numpy", "--threads", 1,
        "--repeat", 1,
    )  # fmt: skip
    head, line = done.out.splitlines()[2:]
    assert head.split()[5:] == ["torch", "quartiles", "ratio", "error"] + [
        "numpy", "quartiles", "ratio", "error"
    ]  # fmt: skip
    errors = [float(cell) for cell in line.split() if re.fullmatch(r"\d\.\de[-+]\d\d", cell)]
    assert len(errors) == 2 and max(errors) < 1e-6  # sums of 8 terms in f32


@pytest.mark.slow
@pytest.mark.usefixtures("short")
def test_torch_compile_gives_our_results(cli: Cli, product_onnx: Path) -> None:
    pytest.importorskip("torch")
    done = cli(
        "bench", product_onnx, "--shape", "n=5", "--against", "torch-compile", "--threads", 1,
        "--repeat", 1, "--json",
    )  # fmt: skip
    (line,) = json.loads(done.out)["measured"]
    assert line["others"][0]["error"] < 1e-5  # sums of 64 terms in f32


def test_where_there_is_no_torch_an_install_line_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'mlir-lite\[torch\]'"):
        torch_call("torch", partial(int), [], 1, "f32")


def test_what_torch_has_nothing_for_is_told(cli: Cli, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    (tmp_path / "bits.mlir").write_text(
        "func @bits(%s: tensor<i64>) -> tensor<3xi32> {\n"
        "  %0 = random_bits %s, %s {shape = [3], dtype = i32} : tensor<3xi32>\n  return %0\n}"
    )
    done = cli("bench", tmp_path / "bits.mlir", "--against", "torch", "--threads", 1)
    assert done.code == 1
    assert "torch has nothing for these of @bits: random_bits" in done.err


def test_torch_needs_a_file(cli: Cli, monkeypatch: pytest.MonkeyPatch, chain: Path) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(chain.read_bytes())))
    done = cli("bench", "-", "--against", "torch")
    assert (done.code, done.out) == (1, "")
    assert "torch needs a file" in done.err


def test_an_unknown_runtime_is_told_with_those_that_there_are(cli: Cli, chain: Path) -> None:
    done = cli("bench", chain, "--against", "torch,jaxx")
    assert done.code == 2
    assert "no 'jaxx' to compare with: onnxruntime, openvino, torch, torch-compile" in done.err


def test_a_failure_of_torch_is_told_in_a_line() -> None:
    def fails() -> tuple[object, ...]:
        raise RuntimeError("no kernel\nfor this")

    with pytest.raises(UnsupportedError, match=r"torch cannot run this: RuntimeError: no kernel$"):
        first_call("torch", fails, ())


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads Linux's process states")
def test_the_other_process_stands_still_between_its_turns(product_onnx: Path) -> None:
    feeds = {"x": np.ones((5, 64), np.float32)}
    make = partial(onnxruntime_call, str(product_onnx), 1, feeds, ["y"])
    other = Apart("onnxruntime", make, sorted(os.sched_getaffinity(0))[:1])
    try:
        assert other.seconds(2) > 0
        (result,) = other.results()
        assert result.shape == (5, 33)
        time.sleep(0.05)
        state = Path(f"/proc/{other._process.pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        assert state == "T"
        assert len(os.sched_getaffinity(other._process.pid or 0)) == 1
    finally:
        other.close()


@pytest.mark.usefixtures("short")
def test_runtimes_take_turns() -> None:
    order: list[str] = []

    def runner(name: str) -> Runner:
        def record() -> list[Array]:
            order.append(name)
            return []

        return Here(record)

    times = in_turn({"a": runner("a"), "b": runner("b")}, 5)
    rounds = [name for place, name in enumerate(order) if place == 0 or order[place - 1] != name]
    assert rounds == ["a", "b"] * 6  # once to know how long a call takes, then the five rounds
    assert {name: len(found) for name, found in times.items()} == {"a": 5, "b": 5}


def test_error_is_relative_to_the_largest_element() -> None:
    have = [np.array([1.0, 2.0]), np.zeros(0)]
    want = [np.array([1.5, -4.0]), np.zeros(0)]
    assert relative_error(have, want) == 1.5


@pytest.mark.parametrize(
    ("text", "flops"),
    [
        (
            "func @f(%x: tensor<2x3x5xf32>, %y: tensor<5x7xf32>) -> tensor<2x3x7xf32> {\n"
            "  %0 = matmul %x, %y : tensor<2x3x7xf32>\n  return %0\n}",
            2 * (2 * 3 * 7) * 5,
        ),
        (
            "func @f(%x: tensor<1x4x8x8xf32>, %w: tensor<6x2x3x3xf32>) -> tensor<1x6x6x6xf32> {\n"
            "  %0 = conv %x, %w {strides = [1, 1], padding = [[0, 0], [0, 0]], "
            "dilations = [1, 1], groups = 2} : tensor<1x6x6x6xf32>\n  return %0\n}",
            2 * (6 * 6 * 6) * (2 * 3 * 3),
        ),
        (
            "func @f(%x: tensor<1x4x5xf32>, %w: tensor<4x3x2xf32>) -> tensor<1x3x10xf32> {\n"
            "  %0 = conv_transpose %x, %w {strides = [2], padding = [[0, 0]], "
            "output_padding = [0], dilations = [1]} : tensor<1x3x10xf32>\n  return %0\n}",
            2 * (4 * 5) * (3 * 2),
        ),
    ],
    ids=["matmul", "grouped-conv", "conv-transpose"],
)
def test_matrix_work_is_counted(text: str, flops: int) -> None:
    assert matrix_flops(ml.parse(text)) == flops
