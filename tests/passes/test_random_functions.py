"""Random functions through every pass, lowering and the memory plan: the references agree.

Small sizes, ones and primes, values with several users and several results: what no one thinks of.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Function, Value, f32
from mlir_lite.ir import run_reference
from mlir_lite.passes.lowering.lower import lower
from mlir_lite.passes.manager import difference, run_passes, sample_inputs
from mlir_lite.passes.memory.plan_memory import plan_memory
from mlir_lite.passes.pipelines import cpu_pipeline
from mlir_lite.target import Target
from mlir_lite.tile.checks.verify import verify_kernel, verify_program
from mlir_lite.tile.interpreter import run_program

SIZES = (1, 2, 3, 5, 8, 9)
TARGET = Target("cpu:test", vector_bytes=16, vector_registers=16)  # 4 lanes of f32

Step = Callable[[Random, list[Value]], Value]


def pick(random: Random, values: list[Value]) -> Value:
    """A value, more often a late one."""
    return random.choice(values[-4:] if random.random() < 0.7 else values)


def matching(random: Random, value: Value, values: list[Value]) -> Value:
    """A value of the same shape, or one that is repeated to it."""
    same = [other for other in values if other.shape == value.shape]
    if random.random() < 0.5:
        return random.choice(same)
    return ml.broadcast(ml.mean(random.choice(same), (0,), keepdims=True), value.shape)


def unary(random: Random, values: list[Value]) -> Value:
    x = pick(random, values)
    return random.choice([ml.relu(x), ml.tanh(x), ml.sigmoid(x), x * 0.5, x + 1.0])


def binary(random: Random, values: list[Value]) -> Value:
    x = pick(random, values)
    y = matching(random, x, values)
    return random.choice([x + y, x * y, ml.maximum(x, y)])


def reduction(random: Random, values: list[Value]) -> Value:
    x = pick(random, values)
    axis = random.randrange(x.rank)
    reduce_ = ml.mean if random.random() < 0.5 else ml.max
    kept = reduce_(x, (axis,), keepdims=True)
    return ml.broadcast(kept, x.shape) if random.random() < 0.5 else kept


def rows(random: Random, values: list[Value]) -> Value:
    x = pick(random, values)
    return ml.softmax(x, random.randrange(x.rank))


def product(random: Random, values: list[Value]) -> Value:
    x = pick(random, values)
    if x.rank != 2:
        return ml.reshape(x, (x.type.static_shape[0], -1))
    return ml.tanh(x @ ml.transpose(matching(random, x, values), (1, 0)))


def moved(random: Random, values: list[Value]) -> Value:
    x = pick(random, values)
    perm = list(range(x.rank))
    random.shuffle(perm)
    return ml.transpose(x, perm)


def reshaped(random: Random, values: list[Value]) -> Value:
    x = pick(random, values)
    *outer, last = x.type.static_shape
    return ml.reshape(x, (-1,)) if not outer else ml.reshape(x, (-1, last))


def joined(random: Random, values: list[Value]) -> Value:
    x = pick(random, values)
    return ml.concat([x, matching(random, x, values)], random.randrange(x.rank))


def running(random: Random, values: list[Value]) -> Value:
    x = pick(random, values)
    return ml.tanh(ml.cumsum(x, random.randrange(x.rank)))


def cut(random: Random, values: list[Value]) -> Value:
    x = pick(random, values)
    return x[: max(1, x.type.static_shape[0] - 1)]


STEPS: tuple[Step, ...] = (
    *(unary, unary, binary, binary, binary, reduction, reduction, rows),
    *(product, moved, reshaped, joined, running, cut),
)


def random_function(seed: int) -> Function:
    random = Random(seed)
    shape = tuple(random.choice(SIZES) for _ in range(random.randint(1, 3)))

    def body(x: Value, y: Value) -> tuple[Value, ...]:
        values = [x, y]
        for _ in range(random.randint(3, 12)):
            made = random.choice(STEPS)(random, values)
            if made.type.static_shape and 0 < made.type.nbytes <= 1 << 14:
                values.append(made)
        return (values[-1], *random.sample(values, random.randint(0, 2)))

    return ml.function(f32[shape], f32[shape], name=f"random{seed}")(body)


def check(seed: int) -> None:
    fn = random_function(seed)
    found = lower(run_passes(fn, cpu_pipeline(TARGET)), TARGET)
    program = plan_memory(found)
    for kernel in program.kernels:
        verify_kernel(kernel)
    verify_program(program)
    arrays = sample_inputs(fn)
    constants = {name: data.array() for name, data in found.constants.items()}
    wanted = run_reference(fn, arrays)
    for want, have in zip(wanted, run_program(program, arrays, constants), strict=True):
        error, allowed = difference(want, np.asarray(have))
        assert error <= allowed, f"{error}\n{fn}"


@pytest.mark.parametrize("seed", range(40))
def test_random_functions(seed: int) -> None:
    check(seed)


@pytest.mark.slow
@pytest.mark.parametrize("hundred", range(1, 10))
def test_hundreds_of_random_functions(hundred: int) -> None:
    for seed in range(100 * hundred, 100 * hundred + 100):
        check(seed)
