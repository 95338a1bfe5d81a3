"""Attention, which stays one operation."""

from __future__ import annotations

import math
from collections.abc import Mapping

from .... import ops
from ....errors import UnsupportedError, check
from ....ir import Value
from ....types import bool_
from .products import linear
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
    return y if mask is None else ops.where(sees_something(mask), y, 0)


def sees_something(mask: Value) -> Value:
    """Whether a row sees any column, `(.., s, 1)`."""
    seen = mask if mask.dtype == bool_ else ops.greater(mask, -math.inf)
    return ops.any(seen, -1, keepdims=True)


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


def encoder_layer(
    x: Value,
    width: int,
    heads: int,
    qkv_weight: Value,
    qkv_bias: Value,
    out_weight: Value,
    out_bias: Value,
    use_gelu: bool,
    norm_first: bool,
    eps: float,
    norm1_weight: Value,
    norm1_bias: Value,
    norm2_weight: Value,
    norm2_bias: Value,
    up_weight: Value,
    up_bias: Value,
    down_weight: Value,
    down_bias: Value,
    mask: Value | None = None,
    mask_type: int | None = None,
) -> Value:
    """`nn.TransformerEncoderLayer` in evaluation, which torch has as one operator."""
    check(mask is None, "a mask of a whole encoder layer", UnsupportedError)

    def attended(y: Value) -> Value:
        qkv = ops.split(linear(y, qkv_weight, qkv_bias), 3, -1)
        apart = (*y.shape[:-1], heads, width // heads)
        q, k, v = (ops.swapaxes(ops.reshape(part, apart), -2, -3) for part in qkv)
        seen = ops.swapaxes(ops.attention(q, k, v), -2, -3)
        return linear(ops.reshape(seen, y.shape), out_weight, out_bias)

    def fed(y: Value) -> Value:
        wide = linear(y, up_weight, up_bias)
        return linear(ops.gelu(wide) if use_gelu else ops.relu(wide), down_weight, down_bias)

    def first(y: Value) -> Value:
        return ops.layer_norm(y, norm1_weight, norm1_bias, epsilon=eps)

    def second(y: Value) -> Value:
        return ops.layer_norm(y, norm2_weight, norm2_bias, epsilon=eps)

    if norm_first:
        x = x + attended(first(x))
        return x + fed(second(x))
    x = first(x + attended(x))
    return second(x + fed(x))


READERS: Mapping[str, Reader | Typed] = {
    "aten._scaled_dot_product_flash_attention_for_cpu": on_cpu,
    "aten._transformer_encoder_layer_fwd": encoder_layer,
    "aten.scaled_dot_product_attention": attention,
}
