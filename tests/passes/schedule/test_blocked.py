"""Blocks: kernels of several nests under common loops, each nest scheduled by its own recipe."""

from __future__ import annotations

import numpy as np
import pytest

from mlir_lite.backends.llvm.backend import CpuBackend, cpu_target
from mlir_lite.passes.schedule import schedule
from mlir_lite.passes.schedule.analysis import nests_of
from mlir_lite.passes.schedule.ordered import ordered_axes
from mlir_lite.target import Target
from mlir_lite.tile.checks.verify import verify_kernel
from mlir_lite.tile.interpreter import run_kernel
from mlir_lite.tile.nodes import Accumulate, Kernel, Kind, Loop
from mlir_lite.tile.parser import parse_kernel
from mlir_lite.tile.program import CallStep, Memory, Program, Role, Slot, View
from mlir_lite.tile.traverse import walk
from mlir_lite.types import Array, TensorType

TARGETS = {lanes: Target(f"cpu:{lanes}", vector_bytes=4 * lanes) for lanes in (4, 16)}
LANES = pytest.mark.parametrize("lanes", TARGETS)


def two_products(blocks: int, rows: int, inner: int, hidden: int, outer: int) -> Kernel:
    """h = relu(x @ a); out = (h @ b) / sums of the rows of h: blocks of rows one after the other.
    All nests sum in the same register."""
    total = blocks * rows
    return parse_kernel(f"""
        kernel @two_products(%x: f32[{total}, {inner}], %a: f32[{inner}, {hidden}],
                             %b: f32[{hidden}, {outer}], %out: out f32[{total}, {outer}]) {{
          buffer h: shared f32[{rows}, {hidden}]
          buffer sum: shared f32[{rows}]
          buffer acc: register f32[]
          for block in 0..{blocks} {{
            for i0 in 0..{rows} {{
              for j0 in 0..{hidden} {{
                acc[] = 0.0
                for k0 in 0..{inner} {{
                  acc[] += x[block * {rows} + i0, k0] * a[k0, j0]
                }}
                h[i0, j0] = max(acc[], 0.0)
              }}
            }}
            for i1 in 0..{rows} {{
              acc[] = 1.0
              for j1 in 0..{hidden} {{
                acc[] += h[i1, j1]
              }}
              sum[i1] = acc[]
            }}
            for i2 in 0..{rows} {{
              for j2 in 0..{outer} {{
                acc[] = 0.0
                for k2 in 0..{hidden} {{
                  acc[] += h[i2, k2] * b[k2, j2]
                }}
                "out"[block * {rows} + i2, j2] = acc[] / sum[i2]
              }}
            }}
          }}
        }}""")


def in_order(steps: int, size: int) -> Kernel:
    """A running sum over blocks of x, turned: y[step] is that of x[0] to x[step], each transposed.
    The blocks follow one another, and are first made by a nest of their own."""
    return parse_kernel(f"""
        kernel @in_order(%x: f32[3, {steps}, {size}, {size}], %y: out f32[3, {steps}, {size}, {size}]) {{
          buffer sum: shared f32[{size}, {size}]
          for batch in 0..3 {{
            for i0 in 0..{size} {{
              for j0 in 0..{size} {{
                sum[i0, j0] = 0.0
              }}
            }}
            for step in 0..{steps} {{
              for i1 in 0..{size} {{
                for j1 in 0..{size} {{
                  sum[i1, j1] = sum[i1, j1] + x[batch, step, j1, i1]
                }}
              }}
              for i2 in 0..{size} {{
                for j2 in 0..{size} {{
                  y[batch, step, i2, j2] = exp(sum[i2, j2])
                }}
              }}
            }}
          }}
        }}""")  # noqa: E501


def normal(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32) / 4


def inputs(kernel: Kernel) -> dict[str, Array]:
    return {
        param.name: normal(*param.shape)
        for param in kernel.params
        if param.name not in kernel.outputs
    }


def machine_code(kernel: Kernel, arrays: dict[str, Array]) -> Array:
    """The one output of a kernel, as this machine computes it."""
    slots = [
        Slot(
            param.name,
            TensorType(param.memory_shape, param.dtype),
            Role.RESULT if param.name in kernel.outputs else Role.PARAMETER,
        )
        for param in kernel.params
    ]
    call = CallStep(kernel.name, tuple(View(slot.name) for slot in slots))
    program = Program(
        "main", (kernel,), tuple(slots), (call,), tuple(arrays), kernel.outputs, {}, Memory(0, 0)
    )
    result = CpuBackend(*cpu_target("cpu")).compile(program, {}, threads=2)(*arrays.values())
    assert isinstance(result, np.ndarray)
    return result


