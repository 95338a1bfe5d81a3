"""Instructions mean what the machine does: their loops against plain NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from mlir_lite.expr import index
from mlir_lite.tile.checks.verify import verify_kernel
from mlir_lite.tile.instructions.table import INSTRUCTIONS, LANES
from mlir_lite.tile.interpreter import run_kernel
from mlir_lite.tile.nodes import Buffer, Call, Kernel, Kind, Loop, Space, Window
from mlir_lite.tile.parser import parse_kernel
from mlir_lite.types import DTYPES, bf16, f32, i8, i32, u8

from .building import at, both, ld, loop, st, v


def test_every_instruction_is_a_kernel_of_its_own() -> None:
    for name, instruction in INSTRUCTIONS.items():
        assert name == instruction.name
        body = instruction.semantics.body
        for scalar in instruction.scalars:
            body = (Loop(scalar, index(0), index(4), body),)
        kernel = Kernel(name, instruction.params, instruction.outputs, body)
        verify_kernel(kernel, strict=True)


def test_vpdpbusd_adds_four_products_of_unsigned_and_signed_bytes() -> None:
    random = np.random.default_rng(1)
    a = random.integers(0, 256, 4).astype(np.uint8)
    b = random.integers(-128, 128, (LANES, 4)).astype(np.int8)
    start = random.integers(-(2**31), 2**31, LANES).astype(np.int32)
    instruction = INSTRUCTIONS["vpdpbusd"]
    assert [param.dtype for param in instruction.params] == [i32, u8, i8]
    kernel = Kernel("dot", instruction.params, ("acc",), instruction.semantics.body)
    total = start.astype(np.int64) + (a.astype(np.int64) * b).sum(1)
    np.testing.assert_array_equal(both(kernel, acc=start, a=a, b=b)["acc"], total.astype(np.int32))


def test_vpdpbf16ps_adds_the_odd_product_first() -> None:
    """big + small rounds to big, so that which product comes first shows."""
    instruction = INSTRUCTIONS["vpdpbf16ps"]
    kernel = Kernel("dot", instruction.params, ("acc",), instruction.semantics.body)
    a = np.ones(2, bf16.numpy)
    b = np.tile(np.array([-1e8, 3.0], bf16.numpy), (LANES, 1))
    big = np.full(LANES, -np.float32(b[0, 0]))
    np.testing.assert_array_equal(both(kernel, acc=big, a=a, b=b)["acc"], 0)
    np.testing.assert_array_equal(both(kernel, acc=big, a=a, b=b[:, ::-1])["acc"], 3)


@pytest.mark.parametrize("rows", [1, 3])
def test_call_on_windows_of_registers(rows: int) -> None:
    """A tile of an u8 x i8 matrix product, four steps of k at a time."""
    r, k, q, lane = v("r"), v("k"), v("q"), v("l")
    depth = 5
    kernel = Kernel(
        "tile",
        (
            Buffer("a", u8, (rows, depth, 4)),
            Buffer("b", i8, (depth, LANES, 4)),
            Buffer("y", i32, (rows, LANES)),
        ),
        ("y",),
        (
            loop(
                "z",
                rows,
                loop("zl", LANES, st("t", (v("z"), v("zl")), ld("y", v("z"), v("zl"), dtype=i32))),
            ),
            loop(
                "k",
                depth,
                loop(
                    "r",
                    rows,
                    Call(
                        "vpdpbusd",
                        (
                            Window("t", at(r, 0)),
                            Window("a", at(r, k, 0)),
                            Window("b", at(k, 0, 0)),
                        ),
                    ),
                    kind=Kind.UNROLL,
                ),
            ),
            loop("q", rows, loop("l", LANES, st("y", (q, lane), ld("t", q, lane, dtype=i32)))),
        ),
        (Buffer("t", i32, (rows, LANES), Space.SHARED),),
    )
    verify_kernel(kernel, strict=True)
    random = np.random.default_rng(2)
    a = random.integers(0, 256, (rows, depth, 4)).astype(np.uint8)
    b = random.integers(-128, 128, (depth, LANES, 4)).astype(np.int8)
    zero = np.zeros((rows, LANES), np.int32)
    expected = np.einsum("rkq,klq->rl", a.astype(np.int32), b.astype(np.int32))
    np.testing.assert_array_equal(both(kernel, a=a, b=b, y=zero)["y"], expected)


def test_f32_is_the_type_of_the_bf16_sum() -> None:
    assert [param.dtype for param in INSTRUCTIONS["vpdpbf16ps"].params] == [f32, bf16, bf16]


@pytest.mark.parametrize("dtype", DTYPES)
def test_memory_of_every_type_can_be_asked_for(dtype: str) -> None:
    """Even beyond the buffer's end: no element is read."""
    text = f"""
kernel @k(%x: {dtype}[4], %y: out {dtype}[4]) {{
  for i in 0..4 {{
    call @prefetch_{dtype}(x[i + 2])
    y[i] = x[i]
  }}
}}"""
    verify_kernel(parse_kernel(text))


