"""The machine code of hot loops: what stands in them and what must not; the texts themselves."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from mlir_lite.backends.llvm.kernels.kernel import emit_kernel
from mlir_lite.backends.llvm.machine.jit import assembly
from mlir_lite.backends.llvm.machine.machine import Machine, llvm_version
from mlir_lite.backends.llvm.program.modules import module_text
from mlir_lite.target import named_target
from mlir_lite.tile.parser import parse_kernel

from .kernels import HOST, agree, compiled, normal

GEMM = parse_kernel("""
kernel @gemm(%a: f32[12, 50], %b: f32[50, 64], %c: out f32[12, 64]) {
  buffer acc: register f32[6, 64]
  for m in 0..2 {
    unroll i in 0..6 {
      unroll j in 0..4 {
        vector l in 0..16 {
          acc[i, j * 16 + l] = 0.0
        }
      }
    }
    for k in 0..50 {
      unroll i.1 in 0..6 {
        unroll j.1 in 0..4 {
          vector l.1 in 0..16 {
            acc[i.1, j.1 * 16 + l.1] += a[m * 6 + i.1, k] * b[k, j.1 * 16 + l.1]
          }
        }
      }
    }
    unroll i.2 in 0..6 {
      unroll j.2 in 0..4 {
        vector l.2 in 0..16 {
          c[m * 6 + i.2, j.2 * 16 + l.2] = acc[i.2, j.2 * 16 + l.2]
        }
      }
    }
  }
}""")
AVX512 = Machine.named("skylake-avx512")

COPY = """
kernel @copy(%x: f32[64, 16], %y: out f32[64, 16]) {
  parallel i in 0..64 {
    vector j in 0..16 { nontemporal y[i, j] = x[i, j] }
  }
}"""


def test_a_nontemporal_store_goes_past_the_caches() -> None:
    text = module_text([emit_kernel(parse_kernel(COPY), HOST)])
    body = assembly(text, AVX512)
    assert "vmovntps" in body
    assert re.search(r"vmovups\s+%zmm", body)  # where the address is no multiple of a vector
    assert re.search(r"mfence|lock", body.split("vmovntps")[1])  # before others may look


@pytest.mark.parametrize("shift", [0, 1, 3, 16])
def test_it_writes_to_any_address(shift: int) -> None:
    memory = np.zeros(64 * 16 + 48, np.float32)
    first = -memory.ctypes.data % 64 // 4 + shift
    place, x = memory[first : first + 64 * 16].reshape(64, 16), normal(64, 16)
    compiled(COPY)(x, place)
    np.testing.assert_array_equal(place, x)
    assert not memory[:first].any() and not memory[first + 64 * 16 :].any()


def loop_with(instruction: str, text: str) -> list[str]:
    """The instructions of the innermost loop that an instruction stands in."""
    lines = [line.strip() for line in text.splitlines()]
    first = next(number for number, line in enumerate(lines) if line.startswith(instruction))
    start = max(n for n, line in enumerate(lines[:first]) if re.match(r"\.LBB\w+:", line))
    label = lines[start].partition(":")[0]
    end = next(n for n, line in enumerate(lines) if n > first and line.endswith(label))
    return [line for line in lines[start + 1 : end + 1] if not line.startswith(".")]


def test_sums_of_products_need_no_address_arithmetic() -> None:
    body = loop_with("vfmadd231ps", assembly(module_text([emit_kernel(GEMM, HOST)]), AVX512))
    counts = {name: sum(name in line for line in body) for name in ("vfmadd231ps", "vbroadcastss")}
    assert counts == {"vfmadd231ps": 24, "vbroadcastss": 6}
    assert not any("rsp" in line for line in body), "an accumulator is spilled"
    # 4 vectors of the right operand, pointer increments, the test and the jump.
    assert len(body) <= 24 + 6 + 4 + 4


def test_a_matrix_product() -> None:
    agree(GEMM, {"a": normal(12, 50), "b": normal(50, 64, seed=1)}, tolerance=1e-6)


def test_other_architectures_compile() -> None:
    target = named_target("cpu:aarch64")
    assert target is not None
    text = assembly(module_text([emit_kernel(GEMM, target)]), Machine.named("aarch64"))
    assert "fmla" in text


GOLDEN = Path(__file__).parents[3] / "golden" / "llvm"
TEXTS = {
    "relu": """
