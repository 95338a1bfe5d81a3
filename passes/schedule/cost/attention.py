"""The cost model's choices for attention."""

from __future__ import annotations

from ....target import Target
from ....types import DType
from .register_tiles import MOST_VECTORS

KEYS_AT_ONCE = 512  # their scores stay in the second cache beside the values
KEYS_IN_BLOCK = 128  # their scores, and their values, stay in the nearest one


def attention_blocks(
    queries: int, keys: int, dtype: DType, causal: bool, target: Target
) -> tuple[int, int] | None:
    """Queries and keys of a block of attention; None where that does not pay.

    If it is `causal`, blocks above the diagonal are left out: the fewer keys, the smaller ones.
    """
    lanes = target.lanes(dtype)
    rows = MOST_VECTORS * lanes
    if queries < lanes:
        return None
    if causal:
        side = rows if keys >= 8 * rows else rows // 2
        return side, side
    return rows, keys if keys <= KEYS_AT_ONCE else KEYS_IN_BLOCK