def test_fragments_multiply_matrices() -> None:
    kernel = parse_kernel("""
        kernel @product(%x: bf16[16, 16], %w: bf16[16, 16], %y: out f32[2, 32, 4]) {
          buffer a: fragment bf16[32, 8]
          buffer b: fragment bf16[2, 32, 4]
          call @load_left_bf16(a[0, 0], x[0, 0])
          call @load_right_bf16_turned(b[0, 0, 0], w[0, 0])
          for half in 0..2 {
            for lane in 0..32 {
              for e in 0..4 {
                y[half, lane, e] = 0.0
              }
            }
            call @mma_bf16(y[half, 0, 0], a[0, 0], b[half, 0, 0])
          }
        }
    """)
    random = np.random.default_rng(5)
    x, w = (random.integers(-8, 8, (16, 16)).astype(bf16.numpy) for _ in range(2))
    y = run_kernel(kernel, {"x": x, "w": w})["y"]
    half, lane, e = np.indices((2, 32, 4))
    found = np.zeros((16, 16))
    found[lane // 4 + e // 2 * 8, half * 8 + lane % 4 * 2 + e % 2] = y
    np.testing.assert_array_equal(found, x.astype(np.float64) @ w.astype(np.float64))


def test_a_rise_of_any_lane_is_told_to_all() -> None:
    kernel = parse_kernel("""
        kernel @rise(%x: f32[1, 2, 32, 4], %total: f32[1, 32, 4], %found: out f32[1]) {
          call @any_rises_1x2(found[0], x[0, 0, 0, 0], total[0, 0, 0])
        }
    """)
    below, begun = np.full((1, 2, 32, 4), -1, np.float32), np.ones((1, 32, 4), np.float32)
    above, empty = below.copy(), begun.copy()
    above[0, 1, 7, 3] = 0
    empty[0, 9, 2:] = 0
    for x, total, wanted in ((below, begun, 0), (above, begun, 1), (below, empty, 1)):
        assert run_kernel(kernel, {"x": x, "total": total})["found"] == wanted
    everywhere = np.full_like(below, -np.inf)
    assert run_kernel(kernel, {"x": everywhere, "total": begun})["found"] == 0


def test_sums_become_a_left_operand() -> None:
    """Row by row in the fragments' order: what is summed up again are their rows."""
    kernel = parse_kernel("""
        kernel @rows(%x: f32[2, 32, 4], %total: out f32[32, 4], %most: out f32[32, 2]) {
          buffer a: fragment bf16[32, 8]
          for lane in 0..32 {
            for e in 0..4 {
              total[lane, e] = 0.0
            }
            for half in 0..2 {
              most[lane, half] = -inf
            }
          }
          call @narrow_bf16(a[0, 0], x[0, 0, 0])
          call @row_sums_bf16(total[0, 0], a[0, 0])
          call @maxima_f32(most[0, 0], x[0, 0, 0])
          call @maxima_f32(most[0, 0], x[1, 0, 0])
          call @quad_maxima_f32(most[0, 0])
        }
    """)
    matrix = np.random.default_rng(6).integers(-8, 8, (16, 16)).astype(np.float32)
    half, lane, e = np.indices((2, 32, 4))
    x = matrix[lane // 4 + e // 2 * 8, half * 8 + lane % 4 * 2 + e % 2]
    found = run_kernel(kernel, {"x": x})
    lane, e = np.indices((32, 4))
    np.testing.assert_array_equal(found["total"], matrix.sum(1)[lane // 4 + e // 2 * 8])
    first, second = found["most"].reshape(8, 4, 2).transpose(2, 0, 1)
    wanted = matrix.max(1)[:, None].repeat(4, 1)
    np.testing.assert_array_equal(np.concatenate([first, second]), wanted)
