"""join-products: products of one left factor by constants are one, where that pays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Function, Value, f32
from mlir_lite.backends.llvm.backend import cpu_target
from mlir_lite.ir import run_reference
from mlir_lite.passes.algorithms.join_products import join_products
from mlir_lite.passes.manager import sample_inputs
from mlir_lite.passes.schedule.cost.joined import Joining, worth_joining
from mlir_lite.passes.schedule.cost.register_tiles import ProductSizes
from mlir_lite.target import Target
from mlir_lite.types import Array, bf16

from ..expect import operations, same_results

TARGET = Target("cpu:test")
NATIVE = pytest.mark.skipif(
    "vpdpbf16ps" not in cpu_target("cpu")[0].dot_instructions,
    reason="this processor has no products of bf16",
)
ROWS, DEPTH, HEADS = 32, 64, 4


def random(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def joined(fn: Function) -> Function:
    """The function after the pass, which gives the same results."""
    got = join_products(fn, target=TARGET)
    same_results(fn, got)
    return got


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it costs."""
    monkeypatch.setattr(f"{join_products.__module__}.worth_joining", lambda *_: True)


def of_input(*products: tuple[Array, Array]) -> Function:
    """A relu of a product and a bias each, which only sums read."""

    @ml.function(f32[12, DEPTH])
    def fn(x: Value) -> tuple[Value, ...]:
        return tuple(ml.relu(x @ w + b).sum(1) for w, b in products)

    return fn


@pytest.mark.usefixtures("always")
def test_products_and_what_follows_all_of_them_are_one() -> None:
    """Also of different widths, and with numbers for columns in other shapes."""
    fn = of_input(
        (random(DEPTH, 24), random(24)),
        (random(DEPTH, 40), random(1, 40)),
        (random(DEPTH, 8), random(8)),
    )
    got = operations(joined(fn))
    assert got == ["matmul", "broadcast", "add", "relu", *["slice"] * 3, *["sum"] * 3]


@pytest.mark.usefixtures("always")
def test_what_follows_only_some_of_them_reads_parts() -> None:
    @ml.function(f32[12, DEPTH])
    def fn(x: Value) -> Value:
        a, b = (x @ random(DEPTH, width) for width in (16, 17))
        return (ml.silu(a * 2) * 3).sum(1) + (ml.tanh(b * 2) * 3).sum(1)

    got = operations(joined(fn))
    assert got[:5] == ["matmul", "broadcast", "multiply", "slice", "slice"]
    assert got.count("multiply") == 3


@pytest.mark.usefixtures("always")
def test_numbers_of_all_elements_are_joined_if_they_are_equal() -> None:
    def fn(first: float, second: float) -> Function:
        @ml.function(f32[12, DEPTH])
        def scaled(x: Value) -> Value:
            a, b = x @ random(DEPTH, 16), x @ random(DEPTH, 8)
            return (a * first).sum(1) + (b * second).sum(1)

        return scaled

    assert operations(joined(fn(2, 2))).count("multiply") == 1
    assert operations(joined(fn(2, 3))).count("multiply") == 2


@ml.function(f32[12, DEPTH], f32[DEPTH, 16], f32[DEPTH, 16])
def of_parameters(x: Value, v: Value, w: Value) -> Value:
    return (x @ v).sum(1) + (x @ w).sum(1)


@ml.function(f32[12, DEPTH])
def of_others(x: Value) -> Value:
    return (x @ random(DEPTH, 16)).sum(1) + (ml.relu(x) @ random(DEPTH, 24)).sum(1)


@ml.function(f32[12, DEPTH])
def of_shared_weights(x: Value) -> Value:
    y = x @ random(DEPTH, 16)
    return (x @ random(DEPTH, DEPTH)).sum(1) + (ml.relu(x) @ random(DEPTH, DEPTH)).sum(1) + y.sum(1)


@ml.function(f32[12, DEPTH])
def for_a_loop(x: Value) -> Value:
    """Which takes the rows of one of them, the last first."""
    a, b = (ml.tanh(x @ random(DEPTH, width)) for width in (16, 17))
    total, _ = ml.scan(lambda s, row: (s * row + row, row), ml.zeros((16,), f32), ml.flip(a, 0))
    return total.sum() + b.sum(1)


@ml.function(f32[2, 12, DEPTH])
def of_batches(x: Value) -> Value:
    return (x @ random(2, DEPTH, 16)).sum(2) + (x @ random(2, DEPTH, 24)).sum(2)


@ml.function(f32[0, DEPTH])
def of_nothing(x: Value) -> Value:
    return (x @ random(DEPTH, 16)).sum(1) + (x @ random(DEPTH, 24)).sum(1)


@ml.function(f32[128, 384])
def copied(x: Value) -> Value:
    """Each large enough, and what comes of both would be copied."""
    return ml.silu(x @ random(384, 1024)) * (x @ random(384, 1024))


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize(
    "fn", [of_parameters, of_others, of_shared_weights, for_a_loop, of_batches, of_nothing]
)
def test_others_stay(fn: Function) -> None:
    assert joined(fn) is fn


def test_it_is_a_choice() -> None:
    assert joined(copied) is copied


@ml.function(f32[1, ROWS, DEPTH])
def attention(x: Value) -> Value:
    def heads(number: int) -> Value:
        y = x @ (random(DEPTH + number, DEPTH)[number:] / 8) + random(DEPTH + number)[number:]
        return y.reshape(1, ROWS, HEADS, DEPTH // HEADS).transpose((0, 2, 1, 3))

    y = ml.scaled_dot_product_attention(heads(0), heads(1), heads(2))
    return y.transpose((0, 2, 1, 3)).reshape(1, ROWS, DEPTH)


@pytest.mark.parametrize("precision", ["f32", pytest.param("bf16", marks=NATIVE)])
def test_attention_reads_its_parts_where_they_lie(precision: str) -> None:
    run = ml.compile(attention, precision=precision, threads=2, verify="each-pass")
    labels = [step.label.split() for step in run.program.calls]
    assert sum("matmul" in label[0] for label in labels) == 1
    assert labels[-1][:2] == ["slice", "blocked_attention"]
    assert not any("slice" in label for label in labels[:-1])
    arrays = sample_inputs(attention)
    (want,) = run_reference(attention, arrays)
    off = 1e-5 if precision == "f32" else 2**-5
    np.testing.assert_allclose(run(*arrays), want, rtol=0, atol=off * np.max(np.abs(want)))


def joining(rows: int, depth: int, *widths: int, copied: int = 0, narrow: bool = False) -> Joining:
    sizes = ProductSizes(rows, depth, 0, f32, narrow=bf16 if narrow else None)
    return Joining(tuple(replace(sizes, columns=width) for width in widths), copied)


def test_products_that_are_dealt_to_threads_only_together_are_joined() -> None:
    sizes = joining(8, 192, 384, 384, 384, narrow=True)
    assert worth_joining(sizes, TARGET)
    assert worth_joining(replace(sizes, copied=3 * 8 * 384 * 4), TARGET)


def test_narrow_products_are_joined_to_fill_a_panel() -> None:
    assert worth_joining(joining(128, 512, 16, 16, 16, copied=3 * 128 * 16 * 4), TARGET)


def test_copies_of_large_parts_cost_more_than_joining_saves() -> None:
    parts = joining(128, 384, 384, 384, 384)
    assert worth_joining(parts, TARGET)
    assert not worth_joining(replace(parts, copied=3 * 128 * 384 * 4), TARGET)
