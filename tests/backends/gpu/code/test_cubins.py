"""Machine code of cards spills no registers for nothing; it is kept between runs, and not taken for
another's."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import create_autospec

import pytest

import mlir_lite as ml
from mlir_lite import Value, f32
from mlir_lite.backends.cuda.code import cubins, nvrtc
from mlir_lite.backends.cuda.code.cubins import kept_binary
from mlir_lite.backends.cuda.code.nvrtc import Binary, compile_source
from mlir_lite.backends.cuda.source.source import CudaSource
from mlir_lite.cli import main

from ..compiled import card, planned
from ..examples import EXAMPLES
from ..figures import kernels_of, unit_of
from ..templates import attention_bf16, product_bf16

SOURCE = 'extern "C" __global__ void one_kernel(float* x) { *x = 1; }'


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLIR_LITE_CACHE_DIR", str(tmp_path))


def test_what_was_compiled_once_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    made = create_autospec(compile_source, side_effect=lambda *_: Binary(b"\0code\0", "the log"))
    monkeypatch.setattr(cubins, "compile_source", made)
    monkeypatch.setattr(cubins, "compiler_version", lambda: "13.5")
    for _ in range(2):
        found = kept_binary(SOURCE, "sm_90")
        assert (found.code, found.log) == (b"\0code\0", "the log")
    assert made.call_count == 1
    kept_binary(SOURCE + "\n", "sm_90")
    kept_binary(SOURCE, "sm_90a")
    assert made.call_count == 3
    monkeypatch.setattr(cubins, "compiler_version", lambda: "13.6")
    kept_binary(SOURCE, "sm_90")
    assert made.call_count == 4


@pytest.mark.usefixtures("nvrtc")
def test_real_code_is_kept_with_its_report(capsys: pytest.CaptureFixture[str]) -> None:
    made = kept_binary(SOURCE, "sm_80")
    again = kept_binary(SOURCE, "sm_80")
    assert again.code == made.code == compile_source(SOURCE, "sm_80").code
    assert again.usage == made.usage
    assert again.usage["one_kernel"].registers > 0
    assert main(["cache", "list"]) == 0
    (row,) = [line for line in capsys.readouterr().out.splitlines() if " cubin " in line]
    assert "sm_80" in row and nvrtc.compiler_version() in row


@ml.function(f32[256, 128, 64])
def tall(x: Value) -> Value:
    return ml.linalg.svd(x, full_matrices=False)[1]


@pytest.mark.usefixtures("nvrtc")
def test_nothing_is_spilled_for_more_blocks_than_were_asked_for() -> None:
    source = CudaSource.of(planned(tall, card("sm_80"))[0], card("sm_80"))
    assert not compile_source(source.code, "sm_80").spilling


@pytest.mark.usefixtures("nvrtc")
@pytest.mark.parametrize("model", ["sm_86", "sm_89", "sm_120"])
def test_cards_beside_those_whose_figures_are_kept_get_code(model: str) -> None:
    kernels = kernels_of(model, (*EXAMPLES, product_bf16.usual, attention_bf16.usual))
    made = compile_source(unit_of(kernels), model, strict=True)
    assert len(made.usage) == len(kernels)
