"""Linear layers and embeddings, with torch's parameter names and layouts."""

from __future__ import annotations

from collections.abc import Mapping

from ...ir import Value
from ...ops import embedding
from ...types import DType, f32
from .initialisers import fan_in_uniform, normal
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
