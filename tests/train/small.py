"""A small network with everything that a training changes, and data for it."""

from __future__ import annotations

import numpy as np

import mlir_lite as ml
from mlir_lite import Value, nn
from mlir_lite.types import Array


class Small(nn.Module):
    """A norm that keeps statistics, a dropout that draws."""

    first: nn.Linear = nn.Linear(5, 8)
    norm: nn.BatchNorm1d = nn.BatchNorm1d(8)
    drop: nn.Dropout = nn.Dropout(0.25)
    last: nn.Linear = nn.Linear(8, 3)

    def forward(self, x: Value) -> Value:
        return self.last(self.drop(ml.relu(self.norm(self.first(x)))))


def examples(count: int = 48) -> tuple[Array, Array]:
    """Points and the number of the largest of their first three coordinates."""
    x = np.random.default_rng(3).standard_normal((count, 5)).astype(np.float32)
    return x, x[:, :3].argmax(1)
