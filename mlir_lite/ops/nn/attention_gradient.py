"""The gradients of attention by its weights, which are computed again rather than kept (Dao et al.,
2022, appendix B.2); and the same in blocks, which keep none of the scores.
"""

from __future__ import annotations

import math

import numpy as np

from ...errors import check
from ...ir import Op, Value, op
from ...tile.nodes import Buffer, Kernel
from ...types import Array, TensorType
from ..base.body import computing_type
from ..base.broadcast import broadcast_shapes
from ..base.cast import cast
from ..base.promote import check_kind, check_same_dtype
from ..elementwise.select import where
from ..products.matmul import matmul
from ..reductions.reduce import sum_to, widened
from ..shapes.creation import iota
from ..shapes.shape import expand_dims, swapaxes
from .attention_gradient_kernel import gradient_kernel
from .blocked_attention import BlockedAttention
from .softmax import softmax


def attention_weights(
    queries: Value, keys: Value, mask: Value | None, scale: float, causal: bool
) -> Value:
    """The softmax of the scores, in the type that they are computed in."""
    wide = computing_type(queries.dtype)
    scores = matmul(cast(queries, wide), swapaxes(cast(keys, wide), -1, -2)) * scale
    scores = scores if mask is None else scores + cast(mask, wide)
    if causal:
        rows, columns = iota(scores.shape[-2]), iota(scores.shape[-1])
        scores = where(expand_dims(rows, 1) >= columns, scores, -math.inf)
    return softmax(scores)


def score_gradient(weights: Value, values: Value, along: Value, arrived: Value) -> Value:
    """What arrives at the scores of these weights."""
    toward = matmul(arrived, swapaxes(values, -1, -2))
    return sum_to(weights * (toward - along), weights.shape)


class OfAttention(Op):
    """The base: what gradients of attention take, whichever way they are computed."""

    queries: Value
    keys: Value
    values: Value
    mask: Value | None
    along: Value
    arrived: Value
    scale: float
    causal: bool

    def infer(self) -> tuple[TensorType, ...]:
        return _types(self)

    def reference(
        self,
        queries: Array,
        keys: Array,
        values: Array,
        mask: Array | None,
        along: Array,
        arrived: Array,
    ) -> tuple[Array, ...]:
        arrays = (queries, keys, values, mask, along, arrived)
        return _reference(arrays, self.scale, self.causal, _types(self))


@op
class AttentionGradient(OfAttention):
    """The gradients of `attention` at its queries, keys and values, `(.., s, d)`, `(.., t, d)` and
    `(.., t, e)`, in the type they are computed in: with the leading axes of the scores, those of
    values with all of the result's.

    `arrived (.., s, e)` is the gradient of the result, and `along (.., s, 1)` the sum over e of it
    times the result.
    """

    queries: Value
    keys: Value
    values: Value
    mask: Value | None
    along: Value
    arrived: Value
    scale: float
    causal: bool = False

    def decompose(
        self,
        queries: Value,
        keys: Value,
        values: Value,
        mask: Value | None,
        along: Value,
        arrived: Value,
    ) -> tuple[Value, ...]:
        weights = attention_weights(queries, keys, mask, self.scale, self.causal)
        queries, keys, values, along, arrived = (
            cast(value, weights.dtype) for value in (queries, keys, values, along, arrived)
        )
        scaled = score_gradient(weights, values, along, arrived) * self.scale
        return (
            matmul(scaled, keys),
            matmul(swapaxes(scaled, -1, -2), queries),
            matmul(swapaxes(weights, -1, -2), arrived),
        )


