"""Attention on cards: the kernel by the types of its factors, and by where they lie."""

from __future__ import annotations

from .....errors import check
from .....ir import Op
from .....ops.nn.blocked_attention import BlockedAttention
from .....target import Gpu
from .....tile.instructions.warps import ROWS, TERMS
from .....tile.nodes import Kernel
from .....types import f32
from .lanes import attention_by_lanes
from .tiles import factors
from .warpgroups import attention_by_warpgroups, can_attend_by_warpgroups
from .warps import attention_by_warps, for_warps


def attention_on_card(op: Op, naive: Kernel, gpu: Gpu) -> Kernel:
    """The kernel by warpgroups or by warps where these can multiply the factors, by lanes for f32;
    the naive one for other types, and for blocks that are cut in another way."""
    check(isinstance(op, BlockedAttention), f"'{op.name}' is no attention in blocks")
    assert isinstance(op, BlockedAttention)
    dtype = factors(op.queries.dtype, gpu)
    whole = op.rows % ROWS == 0 and op.columns % TERMS == 0
    if not whole or not all(param.elements for param in naive.params):
        return naive
    if dtype is not None and can_attend_by_warpgroups(op, naive, dtype):
        return attention_by_warpgroups(op, naive, dtype)
    if dtype is not None:
        return attention_by_warps(for_warps(op), naive, dtype)
    return attention_by_lanes(op, naive) if op.queries.dtype == f32 else naive
