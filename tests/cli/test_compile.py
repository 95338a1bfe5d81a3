"""`mlir-lite compile`: each stage's text, for this machine and for others."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlir_lite import Function
from mlir_lite.passes.pipelines import PASSES
from mlir_lite.target import Target

from .conftest import Cli

ELF = b"\x7fELF"
E_MACHINE = slice(18, 20)  # of an ELF header, little-endian
X86_64, AARCH64 = 62, 183


@pytest.mark.parametrize(
    ("stage", "shown"),
    [
        ("graph", "%1 = relu %0 : tensor<3x4xf32>"),
        ("fused", 'group [%x, %w] {kind = "product"}'),
        ("tile", "kernel @matmul_relu(%x0: f32[3, 8]"),
        ("llvm", "define "),
        ("asm", "\tret"),
        ("plan", "lower bound"),
        ("plan-svg", "@layer: "),
        ("svg", "group product"),
        ("dot", "digraph"),
        ("mermaid", "flowchart"),
    ],
)
def test_each_stage_prints(cli: Cli, layer: Path, stage: str, shown: str) -> None:
    done = cli("compile", layer, "--shape", "batch=3", "--emit", stage)
    assert (done.code, done.err) == (0, "")
    assert shown in done.out


def test_sizes_must_be_known(cli: Cli, layer: Path) -> None:
    done = cli("compile", layer)
    assert done.code == 1
    assert "--shape batch=8" in done.err


@pytest.mark.parametrize(
    ("target", "register"), [("cpu:aarch64", "\tfmla\tv"), ("cpu:haswell", "%ymm")]
)
def test_assembly_for_other_machines(
    cli: Cli, layer: Path, target: str, register: str
) -> None:
    done = cli("compile", layer, "--shape", "batch=64", "--target", target)
    assert done.code == 0
    assert register in done.out


def test_unknown_target_is_an_error(cli: Cli, layer: Path) -> None:
    done = cli("compile", layer, "--shape", "batch=3", "--target", "cpu:none")
    assert done.code == 1
    assert "unknown target 'cpu:none'" in done.err


@pytest.mark.parametrize(("target", "machine"), [("cpu:x86-64", X86_64), ("cpu:aarch64", AARCH64)])
def test_objects_are_for_the_target(
    cli: Cli, layer: Path, tmp_path: Path, target: str, machine: int
) -> None:
    output = tmp_path / "layer.o"
    arguments = ["--shape", "batch=3", "--target", target, "--emit", "object", "-o", output]
    assert cli("compile", layer, *arguments).code == 0
    objects = [path.read_bytes() for path in sorted(tmp_path.glob("layer*.o"))]
    assert objects
    for code in objects:
        assert code.startswith(ELF)
        assert int.from_bytes(code[E_MACHINE], "little") == machine
    assert any(b"matmul_relu" in code for code in objects)


def test_objects_need_a_file(cli: Cli, layer: Path) -> None:
    done = cli("compile", layer, "--shape", "batch=3", "--emit", "object")
    assert done.code == 1
    assert "-o OUT" in done.err


def test_output_and_timing(cli: Cli, layer: Path, tmp_path: Path) -> None:
    output = tmp_path / "layer.tile"
    arguments = ("--shape", "batch=3", "--emit", "tile", "-o", output, "--timing")
    done = cli("compile", layer, *arguments)
    assert done.out == ""
    assert output.read_text().startswith("program @layer(")
    assert "compiled @layer up to the plan: passes " in done.err


def test_plan_has_a_line_a_buffer(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "two.mlir"
    path.write_text(
        "func @two(%x: tensor<32x48xf32>, %w: tensor<48x96xf32>, %v: tensor<96x32xf32>) "
        "-> tensor<32x96xf32> {\n"
        "  %0 = matmul %x, %w : tensor<32x96xf32>\n"
        "  %1 = matmul %0, %v : tensor<32x32xf32>\n"
        "  %2 = matmul %1, %0 : tensor<32x96xf32>\n"
        "  return %2\n}\n"
    )
    done = cli("compile", path, "--emit", "plan")
    sizes = [line.split()[2] for line in done.out.splitlines() if "tensor<32x" in line]
    assert sizes == ["12288", "4096"]  # 32 * 96 and 32 * 32 floats of 4 bytes
    assert "arena" in done.out
    assert "16384 bytes" in done.out  # both are alive in the last step


def test_winograd_choice_reaches_the_pass(
    cli: Cli, layer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choices: list[object] = []

    def record(fn: Function, *, target: Target, choice: str | int) -> Function:
        choices.append(choice)
        return fn

    monkeypatch.setattr("mlir_lite.passes.pipelines.PASSES", {**PASSES, "winograd": record})
    for arguments in ([], ["--winograd", "off"], ["--winograd", "4"]):
        assert cli("compile", layer, "--shape", "batch=3", *arguments).code == 0
    assert choices == ["auto", "off", 4]
    assert cli("compile", layer, "--winograd", "3").code == 2


@pytest.mark.parametrize(
    ("stage", "shown"),
    [("cuda", "matmul_relu_kernel<<<1, 32>>>"), ("cpp-host", "_run("), ("tile", "thread ")],
)
def test_each_stage_of_a_card_prints(cli: Cli, layer: Path, stage: str, shown: str) -> None:
    target = ("--target", "cuda:sm_90")
    done = cli("compile", layer, "--shape", "batch=3", *target, "--emit", stage)
    assert (done.code, done.err) == (0, "")
    assert shown in done.out


def test_a_stage_that_a_card_lacks_is_an_error(cli: Cli, layer: Path) -> None:
    target = ("--target", "cuda:sm_90")
    done = cli("compile", layer, "--shape", "batch=3", *target, "--emit", "asm")
    assert done.code == 1
    assert "'cuda:sm_90' has no stage 'asm'; it has tile, cuda" in done.err


def test_a_host_part_is_written_with_its_weights(cli: Cli, tmp_path: Path) -> None:
    model = tmp_path / "model.mlir"
    model.write_text(
        "func @model(%x: tensor<2xf32>) -> tensor<2xf32> {\n"
        "  %0 = constant {value = dense<[1.0, 2.0]>} : tensor<2xf32>\n"
        "  %1 = add %x, %0 : tensor<2xf32>\n"
        "  return %1\n}\n"
    )
    out = tmp_path / "model.cu"
    done = cli("compile", model, "--target", "cuda:sm_80", "--emit", "cpp-host", "-o", out)
    assert (done.code, done.err) == (0, "")
    assert 'extern "C" int model_load(const char* weights)' in out.read_text()
    assert out.with_suffix(".bin").read_bytes()[:8] == b"\0\0\x80\x3f\0\0\0\x40"