@op
class BlockedAttentionGradient(OfAttention):
    """`attention_gradient` in blocks of `rows` queries and as many keys, of whose scores a card
    keeps `columns` at a time; values have no leading axes that scores lack."""

    queries: Value
    keys: Value
    values: Value
    mask: Value | None
    along: Value
    arrived: Value
    scale: float
    rows: int
    columns: int
    causal: bool = False

    def infer(self) -> tuple[TensorType, ...]:
        check(min(self.rows, self.columns) > 0, "a block has rows and columns")
        check(self.keys.shape[-2] != 0, "there are keys")
        of_queries, _, of_values = _types(self)
        same = of_queries.shape[:-2] == of_values.shape[:-2]
        check(same, "values have leading axes that scores lack")
        return _types(self)

    @property
    def forward(self) -> BlockedAttention:
        """The attention whose gradients they are."""
        axes: tuple[int, ...] = ()
        if self.mask is not None:
            *batch, rows, columns = range(self.mask.rank)
            axes = (*batch, columns, rows)
        return BlockedAttention(
            self.queries, self.keys, self.values, self.mask, self.scale, self.rows, self.columns,
            self.causal, mask_axes=axes,
        )  # fmt: skip

    def kernel(self, name: str) -> Kernel:
        """Loops over batches and queries: weights of a query, then what they add to each."""
        values = {
            "queries": self.queries, "keys": self.keys, "values": self.values, "mask": self.mask,
            "along": self.along, "arrived": self.arrived,
        }  # fmt: skip
        given = {
            entry: Buffer(entry, value.dtype, value.type.static_shape)
            for entry, value in values.items()
            if value is not None
        }
        results = tuple(
            Buffer(f"of_{entry}", type_.dtype, type_.static_shape)
            for entry, type_ in zip(("queries", "keys", "values"), _types(self), strict=True)
        )
        return gradient_kernel(name, given, results, self.scale, self.causal)


def _types(op: OfAttention) -> tuple[TensorType, ...]:
    q, k, v = op.queries.type, op.keys.type, op.values.type
    check_kind(op.queries, "f")
    check_same_dtype(op.queries, op.keys, op.values, op.arrived)
    scores = broadcast_shapes(q.shape[:-2], k.shape[:-2])
    whole = broadcast_shapes(scores, v.shape[:-2])
    wanted = (*whole, q.shape[-2], v.shape[-1])
    check(op.arrived.shape == wanted, f"what arrives is {op.arrived.type}, not {wanted}")
    dtype = computing_type(q.dtype)
    row = TensorType((*wanted[:-1], 1), dtype)
    check(op.along.type == row, f"the sums along rows are {op.along.type}, not {row}")
    return (
        TensorType((*scores, *q.shape[-2:]), dtype),
        TensorType((*scores, *k.shape[-2:]), dtype),
        TensorType((*whole, *v.shape[-2:]), dtype),
    )


def _reference(
    arrays: tuple[Array | None, ...], scale: float, causal: bool, types: tuple[TensorType, ...]
) -> tuple[Array, ...]:
    queries, keys, values, mask, along, arrived = (
        None if array is None else widened(array) for array in arrays
    )
    assert queries is not None and keys is not None and values is not None
    assert along is not None and arrived is not None
    scores = queries @ np.swapaxes(keys, -1, -2) * scale
    if mask is not None:
        scores = scores + mask
    if causal:
        seen = np.tri(scores.shape[-2], scores.shape[-1], dtype=bool)
        scores = np.where(seen, scores, -np.inf)
    with np.errstate(invalid="ignore"):
        powers = np.exp(scores - np.max(scores, -1, keepdims=True, initial=-np.inf))
        weights = powers / powers.sum(-1, keepdims=True)
        change = weights * (arrived @ np.swapaxes(values, -1, -2) - along)
        extra = change.ndim - weights.ndim
        for axis in range(change.ndim - 2):
            own = axis - extra
            if own < 0 or weights.shape[own] != change.shape[axis]:
                change = change.sum(axis, keepdims=True)
        scaled = change.reshape(weights.shape) * scale
    found = (
        scaled @ keys,
        np.swapaxes(scaled, -1, -2) @ queries,
        np.swapaxes(weights, -1, -2) @ arrived,
    )
    return tuple(
        np.asarray(array).astype(type_.dtype.numpy)
        for array, type_ in zip(found, types, strict=True)
    )


OPS: tuple[type[Op], ...] = (AttentionGradient, BlockedAttentionGradient)
