"""Products of fragments for the gradients of attention: of tiles, and of what a warp has narrowed.

    for k: {call load_left(a, x[i, k]);  call load_right(b[j], y[j, k]);
            call mma(scores[j], a, b[j])}
"""

from __future__ import annotations

from ....expr import Expr, const, index
from ....tile.nodes import Block
from ....tile.warps import TERMS, mma_name, narrow_name
from ....types import DType, f32
from .fragments import Fragments
from .product_operand import Staged
from .warp_tiles import load_fragments


def product(
    own: Fragments, name: str, rows: Staged, columns: Staged, first: Expr, stage: Expr
) -> Block:
    """`name[j] = sum over k of rows[first.., k] * columns[j, k]`, of a stage of the columns."""
    zero, dtype = index(0), rows.tiles.dtype

    def term(k: Expr) -> Block:
        left = load_fragments(
            rows.tiles, own.buffers["a"], "left", first, zero, k * TERMS,
            own.names.fresh("f", "$"), turned=not rows.has_terms_last,
        )  # fmt: skip
        right = load_fragments(
            columns.tiles, own.buffers["b"], "right", zero, stage, k * TERMS,
            own.names.fresh("f", "$"), turned=not columns.has_terms_last,
        )  # fmt: skip
        multiplied = own.unrolled(
            [own.extent(name, 1)],
            lambda j: (own.call(mma_name(dtype), **{name: (zero, j)}, a=(zero,), b=(j,)),),
        )
        return (left, right, *multiplied)

    cleared = own.lanes(
        [own.extent(name, 1), 4],
        lambda lane, j, e: (own.store(name, const(0, f32), zero, j, lane, e),),
    )
    return (cleared, *own.unrolled([rows.sizes[1] // TERMS], term))


def narrowed(own: Fragments, dtype: DType) -> Block:
    """Scores as the left operand of another product."""
    return own.unrolled(
        [own.extent("weights", 0)],
        lambda k: (own.call(narrow_name(dtype), weights=(k,), scores=(index(0), k * 2)),),
    )


def summed(own: Fragments, dtype: DType, name: str, terms: Staged, stage: Expr) -> Block:
    """`name[j] += sum over k of weights[k] * terms[k, j]`, of a stage of the terms."""

    def term(k: Expr) -> Block:
        loaded = load_fragments(
            terms.tiles, own.buffers["c"], "right", index(0), stage, k * TERMS,
            own.names.fresh("f", "$"), turned=terms.has_terms_last, count=own.extent(name, 0),
        )  # fmt: skip
        multiplied = own.unrolled(
            [own.extent(name, 0)],
            lambda j: (own.call(mma_name(dtype), **{name: (j,)}, weights=(k,), c=(j,)),),
        )
        return (loaded, *multiplied)

    return own.unrolled([own.extent("weights", 0)], term)
