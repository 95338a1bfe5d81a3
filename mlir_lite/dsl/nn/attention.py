"""Attention of several heads, and the layer of a transformer around it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from copy import copy
from typing import Literal, Self

from ...errors import check
from ...ir import Value
from ...ops import (
    attention,
    clip,
    expand_dims,
    gather,
    gelu,
    greater_equal,
    iota,
    less,
    less_equal,
    logical_and,
    relu,
    reshape,
    transpose,
    where,
)
from ...ops.shapes.slice import slice_axis
from ...sizes import Size
from ...types import DType, TensorType, f32
from .activations import Dropout
from .initialisers import fan_in_uniform, filled, xavier_uniform
from .linear import Linear
from .module import Module, Parameter
from .norm import LayerNorm


class MultiheadAttention(Module):
    """Attention of several heads (Vaswani et al., 2017), batch first: `(batch, length, embed_dim)`.

    `forward(x)` attends to itself, `forward(query, key, value)` to others; `mask` is added to the
    scores `(batch, heads, queries, keys)`, or, of bools, lets through where it is true, as in
    torch's `scaled_dot_product_attention`. With fewer `num_kv_heads` each head of keys and values
    serves several of queries (Ainslie et al., 2023); the mask must then broadcast to
    `(batch, 1, 1, queries, keys)`. In training weights are dropped at the rate `dropout`. `decode`
    goes on from what it has seen.
    """

    embed_dim: int
    num_heads: int
    bias: bool = True
    causal: bool = False
    dropout: float = 0.0
    num_kv_heads: int | None = None
    dtype: DType = f32

    @property
    def head_dim(self) -> int:
        """The width of a head."""
        return self.embed_dim // self.num_heads

    @property
    def kv_heads(self) -> int:
        """How many heads keys and values have."""
        return self.num_heads if self.num_kv_heads is None else self.num_kv_heads

    def own_parameters(self) -> Mapping[str, Parameter]:
        width = self.embed_dim
        divides = self.num_heads > 0 and width % self.num_heads == 0
        check(divides, f"an embedding of {width} does not divide into {self.num_heads} heads")
        shared = self.kv_heads > 0 and self.num_heads % self.kv_heads == 0
        check(shared, f"{self.num_heads} heads do not divide into {self.kv_heads} of keys")
        rows = self._ends[-1]
        weights = {
            "in_proj_weight": Parameter(self.dtype[rows, width], xavier_uniform(width, rows)),
            "out_proj.weight": Parameter(self.dtype[width, width], fan_in_uniform(width)),
        }
        if not self.bias:
            return weights
        return weights | {
            "in_proj_bias": Parameter(self.dtype[rows], filled(0)),
            "out_proj.bias": Parameter(self.dtype[width], filled(0)),
        }

    @property
    def _ends(self) -> tuple[int, ...]:
        """Where the rows of queries, keys and values begin and end."""
        kv = self.kv_heads * self.head_dim
        return 0, self.embed_dim, self.embed_dim + kv, self.embed_dim + 2 * kv

    def forward(
        self,
        query: Value,
        key: Value | None = None,
        value: Value | None = None,
        mask: Value | None = None,
    ) -> Value:
        if key is None and value is None:
            q, k, v = self._parts(self._project(query, 0, 3))
        else:
            key = query if key is None else key
            q, k = self._project(query, 0, 1), self._project(key, 1, 2)
            v = self._project(key if value is None else value, 2, 3)
        heads = self._heads(q, self.num_heads), self._heads(k), self._heads(v)
        return self._mixed(*heads, mask, causal=self.causal)

    def cache(self, batch: Size, length: Size) -> TensorType:
        """The type of the keys, and of the values, that `decode` keeps of up to `length` places."""
        return self.dtype[batch, self.kv_heads, length, self.head_dim]

    def decode(
        self, x: Value, keys: Value, values: Value, position: Value
    ) -> tuple[Value, Value, Value]:
        """Attention of new places to themselves and all before them: `(y, keys, values)`.

        `x (batch, new, embed_dim)` are the places from `position`, a scalar of integers, on; `keys`
        and `values`, of the type `cache(batch, length)`, hold those before, and afterwards these
        too. What lies past the end of the cache is left out.
        """
        q, k, v = self._parts(self._project(x, 0, 3))
        keys = _written(keys, self._heads(k), position)
        values = _written(values, self._heads(v), position)
        own = position + iota(x.shape[1], position.dtype)
        seen = less_equal(iota(keys.shape[2], position.dtype), expand_dims(own, 1))
        y = self._mixed(self._heads(q, self.num_heads), keys, values, seen, causal=False)
        return y, keys, values

    def _mixed(
        self, q: Value, k: Value, v: Value, mask: Value | None, *, causal: bool
    ) -> Value:
        """The values that the queries pick, projected: `(batch, queries, embed_dim)`."""
        batch, _, length, width = q.shape
        group = self.num_heads // self.kv_heads
        if group > 1:
            q = reshape(q, (batch, self.kv_heads, group, length, width))
            k, v = expand_dims(k, 2), expand_dims(v, 2)
        rate = self.dropout if self.training else 0.0
        seed, stream = self.draw() if rate else (None, 0)
        mixed = attention(
            q,
            k,
            v,
            mask,
            scale=1 / math.sqrt(self.head_dim),
            causal=causal,
            dropout_p=rate,
            seed=seed,
            stream=stream,
        )
        mixed = reshape(mixed, (batch, self.num_heads, length, width))
        y = reshape(transpose(mixed, (0, 2, 1, 3)), (batch, length, self.embed_dim))
        y = y @ self.own("out_proj.weight").T
        return y + self.own("out_proj.bias") if self.bias else y

    def _project(self, x: Value, first: int, last: int) -> Value:
        """`x` by some of the three projections to queries, keys and values, side by side."""
        rows = slice(self._ends[first], self._ends[last])
        y = x @ self.own("in_proj_weight")[rows].T
        return y + self.own("in_proj_bias")[rows] if self.bias else y

    def _parts(self, x: Value) -> list[Value]:
        """Queries, keys and values out of all three projections."""
        ends = zip(self._ends, self._ends[1:], strict=False)
        return [slice_axis(x, -1, start, end - start) for start, end in ends]

    def _heads(self, x: Value, heads: int | None = None) -> Value:
        """`(batch, length, heads * width)` as `(batch, heads, length, width)`."""
        shape = (*x.shape[:-1], self.kv_heads if heads is None else heads, self.head_dim)
        return transpose(reshape(x, shape), (0, 2, 1, 3))


def _written(cache: Value, new: Value, position: Value) -> Value:
    """The cache with new places from a position on."""
    count = new.shape[2]
    check(isinstance(count, int), f"the number of new places, {count}, must be known")
    assert isinstance(count, int)
    at = iota(cache.shape[2], position.dtype) - position
    fresh = logical_and(greater_equal(at, 0), less(at, count))
    moved = gather(new, clip(at, 0, count - 1), 2)
    return where(expand_dims(fresh, 1), moved, cache)


class TransformerEncoderLayer(Module):
    """Attention and a feed-forward network, each around a shortcut: `(batch, length, d_model)`.

    With `norm_first` the norms stand before both (Xiong et al., 2020), else after the shortcuts;
    with `causal` a place sees only those before it, as in a decoder without an encoder.
    """

    self_attn: MultiheadAttention
    linear1: Linear
    linear2: Linear
    norm1: LayerNorm
    norm2: LayerNorm
    dropped: Dropout
    activation: Literal["relu", "gelu"]
    norm_first: bool

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Literal["relu", "gelu"] = "relu",
        *,
        norm_first: bool = False,
        causal: bool = False,
        dtype: DType = f32,
    ) -> None:
        check(activation in _ACTIVATIONS, f"'{activation}' is neither relu nor gelu")
        own = {
            "self_attn": MultiheadAttention(
                d_model, nhead, causal=causal, dropout=dropout, dtype=dtype
            ),
            "linear1": Linear(d_model, dim_feedforward, dtype=dtype),
            "linear2": Linear(dim_feedforward, d_model, dtype=dtype),
            "norm1": LayerNorm(d_model, dtype=dtype),
            "norm2": LayerNorm(d_model, dtype=dtype),
            "dropped": Dropout(dropout),
            "activation": activation,
            "norm_first": norm_first,
        }
        _set(self, own)

    def with_children(self, children: Mapping[str, Module]) -> Self:
        changed = copy(self)
        _set(changed, children)
        return changed

    def forward(self, x: Value, mask: Value | None = None) -> Value:
        if self.norm_first:
            x = x + self.dropped(self.self_attn.forward(self.norm1(x), mask=mask))
            return x + self._feed_forward(self.norm2(x))
        x = self.norm1(x + self.dropped(self.self_attn.forward(x, mask=mask)))
        return self.norm2(x + self._feed_forward(x))

    def _feed_forward(self, x: Value) -> Value:
        inner = _ACTIVATIONS[self.activation](self.linear1(x))
        return self.dropped(self.linear2(self.dropped(inner)))


_ACTIVATIONS: Mapping[str, Callable[[Value], Value]] = {"gelu": gelu, "relu": relu}


def _set(module: Module, fields: Mapping[str, object]) -> None:
    """Set fields of a frozen module that is still being made."""
    for name, entry in fields.items():
        object.__setattr__(module, name, entry)
