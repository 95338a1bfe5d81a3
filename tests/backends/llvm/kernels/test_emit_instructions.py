"""Machine instructions: one each where the machine has them, their loops elsewhere."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from mlir_lite.backends.llvm.kernels.instructions import RULES, native_instructions
from mlir_lite.backends.llvm.kernels.kernel import emit_kernel
from mlir_lite.backends.llvm.machine.jit import assembly
from mlir_lite.backends.llvm.machine.machine import Machine
from mlir_lite.backends.llvm.program.modules import module_text
from mlir_lite.expr import FUNCTIONS
from mlir_lite.tile.interpreter import run_kernel
from mlir_lite.tile.parser import parse_kernel
from mlir_lite.types import Array

from .kernels import HOST, Compiled

# One row of `a` against columns packed in groups: the group of `a` is the same in all lanes.
DOT = """
kernel @dot(%a: NARROW[3, DEPTH], %b: OTHER[3, 16, DEPTH], %y: out WIDE[16]) {
  buffer acc: register WIDE[16]
  vector l in 0..16 {
    acc[l] = ZERO
  }
  for k in 0..3 {
    call @NAME(acc[0], a[k, 0], b[k, 0, 0])
  }
  vector l.1 in 0..16 {
    y[l.1] = acc[l.1]
  }
}"""
CASES = {
    "vpdpbusd": {"NARROW": "u8", "OTHER": "i8", "WIDE": "i32", "DEPTH": "4", "ZERO": "0"},
    "vpdpbf16ps": {"NARROW": "bf16", "OTHER": "bf16", "WIDE": "f32", "DEPTH": "2", "ZERO": "0.0"},
}
# A machine that has it, and what its assembler calls it.
MACHINES = {
    "vpdpbusd": ("icelake-server", "vpdpbusd"),
    "vpdpbf16ps": ("sapphirerapids", "vdpbf16ps"),
}


def dot(name: str) -> str:
    text = DOT.replace("NAME", name)
    for word, meaning in CASES[name].items():
        text = text.replace(word, meaning)
    return text


def factors(name: str) -> tuple[Array, Array]:
    random = np.random.default_rng(0)
    if name == "vpdpbusd":
        left = random.integers(0, 255, (3, 4), np.uint8, endpoint=True)
        return left, random.integers(-128, 127, (3, 16, 4), np.int8, endpoint=True)
    # Small integers, whose products and sums no rounding touches.
    left, right = (random.integers(-9, 9, shape) for shape in ((3, 2), (3, 16, 2)))
    return left.astype(ml_dtypes.bfloat16), right.astype(ml_dtypes.bfloat16)


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize("name", RULES)
def test_instruction_and_loops_agree(name: str, native: bool) -> None:
    if native and name not in native_instructions(Machine.host()):
        pytest.skip(f"this machine has no {name}")
    kernel = parse_kernel(dot(name))
    left, right = factors(name)
    expected = run_kernel(kernel, {"a": left, "b": right})["y"]
    found = np.zeros_like(expected)
    chosen = frozenset((name,)) if native else frozenset()
    Compiled(emit_kernel(kernel, HOST, instructions=chosen), Machine.host())(left, right, found)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", RULES)
def test_a_call_is_one_instruction(name: str) -> None:
    text = emit_kernel(parse_kernel(dot(name)), HOST, instructions=frozenset((name,)))
    machine, mnemonic = MACHINES[name]
    code = assembly(module_text([text]), Machine.named(machine))
    assert sum(line.strip().startswith(mnemonic) for line in code.splitlines()) == 1


PREFETCH = """
kernel @ahead(%a: f32[4, 16], %y: out f32[4, 16]) {
  for i in 0..4 {
    call @prefetch_f32(a[i, i * 16 + 4000000])
    vector l in 0..16 {
      y[i, l] = a[i, l] + 1.0
    }
  }
}"""


def test_memory_may_be_asked_for_beyond_a_buffer() -> None:
    kernel = parse_kernel(PREFETCH)
    a = np.arange(64, dtype=np.float32).reshape(4, 16)
    found = np.zeros_like(a)
    text = emit_kernel(kernel, HOST)
    Compiled(text, Machine.host())(a, found)
    np.testing.assert_array_equal(found, a + 1)
    code = assembly(module_text([text]), Machine.named("icelake-server"))
    assert sum(line.strip().startswith("prefetch") for line in code.splitlines()) == 1


ROUND = """
kernel @round(%x: f32[4096, 16], %y: out bf16[4096, 16]) {
  for i in 0..4096 {
    vector l in 0..16 {
      y[i, l] = bf16(x[i, l])
    }
  }
}"""
HALVES = frozenset(("vpdpbf16ps",))  # a machine that multiplies them rounds to them, too


FLUSHED = ROUND.replace("bf16(x[i, l])", "bf16(flush(x[i, l]))")


@pytest.mark.parametrize("kernel", [ROUND, FLUSHED], ids=["all", "normal"])
def test_numbers_of_every_size_are_rounded_to_halves(kernel: str) -> None:
    """Subnormal ones too, which the instruction itself takes for zero."""
    if not native_instructions(Machine.host()) >= HALVES:
        pytest.skip("this machine has no vcvtneps2bf16")
    # Each sign and exponent with what is lost: less than half of the last place, half of it, more.
    high = np.arange(0, 1 << 16, 2, dtype=np.uint32)[:, None] << 16 | np.uint32(1 << 16)
    bits = np.concatenate([high, high | 0x7FFF, high | 0x8000, high ^ 0x1_8000, high | 0x8001], 1)
    x = np.resize(bits, (bits.size // 65536 + 1, 4096, 16)).view(np.float32)
    code = Compiled(emit_kernel(parse_kernel(kernel), HOST, instructions=HALVES), Machine.host())
    for part in x:
        found = np.zeros(part.shape, ml_dtypes.bfloat16)
        code(part, found)
        with np.errstate(all="ignore"):
            given = FUNCTIONS["flush"].evaluate(part) if kernel == FLUSHED else part
            wanted = given.astype(ml_dtypes.bfloat16)
        same = found.view(np.uint16) == wanted.view(np.uint16)
        assert (same | np.isnan(part) & np.isnan(found.astype(np.float32))).all()


def test_rounding_to_halves_is_one_instruction() -> None:
    for kernel, others in ((ROUND, True), (FLUSHED, False)):
        text = emit_kernel(parse_kernel(kernel), HOST, instructions=HALVES)
        code = assembly(module_text([text]), Machine.named("sapphirerapids"))
        assert sum(line.strip().startswith("vcvtneps2bf16") for line in code.splitlines()) == 1
        assert ("vptestnm" in code) == others  # that subnormal numbers take
