"""Products by warpgroups: schedules in the interpreter, and their source on the CPU. Cards of one
multiprocessor take large tiles for small shapes."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Function, Value, bf16, f16, f32
from mlir_lite.backends.cuda.kernels import emit_kernel
from mlir_lite.errors import VerifyError
from mlir_lite.ir import run_reference
from mlir_lite.passes.schedule.gpu.contraction import Contraction, as_contraction
from mlir_lite.passes.schedule.gpu.product_tiles import WarpgroupTile
from mlir_lite.passes.schedule.gpu.product_warpgroups import by_warpgroups, can_use_warpgroups
from mlir_lite.passes.schedule.gpu.rounding import rounded_once
from mlir_lite.target import Target
from mlir_lite.tile.barriers import ARRIVE, ARRIVE_WARPS, INIT
from mlir_lite.tile.interpreter import run_kernel, run_program
from mlir_lite.tile.machine import Completion, Order
from mlir_lite.tile.nodes import (
    Await,
    Block,
    Call,
    Kernel,
    Stmt,
    Sync,
    Wait,
    map_blocks,
    walk,
)
from mlir_lite.tile.parser import parse_kernel
from mlir_lite.tile.verify import verify_kernel
from mlir_lite.types import Array

from .compiled import Compiled, all_orders, card, planned
from .shim import ORDERS, ShimDevice, build, needs_shim, unit_text


def one() -> Target:
    return card(multiprocessors=1)


@ml.function(bf16[70, 136], bf16[136, 72], f32[72])
def linear(x: Value, w: Value, b: Value) -> Value:
    return ml.relu(ml.cast(x @ w, dtype=f32) + b)


@ml.function(f16[2, 70, 72], f16[2, 72, 136])
def batched(x: Value, y: Value) -> Value:
    return x @ y


@ml.function(bf16[200, 136], bf16[200, 264])
def left_turned(x: Value, w: Value) -> Value:
    return ml.transpose(x, perm=(1, 0)) @ w


@ml.function(bf16[3, 45, 72], bf16[72, 264])
def shared_weights(x: Value, w: Value) -> Value:
    return x @ w


CASES = (linear, batched, left_turned, shared_weights)
each_case = pytest.mark.parametrize("fn", CASES, ids=lambda fn: fn.name)


def arrays_for(fn: Function) -> list[Array]:
    random = np.random.default_rng(0)
    return [
        random.standard_normal(param.type.static_shape).astype(param.dtype.numpy)
        for param in fn.params
    ]


def check(found: tuple[Array, ...], fn: Function, arrays: list[Array]) -> None:
    exact = run_reference(fn, [array.astype(np.float64) for array in arrays])
    for result, wanted in zip(found, exact, strict=True):
        # Products are rounded once to the narrow type and sums with them once more, by 2**-9 or
        # 2**-12 of what they are, which is 60 at most.
        step = 2.0**-8 if fn.params[0].dtype == bf16 else 2.0**-11
        error = np.abs(result.astype(np.float64) - wanted)
        assert error.max() <= 2 * step * max(1.0, np.abs(wanted).max())


def kernel_of(fn: Function) -> Kernel:
    """The one kernel of a function, which is by warpgroups."""
    (kernel,) = planned(fn, one())[0].kernels
    assert "call @wgmma" in str(kernel)
    return kernel


@each_case
def test_schedules_compute_the_reference(fn: Function) -> None:
    program, constants = planned(fn, one())
    verify_kernel(kernel_of(fn))
    assert parse_kernel(str(kernel_of(fn))) == kernel_of(fn)
    arrays = arrays_for(fn)
    check(run_program(program, arrays, constants), fn, arrays)


@needs_shim
@each_case
def test_source_computes_the_reference(fn: Function, tmp_path: Path) -> None:
    arrays = arrays_for(fn)
    check(all_orders(Compiled.of(fn, tmp_path, target=one()), arrays), fn, arrays)


@ml.function(bf16[8, 1000, 1024], bf16[8, 1024, 1008])
def large_batch(x: Value, w: Value) -> Value:
    return x @ w


@ml.function(bf16[2048, 4096], bf16[4096, 512])
def large_in_parts(x: Value, w: Value) -> Value:
    return x @ w


@pytest.mark.parametrize("fn", [large_batch, large_in_parts], ids=lambda fn: fn.name)
def test_kernels_of_any_size_are_proved_free_of_races(fn: Function) -> None:
    first, *_ = planned(fn, card())[0].kernels
    assert "call @wgmma" in str(first)
    verify_kernel(first)


# Operands as naive kernels have them

RIGHT_TURNED = """
kernel @right_turned(%x: bf16[130, 200], %w: bf16[72, 200], %y: out f32[130, 72]) {
  buffer acc: register f32[]
  for m in 0..130 {
    for n in 0..72 {
      acc[] = 0.0
      for k in 0..200 {
        acc[] += f32(x[m, k]) * f32(w[n, k])
      }
      y[m, n] = acc[]
    }
  }
}
"""
TILE = WarpgroupTile(2, 1, 128)


def contraction_of(text: str) -> Contraction:
    """The product that a naive kernel is, on arrays that lie as the engine needs them."""
    naive = parse_kernel(text)
    params = tuple(replace(param, alignment=16) for param in naive.params)
    found = as_contraction(replace(naive, params=params))
    assert found is not None
    return found


def factors() -> tuple[Array, Array, Array]:
    """Two narrow matrices, and the product of one and the other's transpose."""
    random = np.random.default_rng(0)
    x, w = (random.standard_normal(shape).astype(bf16.numpy) for shape in ((130, 200), (72, 200)))
    return x, w, x.astype(np.float64) @ w.astype(np.float64).T