kernel @relu(%x: f32[37], %y: out f32[37]) {
  parallel i.o in 0..3 {
    vector i.i in 0..16 {
      if i.o * 16 + i.i < 37 {
        y[i.o * 16 + i.i] = max(x[i.o * 16 + i.i], 0.0)
      }
    }
  }
}""",
    "product": """
kernel @product(%a: f32[8, 50], %b: f32[50, 8], %c: out f32[8, 8]) {
  buffer acc: register f32[2, 8]
  for m in 0..4 {
    unroll i in 0..2 {
      vector l in 0..8 {
        acc[i, l] = 0.0
      }
    }
    for k in 0..50 {
      unroll i.1 in 0..2 {
        vector l.1 in 0..8 {
          acc[i.1, l.1] += a[m * 2 + i.1, k] * b[k, l.1]
        }
      }
    }
    unroll i.2 in 0..2 {
      vector l.2 in 0..8 {
        c[m * 2 + i.2, l.2] = acc[i.2, l.2]
      }
    }
  }
}""",
}


@pytest.mark.parametrize("name", TEXTS)
def test_text_is_as_it_was_read(name: str, request: pytest.FixtureRequest) -> None:
    text = module_text([emit_kernel(parse_kernel(TEXTS[name]), HOST)])
    file = GOLDEN / f"{name}.ll"
    if request.config.getoption("--update-golden", default=False):
        file.write_text(text)
    assert text == file.read_text()


def test_aarch64_assembly_is_as_it_was_read(request: pytest.FixtureRequest) -> None:
    """Held for the LLVM it was read of; another orders instructions in its own way."""
    target = named_target("cpu:aarch64")
    assert target is not None
    kernel = parse_kernel(TEXTS["product"])
    text = assembly(module_text([emit_kernel(kernel, target)]), Machine.named("aarch64"))
    file = GOLDEN / f"product.aarch64.llvm{llvm_version().split('.')[0]}.s"
    if request.config.getoption("--update-golden", default=False):
        file.write_text(text)
    if not file.exists():
        pytest.skip(f"nobody has read the assembly of LLVM {llvm_version()} yet")
    assert text == file.read_text()


NARROW = """
kernel @narrow(%a: f32[50, 3], %b: f32[50, 6], %c: out f32[3, 6]) {
  buffer acc: register f32[3, 16]
  unroll i in 0..3 { vector l in 0..16 { acc[i, l] = 0.0 } }
  for k in 0..50 {
    unroll i.1 in 0..3 {
      vector l.1 in 0..16 {
        if l.1 < 6 { acc[i.1, l.1] += a[k, i.1] * b[k, l.1] }
      }
    }
  }
  unroll i.2 in 0..3 {
    vector l.2 in 0..16 {
      if l.2 < 6 { c[i.2, l.2] = acc[i.2, l.2] }
    }
  }
}"""


def test_products_of_some_lanes_are_summed_by_one_instruction() -> None:
    """Not by one for all lanes and one that keeps those that are meant."""
    kernel = parse_kernel(NARROW)
    agree(kernel, {"a": normal(50, 3), "b": normal(50, 6, seed=1)}, tolerance=1e-6)
    target = named_target("cpu:sapphirerapids")
    assert target is not None
    text = module_text([emit_kernel(kernel, target)])
    body = loop_with("vfmadd", assembly(text, Machine.named("sapphirerapids")))
    masked = [line for line in body if "{%k" in line and "{z}" not in line]
    assert len(masked) == 3 and all(line.startswith("vfmadd231ps") for line in masked)


LOOKED_UP = """
kernel @looked_up(%x: f32[100], %at: i32[20], %y: out f32[20]) {
  for i in 0..2 {
    vector l in 0..16 {
      if i * 16 + l < 20 { y[i * 16 + l] = x[i64(at[i * 16 + l])] * 2.0 }
    }
  }
}"""


def test_lanes_of_a_mask_are_gathered_by_one_instruction() -> None:
    kernel = parse_kernel(LOOKED_UP)
    places = np.random.default_rng(0).integers(0, 100, 20).astype(np.int32)
    agree(kernel, {"x": normal(100), "at": places})
    target = named_target("cpu:sapphirerapids")
    assert target is not None
    text = emit_kernel(kernel, target)
    code = assembly(module_text([text]), Machine.named("sapphirerapids"))
    assert len(re.findall(r"\bvp?gather", code)) == 1
