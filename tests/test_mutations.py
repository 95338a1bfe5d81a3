"""Planted bugs: each oracle must turn red for a fault of the kind it is there for.

A rewrite rule, an operation's body, a schedule step and a buffer's lifetime are broken in turn;
the same checks are green for the unbroken code, which the first test of each kind shows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Function, PassError, Value, VerifyError, f32
from mlir_lite.expr import Expr
from mlir_lite.ir import Op, Pattern, rewrite, run_reference
from mlir_lite.ops.algorithms.panels import PanelMatmul, pack_columns
from mlir_lite.ops.elementwise.activation import Relu
from mlir_lite.ops.elementwise.arithmetic import Divide, Multiply
from mlir_lite.ops.elementwise.unary import sqrt
from mlir_lite.ops.products.matmul import Matmul
from mlir_lite.ops.reductions.reduce import Sum
from mlir_lite.ops.shapes.shape import Reshape, Transpose, reshape, transpose
from mlir_lite.passes.layouts import layout, pack_constants
from mlir_lite.passes.lowering.handmade import region_kernel
from mlir_lite.passes.lowering.lower import lower
from mlir_lite.passes.manager import difference, run_passes, sample_inputs
from mlir_lite.passes.memory import plan_memory
from mlir_lite.passes.pipelines import cpu_pipeline
from mlir_lite.passes.schedule import (
    elementwise,
    loops,
    recipes,
    reductions,
    schedule,
    windows,
)
from mlir_lite.passes.schedule.products import tiling
from mlir_lite.passes.simplify import canonicalize as canonicalize_module
from mlir_lite.passes.simplify import constant_fold, fold_norm
from mlir_lite.passes.simplify.computed import computed
from mlir_lite.passes.simplify.uniform import uniform
from mlir_lite.target import Target
from mlir_lite.tile.checks.verify import verify_kernel, verify_program
from mlir_lite.tile.interpreter import run_kernel, run_program
from mlir_lite.tile.nodes import Block, If, Kernel, Loop, Stmt, Store
from mlir_lite.tile.traverse import map_blocks
from mlir_lite.tile.tree import accesses
from mlir_lite.types import Array

TARGET = Target("cpu:test", vector_bytes=32, vector_registers=16)  # 8 lanes of f32
Patch = pytest.MonkeyPatch


def weights(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).uniform(0.5, 1.5, shape).astype(np.float32)


@ml.function(f32[1, 3, 6, 6])
def network(x: Value) -> Value:
    """Something for every pass: convolutions, norms, products, identities, constants."""
    y = ml.conv(x, weights(8, 3, 3, 3), weights(8))
    y = ml.relu(ml.batch_norm(y, weights(8), weights(8) + 1, weights(8) - 1, weights(8)))
    y = ml.transpose(ml.transpose(ml.reshape(y, (2, 4, 4, 4)), (0, 2, 3, 1)), (0, 1, 3, 2))
    z = ml.reshape(ml.reshape(y, (32, 4)) / 4.0, (4, 32)) @ weights(32, 20)
    return ml.softmax(z * 1.0 + ml.exp(weights(20)), 1) / 3.0


# Rewrite rules: verify="each-pass" names the pass


@rewrite(Transpose)
def transposes_in_the_wrong_order(op: Transpose) -> Value | None:
    """transpose(transpose(x, p), q)  ->  transpose(x, q∘p)"""
    match op.x.op:
        case Transpose(x=x, perm=inner):
            return transpose(x, tuple(op.perm[axis] for axis in inner))
    return None


@rewrite(Divide)
def any_divisor_is_a_power_of_two(op: Divide) -> Value | None:
    """x / c  ->  x * 0.25, whatever c is"""
    return op.lhs * 0.25 if uniform(op.rhs) else None


@rewrite(Multiply)
def any_factor_is_one(op: Multiply) -> Value | None:
    """x * c  ->  x, of anything repeated"""
    return op.lhs if op.rhs.op is not None and op.rhs.op.name == "broadcast" else None


@rewrite(Reshape)
def reshapes_transpose(op: Reshape) -> Value | None:
    """reshape of a matrix  ->  reshape of its transpose"""
    if op.x.rank != 2 or isinstance(op.x.op, Transpose):
        return None
    return reshape(transpose(op.x, (1, 0)), op.shape)


def twice(made: Callable[..., Value]) -> Callable[..., Value]:
    return lambda *args: made(*args) * 2.0


def transposed_images(_: str, rank: int) -> tuple[int, ...]:
    """The order that moves the channels to the end, but exchanges height and width too."""
    return (0, *range(rank - 1, 1, -1), 1)


RULES: Mapping[str, tuple[str, Callable[[Patch], None]]] = {
    "transposes": ("canonicalize", lambda patch: pattern(patch, transposes_in_the_wrong_order)),
    "divisors": ("canonicalize", lambda patch: pattern(patch, any_divisor_is_a_power_of_two)),
    "factors": ("canonicalize", lambda patch: pattern(patch, any_factor_is_one)),
    "reshapes": ("canonicalize", lambda patch: pattern(patch, reshapes_transpose)),
    "norm's root": ("fold-norm", lambda patch: patch.setattr(fold_norm, "rsqrt", sqrt)),
    "channels last": ("layout", lambda patch: patch.setattr(layout, "order_of", transposed_images)),
    "folded numbers": (
        "constant-fold",
        lambda patch: patch.setattr(
            constant_fold, "computed", lambda op: [2 * part for part in computed(op)]
        ),
    ),
    "packed columns": (
        "pack-constants",
        lambda patch: patch.setattr(pack_constants, "pack_columns", twice(pack_columns)),
    ),
}


def pattern(patch: Patch, wrong: Pattern) -> None:
    """Put a wrong pattern before the right ones."""
    patch.setattr(canonicalize_module, "PATTERNS", (wrong, *canonicalize_module.PATTERNS))


def verified_passes() -> None:
    run_passes(network, cpu_pipeline(TARGET), verify="each-pass")


def test_right_rules_pass() -> None:
    verified_passes()


@pytest.mark.parametrize("name", RULES)
def test_a_wrong_rule_is_found_and_its_pass_named(name: str, monkeypatch: Patch) -> None:
    blamed, plant = RULES[name]
    plant(monkeypatch)
    with pytest.raises(PassError, match=f"the pass '{blamed}' (changed result 0|failed)"):
        verified_passes()


# Bodies: what is lowered is compared with the references


def lowered_error(fn: Function) -> tuple[float, float]:
    """How far the lowered program is from the references, and how far it may be."""
    found = lower(run_passes(fn, cpu_pipeline(TARGET)), TARGET)
    program = plan_memory.plan_memory(found)
    constants = {name: data.array() for name, data in found.constants.items()}
    arrays = sample_inputs(fn)
    (have,), (want,) = run_program(program, arrays, constants), run_reference(fn, arrays)
    return difference(want, have)


BODIES: Mapping[type[Op], Function] = {
    Relu: network,
    PanelMatmul: network,
    Matmul: ml.function(f32[5, 6], f32[6, 7])(lambda x, y: x @ y),
    Sum: ml.function(f32[5, 6])(lambda x: ml.sum(x, (1,))),
    Transpose: ml.function(f32[5, 6])(lambda x: x.T * 2),
}


@pytest.mark.parametrize("op", BODIES, ids=lambda op: op.__name__)
def test_a_wrong_body_is_found(op: type[Op], monkeypatch: Patch) -> None:
    right = op.body
    error, allowed = lowered_error(BODIES[op])
    assert error <= allowed

    def wrong(self: Op, at: tuple[Expr, ...], *operands: object) -> Expr:
        made = right(self, at, *operands)
        assert isinstance(made, Expr)
        return made * 1.01

    monkeypatch.setattr(op, "body", wrong)
    error, allowed = lowered_error(BODIES[op])
    assert error > allowed


# Schedule steps: the verifier, or the interpreter beside the naive kernel


def without_conditions(block: Block) -> Block:
    """What is guarded is done in any case."""

    def visit(stmt: Stmt) -> Block:
        if isinstance(stmt, If):
            return without_conditions(stmt.then)
        return (map_blocks(stmt, without_conditions),)

    return tuple(part for stmt in block for part in visit(stmt))


def without_last(block: Block) -> Block:
    return block[:-1]


def started_late(block: Block) -> Block:
    """The first loop leaves out its first iteration."""
    first, *others = block
    assert isinstance(first, Loop)
    return (replace(first, start=first.start + 1), *others)


def without_first_store(block: Block) -> Block:
    """The first store in the text is forgotten."""
    done = False

    def visit(block: Block) -> Block:
        nonlocal done
        kept: list[Stmt] = []
        for stmt in block:
            if isinstance(stmt, Store) and not done:
                done = True
            else:
                kept.append(map_blocks(stmt, visit))
        return tuple(kept)

    return visit(block)


Mutation = Callable[[Block], Block]
VECTOR = ml.function(f32[37])(ml.exp)
MATRIX = ml.function(f32[5, 37], f32[37])(lambda x, b: ml.exp(x) + b)
PRODUCT = ml.function(f32[11, 13], f32[13, 37])(lambda x, y: ml.relu(x @ y))
REDUCTION = ml.function(f32[3, 300])(lambda x: ml.sum(x, (1,)))
WINDOWS = ml.function(f32[1, 9, 9, 12])(
    lambda x: ml.average_pool(x, (3, 3), strides=1, padding=1, layout="nhwc")
)
COLUMNS = ml.function(f32[9, 5, 37])(lambda x: ml.sum(x, (1,)))
STEPS: tuple[tuple[object, str, Mutation, Function], ...] = (
    (elementwise, "vectorise", without_conditions, VECTOR),
    (elementwise, "vectorise", without_last, VECTOR),
    (elementwise, "reorder", started_late, MATRIX),
    (loops, "split_accumulator", without_first_store, REDUCTION),
    (reductions, "sink", without_first_store, COLUMNS),
    (reductions, "split", started_late, COLUMNS),
    (loops, "partition", without_last, WINDOWS),
    (recipes, "lift_guards", without_conditions, WINDOWS),
    (windows, "share_guards", without_conditions, WINDOWS),
    (windows, "sink", without_first_store, WINDOWS),
    (windows, "split", started_late, WINDOWS),
    (tiling, "split", without_last, PRODUCT),
    (tiling, "partition", started_late, PRODUCT),
    (tiling, "distribute", without_last, PRODUCT),
    (tiling, "sink", without_first_store, PRODUCT),
    (tiling, "mark", started_late, PRODUCT),
)


def schedule_is_caught(fn: Function) -> bool:
    """Whether the verifier or the numbers tell the scheduled kernel from the naive one."""
    naive = region_kernel(fn, "kernel")
    arrays = dict(zip((param.name for param in naive.params), sample_inputs(fn), strict=False))
    try:
        scheduled = schedule(naive, TARGET)
        verify_kernel(scheduled)
        shapes = {param.name: param.memory_shape for param in scheduled.params}
        flat = {name: array.reshape(shapes[name]) for name, array in arrays.items()}
        have = run_kernel(scheduled, flat)["result"]
    except VerifyError:
        return True
    want = run_kernel(naive, arrays)["result"]
    error, allowed = difference(want, have.reshape(want.shape))
    return error > allowed


@pytest.mark.parametrize("fn", [VECTOR, MATRIX, PRODUCT, REDUCTION, WINDOWS, COLUMNS])
def test_right_steps_pass(fn: Function) -> None:
    assert not schedule_is_caught(fn)


@pytest.mark.parametrize(
    ("recipe", "step", "mutation", "fn"),
    STEPS,
    ids=[f"{step} {mutation.__name__}" for _, step, mutation, _ in STEPS],
)
def test_a_wrong_step_is_found(
    recipe: object, step: str, mutation: Mutation, fn: Function, monkeypatch: Patch
) -> None:
    right: Callable[..., Kernel] = getattr(recipe, step)

    def wrong(*args: object, **options: object) -> Kernel:
        made = right(*args, **options)
        return made.with_body(mutation(made.body))

    monkeypatch.setattr(recipe, step, wrong)
    assert schedule_is_caught(fn)


# Lifetimes: the verifier of programs, from the steps' reads and writes alone


@ml.function(f32[16, 40], f32[40, 40])
def chain(x: Value, w: Value) -> Value:
    y = x @ w
    z = ml.exp(y.T) @ y
    return ml.softmax(z @ w, 1) @ w + z @ w


def planned(in_place: bool = True) -> None:
    verify_program(plan_memory.plan_memory(lower(chain_of_groups(), TARGET), in_place=in_place))


def chain_of_groups() -> Function:
    return run_passes(chain, cpu_pipeline(TARGET))


def test_right_lifetimes_pass() -> None:
    planned()
    planned(in_place=False)


Lives = dict[str, tuple[int, int]]


def ending_early(lives: Lives) -> Lives:
    return {name: (start, max(start + 1, end - 1)) for name, (start, end) in lives.items()}


def starting_late(lives: Lives) -> Lives:
    return {name: (min(start + 1, end - 1), end) for name, (start, end) in lives.items()}


def none_at_once(lives: Lives) -> Lives:
    return {name: (number, number + 1) for number, name in enumerate(lives)}


@pytest.mark.parametrize("mutation", [ending_early, starting_late, none_at_once])
def test_a_wrong_lifetime_is_found(mutation: Callable[[Lives], Lives], monkeypatch: Patch) -> None:
    right = plan_memory.lifetimes
    monkeypatch.setattr(plan_memory, "lifetimes", lambda program: mutation(right(program)))
    with pytest.raises(VerifyError, match=r"live|overwrites|overlap"):
        planned(in_place=False)


def test_a_wrong_promise_to_work_in_place_is_found() -> None:
    """As if every kernel read each element before it wrote it: the transposed product does not."""
    found = lower(chain_of_groups(), TARGET)
    promises = {
        (kernel.name, read, output)
        for kernel in found.program.kernels
        for read in {name for name, _, writes in accesses(kernel.body) if not writes}
        for output in kernel.outputs
    }
    wrong = replace(found, elementwise=frozenset(promises))
    with pytest.raises(VerifyError, match=r"overwrites what"):
        verify_program(plan_memory.plan_memory(wrong))
