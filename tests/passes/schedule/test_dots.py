"""Products of narrow numbers: by instructions where the target has them, and the same anywhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Function, Value, bf16, f32, i8, i32, u8
from mlir_lite.backends.llvm.backend import CpuBackend, cpu_target
from mlir_lite.ir import run_reference
from mlir_lite.ops.algorithms.dots import dot_conv, dot_matmul
from mlir_lite.passes.lowering.handmade import region_kernel
from mlir_lite.passes.lowering.lower import lower
from mlir_lite.passes.memory.plan_memory import plan_memory
from mlir_lite.passes.schedule import schedule
from mlir_lite.target import Target
from mlir_lite.tile.checks.verify import verify_kernel
from mlir_lite.tile.interpreter import run_kernel
from mlir_lite.tile.nodes import Call, Kernel, Kind, Loop
from mlir_lite.tile.traverse import walk
from mlir_lite.types import Array, DType

PLAIN = Target("cpu:plain")
WITH = replace(PLAIN, dot_instructions=frozenset({"vpdpbusd", "vpdpbf16ps"}))
NARROW = pytest.mark.parametrize(
    ("left", "right", "depth", "name"), [(u8, i8, 4, "vpdpbusd"), (bf16, bf16, 2, "vpdpbf16ps")]
)
SHAPES = ((1, 2, 5), (1, 3, 64), (2, 6, 17), (7, 4, 48), (13, 2, 130), (64, 9, 100))


def matmul(m: int, blocks: int, n: int, width: int, kind: tuple[DType, DType, int]) -> Function:
    left, right, depth = kind
    panels = right[-(-n // width), blocks, width, depth]
    return ml.function(left[m, blocks * depth], panels)(lambda x, w: dot_matmul(x, w, n))


def conv(size: int, blocks: int, out: int, kind: tuple[DType, DType, int]) -> Function:
    left, right, depth = kind
    filters = right[-(-out // 32), 3, 3, blocks, 32, depth]
    return ml.function(left[1, size, size + 1, blocks * depth], filters)(
        lambda x, w: dot_conv(x, w, out, (1, 2), (1, 1))
    )


def inputs(fn: Function) -> list[Array]:
    random = np.random.default_rng(len(fn.nodes))
    return [
        random.standard_normal(param.type.static_shape).astype(param.dtype.numpy)
        if param.dtype.is_float
        else random.integers(
            np.iinfo(param.dtype.numpy).min, 128, param.type.static_shape, param.dtype.numpy
        )
        for param in fn.params
    ]


def close(have: Array, want: Array) -> None:
    """Integers exactly; sums of at most some hundreds of f32 in another order."""
    scale = float(np.max(np.abs(want), initial=1e-30)) if want.dtype.kind == "f" else 0
    error = np.max(np.abs(have.astype(np.float64) - want.astype(np.float64)), initial=0)
    assert error <= 32 * float(np.finfo(np.float32).eps) * scale


def scheduled(fn: Function, target: Target) -> Kernel:
    """The kernel of all of a function for a target, run in the interpreter."""
    kernel = schedule(region_kernel(fn, "kernel"), target)
    verify_kernel(kernel)
    arrays = inputs(fn)
    read = [param for param in kernel.params if param.name not in kernel.outputs]
    given = {
        param.name: array.reshape(param.memory_shape)
        for param, array in zip(read, arrays, strict=True)
    }
    (have,), (want,) = run_kernel(kernel, given).values(), run_reference(fn, arrays)
    close(have.reshape(want.shape), want)
    return kernel


def calls(kernel: Kernel) -> Counter[str]:
    return Counter(stmt.callee for stmt in walk(kernel.body) if isinstance(stmt, Call))


@NARROW
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_products_of_every_edge(
    shape: tuple[int, int, int], left: DType, right: DType, depth: int, name: str
) -> None:
    for width in (16, 64):
        fn = matmul(*shape, width, (left, right, depth))
        assert set(calls(scheduled(fn, WITH))) == {name}
        assert not calls(scheduled(fn, PLAIN))


@NARROW
def test_convolutions(left: DType, right: DType, depth: int, name: str) -> None:
    for size, blocks, out in ((3, 1, 5), (6, 2, 32), (7, 3, 70)):
        fn = conv(size, blocks, out, (left, right, depth))
        assert set(calls(scheduled(fn, WITH))) == {name}
        assert not calls(scheduled(fn, PLAIN))


@NARROW
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_convolutions_of_rows_as_they_lie(
    stride: int, left: DType, right: DType, depth: int, name: str
) -> None:
    filters = right[2, 3, 3, 2, 32, depth]
    fn = ml.function(left[1, 3, 7, 21], filters)(
        lambda x, w: dot_conv(x, w, 40, (1, stride), (1, 1), "nchw")
    )
    assert set(calls(scheduled(fn, WITH))) == {name}


@NARROW
def test_nothing_is_left_of_the_loops(left: DType, right: DType, depth: int, name: str) -> None:
    """In the innermost loops there is the instruction alone."""
    kernel = scheduled(matmul(64, 9, 100, 64, (left, right, depth)), WITH)
    sums = [stmt for stmt in walk(kernel.body) if isinstance(stmt, Loop) and stmt.axis[0] == "k"]
    kinds = {inner.kind for stmt in sums for inner in walk(stmt.body) if isinstance(inner, Loop)}
    assert sums and kinds == {Kind.UNROLL}


@dataclass
class Answers:
    """Has answers to some questions, and takes the model's to others."""

    given: Mapping[str, str]
    tiles: list[str] = field(default_factory=list)  # that there were to choose from

    def choose(self, problem: str, question: str, ranked: Mapping[str, float]) -> str:
        if question == "tile":
            self.tiles = list(ranked)
        wanted = self.given.get(question, "")
        return wanted if wanted in ranked else next(iter(ranked))


