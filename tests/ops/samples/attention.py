"""Samples of attention in blocks: whole ones and what is left over, masks, orders of axes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product

import numpy as np

from mlir_lite.ops.nn.attention_gradient import AttentionGradient, BlockedAttentionGradient
from mlir_lite.ops.nn.blocked_attention import BlockedAttention
from mlir_lite.types import Array, DType, bf16, f16, f32, f64

from ..sample import Sample, normal

# comment, queries, keys, values, rows, columns
SIZES = (
    ("one of each", (1, 1), (1, 1), (1, 1), 1, 1),
    ("one block", (2, 5, 8), (2, 7, 8), (2, 7, 4), 16, 16),
    ("blocks of queries, one left over", (9, 3), (5, 3), (5, 6), 4, 8),
    ("blocks of keys, one left over", (3, 20), (9, 20), (9, 1), 8, 4),
    ("whole blocks of both", (2, 2, 32, 16), (2, 2, 8, 16), (2, 2, 8, 16), 16, 4),
    ("blocks of both, some left over", (37, 5), (29, 5), (29, 17), 16, 8),
    ("queries without a batch", (5, 8), (2, 7, 8), (2, 7, 3), 4, 4),
    ("keys for several heads", (2, 3, 5, 8), (2, 1, 7, 8), (1, 3, 7, 3), 4, 4),
    ("empty batch", (0, 5, 8), (0, 7, 8), (0, 7, 8), 4, 4),
)


def _sizes() -> Iterator[Sample]:
    for (comment, q, k, v, rows, columns), causal, dtype in product(
        SIZES, (False, True), (f32, f64)
    ):
        yield Sample(
            f"{comment}, causal {causal}, {dtype}",
            lambda q, k, v, m, rows=rows, columns=columns, causal=causal: BlockedAttention(
                q, k, v, m, 0.3, rows, columns, causal
            ),
            (normal(q, dtype, 1), normal(k, dtype, 2), normal(v, dtype, 3), None),
        )


def _masks() -> Iterator[tuple[str, Array, float]]:
    random = np.random.default_rng(5)
    for shape in ((20, 18), (20, 1), (1, 18), (2, 1, 20, 18), (3, 20, 1)):
        yield f"numbers {shape}", normal(shape, f32, 4), 0.0
        seen = random.random(shape) < 0.6
        yield f"-inf {shape}", np.where(seen, np.float32(0), np.float32(-np.inf)), 0.0
        for fill in (-math.inf, -1e9, 2.0):
            yield f"bools {shape}, else {fill}", seen, fill
    # Blocks of keys, and for some queries all keys, that are not seen.
    unseen = np.zeros((20, 18), np.bool_)
    unseen[17:, 3:] = True
    for fill in (-math.inf, -1e9):
        yield f"first keys not seen, else {fill}", unseen, fill
    largest = np.where(unseen, np.float32(0), np.finfo(np.float32).min)
    yield "first keys at the least number", largest, 0.0


def _masked() -> Iterator[Sample]:
    shape = (2, 3, 18, 6), (2, 3, 20, 6), (2, 3, 20, 5)
    q, k, v = (normal(entry, f32, seed) for seed, entry in enumerate(shape))
    for (comment, mask, fill), columns in product(_masks(), (32, 8)):
        yield Sample(
            f"mask of {comment}, {columns} keys at once",
            lambda q, k, v, m, fill=fill, columns=columns: BlockedAttention(
                q, k, v, m, 0.3, 16, columns, False, fill
            ),
            (q, k, v, mask),
        )
    nothing = np.zeros((20, 18), np.bool_)
    nothing[:, 5:] = True
    for columns in (32, 8):
        yield Sample(
            f"0 for queries that see nothing, {columns} keys at once",
            lambda q, k, v, m, columns=columns: BlockedAttention(
                q, k, v, m, 0.3, 16, columns, unseen_is_zero=True
            ),
            (q, k, v, nothing),
        )


def _orders() -> Iterator[Sample]:
    """Sequences before heads, as projections leave them; keys transposed already."""
    heads_last, keys_last = (0, 2, 1, 3), (0, 2, 3, 1)

    def build(dtype: DType) -> tuple[Array, Array, Array]:
        return (
            normal((2, 9, 3, 6), dtype, 1), normal((2, 3, 6, 11), dtype, 2),
            normal((2, 11, 3, 4), dtype, 3),
        )

    for columns in (16, 4):
        yield Sample(
            f"orders of axes, {columns} keys at once",
            lambda q, k, v, m, columns=columns: BlockedAttention(
                q, k, v, m, 0.3, 8, columns, False, 0.0, False,
                heads_last, (0, 1, 3, 2), heads_last, heads_last,
            ),
            (*build(f32), None),
        )
    yield Sample(
        "a mask that lies as the scores do, parts",
        lambda q, k, v, m: BlockedAttention(
            q, k, v, m, 0.3, 4, 4, mask_axes=(0, 2, 1), parts=2
        ),
        (
            normal((2, 5, 8), f32, 1), normal((2, 7, 8), f32, 2), normal((2, 7, 3), f32, 3),
            normal((2, 5, 7), f32, 4),
        ),
    )
    yield Sample(
        "half-width floats, a wide mask and result",
        lambda q, k, v, m: BlockedAttention(q, k, v, m, 0.3, 4, 4, wide=True),
        (
            normal((2, 5, 8), f16, 1), normal((2, 7, 8), f16, 2), normal((2, 7, 3), f16, 3),
            normal((2, 7, 5), f32, 4),
        ),
    )
    for mask in (None, normal((2, 1, 6, 21), f32, 4)):
        yield Sample(
            f"products summed in pairs, {'no' if mask is None else 'a'} mask",
            lambda q, k, v, m: BlockedAttention(
                q, k, v, m, 0.3, 16, 6, False, 0.0, False, heads_last, heads_last, heads_last,
                heads_last, wide=True, together=2,
            ),
            (
                normal((2, 21, 3, 8), bf16, 1), normal((2, 6, 3, 8), bf16, 2),
                normal((2, 6, 3, 17), bf16, 3), mask,
            ),
        )
    yield Sample(
        "half-width floats",
        lambda q, k, v, m: BlockedAttention(q, k, v, m, 0.3, 4, 4),
        (
            normal((2, 5, 8), f16, 1), normal((2, 7, 8), f16, 2), normal((2, 7, 3), f16, 3),
            normal((2, 7, 5), f16, 4),
        ),
    )
    yield Sample(
        "result the other way round",
        lambda q, k, v, m: BlockedAttention(
            q, k, v, m, 0.3, 8, 4, True, 0.0, False,
            heads_last, (0, 1, 3, 2), heads_last, keys_last,
        ),
        (*build(f64), None),
    )


# queries, keys, values, mask
GRADIENTS = (
    ((1, 1), (1, 1), (1, 1), None),
    ((2, 3, 5, 8), (2, 3, 7, 8), (2, 3, 7, 4), (5, 7)),
    ((2, 3, 5, 8), (2, 1, 7, 8), (2, 1, 7, 4), (2, 1, 1, 7)),
    ((5, 3), (2, 7, 3), (7, 3), None),
)


def _gradients() -> Iterator[Sample]:
    for (q, k, v, m), causal, dtype in product(GRADIENTS, (False, True), (f32, f64)):
        batch = np.broadcast_shapes(q[:-2], k[:-2], v[:-2])
        arrived = normal((*batch, q[-2], v[-1]), dtype, 5)
        along = normal((*batch, q[-2], 1), dtype, 6)
        operands = (normal(q, dtype, 1), normal(k, dtype, 2), normal(v, dtype, 3))
        mask = None if m is None else normal(m, dtype, 4)
        comment = f"{q} {k}, causal {causal}, {dtype}"
        yield Sample(
            comment,
            lambda q, k, v, m, a, g, causal=causal: AttentionGradient(
                q, k, v, m, a, g, 0.3, causal
            ),
            (*operands, mask, along, arrived),
            smooth=dtype == f64,
        )
        yield Sample(
            comment,
            lambda q, k, v, m, a, g, causal=causal: BlockedAttentionGradient(
                q, k, v, m, a, g, 0.3, 16, 32, causal
            ),
            (*operands, mask, along, arrived),
        )


ATTENTION: tuple[Sample, ...] = (*_sizes(), *_masked(), *_orders(), *_gradients())
