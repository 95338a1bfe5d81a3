"""The commands on a card: the CPU stands in for one, and without it there is an error."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

import mlir_lite.compilation
from mlir_lite.backends.cuda import backend, here, probe, timing
from mlir_lite.cli import bench_card, main

from .shim import needs_shim
from .shim_card import ShimCard

LAYER = """
func @layer(%x: tensor<[batch]x8xf32>, %w: tensor<8x4xf32>) -> tensor<[batch]x4xf32> {
  %0 = matmul %x, %w : tensor<[batch]x4xf32>
  %1 = relu %0 : tensor<[batch]x4xf32>
  return %1
}
"""


@pytest.fixture
def layer(tmp_path: Path) -> str:
    (tmp_path / "layer.mlir").write_text(LAYER)
    return str(tmp_path / "layer.mlir")


@pytest.fixture
def shim(monkeypatch: pytest.MonkeyPatch) -> ShimCard:
    card = ShimCard()
    for module in (backend, here, mlir_lite.compilation):
        monkeypatch.setattr(module, "found_card", lambda: card)
    monkeypatch.setattr(timing, "_COPY_BYTES", 1 << 16)
    monkeypatch.setattr(timing, "MOST_SETS", 2)
    original = bench_card.measure

    def small(run, target, arrays, repeat, flops):  # type: ignore[no-untyped-def]  # hands all on
        return original(run, dataclasses.replace(target, l2_bytes=1 << 12), arrays, repeat, flops)

    monkeypatch.setattr(bench_card, "measure", small)
    return card


Out = pytest.CaptureFixture[str]


@needs_shim
def test_run_on_the_card(layer: str, shim: ShimCard, capsys: Out) -> None:
    arguments = ["run", layer, "--shape", "batch=3", "--random-inputs", "0"]
    assert main([*arguments, "--target", "cuda"]) == 0
    found = capsys.readouterr().out
    main(arguments)
    assert found.splitlines()[:2] == capsys.readouterr().out.splitlines()[:2]
    assert shim.launched == 1


@needs_shim
@pytest.mark.usefixtures("shim")
def test_bench_tells_each_kernel(layer: str, capsys: Out) -> None:
    arguments = ["bench", layer, "--shape", "batch=64", "--target", "cuda", "--repeat", "3"]
    assert main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("a CPU in a card's place as cuda:sm_90; its own copies: ")
    assert "GFLOP/s of matrix work; a call from Python" in lines[2]
    assert "matmul" in lines[-1]
    main([*arguments, "--json"])
    report = json.loads(capsys.readouterr().out)
    (line,) = report["lines"]
    assert line["operations"] >= 2 * 64 * 8 * 4
    assert line["bytes"] == 4 * (64 * 8 + 8 * 4 + 64 * 4)
    assert line["data_seconds"] == pytest.approx(line["bytes"] / report["copy_bandwidth"])
    assert 0 < line["share"] < 1
    assert 0 < report["run_seconds"] < report["call_seconds"]


def test_without_a_card_commands_say_so(
    layer: str, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    monkeypatch.setattr(probe, "_DRIVER", "no_driver.so")
    arguments = ["run", layer, "--shape", "batch=3", "--random-inputs", "0"]
    for target in ("cuda", "cuda:sm_90"):
        assert main([*arguments, "--target", target]) == 1
        told = capsys.readouterr().err
        assert told.startswith("mlir-lite: error: there is no NVIDIA driver here")