def close(found: Array, exact: Array) -> None:
    # Sums of 200 products in f32.
    np.testing.assert_allclose(found, exact, rtol=1e-5, atol=1e-4)


@needs_shim
def test_right_operands_may_have_their_terms_side_by_side(tmp_path: Path) -> None:
    kernel = by_warpgroups(contraction_of(RIGHT_TURNED), TILE)
    assert "call @wgmma_m64n128k16_bf16(" in str(kernel)
    x, w, exact = factors()
    found = run_kernel(kernel, {"x": x, "w": w})["y"]
    close(found, exact)
    made = emit_kernel(kernel)
    device = ShimDevice(build(unit_text([made]), tmp_path, "right_turned"))
    places = [device.allocate(array.nbytes) for array in (x, w, found)]
    for place, array in zip(places, (x, w), strict=False):
        device.upload(place, array)
    device.launch(made, places)
    result = np.empty_like(found)
    device.download(places[2], result)
    close(result, exact)


def test_factors_of_f32_are_rounded_once_before_they_are_multiplied() -> None:
    text = RIGHT_TURNED.replace("x: bf16", "x: f32").replace("f32(x[m, k])", "f32(bf16(x[m, k]))")
    once = rounded_once(contraction_of(text))
    (rounding,) = once.kernels
    assert can_use_warpgroups(once.contraction)
    kernel = by_warpgroups(once.contraction, TILE)
    x, w, exact = factors()
    (near,) = run_kernel(rounding, {"x": x.astype(np.float32)}).values()
    close(run_kernel(kernel, {"x.bf16": near, "w": w})["y"], exact)


@ml.function(f32[2048, 2048], f32[2048, 2048])
def allowed(x: Value, w: Value) -> Value:
    return x @ w


def test_precision_rounds_factors_once_where_warpgroups_then_pay() -> None:
    target = card()
    assert target.gpu is not None
    target = replace(target, gpu=replace(target.gpu, factors=bf16))
    kernels = planned(allowed, target)[0].kernels
    assert [kernel.params[0].dtype for kernel in kernels] == [f32, f32, bf16]
    assert "call @wgmma" in str(kernels[-1])
    for kernel in kernels:
        verify_kernel(kernel)


# What is left out is missed


@ml.function(bf16[40, 328], bf16[328, 40])
def long(x: Value, w: Value) -> Value:
    return x @ w


def without(kernel: Kernel, number: int) -> Kernel:
    """The kernel without one statement that only orders others, by its number among all."""
    counter = iter(range(1_000))

    def kept(block: Block) -> Block:
        return tuple(
            map_blocks(stmt, kept)
            for stmt in block
            if not _orders(stmt) or next(counter) != number
        )

    return kernel.with_body(kept(kernel.body))


def _orders(stmt: Stmt) -> bool:
    if isinstance(stmt, Call):
        return stmt.callee in (INIT, ARRIVE, ARRIVE_WARPS)
    return isinstance(stmt, Await | Wait | Sync)


def differs(kernel: Kernel, arrays: dict[str, Array], expected: dict[str, Array]) -> bool:
    """Whether a kernel gives something else, or nothing, in some order of what may come in any."""
    orders: tuple[Order, ...] = ("ascending", "descending")
    completions: tuple[Completion, ...] = ("late", "early")
    for order in orders:
        for completion in completions:
            try:
                found = run_kernel(kernel, arrays, order=order, asynchronous=completion)
            except VerifyError:
                return True
            if any(found[name].tobytes() != expected[name].tobytes() for name in expected):
                return True
    return False


def test_the_interpreter_misses_whatever_orders_the_threads() -> None:
    kernel = kernel_of(long)
    arrays = dict(zip((param.name for param in kernel.params), arrays_for(long), strict=False))
    expected = run_kernel(kernel, arrays)
    assert not differs(kernel, arrays, expected)
    count = sum(_orders(stmt) for stmt in walk(kernel.body))
    assert count >= 9
    unnoticed = [
        number
        for number in range(count)
        if not differs(without(kernel, number), arrays, expected)
    ]
    assert not unnoticed


ORDERING = re.compile(
    r"__syncthreads|barrier_(init|wait|expect)|arrive_warps|wgmma_(fence|commit|wait)|fence_async"
)


@needs_shim
def test_no_line_that_orders_threads_is_there_for_nothing(tmp_path: Path) -> None:
    compiled = Compiled.of(long, tmp_path, target=one())
    arrays = arrays_for(long)
    expected = all_orders(compiled, arrays)
    text = unit_text(list(compiled.source.kernels.values())).splitlines()
    lines = [number for number, line in enumerate(text, start=1) if ORDERING.search(line)]
    assert len(lines) >= 12

    def is_missed(line: int) -> bool:
        for order in ORDERS:
            try:
                found = compiled(*arrays, order=order, without=line)
            except AssertionError:
                return True
            if any(a.tobytes() != b.tobytes() for a, b in zip(found, expected, strict=True)):
                return True
        return False

    assert not [text[line - 1] for line in lines if not is_missed(line)]
