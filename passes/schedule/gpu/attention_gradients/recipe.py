"""The gradients of attention, in two launches: one of blocks of queries, which also finds
the bases that the exponents of each are relative to, and one of blocks of keys.

    block of queries: {for step: {scores = queries keysᵀ};  bases = top + log2(total)
      for step: {weights = 2 ** (scores - bases);  toward = arrived valuesᵀ;
                 of_queries += weights (toward - along) keys}}
    block of keys: for step: {weights = 2 ** (keys queriesᵀ - bases);  of_values += weights arrived;
      toward = values arrivedᵀ;  of_keys += weights (toward - along) queries}
"""

from __future__ import annotations

from dataclasses import replace

from .....errors import check
from .....ir import Op
from .....ops.nn.attention_gradient import BlockedAttentionGradient
from .....target import Gpu
from .....tile.instructions.warps import NARROW, ROWS, TERMS
from .....tile.nodes import Kernel
from .....tile.tree import tidy
from .....types import f32
from ..attention.tiles import factors
from .keys import KeyLaunch
from .queries import QueryLaunch
from .work import GradientWork


def gradients_on_card(op: Op, naive: Kernel, gpu: Gpu) -> Kernel:
    """The kernel by warps where these can multiply the factors, by lanes for f32; the naive one for
    other types, and for blocks that are cut in another way."""
    check(isinstance(op, BlockedAttentionGradient), f"'{op.name}' is no gradient in blocks")
    assert isinstance(op, BlockedAttentionGradient)
    dtype = factors(op.queries.dtype, gpu) or op.queries.dtype
    whole = op.rows % ROWS == 0 and op.columns % TERMS == 0
    whole = whole and all(param.elements for param in naive.params)
    if dtype not in (*NARROW, f32) or not whole:
        return naive
    work = GradientWork.of(op, naive, dtype)
    first, of_queries = QueryLaunch.of(work.with_wide_queries(gpu)).launch()
    second, of_keys = KeyLaunch.of(work).launch()
    locals_ = (*of_queries, *of_keys, *work.bases)
    return tidy(replace(work.blocks.naive, body=(first, second), locals=locals_))
