"""Programs as machine code: steps, views, the arena, constants, faults, threads."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Value, f32
from mlir_lite.backends.llvm.backend import CpuBackend
from mlir_lite.backends.llvm.executable import CpuExecutable
from mlir_lite.backends.llvm.machine.jit import Library, compile_objects
from mlir_lite.backends.llvm.machine.machine import Machine
from mlir_lite.backends.llvm.pool.pool import ThreadPool, pool_code
from mlir_lite.backends.llvm.program import modules
from mlir_lite.backends.llvm.program.body import TICKS
from mlir_lite.backends.llvm.program.modules import ProgramText, emit_program
from mlir_lite.backends.llvm.program.state import State
from mlir_lite.backends.llvm.program.step_rows import constant_slots
from mlir_lite.errors import RunError
from mlir_lite.ir import ConstantData
from mlir_lite.tile.interpreter import run_program
from mlir_lite.tile.parser import parse_program
from mlir_lite.tile.program import Memory, Program, View
from mlir_lite.types import Array

from ..kernels.kernels import HOST, normal

# x is scaled into the arena, then in its own place; each row of the sum reads the row before.
CHAIN = """
program @chain(%x) -> (%out) {
  parameter %x: tensor<64x100xf32>
  constant %w: tensor<200xf32>
  arena %a: tensor<64x100xf32> at 64
  result %out: tensor<64x100xf32>
  status %status: tensor<1xi64>
  kernel @scale(%x: f32[64, 100], %w: f32[100], %y: out f32[64, 100]) {
    parallel i in 0..64 {
      for j in 0..100 {
        y[i, j] = x[i, j] * w[j] + 1.0
      }
    }
  }
  kernel @mirror(%x: f32[64, 100], %y: out f32[64, 100], %status: out i64[1]) {
    buffer rows: shared f32[200, 100]
    parallel i in 0..64 {
      for j in 0..100 {
        rows[3, j] = x[63 - i, j]
      }
      for j.1 in 0..100 {
        y[i, j.1] = rows[3, 99 - j.1]
        if rows[3, j.1] > 1000.0 {
          status[0] = 2
        }
      }
    }
  }
  call @scale(%x, %w + 100, %a)
  call @scale(%a, %w, %a)
  call @mirror(%a, %out, %status)
  fault 2: "too large" loc("f.py":3)
}"""


class Loaded:
    """A program's code with an arena and a state of its own."""

    def __init__(
        self, program: Program, constants: Mapping[str, Array], pool: ThreadPool | None
    ) -> None:
        self.text: ProgramText = emit_program(program, HOST)
        codes = compile_objects(self.text.modules, Machine.host(), cache=None, workers=1)
        self.library = Library(codes, exports=["ml_body"], symbols=pool_code().symbols)
        threads = 1 if pool is None else pool.threads
        self.arena = np.full(self.text.arena_bytes(threads) + 64, 0xFF, np.uint8)
        self.constants = [constants[name] for name in constant_slots(program)]
        pointers = [array.ctypes.data for array in self.constants]
        self.pointers = (ctypes.c_void_p * len(pointers))(*pointers)
        self.status = np.zeros(1, np.int64)
        self.state = State(
            arena=-(-self.arena.ctypes.data // 64) * 64,
            pool=None if pool is None else pool.address,
            constants=ctypes.addressof(self.pointers),
            status=self.status.ctypes.data,
        )

    def __call__(self, *arrays: Array) -> int:
        """Run on parameters and results; the status."""
        self.status[0] = 0
        pointers = (ctypes.c_void_p * len(arrays))(*(array.ctypes.data for array in arrays))
        body = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(
            self.library.address("ml_body")
        )
        body(ctypes.addressof(self.state), ctypes.addressof(pointers))
        return int(self.status[0])


def results(program: Program) -> list[Array]:
    return [
        np.full(program.slot(name).type.static_shape, np.nan, np.float32)
        for name in program.results
    ]


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_steps_run_in_order_on_any_number_of_threads(threads: int) -> None:
    program = parse_program(CHAIN)
    x, constants = normal(64, 100), {"w": normal(200, seed=1)}
    (expected,) = run_program(program, [x], constants | {"status": np.zeros(1, np.int64)})
    pool = ThreadPool(threads) if threads > 1 else None
    loaded = Loaded(program, constants, pool)
    for _ in range(20):
        (out,) = results(program)
        assert loaded(x, out) == 0
        np.testing.assert_allclose(out, expected, rtol=1e-6, atol=1e-6)
    if pool is not None:
        pool.close()


def test_a_fault_ends_the_run() -> None:
    program = parse_program(CHAIN)
    scale, _, mirror = program.calls
    faulty = replace(
        program,
        steps=(
            replace(mirror, args=(View("x"), View("a"), View("status"))),
            replace(scale, args=(View("a"), View("w"), View("out"))),
        ),
    )
    x, constants = normal(64, 100), {"w": np.ones(200, np.float32)}
    x[5, 7] = 1e4
    (out,) = results(faulty)
    assert Loaded(faulty, constants, None)(x, out) == 2
    assert np.isnan(out).all(), "the step after the fault has run"


def test_what_emission_takes_goes_without_a_search_for_cycles() -> None:
    """While a model compiles there is none, and of each of its kernels all would stay."""
    image, weight = f32[1, 16, 16, 32], f32[64, 32, 3, 3]

    @ml.function(image, weight)
    def filtered(x: Value, w: Value) -> Value:
        return ml.softmax(ml.conv(x, w, padding=1, layout="nhwc"))

    program = ml.compile(filtered.bind({"w": normal(64, 32, 3, 3)})).program
    emit_program(program, HOST)  # what is kept from then on is made
    gc.collect()
    gc.disable()
    try:
        emit_program(program, HOST)
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_equal_programs_give_equal_texts() -> None:
    first, second = (emit_program(parse_program(CHAIN), HOST) for _ in range(2))
    assert first == second


def test_modules_of_kernels_are_told_as_they_are_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(modules, "_MODULE_SIZE", 1)
    written: list[str] = []
    text = emit_program(parse_program(CHAIN), HOST, written=written.append)
    assert len(written) == len(parse_program(CHAIN).kernels) > 1
    assert text.modules[:-1] == tuple(written)


def test_scratch_memory_follows_the_plan() -> None:
    text = emit_program(parse_program(CHAIN), HOST)
    assert text.planned_bytes == 64 + 64 * 100 * 4
    assert text.thread_bytes == 200 * 100 * 4
    assert text.arena_bytes(3) == text.planned_bytes + 3 * text.thread_bytes


def test_parameters_in_one_place_are_not_called_distinct() -> None:
    text = "\n".join(emit_program(parse_program(CHAIN), HOST).modules)
    assert "@scale(ptr %p0, ptr noalias %p1, ptr %p2, i64 %lo, i64 %hi)" in text
    assert "@mirror(ptr noalias %p0, ptr noalias %p1, ptr noalias %p2" in text


def test_only_timed_programs_read_the_counter() -> None:
    program, counter = parse_program(CHAIN), Machine.host().counter
    plain = "\n".join(emit_program(program, HOST).modules)
    timed = emit_program(program, HOST, counter=counter)
    assert "tick" not in plain and counter not in plain
    assert timed.call_rows == (1, 1, 1)
    assert "@ml_ticks = global [4 x i64] zeroinitializer" in "\n".join(timed.modules)


def timed_chain(*, timed: bool) -> CpuExecutable:
    """The chain, its last kernel cut in two: all rows are mirrored, then the first once more."""
    text = CHAIN.replace("  }\n  call @scale(%x", AGAIN + "  }\n  call @scale(%x")
    program = replace(parse_program(text), memory=Memory(64 + 64 * 100 * 4, 0))
    constants = {"w": ConstantData.of(np.ones(200, np.float32))}
    backend = CpuBackend(HOST, Machine.host())
    return backend.compile(program, constants, threads=1, timed=timed)


AGAIN = """\
    parallel i.1 in 0..1 {
      for j.2 in 0..100 {
        y[i.1, j.2] = x[63 - i.1, 99 - j.2]
      }
    }
"""


def test_ticks_are_read_after_the_last_stage_of_each_step() -> None:
    executable = timed_chain(timed=True)
    x = np.ones((64, 100), np.float32)
    executable(x)
    first = executable.step_ticks()
    executable(x)
    second = executable.step_ticks()
    assert len(first) == 1 + 3
    assert (np.diff(first) > 0).all()
    assert second[0] > first[-1]
    every = (ctypes.c_int64 * (1 + 4)).from_address(executable._code.library.address(TICKS))
    assert second.tolist() == np.cumsum(every)[[0, 1, 2, 4]].tolist()


def test_ticks_of_a_program_without_a_clock_are_refused() -> None:
    with pytest.raises(RunError, match="not compiled as timed"):
        timed_chain(timed=False).step_ticks()
