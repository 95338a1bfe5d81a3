"""Linear layers, embeddings and attention, with torch's parameter names and layouts."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ...errors import check
from ...ir import Value
from ...ops import attention, embedding, split
from ...types import DType, f32
from .initialisers import fan_in_uniform, filled, normal, xavier_uniform
from .module import Module, Parameter


class Linear(Module):
    """`x @ weight.T + bias`: `(.., in_features) -> (.., out_features)`; `weight` is `(out, in)`."""

    in_features: int
    out_features: int
    bias: bool = True
    dtype: DType = f32

    def own_parameters(self) -> Mapping[str, Parameter]:
        initial = fan_in_uniform(self.in_features)
        weight = Parameter(self.dtype[self.out_features, self.in_features], initial)
        if not self.bias:
            return {"weight": weight}
        return {"weight": weight, "bias": Parameter(self.dtype[self.out_features], initial)}

    def forward(self, x: Value) -> Value:
        y = x @ self.own("weight").T
        return y + self.own("bias") if self.bias else y


class Embedding(Module):
    """The rows of a table at integer indices: `(..) -> (.., embedding_dim)`."""

    num_embeddings: int
    embedding_dim: int
    dtype: DType = f32

    def own_parameters(self) -> Mapping[str, Parameter]:
        table = self.dtype[self.num_embeddings, self.embedding_dim]
        return {"weight": Parameter(table, normal())}

    def forward(self, x: Value) -> Value:
        return embedding(x, self.own("weight"))


class MultiheadAttention(Module):
    """Attention of several heads (Vaswani et al., 2017), batch first: `(batch, length, embed_dim)`.

    `forward(x)` attends to itself, `forward(query, key, value)` to others; `mask` is added to the
    scores `(batch, heads, queries, keys)`, or, of bools, lets through where it is true, as in
    torch's `scaled_dot_product_attention`. In training, weights are dropped at the rate `dropout`.
    """

    embed_dim: int
    num_heads: int
    bias: bool = True
    causal: bool = False
    dropout: float = 0.0
    dtype: DType = f32

    def own_parameters(self) -> Mapping[str, Parameter]:
        width, tripled = self.embed_dim, 3 * self.embed_dim
        divides = self.num_heads > 0 and width % self.num_heads == 0
        check(divides, f"an embedding of {width} does not divide into {self.num_heads} heads")
        weights = {
            "in_proj_weight": Parameter(self.dtype[tripled, width], xavier_uniform(width, tripled)),
            "out_proj.weight": Parameter(self.dtype[width, width], fan_in_uniform(width)),
        }
        if not self.bias:
            return weights
        return weights | {
            "in_proj_bias": Parameter(self.dtype[tripled], filled(0)),
            "out_proj.bias": Parameter(self.dtype[width], filled(0)),
        }

    def forward(
        self,
        query: Value,
        key: Value | None = None,
        value: Value | None = None,
        mask: Value | None = None,
    ) -> Value:
        if key is None and value is None:
            q, k, v = split(self._project(query, 0, 3), 3, axis=-1)
        else:
            key = query if key is None else key
            q, k = self._project(query, 0, 1), self._project(key, 1, 2)
            v = self._project(key if value is None else value, 2, 3)
        rate = self.dropout if self.training else 0.0
        seed, stream = self.draw() if rate else (None, 0)
        mixed = attention(
            self._heads(q),
            self._heads(k),
            self._heads(v),
            mask,
            scale=1 / math.sqrt(self.embed_dim // self.num_heads),
            causal=self.causal,
            dropout_p=rate,
            seed=seed,
            stream=stream,
        )
        y = mixed.transpose(0, 2, 1, 3).reshape(query.shape) @ self.own("out_proj.weight").T
        return y + self.own("out_proj.bias") if self.bias else y

    def _project(self, x: Value, first: int, last: int) -> Value:
        """`x` by some of the three projections to queries, keys and values, side by side."""
        rows = slice(first * self.embed_dim, last * self.embed_dim)
        y = x @ self.own("in_proj_weight")[rows].T
        return y + self.own("in_proj_bias")[rows] if self.bias else y

    def _heads(self, x: Value) -> Value:
        """`(batch, length, embed_dim)` as `(batch, heads, length, width)`."""
        shape = (*x.shape[:-1], self.num_heads, self.embed_dim // self.num_heads)
        return x.reshape(shape).transpose(0, 2, 1, 3)
