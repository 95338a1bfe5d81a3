"""attention: what is recognised as attention, what is not, and what comes out of it."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import Function, Value, bool_, f16, f32
from mlir_lite.ir import parameter
from mlir_lite.ops.nn.blocked_attention import BlockedAttention
from mlir_lite.passes.algorithms.attention import attention
from mlir_lite.passes.schedule import schedule
from mlir_lite.passes.schedule.cost.attention import attention_blocks
from mlir_lite.passes.schedule.ordered import ordered_axes
from mlir_lite.passes.simplify.canonicalize import canonicalize
from mlir_lite.target import Target, named_target
from mlir_lite.tile.nodes import Kind, Loop
from mlir_lite.types import TensorType

from ..expect import expect, operations, same_results


def cpu() -> Target:
    target = named_target("cpu:avx512")
    assert target is not None
    return target


def blocks(fn: Function) -> Function:
    return attention(fn, target=cpu())


HEADS = (2, 3, 20, 8)  # batch, heads, sequence, depth
Scores = Callable[[Value, Value], Value]  # of queries and keys


def written_out(scores: Scores) -> Function:
    """Attention of which the scores are given."""

    @ml.function(f32[HEADS], f32[HEADS], f32[HEADS])
    def fn(q: Value, k: Value, v: Value) -> Value:
        return ml.softmax(scores(q, k)) @ v

    return fn


def keys_turned(k: Value) -> Value:
    return ml.transpose(k, (0, 1, 3, 2))


def found(fn: Function) -> BlockedAttention:
    """The one operation that a function is made of by the pass, which keeps its results."""
    made = blocks(fn)
    same_results(fn, made)
    (op,) = [node.op for node in made.nodes if isinstance(node.op, BlockedAttention)]
    assert "softmax" not in operations(made)
    return op


def test_heads_split_from_a_sequence_are_read_where_they_are() -> None:
    expect(
        blocks,
        before="""
            func @f(%x: tensor<1x20x24xf32>, %m: tensor<1x1x1x20xf32>) -> tensor<1x20x24xf32> {
              %0 = reshape %x {shape = [1, 20, 3, 8]} : tensor<1x20x3x8xf32>
              %1 = transpose %0 {perm = [0, 2, 1, 3]} : tensor<1x3x20x8xf32>
              %2 = transpose %0 {perm = [0, 2, 3, 1]} : tensor<1x3x8x20xf32>
              %3 = constant {value = dense<0.5>} : tensor<f32>
              %4 = broadcast %3 {shape = [1, 3, 20, 20]} : tensor<1x3x20x20xf32>
              %5 = matmul %1, %2 : tensor<1x3x20x20xf32>
              %6 = multiply %5, %4 : tensor<1x3x20x20xf32>
              %7 = broadcast %m {shape = [1, 3, 20, 20]} : tensor<1x3x20x20xf32>
              %8 = add %6, %7 : tensor<1x3x20x20xf32>
              %9 = softmax %8 {axis = 3} : tensor<1x3x20x20xf32>
              %10 = matmul %9, %1 : tensor<1x3x20x8xf32>
              %11 = transpose %10 {perm = [0, 2, 1, 3]} : tensor<1x20x3x8xf32>
              %12 = reshape %11 {shape = [1, 20, 24]} : tensor<1x20x24xf32>
              return %12
            }""",
        after="""
            func @f(%x: tensor<1x20x24xf32>, %m: tensor<1x1x1x20xf32>) -> tensor<1x20x24xf32> {
              %0 = reshape %x {shape = [1, 20, 3, 8]} : tensor<1x20x3x8xf32>
              %1 = transpose %m {perm = [0, 1, 3, 2]} : tensor<1x1x20x1xf32>
              %2 = blocked_attention %0, %0, %0, %1 {scale = 0.5, rows = 64, columns = 20, query_axes = [0, 2, 1, 3], key_axes = [0, 2, 1, 3], value_axes = [0, 2, 1, 3], result_axes = [0, 2, 1, 3]} : tensor<1x20x3x8xf32>
              %3 = reshape %2 {shape = [1, 20, 24]} : tensor<1x20x24xf32>
              return %3
            }""",  # noqa: E501
    )


SCALED: dict[str, tuple[Scores, float]] = {
    "product times": (lambda q, k: (q @ keys_turned(k)) * 0.3, 0.3),
    "product divided": (lambda q, k: (q @ keys_turned(k)) / 3, 1 / 3),
    "queries times": (lambda q, k: (q * 0.25) @ keys_turned(k), 0.25),
    "number first": (lambda q, k: (0.25 * q) @ keys_turned(k), 0.25),
    "both times": (lambda q, k: (q * 0.5) @ (keys_turned(k) * 0.5), 0.25),
    "keys divided before they are turned": (lambda q, k: q @ keys_turned(k / 4), 0.25),
    "never": (lambda q, k: q @ keys_turned(k), 1.0),
}


@pytest.mark.parametrize("name", SCALED)
def test_a_scale_may_stand_anywhere(name: str) -> None:
    scores, scale = SCALED[name]
    op = found(written_out(scores))
    assert op.scale == pytest.approx(scale)
    assert (op.queries.name, op.keys.name, op.values.name) == ("q", "k", "v")
    assert op.key_axes == ()


def test_keys_that_lie_turned_are_read_so() -> None:
    @ml.function(f32[HEADS], f32[2, 3, 8, 20], f32[HEADS])
    def fn(q: Value, k: Value, v: Value) -> Value:
        return ml.softmax(q @ k) @ v

    assert found(fn).key_axes == (0, 1, 3, 2)


def test_values_that_lie_turned_are_turned_first() -> None:
    @ml.function(f32[HEADS], f32[HEADS], f32[2, 3, 8, 20])
    def fn(q: Value, k: Value, v: Value) -> Value:
        return ml.softmax(q @ keys_turned(k)) @ keys_turned(v)

    assert operations(blocks(fn)) == ["transpose", "blocked_attention"]
    found(fn)


def test_heads_merged_for_the_transpose_are_seen_through() -> None:
    @ml.function(f32[HEADS], f32[HEADS], f32[HEADS])
    def fn(q: Value, k: Value, v: Value) -> Value:
        merged = ml.transpose(ml.reshape(k, (6, 20, 8)), (0, 2, 1))
        return ml.softmax(q @ ml.reshape(merged, (2, 3, 8, 20))) @ v

    assert found(canonicalize(fn)).key_axes == ()


def test_a_result_read_in_both_orders_is_computed_once() -> None:
    @ml.function(f32[HEADS])
    def fn(x: Value) -> tuple[Value, Value]:
        y = ml.softmax(x @ keys_turned(x)) @ x
        return y, ml.transpose(y, (0, 2, 1, 3))

    assert operations(blocks(fn)) == ["blocked_attention", "transpose"]


# Masks


LOWER = np.tri(20, dtype=bool)


def masked(mask: Callable[[Value], Value]) -> Function:
    return written_out(lambda q, k: mask((q @ keys_turned(k)) * 0.3))


CAUSAL: dict[str, Callable[[Value], Value]] = {
    "-inf added": lambda x: x + np.where(LOWER, 0, -np.inf).astype("f"),
    "the least number added": lambda x: x + np.where(LOWER, 0, np.finfo("f").min).astype("f"),
    "-inf chosen": lambda x: ml.where(LOWER, x, -math.inf),
    "the least number chosen": lambda x: ml.where(LOWER, x, float(np.finfo("f").min)),
    "-inf chosen where it is above": lambda x: ml.where(~LOWER, -math.inf, x),
    "with axes of its own": lambda x: ml.where(LOWER[None, None], x, -math.inf),
}


@pytest.mark.parametrize("name", CAUSAL)
def test_constants_above_the_diagonal_are_causal(name: str) -> None:
    op = found(masked(CAUSAL[name]))
    assert op.causal
    assert op.mask is None


NOT_CAUSAL: dict[str, Callable[[Value], Value]] = {
    "the upper half": lambda x: ml.where(LOWER.T, x, -math.inf),
    "one more": lambda x: ml.where(np.tri(20, 20, 1, dtype=bool), x, -math.inf),
    "numbers below": lambda x: x + np.where(LOWER, 0.5, -np.inf).astype("f"),
    "a small number above": lambda x: x + np.where(LOWER, 0, -3).astype("f"),
    "a small number chosen": lambda x: ml.where(LOWER, x, -3.0),
    "the wrong way round": lambda x: ml.where(LOWER, -math.inf, x),
}


@pytest.mark.parametrize("name", NOT_CAUSAL)
def test_other_constants_are_masks(name: str) -> None:
    op = found(masked(NOT_CAUSAL[name]))
    assert not op.causal
    assert op.mask is not None


def test_a_causal_mask_leaves_room_for_another() -> None:
    @ml.function(f32[HEADS], f32[2, 1, 1, 20])
    def fn(x: Value, padding: Value) -> Value:
        scores = (x @ keys_turned(x)) * 0.3 + padding
        return ml.softmax(ml.where(LOWER, scores, -math.inf)) @ x

    op = found(fn)
    assert op.causal
    assert op.mask is not None
    assert op.mask.shape == (2, 1, 20, 1)


@pytest.mark.parametrize("fill", [-math.inf, -1e9])
@pytest.mark.parametrize("inverted", [False, True])
def test_a_mask_of_bools_chooses(fill: float, inverted: bool) -> None:
    @ml.function(f32[HEADS], bool_[2, 1, 20, 20])
    def fn(x: Value, mask: Value) -> Value:
        scores = x @ keys_turned(x)
        return ml.softmax(
            ml.where(mask, fill, scores) if inverted else ml.where(mask, scores, fill)
        ) @ x

    assert found(fn).fill == fill


def test_queries_that_see_nothing_may_give_zero() -> None:
    @ml.function(f32[HEADS], f32[20])
    def fn(x: Value, mask: Value) -> Value:
        weights = ml.softmax(x @ keys_turned(x) + mask)
        return ml.where(ml.isnan(weights), 0.0, weights) @ x

    assert found(fn).unseen_is_zero


# What stays

STAYS: dict[str, Callable[[Value, Value], Value]] = {
    "along other axes": lambda x, m: ml.softmax(x @ keys_turned(x), axis=-2) @ x,
    "scaled after a mask": lambda x, m: ml.softmax((x @ keys_turned(x) + m) * 0.5) @ x,
    "two masks": lambda x, m: ml.softmax(x @ keys_turned(x) + m + m) @ x,
    "a mask that has a batch": lambda x, m: ml.softmax(x[:1] @ keys_turned(x[:1]) + m) @ x,
    "another function": lambda x, m: ml.softmax(ml.tanh(x @ keys_turned(x))) @ x,
    "weights that count": lambda x, m: ml.softmax(x @ keys_turned(x)) @ x
    + ml.sum(ml.softmax(x @ keys_turned(x))),
    "one query": lambda x, m: ml.softmax(x[:, :, :1] @ keys_turned(x)) @ x,
}


@pytest.mark.parametrize("name", STAYS)
def test_other_products_stay(name: str) -> None:
    fn = ml.function(f32[HEADS], f32[2, 1, 20, 20])(STAYS[name])
    assert blocks(fn) is fn


def test_half_widths_and_named_sizes_stay() -> None:
    for dtype, batch in ((f16, 2), (f32, "batch")):
        shape = dtype[batch, 3, 20, 8]
        fn = ml.function(shape, shape, shape)(lambda q, k, v: ml.attention(q, k, v))
        assert operations(blocks(fn)) == ["attention"]


def test_the_operation_on_named_keys_alone_stays() -> None:
    fn = ml.function(f32[4, 8], f32["n", 8], f32["n", 8])(lambda q, k, v: ml.attention(q, k, v))
    assert str(blocks(fn)) == str(fn)


def test_the_operation_itself_is_taken() -> None:
    @ml.function(f32[HEADS], f32[HEADS], f32[HEADS], f32[20, 20])
    def fn(q: Value, k: Value, v: Value, mask: Value) -> Value:
        return ml.attention(q, k, v, mask, causal=True)

    assert found(fn).causal


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("columns", [32, 1024])
def test_heads_and_blocks_of_queries_are_independent(causal: bool, columns: int) -> None:
    """Only blocks of keys follow one another; the heads are dealt to threads."""
    q, k, v = (parameter(name, TensorType((12, 1024, 64), f32)) for name in "qkv")
    naive = BlockedAttention(q, k, v, None, 0.1, 32, columns, causal).kernel("kernel")
    assert {axis.rstrip("0123456789") for axis in ordered_axes(naive)} <= {"t_block"}
    (heads,) = schedule(naive, cpu()).body
    assert isinstance(heads, Loop)
    assert heads.kind is Kind.PARALLEL


def test_few_queries_and_causal_ones_get_other_blocks() -> None:
    assert attention_blocks(8, 4096, f32, False, cpu()) is None
    assert attention_blocks(128, 128, f32, False, cpu()) == (64, 128)
    assert attention_blocks(4096, 4096, f32, False, cpu()) == (64, 128)
    assert attention_blocks(128, 128, f32, True, cpu()) == (32, 32)
    assert attention_blocks(4096, 4096, f32, True, cpu()) == (64, 64)
