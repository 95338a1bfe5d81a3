"""Instructions in the place of loops: only of those that do just what the instruction does."""

from __future__ import annotations

import pytest

from mlir_lite.tile.instructions.table import INSTRUCTIONS
from mlir_lite.tile.nodes import Call, Kernel
from mlir_lite.tile.parser import parse_kernel
from mlir_lite.tile.steps.tensorise import tensorise
from mlir_lite.tile.traverse import walk

from .stepping import expect_step


def dots(inner: str, lanes: str = "0..16", kind: str = "unroll") -> str:
    """A row of 24 by a panel of 32 columns, four neighbours at a time."""
    return f"""
kernel @k(%a: u8[3, 24], %b: i8[6, 32, 4], %y: out i32[3, 32]) {{
  for m in 0..3 {{
    for z in 0..32 {{ y[m, z] = 0 }}
    for n in 0..2 {{
      for k in 0..6 {{
        vector l in {lanes} {{
          {kind} q in 0..4 {{ {inner} }}
        }}
      }}
    }}
  }}
}}"""


SUM = "y[m, n * 16 + l] += i32(a[m, k * 4 + q]) * i32(b[k, n * 16 + l, q])"
BFLOATS = """
kernel @k(%a: bf16[3, 12], %b: bf16[6, 16, 2], %y: out f32[3, 16]) {
  for m in 0..3 {
    for z in 0..16 { y[m, z] = 0.0 }
    for k in 0..6 {
      INSIDE
    }
  }
}"""


def of_bytes(kernel: Kernel) -> Kernel:
    return tensorise(kernel, INSTRUCTIONS["vpdpbusd"])


def test_windows_begin_where_the_loops_do() -> None:
    call = "call @vpdpbusd(y[m, n * 16], a[m, k * 4], b[k, n * 16, 0])"
    text = dots(SUM).replace("vector l in 0..16 {", "").replace("unroll q in 0..4 {", "")
    after = text.replace(SUM + " }\n        }", call)
    expect_step(of_bytes, dots(SUM), after, indices=100)


def test_factors_may_come_in_either_order() -> None:
    turned = "y[m, n * 16 + l] += i32(b[k, n * 16 + l, q]) * i32(a[m, k * 4 + q])"
    assert called(of_bytes(parse_kernel(dots(turned)))) == ["vpdpbusd"]


def test_a_sum_may_be_taken_in_the_order_of_the_instruction() -> None:
    """Which adds the odd element first."""
    loops = """vector l in 0..16 {
        unroll q in 0..2 { y[m, l] += f32(a[m, k * 2 + q]) * f32(b[k, l, q]) }
      }"""
    call = "call @vpdpbf16ps(y[m, 0], a[m, k * 2], b[k, 0, 0])"
    expect_step(
        lambda kernel: tensorise(kernel, INSTRUCTIONS["vpdpbf16ps"]),
        BFLOATS.replace("INSIDE", loops),
        BFLOATS.replace("INSIDE", call),
    )


OTHERS = {
    "a factor apart in memory": dots(SUM.replace("k * 4 + q", "k + q * 4")),
    "neighbours backwards": dots(SUM.replace("k * 4 + q", "k * 4 + 3 - q")),
    "the left one by lane": dots(SUM.replace("k * 4 + q", "k + l")),
    "one column for all lanes": dots(SUM.replace("l, q]", "k, q]")),
    "every other column": dots(SUM.replace("n * 16 + l, q", "l * 2, q")),
    "a sum by neighbour": dots(SUM.replace("y[m, n * 16 + l]", "y[m, n * 16 + q]")),
    "fewer lanes": dots(SUM, lanes="0..8"),
    "neighbours one after the other": dots(SUM, kind="for"),
    "another operation": dots(SUM.replace(") * i32", ") - i32")),
    "another type": dots(SUM.replace("i32(a[m, k * 4 + q])", "i32(i8(a[m, k * 4 + q]))")),
    "something besides": dots(SUM + f" {SUM}"),
    "another combiner": dots(SUM.replace("+=", "max=")),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_loops_stay(name: str) -> None:
    kernel = parse_kernel(OTHERS[name])
    assert str(of_bytes(kernel)) == str(kernel)


def called(kernel: Kernel) -> list[str]:
    return [stmt.callee for stmt in walk(kernel.body) if isinstance(stmt, Call)]
