"""Attention, which stays one operation."""

from __future__ import annotations

import math
from collections.abc import Mapping

from .... import ops
from ....errors import UnsupportedError, check
from ....ir import Value
from ....types import bool_
from .typed import Reader, Typed


def attention(
    queries: Value,
    keys: Value,
    values: Value,
    attn_mask: Value | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Value:
    """Scaled dot-product attention; with `enable_gqa` several heads of queries share one of keys.

    A row that sees nothing is 0, as torch has it.
    """
    check(dropout_p == 0, "it draws random numbers; call model.eval() first", UnsupportedError)
    shared = enable_gqa and queries.shape[-3] != keys.shape[-3]
    if not shared:
        return _attended(queries, keys, values, attn_mask, is_causal, scale)
    heads, own = queries.shape[-3], keys.shape[-3]
    grouped = (*queries.shape[:-3], own, heads // own, *queries.shape[-2:])
    if attn_mask is not None and attn_mask.rank > 2:
        lead = attn_mask.shape[-3]
        split = (1, 1) if lead == 1 else (own, heads // own)
        attn_mask = ops.reshape(attn_mask, (*attn_mask.shape[:-3], *split, *attn_mask.shape[-2:]))
    keys, values = (ops.expand_dims(side, -3) for side in (keys, values))
    y = _attended(ops.reshape(queries, grouped), keys, values, attn_mask, is_causal, scale)
    return ops.reshape(y, (*queries.shape[:-1], values.shape[-1]))


def _attended(
    queries: Value,
    keys: Value,
    values: Value,
    mask: Value | None,
    causal: bool,
    scale: float | None,
) -> Value:
    y = ops.attention(queries, keys, values, mask, scale=scale, causal=causal)
    if mask is None:
        return y
    seen = mask if mask.dtype == bool_ else ops.greater(mask, -math.inf)
    return ops.where(ops.any(seen, -1, keepdims=True), y, 0)


def on_cpu(
    queries: Value,
    keys: Value,
    values: Value,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    attn_mask: Value | None = None,
    scale: float | None = None,
) -> tuple[Value, ...]:
    """What torch makes of attention on a CPU; the logarithms of the sums stay there."""
    return (attention(queries, keys, values, attn_mask, dropout_p, is_causal, scale=scale),)


READERS: Mapping[str, Reader | Typed] = {
    "aten._scaled_dot_product_flash_attention_for_cpu": on_cpu,
    "aten.scaled_dot_product_attention": attention,
}
