"""`mlir-lite opt`: text in, text out, and every way to watch the passes."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite.ir.resource_file import read_constants

from .conftest import CHAIN, LAYER, Cli

AFTER = """\
func @chain(%x: tensor<5x7xf32>) -> tensor<5x7xf32> {
  %0 = relu %x : tensor<5x7xf32>
  return %0
}
"""


def test_without_passes_the_text_stays(cli: Cli, layer: Path) -> None:
    assert cli("opt", layer).out == LAYER


def test_passes_run_in_order(cli: Cli, chain: Path) -> None:
    assert cli("opt", chain, "--passes", "constant-fold,canonicalize{fuel=2}").out == AFTER


def test_no_fuel_no_change(cli: Cli, chain: Path) -> None:
    assert cli("opt", chain, "--pass-pipeline", "canonicalize{fuel=0}").out == CHAIN


def test_stdin(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(CHAIN.encode())))
    assert cli("opt", "-", "--passes", "canonicalize").out == AFTER


def test_cpu_is_the_whole_pipeline(cli: Cli, layer: Path) -> None:
    done = cli("opt", layer, "--passes", "cpu", "--shape", "x=3x8")
    assert 'group [%x, %w] {kind = "product"}' in done.out
    assert "tensor<3x4xf32>" in done.out


def test_pipeline_wants_known_sizes(cli: Cli, layer: Path) -> None:
    done = cli("opt", layer, "--passes", "cpu")
    assert done.code == 1
    assert "@layer has the named sizes batch" in done.err
    assert "--shape batch=8" in done.err


@pytest.mark.parametrize("given", ["x=3x8", "batch=3", "x=3,8"])
def test_shape_decides_named_sizes(cli: Cli, layer: Path, given: str) -> None:
    assert cli("opt", layer, "--shape", given).out == LAYER.replace("[batch]", "3")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("y=3", "neither an input nor a named size 'y'"),
        ("x=3xa", "expected a shape such as 1x3x48x192, or scalar, got '3xa'"),
        ("batch=3x4", "expected a number such as 8, got '3x4'"),
        ("x", "--shape takes NAME=…, got 'x'"),
        ("x=3x9", "parameter 'x' of @layer is tensor<[batch]x8xf32>"),
    ],
)
def test_wrong_shape_is_an_error(cli: Cli, layer: Path, given: str, message: str) -> None:
    done = cli("opt", layer, "--shape", given)
    assert done.code == 1
    assert message in done.err


@pytest.mark.parametrize("form", ["--generic", "--locations"])
def test_other_forms_read_back_with_locations(
    cli: Cli, product_onnx: Path, tmp_path: Path, form: str
) -> None:
    path = tmp_path / "printed.mlir"
    assert cli("opt", product_onnx, form, "-o", path).code == 0
    again = cli("opt", path).out
    assert again == cli("opt", product_onnx).out
    assert "// product.onnx:y" in again


def test_large_constants_go_beside_the_text(cli: Cli, product_onnx: Path, tmp_path: Path) -> None:
    path = tmp_path / "written.mlir"
    cli("opt", product_onnx, "-o", path)
    constants = read_constants(tmp_path / "written.safetensors")
    text = path.read_text()
    x = np.random.default_rng(1).standard_normal((5, 64)).astype(np.float32)
    expected = ml.evaluate(ml.from_onnx(product_onnx), x)
    np.testing.assert_array_equal(ml.evaluate(ml.parse(text, constants), x), expected)


def test_large_constants_must_be_beside_the_text(
    cli: Cli, product_onnx: Path, tmp_path: Path
) -> None:
    path = tmp_path / "written.mlir"
    cli("opt", product_onnx, "-o", path)
    (tmp_path / "written.safetensors").unlink()
    done = cli("opt", path)
    assert done.code == 1
    assert "'w'" in done.err


@pytest.mark.parametrize("data", [b"", b"\x05", b"\x02" + bytes(7) + b"[]", b"\x08" * 40])
def test_damaged_constants_are_an_error(cli: Cli, chain: Path, data: bytes) -> None:
    chain.with_suffix(".safetensors").write_bytes(data)
    done = cli("opt", chain)
    assert done.code == 1
    assert "no safetensors file" in done.err


def test_cut_constants_are_an_error(cli: Cli, product_onnx: Path, tmp_path: Path) -> None:
    path = tmp_path / "written.mlir"
    cli("opt", product_onnx, "-o", path)
    constants = path.with_suffix(".safetensors")
    constants.write_bytes(constants.read_bytes()[:-1])
    assert "the data of 'w' is cut short" in cli("opt", path).err


def test_dump_after_all(cli: Cli, chain: Path) -> None:
    done = cli("opt", chain, "--passes", "constant-fold,canonicalize", "--dump-after-all")
    heads = [line for line in done.err.splitlines() if line.startswith("// -----//")]
    assert [head.split()[5] for head in heads] == ["constant-fold", "canonicalize"]
    assert done.out == AFTER


def test_print_after_change_is_silent_where_nothing_changed(cli: Cli, chain: Path) -> None:
    passes = "constant-fold,canonicalize,canonicalize"
    done = cli("opt", chain, "--passes", passes, "--print-ir-after-change")
    assert done.err.count("// -----//") == 1
    assert "IR Dump After canonicalize" in done.err
    assert AFTER in done.err


def test_tree_dir_numbers_the_states(cli: Cli, chain: Path, tmp_path: Path) -> None:
    folder = tmp_path / "dumps"
    for _ in range(2):
        cli("opt", chain, "--passes", "constant-fold,canonicalize", "--print-ir-tree-dir", folder)
    assert sorted(path.name for path in folder.iterdir()) == ["chain", "chain.1"]
    names = ["00-input.mlir", "01-constant-fold.mlir", "02-canonicalize.mlir"]
    assert sorted(path.name for path in (folder / "chain").iterdir()) == names
    assert (folder / "chain" / names[0]).read_text() == CHAIN
    assert (folder / "chain" / names[2]).read_text() == AFTER


def test_dumps_read_back_with_their_constants(
    cli: Cli, product_onnx: Path, tmp_path: Path
) -> None:
    arguments = ("--passes", "cpu", "--shape", "n=5", "--print-ir-tree-dir", tmp_path / "dumps")
    cli("opt", product_onnx, *arguments)
    folder = tmp_path / "dumps" / "product"
    texts = sorted(folder.glob("*.mlir"))
    x = np.random.default_rng(1).standard_normal((5, 64)).astype(np.float32)
    expected = ml.evaluate(ml.from_onnx(product_onnx), x)
    for path in texts:
        fn = ml.parse(path.read_text(), read_constants(path.with_suffix(".safetensors")))
        # The same sums of 64 terms, perhaps in another order.
        np.testing.assert_allclose(ml.evaluate(fn, x), expected, rtol=1e-4, atol=1e-4)
    # The weight is packed once: there are two versions of it, whatever the number of dumps.
    inodes = {path.stat().st_ino for path in folder.glob("*.safetensors")}
    assert len(inodes) == 2 < len(texts)


def test_timing_has_a_line_a_pass_and_a_total(cli: Cli, chain: Path) -> None:
    done = cli("opt", chain, "--passes", "constant-fold,canonicalize", "--timing")
    first = [line.split()[0] for line in done.err.splitlines()[1:]]
    assert first == ["pass", "constant-fold", "canonicalize", "total"]
    assert "-2 transpose" in done.err


def test_split_input_file_takes_each_part_alone(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "two.mlir"
    path.write_text(f"{CHAIN}// -----\n{CHAIN.replace('@chain', '@again')}")
    done = cli("opt", path, "--split-input-file", "--passes", "canonicalize")
    assert done.out == f"{AFTER}// -----\n{AFTER.replace('@chain', '@again')}"
    assert cli("opt", path).code == 1


def test_error_in_a_later_part_tells_its_line(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "two.mlir"
    path.write_text(f"{CHAIN}\n// -----\n\nfunc @bad(\n")
    done = cli("opt", path, "--split-input-file")
    assert f"{path}:11:1" in done.err


def test_verify_each_pass_runs(cli: Cli, chain: Path) -> None:
    done = cli("opt", chain, "--passes", "cpu", "--verify", "each-pass")
    assert done.code == 0


def test_elide_leaves_out_elements(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "weights.mlir"
    path.write_text(
        "func @f(%x: tensor<9xf32>) -> tensor<9xf32> {\n"
        "  %0 = constant {value = dense<[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0] as w>} : "
        "tensor<9xf32>\n  %1 = add %x, %0 : tensor<9xf32>\n  return %1\n}\n"
    )
    assert "9.0" in cli("opt", path).out
    assert "dense<… as w>" in cli("opt", path, "--elide").out


def test_the_function_is_drawn_after_the_passes(cli: Cli, chain: Path, tmp_path: Path) -> None:
    output = tmp_path / "chain.svg"
    assert "transpose" in cli("opt", chain, "--emit", "mermaid").out
    assert cli("opt", chain, "--passes", "canonicalize", "--emit", "svg", "-o", output).code == 0
    assert "relu" in output.read_text() and "transpose" not in output.read_text()
