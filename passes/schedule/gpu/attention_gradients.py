"""The gradients of attention by warps, in two launches: one of blocks of queries, which also finds
what the exponents of each are relative to, and one of blocks of keys.

    block of queries: {for step: {scores = queries keysᵀ};  logs = top + log2(total)
      for step: {weights = 2 ** (scores - logs);  toward = arrived valuesᵀ;
                 of_queries += weights (toward - along) keys}}
    block of keys: for step: {weights = 2 ** (keys queriesᵀ - logs);  of_values += weights arrived;
      toward = values arrivedᵀ;  of_keys += weights (toward - along) queries}
"""

from __future__ import annotations

from dataclasses import replace

from ....errors import check
from ....ir import Op
from ....ops.attention_gradient import BlockedAttentionGradient
from ....target import Gpu
from ....tile.nodes import Kernel
from ....tile.tree import tidy
from ....tile.warps import ROWS, TERMS
from .attention_tiles import factors
from .gradient_keys import KeyLaunch
from .gradient_queries import QueryLaunch
from .gradient_work import GradientWork


def gradients_on_card(op: Op, naive: Kernel, gpu: Gpu) -> Kernel:
    """The kernel by warps where these can multiply the factors; elsewhere the naive one."""
    check(isinstance(op, BlockedAttentionGradient), f"'{op.name}' is no gradient in blocks")
    assert isinstance(op, BlockedAttentionGradient)
    dtype = factors(op.queries.dtype, gpu)
    whole = op.rows % ROWS == 0 and op.columns % TERMS == 0
    if dtype is None or not whole or not all(param.elements for param in naive.params):
        return naive
    work = GradientWork.of(op, naive, dtype)
    first, of_queries = QueryLaunch(work).launch()
    second, of_keys = KeyLaunch(work).launch()
    locals_ = (*of_queries, *of_keys, work.logs)
    return tidy(replace(work.blocks.naive, body=(first, second), locals=locals_))
