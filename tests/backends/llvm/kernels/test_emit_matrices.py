"""Matrix registers: one instruction each where the machine has them, memory and loops elsewhere."""

from __future__ import annotations

import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest

from mlir_lite.backends.llvm.kernels.kernel import emit_kernel
from mlir_lite.backends.llvm.kernels.matrices import matrix_products
from mlir_lite.backends.llvm.machine.machine import Machine
from mlir_lite.errors import VerifyError
from mlir_lite.tile.checks.verify import verify_kernel
from mlir_lite.tile.interpreter import run_kernel
from mlir_lite.tile.nodes import Kernel
from mlir_lite.tile.parser import parse_kernel
from mlir_lite.types import Array

from .kernels import HOST, Compiled

# Five rows, every second of them, by sixteen columns, six terms deep in pairs.
PRODUCT = """
kernel @product(%x: bf16[10, 8], %w: bf16[3, 16, 2], %y: out f32[5, 16]) {
  buffer sums: matrix f32[1, 5, 16]
  buffer left: matrix bf16[5, 6]
  buffer right: matrix bf16[3, 32]
  buffer found: shared f32[5, 16]
  call @tile_zero_f32(sums[0, 0, 0]; 5)
  call @tile_load_bf16(left[0, 0], x[0, 1]; 5, 6, 2)
  call @tile_panel_bf16(right[0, 0], w[0, 0, 0]; 3)
  call @tdpbf16ps(sums[0, 0, 0], left[0, 0], right[0, 0]; 5, 3)
  call @tile_store_f32(found[0, 0], sums[0, 0, 0]; 5)
  for i in 0..5 { vector j in 0..16 { y[i, j] = found[i, j] + 1.0 } }
}"""


def factors() -> tuple[Array, Array]:
    """Small integers, whose products and sums no rounding touches."""
    random = np.random.default_rng(0)
    left, right = (random.integers(-9, 9, shape) for shape in ((10, 8), (3, 16, 2)))
    return left.astype(ml_dtypes.bfloat16), right.astype(ml_dtypes.bfloat16)


def product() -> Kernel:
    kernel = parse_kernel(PRODUCT)
    verify_kernel(kernel, strict=True)
    return kernel


@pytest.mark.parametrize("native", [False, True])
def test_instructions_and_loops_agree(native: bool) -> None:
    if native and "tdpbf16ps" not in matrix_products(Machine.host()):
        pytest.skip("this machine has no matrix registers")
    x, w = factors()
    columns = w.astype(np.float32).transpose(0, 2, 1).reshape(6, 16)
    want = x[::2, 1:7].astype(np.float32) @ columns + 1
    np.testing.assert_array_equal(run_kernel(product(), {"x": x, "w": w})["y"], want)
    found = np.zeros((5, 16), np.float32)
    chosen = frozenset({"tdpbf16ps"}) if native else frozenset[str]()
    Compiled(emit_kernel(product(), HOST, instructions=chosen), Machine.host())(x, w, found)
    np.testing.assert_array_equal(found, want)


def test_a_process_that_compiles_for_a_named_machine_alone_may_use_them() -> None:
    """Linux kills a process that has not asked for them."""
    if "tdpbf16ps" not in matrix_products(Machine.host()):
        pytest.skip("this machine has no matrix registers")
    code = """
import numpy as np
import mlir_lite as ml
w = np.eye(64, dtype=np.float32)
fn = ml.function(ml.f32[32, 64])(lambda x: x @ w)
run = ml.compile(fn, target="cpu:sapphirerapids", precision="bf16", threads=1)
assert "tdpbf16ps" in run.stages["tile"]
x = np.full((32, 64), 0.5, np.float32)
assert np.array_equal(run(x), x)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_each_call_is_one_instruction_and_the_shapes_are_said_once() -> None:
    text = emit_kernel(product(), HOST, instructions=frozenset({"tdpbf16ps"})).text
    called = [line.split("@llvm.x86.")[1].split("(")[0] for line in text.splitlines()
              if "@llvm.x86." in line]
    assert called == [
        "ldtilecfg", "tilezero", "tileloadd64", "tileloadd64", "tdpbf16ps", "tilestored64",
        "tilerelease",
    ]  # fmt: skip
    # Rows of 5, 5 and 3, of 64, 12 and 64 bytes.
    (shapes,) = [line for line in text.splitlines() if "store <64 x i8>" in line]
    numbers = shapes.split("<64 x i8> <")[1].split(">")[0].split(", ")
    fields = [int(number.split()[1]) for number in numbers]
    assert fields[0] == 1 and fields[48:52] == [5, 5, 3, 0]
    assert fields[16:24] == [64, 0, 12, 0, 64, 0, 0, 0]
    # From one row to the next: two rows of 8 elements in memory, then a row of 32.
    assert "i8 1, ptr" in text and ", i64 32)" in text and ", i64 64)" in text


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("matrix f32[1, 5, 16]", "matrix f32[1, 17, 16]", "larger than 16 rows of 64 bytes"),
        ("matrix bf16[3, 32]", "matrix bf16[3, 34]", "larger than 16 rows of 64 bytes"),
        ("matrix f32[1, 5, 16]", "matrix f32[7, 5, 16]", "9 matrices, of 8 registers"),
        ("found[i, j] + 1.0", "sums[0, i, j] + 1.0", "only instructions touch the matrix 'sums'"),
        ("  for i in 0", "  for r in 0..1 { call @tile_zero_f32(sums[r, 0, 0]; 5) }  for i in 0",
         "an index of the register 'sums' is not constant"),
    ],
)  # fmt: skip
def test_what_no_machine_can_do_is_refused(before: str, after: str, message: str) -> None:
    with pytest.raises(VerifyError, match=message):
        verify_kernel(parse_kernel(PRODUCT.replace(before, after)))


@pytest.mark.parametrize("change", ["left[0, 0], x[0, 1]; 4, 6, 2", "left[0, 0], x[0, 1]; 5, 4, 2"])
def test_a_matrix_is_used_whole(change: str) -> None:
    """The machine goes by the registers' shapes, not by what a call says."""
    text = PRODUCT.replace("left[0, 0], x[0, 1]; 5, 6, 2", change)
    with pytest.raises(VerifyError, match="of the matrix 'left'"):
        emit_kernel(parse_kernel(text), HOST, instructions=frozenset({"tdpbf16ps"}))
