"""Attention in blocks of queries: one kernel that never keeps more scores than a block has.

Long rows of scores are cut in blocks of keys too, with running maxima and sums (Milakov and
Gimelshein, 2018; Dao et al., 2022). The scores lie a column to a query, so that the maxima and
sums of a block are those of whole vectors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from ..errors import check
from ..expr import INDEX, Expr, Load, Var, apply, const, index, select
from ..ir import Op, Value, constructor, op
from ..tile.nodes import Accumulate, Buffer, Kernel, Loop, Ref, Space, Stmt, Store
from ..types import Array, DType, TensorType, bool_, f32, f64
from .body import Indices
from .broadcast import broadcast_shapes, common_shape, shape_text
from .promote import check_same_dtype
from .shape import inverse_permutation


@op
class BlockedAttention(Op):
    """`attention` in blocks of `rows` queries, its scores in blocks of `columns` keys, f32 or f64.

    The operands become those of `attention` when transposed by their `axes` (as they are if
    empty), and its result transposed by `result_axes` is this one's. `mask` broadcasts to the
    transposed scores `(.., t, s)`: numbers are added; scores become `fill` where bools are false.
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
    query_axes: tuple[int, ...] = ()
    key_axes: tuple[int, ...] = ()
    value_axes: tuple[int, ...] = ()
    result_axes: tuple[int, ...] = ()

    def infer(self) -> TensorType:
        q, k, v = self._shapes()
        check(self.queries.dtype in (f32, f64), f"blocks of {self.queries.dtype} are not computed")
        check_same_dtype(self.queries, self.keys, self.values)
        check(min(len(q), len(k), len(v)) >= 2, "attention takes ranks of 2 or more")
        check(q[-1] == k[-1], f"queries of {q[-1]}, keys of {k[-1]}")
        check(k[-2] == v[-2], f"{k[-2]} keys for {v[-2]} values")
        check(min(self.rows, self.columns) > 0, "a block has rows and columns")
        batch = broadcast_shapes(broadcast_shapes(q[:-2], k[:-2]), v[:-2])
        if self.mask is not None:
            check(self.mask.dtype in (bool_, q_type := self.queries.dtype), f"no mask of {q_type}")
            scores = (*batch, k[-2], q[-2])
            wanted, have = shape_text(scores), shape_text(self.mask.shape)
            fits = common_shape(self.mask.shape, scores) == scores
            check(fits, f"a mask of shape {have} does not broadcast to the scores' {wanted}")
        shape = (*batch, q[-2], v[-1])
        order = self.result_axes or tuple(range(len(shape)))
        return TensorType(tuple(shape[axis] for axis in order), self.queries.dtype)