def check(kernel: Kernel, lanes: int) -> Kernel:
    """The scheduled kernel, after comparing it with the naive one, and with its machine code."""
    scheduled = schedule(kernel, TARGETS[lanes])
    verify_kernel(scheduled)
    arrays = inputs(kernel)
    flat = {
        param.name: arrays[param.name].reshape(param.memory_shape)
        for param in scheduled.params
        if param.name in arrays
    }
    (want,) = run_kernel(kernel, arrays).values()
    # Sums of at most some tens of terms, in another order.
    allowed = 32 * np.finfo(np.float32).eps * np.abs(want).max()
    for got in (*run_kernel(scheduled, flat).values(), machine_code(scheduled, flat)):
        np.testing.assert_allclose(got.reshape(want.shape), want, rtol=0, atol=allowed)
    return scheduled


def loops(kernel: Kernel, axis: str) -> list[Loop]:
    return [stmt for stmt in walk(kernel.body) if isinstance(stmt, Loop) and stmt.axis == axis]


SIZES = (
    (1, 1, 1, 1, 1),  # nothing is left of the loops
    (1, 32, 20, 64, 100),
    (3, 1, 5, 7, 2),
    (2, 6, 16, 32, 16),
    (3, 13, 5, 33, 17),
    (5, 32, 20, 64, 100),
)


@LANES
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_products_in_blocks(sizes: tuple[int, int, int, int, int], lanes: int) -> None:
    check(two_products(*sizes), lanes)


@LANES
@pytest.mark.parametrize("size", [1, 5, 16, 33])
def test_blocks_that_follow_one_another(size: int, lanes: int) -> None:
    check(in_order(4, size), lanes)


def test_the_nests_of_a_block_are_found() -> None:
    nests = nests_of(two_products(3, 13, 5, 33, 17))
    assert [nest.axes for nest in nests] == [("i0", "j0"), ("i1",), ("i2", "j2")]
    assert {loop.axis for nest in nests for loop in nest.around} == {"block"}
    nests = nests_of(in_order(4, 5))
    assert [[loop.axis for loop in nest.around] for nest in nests] == [
        ["batch"], ["batch", "step"], ["batch", "step"],
    ]


def test_blocks_are_dealt_to_threads_and_nests_are_not() -> None:
    kernel = check(two_products(5, 32, 20, 64, 100), 16)
    parallel = [
        stmt.axis
        for stmt in walk(kernel.body)
        if isinstance(stmt, Loop) and stmt.kind is Kind.PARALLEL
    ]
    assert parallel == ["block"]
    assert ordered_axes(in_order(40, 33)) == {"step"}
    (batch,) = loops(check(in_order(40, 33), 16), "batch")
    assert batch.kind is Kind.PARALLEL
    assert [loop.kind for loop in loops(check(in_order(40, 33), 16), "step")] == [Kind.SERIAL]


def test_blocks_that_must_follow_are_never_dealt_out() -> None:
    """The largest element of each place of x, turned: all steps write all of y."""
    kernel = parse_kernel("""
        kernel @largest(%x: f32[200, 33, 33], %y: out f32[33, 33]) {
          buffer turned: shared f32[33, 33]
          for i0 in 0..33 {
            for j0 in 0..33 { y[i0, j0] = -inf }
          }
          for step in 0..200 {
            for i1 in 0..33 {
              for j1 in 0..33 { turned[i1, j1] = x[step, j1, i1] }
            }
            for i2 in 0..33 {
              for j2 in 0..33 { y[i2, j2] = max(y[i2, j2], turned[i2, j2]) }
            }
          }
        }""")
    assert [loop.kind for loop in loops(check(kernel, 16), "step")] == [Kind.SERIAL]


@pytest.mark.parametrize("blocks", [1, 5])
def test_products_in_a_block_run_in_register_tiles(blocks: int) -> None:
    """Both sums of products are unrolled over rows, and in vectors."""
    kernel = schedule(two_products(blocks, 32, 20, 64, 100), TARGETS[16])
    for reduction in ("k0", "k2"):
        for loop in loops(kernel, reduction):
            (rows,) = loop.body
            assert isinstance(rows, Loop)
            assert rows.kind is Kind.UNROLL
            inside = [stmt for stmt in walk(rows.body) if isinstance(stmt, (Loop, Accumulate))]
            *around, update = inside
            assert isinstance(update, Accumulate)
            assert isinstance(around[-1], Loop)
            assert around[-1].kind is Kind.VECTOR
