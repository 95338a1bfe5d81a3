"""Scaled dot-product attention (Vaswani et al., 2017)."""

from __future__ import annotations

import math

import numpy as np

from ...errors import check
from ...ir import Op, Operand, Value, op
from ...types import Array, TensorType, bool_
from ..base.body import computing_type
from ..base.broadcast import broadcast_shapes, common_shape, shape_text
from ..base.cast import cast
from ..base.elements import Gradients, emit, emit_all
from ..base.promote import as_value, as_values, check_kind, check_same_dtype
from ..elementwise.select import where
from ..products.matmul import matmul
from ..random import dropout
from ..reductions.reduce import sum as sum_
from ..reductions.reduce import sum_to, widened
from ..shapes.creation import zeros
from .attention_gradient import AttentionGradient, attention_weights, score_gradient


@op
class Attention(Op):
    """`softmax(queries keysᵀ · scale + mask) values`, over the last two axes.

    `queries (.., s, d)`, `keys (.., t, d)`, `values (.., t, e)` give `(.., s, e)`, the leading axes
    broadcast. `mask`, if any, is added to the scores (broadcast to `(.., s, t)`); `causal` lets
    row i see the columns up to i only. A row that sees no column is NaN. Half-width floats are
    computed in f32.
    """

    queries: Value
    keys: Value
    values: Value
    mask: Value | None
    scale: float
    causal: bool = False

    def infer(self) -> TensorType:
        q, k, v = self.queries.type, self.keys.type, self.values.type
        check_kind(self.queries, "f")
        check_same_dtype(self.queries, self.keys, self.values)
        check(min(q.rank, k.rank, v.rank) >= 2, "attention takes ranks of 2 or more")
        check(q.shape[-1] == k.shape[-1], f"queries of {q.shape[-1]}, keys of {k.shape[-1]}")
        check(k.shape[-2] == v.shape[-2], f"{k.shape[-2]} keys for {v.shape[-2]} values")
        scores = broadcast_shapes(q.shape[:-2], k.shape[:-2]) + (q.shape[-2], k.shape[-2])
        if self.mask is not None:
            check_same_dtype(self.queries, self.mask)
            fits = common_shape(self.mask.shape, scores) == scores
            mask, wanted = shape_text(self.mask.shape), shape_text(scores)
            check(fits, f"a mask of shape {mask} does not broadcast to the scores' {wanted}")
        batch = broadcast_shapes(scores[:-2], v.shape[:-2])
        return q.with_shape((*batch, q.shape[-2], v.shape[-1]))

    def reference(self, queries: Array, keys: Array, values: Array, mask: Array | None) -> Array:
        scores = widened(queries) @ np.swapaxes(widened(keys), -1, -2) * self.scale
        if mask is not None:
            scores = scores + widened(mask)
        if self.causal:
            seen = np.tri(scores.shape[-2], scores.shape[-1], dtype=bool)
            scores = np.where(seen, scores, -np.inf)
        with np.errstate(invalid="ignore"):
            powers = np.exp(scores - np.max(scores, -1, keepdims=True, initial=-np.inf))
            weights = powers / powers.sum(-1, keepdims=True)
        return np.asarray(weights @ widened(values)).astype(queries.dtype)

    def decompose(self, queries: Value, keys: Value, values: Value, mask: Value | None) -> Value:
        weights = self.weights(queries, keys, mask)
        return cast(matmul(weights, cast(values, weights.dtype)), queries.dtype)

    def weights(self, queries: Value, keys: Value, mask: Value | None) -> Value:
        """The softmax of the scores."""
        return attention_weights(queries, keys, mask, self.scale, self.causal)

    def gradient(self, y: Value, dy: Value) -> Gradients:
        """The weights are computed again rather than kept (Dao et al., 2022, appendix B.2)."""
        wide = computing_type(y.dtype)
        arrived = cast(dy, wide)
        along = sum_(arrived * cast(y, wide), -1, keepdims=True)
        made = AttentionGradient(
            self.queries, self.keys, self.values, self.mask, along, dy, self.scale, self.causal
        )
        found = tuple(
            cast(sum_to(gradient, operand.shape), y.dtype)
            for gradient, operand in zip(
                emit_all(made), (self.queries, self.keys, self.values), strict=True
            )
        )
        if self.mask is None:
            return *found, None
        weights = self.weights(self.queries, self.keys, self.mask)
        scores = score_gradient(weights, cast(self.values, wide), along, arrived)
        return *found, cast(sum_to(scores, self.mask.shape), y.dtype)


def attention(
    queries: Operand,
    keys: Operand,
    values: Operand,
    mask: Operand | None = None,
    *,
    scale: float | None = None,
    causal: bool = False,
    dropout_p: float = 0.0,
    seed: Operand | None = None,
    stream: Operand = 0,
) -> Value:
    """Scaled dot-product attention; `scale` defaults to `1 / sqrt(d)`. See `Attention`.

    A mask of bools lets through where it is true, as in torch. `dropout_p` of the weights are set
    to 0, the others scaled; which ones is decided by the seed and the stream.
    """
    q, k, v = as_values(queries, keys, values)
    if scale is None:
        check(q.rank >= 1, "attention takes ranks of 2 or more")
        width = q.shape[-1]
        check(isinstance(width, int), f"the scale follows from the size {width}; give it a value")
        assert isinstance(width, int)
        scale = 1 / math.sqrt(max(1, width))
    added = None if mask is None else as_value(mask)
    if added is not None and added.dtype == bool_:
        added = where(added, zeros((), q.dtype), -math.inf)
    whole = Attention(q, k, v, added, scale, causal)
    if not dropout_p:
        return emit(whole)
    check(seed is not None, "dropout of attention weights draws from a seed; give it one")
    assert seed is not None
    whole.infer()  # the operands fit, or the error says so of attention itself
    weights = dropout(whole.weights(q, k, added), dropout_p, seed, stream=stream)
    return cast(matmul(weights, cast(v, weights.dtype)), q.dtype)


scaled_dot_product_attention = attention

OPS: tuple[type[Op], ...] = (Attention,)
