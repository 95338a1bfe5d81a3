"""The commands on a card: the CPU stands in for one, and without it there is an error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NoReturn

import pytest

from mlir_lite import Function, target
from mlir_lite.backends.cuda import backend
from mlir_lite.backends.cuda.card import here, probe, timing
from mlir_lite.cli import card_ceilings, main
from mlir_lite.cli.card_ceilings import factors_of
from mlir_lite.target import Target

from ..compiled import card
from ..on_shim import executable_on
from ..shim import needs_shim
from ..shim_card import ShimCard
from ..templates import attention_bf16, product_bf16, product_f32, product_tf32
from ..torch_shim import put_torch_on_a_card

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
    for module in (backend, here):
        monkeypatch.setattr(module, "found_card", lambda: card)
    monkeypatch.setattr(timing, "_COPY_BYTES", 1 << 16)
    monkeypatch.setattr(timing, "MOST_SETS", 2)
    monkeypatch.setattr(card_ceilings, "_SIZE", 48)
    monkeypatch.setattr(card_ceilings, "_SIZES", {"f32": 32})
    monkeypatch.setitem(target._CARDS, "sm_90", (*target._CARDS["sm_90"][:3], 1 << 12))
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


BENCH = ("--shape", "batch=64", "--target", "cuda", "--repeat", "3")


@needs_shim
@pytest.mark.usefixtures("shim")
def test_bench_tells_each_kernel(layer: str, capsys: Out) -> None:
    assert main(["bench", layer, *BENCH]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("a CPU in a card's place as cuda:sm_90, measured: its own copies ")
    assert "products of f32 " in lines[1] and lines[1].endswith(" TFLOP/s (mlir-lite, 32x32)")
    assert lines[3].split()[:5] == ["on", "the", "card", "quartiles", "GFLOP/s"]
    assert lines[4].startswith("mlir-lite ")
    assert lines[-1].split()[-1] == "matmul_relu" and "of limit" in lines[-2]
    main(["bench", layer, *BENCH, "--json"])
    report = json.loads(capsys.readouterr().out)
    (line,), (peak,) = report["lines"], report["peaks"].values()
    assert report["flops"] == 2 * 64 * 8 * 4
    assert line["operations"] >= 2 * 64 * 8 * 4
    assert line["bytes"] == 4 * (64 * 8 + 8 * 4 + 64 * 4)
    assert line["data_seconds"] == pytest.approx(line["bytes"] / report["copy_bandwidth"])
    assert line["compute_seconds"] == pytest.approx(line["operations"] / peak["flops"])
    assert (peak["factors"], peak["size"], peak["by"]) == ("f32", 32, "mlir-lite")
    limit = max(line["compute_seconds"], line["data_seconds"])
    assert line["share"] == pytest.approx(limit / line["seconds"])
    assert 0 < report["ours"]["run_seconds"] < report["ours"]["call_seconds"]


@needs_shim
@pytest.mark.usefixtures("shim")
def test_bench_compares_with_torch_on_the_card(
    layer: str, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    graphs = put_torch_on_a_card(monkeypatch)
    assert main(["bench", layer, *BENCH, "--against", "torch"]) == 0
    lines = capsys.readouterr().out.splitlines()
    head, ours, other = (line.split() for line in lines[3:6])
    assert head[-2:] == ["ratio", "error"]
    assert (ours[0], other[0]) == ("mlir-lite", "torch")
    assert float(other[-1]) < 1e-6  # sums of 8 terms in f32
    assert [graph.replays for graph in graphs] == [3 * 4, 3 * 4]  # of the function, of a product
    main(["bench", layer, *BENCH, "--against", "torch", "--json"])
    report = json.loads(capsys.readouterr().out)
    (found,) = report["others"]
    assert found["is_graph"] and found["name"] == "torch"
    assert found["ratio"] == pytest.approx(found["run_seconds"] / report["ours"]["run_seconds"])


@needs_shim
@pytest.mark.usefixtures("shim")
def test_what_torch_cannot_put_into_a_graph_is_called(
    layer: str, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    graphs = put_torch_on_a_card(monkeypatch)

    def refuses(graph: object) -> NoReturn:
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr("torch.cuda.graph", refuses)
    assert main(["bench", layer, *BENCH, "--against", "torch"]) == 0
    assert capsys.readouterr().out.splitlines()[5].endswith("not as a graph")
    assert sum(graph.replays for graph in graphs) == 0


@needs_shim
@pytest.mark.usefixtures("shim")
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--against", "torch"], "the torch that is here, "),
        (["--against", "torch,numpy"], "numpy does not run on cards here; torch and torch-comp"),
        (["--threads", "2"], "--threads are of CPUs"),
    ],
    ids=["no card", "numpy", "threads"],
)
def test_what_a_card_is_not_compared_with(
    layer: str, arguments: list[str], told: str, capsys: Out
) -> None:
    assert main(["bench", layer, *BENCH, *arguments]) == 1
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("fn", "on", "factors"),
    [
        (product_f32.usual, card(), ["f32"]),
        (product_f32.usual, card("sm_80", factors="f16"), ["f32", "f32", "f16"]),
        # Rounded beforehand, as f16 too.
        (product_tf32.usual, card(factors="tf32"), ["f32", "tf32"]),
        (product_bf16.usual, card(), ["bf16"]),
        (product_bf16.usual, card("sm_80"), ["bf16"]),
        (attention_bf16.usual, card("sm_80"), ["bf16"]),
    ],
    ids=["f32", "f16", "tf32", "warpgroups", "warps", "attention"],
)
def test_kernels_are_held_against_products_of_their_own_factors(
    fn: Function, on: Target, factors: list[str]
) -> None:
    kernels = executable_on(ShimCard(), fn, on).program.kernels
    assert [factors_of(kernel) for kernel in kernels] == factors


def test_without_a_card_commands_say_so(
    layer: str, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    monkeypatch.setattr(probe, "_DRIVER", "no_driver.so")
    arguments = ["run", layer, "--shape", "batch=3", "--random-inputs", "0"]
    for command in (arguments, ["bench", layer, "--shape", "batch=3"]):
        for name in ("cuda", "cuda:sm_90"):
            assert main([*command, "--target", name]) == 1
            told = capsys.readouterr().err
            assert told.startswith("mlir-lite: error: there is no NVIDIA driver here")
            assert "without a card there are the source" in told
