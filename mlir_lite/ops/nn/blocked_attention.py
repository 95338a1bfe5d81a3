"""Attention in blocks of queries: one kernel that never keeps more scores than a block has.

Long rows of scores are cut in blocks of keys too, with running maxima and sums (Milakov and
Gimelshein, 2018; Dao et al., 2022).
"""

from __future__ import annotations

import math

import numpy as np

from ...errors import check
from ...ir import Op, Value, constructor, op
from ...sizes import Shape, static
from ...tile.nodes import Buffer, Kernel
from ...types import Array, TensorType, bf16, bool_
from ..base.body import computing_type
from ..base.broadcast import broadcast_shapes, common_shape, shape_text
from ..base.promote import check_kind, check_same_dtype
from ..kernels.stored import Stored
from ..reductions.reduce import widened
from ..shapes.shape import inverse_permutation
from .attention_halves import TOGETHER, NarrowAttentionKernel
from .attention_kernel import AttentionKernel
from .attention_loops import AttentionSizes


@op
class BlockedAttention(Op):
    """`attention` in blocks of `rows` queries, their scores in blocks of `columns` keys.

    The operands become those of `attention` when transposed by their `axes` (empty: as they are);
    its result transposed by `result_axes` is this one's. `mask`, transposed by `mask_axes`,
    broadcasts to the transposed scores `(.., t, s)`: numbers are added, and where bools are false a
    score is `fill`. The result for a query that sees no key (or a NaN) is NaN, or 0 if
    `unseen_is_zero`. A card may do the blocks of keys in so many `parts` side by side. A `wide`
    result is of the type that it is computed in. So many products may be summed `together`, by an
    instruction: two of bf16, for which weights are rounded, too.
    """

    queries: Value
    keys: Value
    values: Value
    mask: Value | None
    scale: float
    rows: int
    columns: int
    causal: bool = False
    fill: float = -math.inf
    unseen_is_zero: bool = False
    query_axes: tuple[int, ...] = ()
    key_axes: tuple[int, ...] = ()
    value_axes: tuple[int, ...] = ()
    result_axes: tuple[int, ...] = ()
    mask_axes: tuple[int, ...] = ()
    parts: int = 1
    wide: bool = False
    together: int = 1

    def infer(self) -> TensorType:
        dtype = self.queries.dtype
        check_kind(self.queries, "f")
        check_same_dtype(self.queries, self.keys, self.values)
        check(min(self.rows, self.columns) > 0, "a block has rows and columns")
        check(self.parts > 0, "there is one part at least")
        q = _shape(self.queries, self.query_axes)
        k = _shape(self.keys, self.key_axes)
        v = _shape(self.values, self.value_axes)
        check(min(len(q), len(k), len(v)) >= 2, "attention takes ranks of 2 or more")
        check(q[-1] == k[-1], f"queries of {q[-1]}, keys of {k[-1]}")
        check(k[-2] == v[-2] != 0, f"{k[-2]} keys for {v[-2]} values")
        batch = broadcast_shapes(q[:-2], k[:-2], v[:-2])
        if self.mask is not None:
            kind, scores = self.mask.dtype, (*batch, k[-2], q[-2])
            known = kind in (bool_, dtype, computing_type(dtype))
            check(known, f"a mask is of bools or {dtype}, not of {kind}")
            turned = _shape(self.mask, self.mask_axes)
            fits = common_shape(turned, scores) == scores
            mask, wanted = shape_text(turned), shape_text(scores)
            check(fits, f"a mask of shape {mask} does not broadcast to the scores' {wanted}")
        if self.together != 1:
            self._check_pairs()
        result = (*batch, q[-2], v[-1])
        order = _order(self.result_axes, len(result))
        made = computing_type(dtype) if self.wide else dtype
        return TensorType(tuple(result[axis] for axis in order), made)

    @property
    def has_pairs(self) -> bool:
        """Whether products can be summed in pairs: of all keys at once, an even number of them and
        of what both are multiplied over, which lies in rows."""
        shape = _shape(self.keys, self.key_axes)
        rows = _order(self.key_axes, self.keys.rank)[-1] == self.keys.rank - 1
        even = all(isinstance(size, int) and size % TOGETHER == 0 for size in shape[-2:])
        return rows and even and not self.causal and static(shape[-2:])[0] <= self.columns

    def _check_pairs(self) -> None:
        """The type rule of products summed in pairs."""
        check(self.together == TOGETHER, f"{TOGETHER} products are summed together")
        check(self.keys.dtype == bf16, f"products of {self.keys.dtype} are summed one by one")
        check(self.has_pairs, f"keys of {self.keys.type} are not multiplied in pairs")

    def reference(self, queries: Array, keys: Array, values: Array, mask: Array | None) -> Array:
        q, k, v = (
            np.transpose(widened(array), _order(axes, array.ndim))
            for array, axes in (
                (queries, self.query_axes), (keys, self.key_axes), (values, self.value_axes)
            )
        )
        scores = k @ np.swapaxes(q, -1, -2) * self.scale
        if mask is not None:
            mask = np.transpose(mask, _order(self.mask_axes, mask.ndim))
            added = mask.dtype != np.bool_
            scores = scores + widened(mask) if added else np.where(mask, scores, self.fill)
        if self.causal:
            seen = np.tri(scores.shape[-1], scores.shape[-2], dtype=bool)
            scores = np.where(seen.T, scores, -np.inf)
        with np.errstate(invalid="ignore"):
            powers = np.exp(scores - np.max(scores, -2, keepdims=True))
            total = powers.sum(-2, keepdims=True)
            if self.together != 1:
                powers = widened(powers.astype(self.queries.dtype.numpy))
            weights = np.swapaxes(powers / total, -1, -2)
        if self.unseen_is_zero:
            weights = np.where(np.isnan(weights), 0, weights)
        result = weights @ v
        ordered = np.transpose(result, _order(self.result_axes, result.ndim))
        return np.ascontiguousarray(ordered).astype(self.infer().dtype.numpy)

    def kernel(self, name: str) -> Kernel:
        """Loops over batches and blocks of queries, and in them a nest a stage."""
        sizes = AttentionSizes(
            self.scale, self.causal, self.fill, self.unseen_is_zero, self.rows, self.columns
        )
        make = AttentionKernel if self.together == 1 else NarrowAttentionKernel
        return make(*self.operands_stored, self.result_stored, sizes).kernel(name)

    @property
    def operands_stored(self) -> tuple[Stored, Stored, Stored, Stored | None]:
        """Queries, keys, values and the mask as a kernel's buffers, in the order of `attention`'s
        axes; those of the mask are keys, then queries."""
        mask = self.mask
        return (
            _stored("queries", self.queries, self.query_axes),
            _stored("keys", self.keys, self.key_axes),
            _stored("values", self.values, self.value_axes),
            None if mask is None else _stored("mask", mask, self.mask_axes),
        )

    @property
    def result_stored(self) -> Stored:
        """The result as a kernel's buffer."""
        result = _buffer("out", self.infer())
        return Stored(result, inverse_permutation(_order(self.result_axes, len(result.shape))))


def _order(axes: tuple[int, ...], rank: int) -> tuple[int, ...]:
    """The order of the axes that an attribute says."""
    order = axes or tuple(range(rank))
    check(sorted(order) == list(range(rank)), f"{axes} is no order of the axes of rank {rank}")
    return order


def _shape(value: Value, axes: tuple[int, ...]) -> Shape:
    """The shape of an operand in the order of `attention`'s axes."""
    return tuple(value.shape[axis] for axis in _order(axes, value.rank))


def _stored(name: str, value: Value, axes: tuple[int, ...]) -> Stored:
    return Stored(_buffer(name, value.type), _order(axes, value.rank))


def _buffer(name: str, type_: TensorType) -> Buffer:
    return Buffer(name, type_.dtype, type_.static_shape)


blocked_attention = constructor(BlockedAttention)

OPS: tuple[type[Op], ...] = (BlockedAttention,)
