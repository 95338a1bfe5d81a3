"""Modules one after the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from ...errors import check
from ...ir import Value
from .module import Module


class Sequential(Module):
    """Each module on the result of the one before: `Sequential(Linear(3, 4), ReLU())`.

    The modules are named `0`, `1`, ... or, given as one mapping, by its keys.
    """

    layers: Mapping[str, Module]

    def __init__(self, *layers: Module | Mapping[str, Module]) -> None:
        named: dict[str, Module] = {}
        for position, layer in enumerate(layers):
            if isinstance(layer, Module):
                named[str(position)] = layer
            else:
                check(len(layers) == 1, "nn.Sequential takes modules, or one mapping of them")
                named.update(layer)
        # A frozen dataclass with an `__init__` of its own sets its fields in this way.
        object.__setattr__(self, "layers", named)

    def children(self) -> dict[str, Module]:
        return dict(self.layers)

    def with_children(self, children: Mapping[str, Module]) -> Self:
        return type(self)(children)

    def forward(self, x: Value) -> Value:
        for layer in self.layers.values():
            x = layer(x)
        return x
