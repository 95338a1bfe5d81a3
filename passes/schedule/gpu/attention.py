"""Attention on cards: the kernel by the types of its factors."""

from __future__ import annotations

from ....errors import check
from ....ir import Op
from ....ops.blocked_attention import BlockedAttention
from ....target import Gpu
from ....tile.nodes import Kernel
from ....tile.warps import ROWS, TERMS
from .attention_tiles import factors
from .attention_warps import attention_by_warps


def attention_on_card(op: Op, naive: Kernel, gpu: Gpu) -> Kernel:
    """The kernel by warps where these can multiply the factors and the blocks are whole fragments;
    elsewhere the naive one."""
    check(isinstance(op, BlockedAttention), f"'{op.name}' is no attention in blocks")
    assert isinstance(op, BlockedAttention)
    dtype = factors(op.queries.dtype, gpu)
    whole = op.rows % ROWS == 0 and op.columns % TERMS == 0
    if dtype is None or not whole or not all(param.elements for param in naive.params):
        return naive
    return attention_by_warps(op, naive, dtype)
