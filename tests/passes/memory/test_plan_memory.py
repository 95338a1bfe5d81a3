"""plan-memory: the arena is as small as the steps' reads and writes allow."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Function, Value, VerifyError, f32
from mlir_lite.demo.model import digits
from mlir_lite.ir import run_reference
from mlir_lite.memory import ALIGNMENT
from mlir_lite.passes.lowering.lower import Lowered, lower
from mlir_lite.passes.manager import run_passes, sample_inputs
from mlir_lite.passes.memory.plan_memory import lifetimes, plan_memory, shared_homes
from mlir_lite.passes.pipelines import cpu_pipeline
from mlir_lite.target import Target
from mlir_lite.tile.checks.verify import live_bytes, verify_program
from mlir_lite.tile.interpreter import run_program
from mlir_lite.tile.program import Memory, Program, Role

TARGET = Target("cpu:test")
WIDTH, HEADS, LENGTH = 32, 4, 12


@ml.function(
    f32[2, LENGTH, WIDTH],
    *[f32[WIDTH, WIDTH]] * 4,
    f32[WIDTH, 4 * WIDTH],
    f32[4 * WIDTH, WIDTH],
    f32[WIDTH],
)
def transformer_block(
    x: Value, wq: Value, wk: Value, wv: Value, wo: Value, up: Value, down: Value, scale: Value
) -> Value:
    def heads(y: Value) -> Value:
        return ml.transpose(ml.reshape(y, (2, LENGTH, HEADS, WIDTH // HEADS)), (0, 2, 1, 3))

    normal = ml.layer_norm(x, scale)
    mixed = ml.attention(heads(normal @ wq), heads(normal @ wk), heads(normal @ wv))
    joined = ml.reshape(ml.transpose(mixed, (0, 2, 1, 3)), (2, LENGTH, WIDTH))
    x = x + joined @ wo
    return x + ml.gelu(ml.layer_norm(x, scale) @ up) @ down


def digits_of_8() -> Function:
    return ml.specialise(digits(), {"batch": 8})


MODELS: dict[str, Callable[[], Function]] = {
    "digits": digits_of_8,
    "transformer block": lambda: transformer_block,
}
MODEL = pytest.mark.parametrize("model", MODELS)


def lowered(fn: Function) -> Lowered:
    return lower(run_passes(fn, cpu_pipeline(TARGET)), TARGET)


def memory(program: Program) -> Memory:
    assert program.memory is not None
    return program.memory


@MODEL
def test_the_arena_is_as_small_as_any_plan_can_be(model: str) -> None:
    """The bound is counted anew by the verifier, from what each step reads and writes."""
    program = plan_memory(lowered(MODELS[model]()))
    verify_program(program)
    found = memory(program)
    assert found.lower_bound_bytes == max(live_bytes(program))
    assert found.arena_bytes == found.lower_bound_bytes
    assert found.arena_bytes <= found.without_reuse_bytes <= found.total_bytes


@MODEL
def test_taking_an_operands_place_saves_memory_or_costs_none(model: str) -> None:
    found = lowered(MODELS[model]())
    alone = plan_memory(found, in_place=False)
    verify_program(alone)
    assert memory(plan_memory(found)).arena_bytes <= memory(alone).arena_bytes
    assert memory(alone).arena_bytes == memory(alone).without_reuse_bytes


@MODEL
def test_the_planned_program_computes_the_same(model: str) -> None:
    """In one real arena of bytes, which starts as NaN."""
    fn = MODELS[model]()
    found = lowered(fn)
    constants = {name: data.array() for name, data in found.constants.items()}
    arrays = sample_inputs(fn)
    (want,) = run_reference(fn, arrays)
    (got,) = run_program(plan_memory(found), arrays, constants)
    # Float32 through some ten layers of sums of up to 300 terms.
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-4 * float(np.abs(want).max()))




def test_lifetimes_reach_from_the_first_write_to_the_last_read() -> None:
    program = lowered(transformer_block).program
    lives = lifetimes(program)
    assert set(lives) == {slot.name for slot in program.slots if slot.role is Role.ARENA}
    for name, (start, end) in lives.items():
        using = [
            number
            for number, step in enumerate(program.calls)
            if any(view.slot == name for view in step.args)
        ]
        assert (start, end - 1) == (min(using), max(using))


def test_a_result_takes_the_place_of_an_operand_that_dies() -> None:
    """The second product's kernel multiplies by the first where it writes its own result."""

    @ml.function(f32[8, 300], f32[300, 300], f32[300, 300])
    def f(x: Value, w: Value, v: Value) -> Value:
        return ((x @ w) * (x @ v)) @ w

    found = lowered(f)
    homes = shared_homes(found, lifetimes(found.program))
    shared = [name for name, home in homes.items() if name != home]
    assert len(shared) == 1
    program = plan_memory(found)
    offsets = {name: program.slot(name).offset for name in (shared[0], homes[shared[0]])}
    assert len(set(offsets.values())) == 1
    verify_program(program)


def test_an_operand_that_is_read_again_keeps_its_place() -> None:
    @ml.function(f32[8, 300], f32[300, 300], f32[300, 300])
    def f(x: Value, w: Value, v: Value) -> Value:
        y = x @ w
        return (y * (x @ v)) @ w + y

    found = lowered(f)
    homes = shared_homes(found, lifetimes(found.program))
    assert len(homes) == 2 and all(name == home for name, home in homes.items())


def test_a_transposed_result_does_not() -> None:
    @ml.function(f32[300, 300], f32[300, 300])
    def f(x: Value, w: Value) -> Value:
        return (x @ w).T @ w

    found = lowered(f)
    homes = shared_homes(found, lifetimes(found.program))
    assert all(name == home for name, home in homes.items())


def test_the_verifier_rejects_the_plan_with_any_slot_moved_onto_another() -> None:
    """Of slots of which one lives on while the other comes and goes."""
    program = plan_memory(lowered(transformer_block))
    lives = lifetimes(program)
    together = [
        (one, other)
        for one, other in itertools.combinations(sorted(lives), 2)
        if lives[one][0] < lives[other][0] < lives[one][1] - 1
        and program.slot(one).type.nbytes
        and program.slot(other).type.nbytes
    ]
    assert together
    for one, other in together:
        moved = replace(program.slot(other), offset=program.slot(one).offset)
        slots = tuple(moved if slot.name == other else slot for slot in program.slots)
        size = (program.slot(one).offset or 0) + moved.type.nbytes
        bigger = replace(memory(program), arena_bytes=max(memory(program).arena_bytes, size))
        with pytest.raises(VerifyError):
            verify_program(replace(program, slots=slots, memory=bigger))


def test_offsets_are_aligned() -> None:
    program = plan_memory(lowered(ml.function(f32[7, 5], f32[5, 3])(lambda x, w: ml.exp(x) @ w)))
    offsets = [slot.offset for slot in program.slots if slot.role is Role.ARENA]
    assert offsets and all(offset is not None and offset % ALIGNMENT == 0 for offset in offsets)


def test_a_program_without_intermediates_needs_no_arena() -> None:
    program = plan_memory(lowered(ml.function(f32[4])(ml.exp)))
    assert (memory(program).arena_bytes, memory(program).ratio) == (0, 1.0)
