"""NVIDIA's compiler of whole programs, where it is installed, has no complaint about any source."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from mlir_lite import Function
from mlir_lite.backends.cuda.source.host import host_source
from mlir_lite.backends.cuda.source.source import CudaSource

from ..compiled import card, planned
from ..examples import BY_NAME
from ..templates import FACTORS, USUAL

GOLDEN = Path(__file__).parents[3] / "golden" / "cuda"

pytestmark = pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc is not installed")


def complaints(text: str, flags: str, folder: Path) -> str:
    """What the compiler says of a source; every warning is an error."""
    (folder / "model.cu").write_text(text)
    command = ["nvcc", *flags.split(), "-Werror", "all-warnings", "-c", "-o", "model.o", "model.cu"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.stderr[:4000] or ("" if done.returncode == 0 else f"exit code {done.returncode}")


def test_kept_sources_are_taken(tmp_path: Path) -> None:
    parts = []
    for name in BY_NAME:  # in namespaces, as helpers and kernels have the same names
        text = re.sub(r'extern "C" ', "", (GOLDEN / f"{name}.cu").read_text())
        parts.append(f"namespace {name} {{\n{text}\n}}\n")
    assert complaints("".join(parts), "-arch=sm_90 -std=c++17", tmp_path) == ""


def test_a_warning_is_a_complaint(tmp_path: Path) -> None:
    text = "__global__ void f(float* x) { int unused; *x = 1.0f; }"
    assert "unused" in complaints(text, "-arch=sm_90", tmp_path)


def host_part(fn: Function, model: str) -> tuple[str, str]:
    """A function's kernels and host part, and the flags that it asks for."""
    target = card(model, factors=FACTORS.get(fn.name, "f32"))
    text = host_source(CudaSource.of(planned(fn, target)[0], target))
    asked = re.search(r"// nvcc (.*) -c model.cu", text)
    assert asked is not None
    return text, asked[1]


# One of each kind of kernel by default.
OFTEN = {"recurrent", "product_bf16", "attention_bf16"}
EVERY = [
    pytest.param(fn, model, marks=() if fn.name in OFTEN and model == "sm_90" else pytest.mark.slow)
    for fn in USUAL
    for model in ("sm_80", "sm_90", "sm_100")
]


@pytest.mark.parametrize(("fn", "model"), EVERY, ids=lambda given: getattr(given, "name", given))
def test_templates_with_their_host_part_are_taken(fn: Function, model: str, tmp_path: Path) -> None:
    text, flags = host_part(fn, model)
    assert complaints(text, flags, tmp_path) == ""