@NARROW
@pytest.mark.parametrize("make", [matmul, conv], ids=["matmul", "conv"])
def test_whatever_is_answered_the_products_are_right(
    make: Callable[..., Function], left: DType, right: DType, depth: int, name: str
) -> None:
    """Of one panel, whose columns may be cut into tiles of fewer."""
    fn = make(*((30, 3, 64, 64) if make is matmul else (7, 2, 32)), (left, right, depth))
    usual = Answers({})
    scheduled(fn, replace(WITH, tuning=usual))
    assert len(usual.tiles) > 4
    for tile in usual.tiles[:: len(usual.tiles) // 4]:
        for copied in ("yes", "no"):
            answers = Answers({"tile": tile, "panels copied": copied, "panels first": copied})
            assert set(calls(scheduled(fn, replace(WITH, tuning=answers)))) >= {name}


def test_panels_of_other_widths_fall_back() -> None:
    assert not calls(scheduled(matmul(5, 3, 20, 10, (u8, i8, 4)), WITH))


def test_one_step_falls_back() -> None:
    """There is nothing to sum outside of the instruction."""
    assert not calls(scheduled(matmul(5, 1, 20, 16, (u8, i8, 4)), WITH))


def test_the_epilogue_is_where_the_sum_is_stored() -> None:
    @ml.function(u8[20, 24], i8[2, 6, 32, 4], f32[40])
    def linear(x: Value, w: Value, scale: Value) -> Value:
        return ml.relu(dot_matmul(x, w, 40).astype(ml.f32) * scale)

    kernel = scheduled(linear, WITH)
    assert set(calls(kernel)) == {"vpdpbusd"} and len(kernel.outputs) == 1


def test_large_products_are_dealt_to_threads_and_panels_may_go_first() -> None:
    small = replace(WITH, l2_bytes=1 << 16)
    fn = matmul(53, 100, 256, 64, (bf16, bf16, 2))
    for target in (WITH, small):
        kernel = scheduled(fn, target)
        assert Kind.PARALLEL in {s.kind for s in walk(kernel.body) if isinstance(s, Loop)}
    assert set(calls(kernel)) == {"vpdpbf16ps", "prefetch_bf16"}


def run(fn: Function, backend: CpuBackend) -> Array:
    lowered = lower(fn, backend.target)
    executable = backend.compile(plan_memory(lowered), lowered.constants, threads=2)
    found = executable(*inputs(fn))
    assert isinstance(found, np.ndarray)
    return found


@NARROW
@pytest.mark.parametrize("make", [matmul, conv], ids=["matmul", "conv"])
@pytest.mark.parametrize("native", [False, True])
def test_machine_code(
    make: Callable[..., Function], native: bool, left: DType, right: DType, depth: int, name: str
) -> None:
    target, machine = cpu_target("cpu", 2)
    if native and name not in target.dot_instructions:
        pytest.skip(f"this machine has no {name}")
    plain = replace(target, matrix_products=frozenset())
    chosen = replace(plain, dot_instructions=frozenset({name} if native else ()))
    sizes: tuple[tuple[int, ...], ...] = ((7, 3, 70), (9, 5, 100))
    if make is matmul:
        sizes = ((7, 4, 48, 16), (13, 2, 130, 64), (64, 33, 256, 64))
    for size in sizes:
        fn = make(*size, (left, right, depth))
        (want,) = run_reference(fn, inputs(fn))
        close(run(fn, CpuBackend(chosen, machine)), want)


@NARROW
def test_the_named_target_gets_the_instruction(
    left: DType, right: DType, depth: int, name: str
) -> None:
    target, machine = cpu_target("cpu:sapphirerapids", 1)
    target = replace(target, matrix_products=frozenset())
    lowered = lower(matmul(64, 32, 64, 64, (left, right, depth)), target)
    asm = CpuBackend(target, machine).stage_texts(plan_memory(lowered))["asm"]()
    mnemonic = name.removeprefix("v") if name == "vpdpbusd" else "dpbf16ps"
    lines = [line.split()[0] for line in asm.splitlines() if line.strip()]
    assert sum(mnemonic in line for line in lines) >= 24  # of the register tile, all


def test_totals_are_those_of_the_instruction() -> None:
    fn = matmul(2, 2, 3, 16, (u8, i8, 4))
    assert fn.results[0].type == i32[2, 3]
