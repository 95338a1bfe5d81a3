"""Two networks that people run on cards, with random weights: ResNet-18 (He et al. 2015) and
MobileNetV2 (Sandler et al. 2018), their norms folded into the convolutions."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod

import numpy as np

import mlir_lite as ml
from mlir_lite import Function, Value, f32
from mlir_lite.types import Array


@dataclass
class Weights:
    """Random weights that keep numbers about as large as they are."""

    random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def of(self, *shape: int) -> Array:
        scale = np.sqrt(2 / max(1, prod(shape[1:])))
        numbers: Array = self.random.standard_normal(shape) * scale
        return numbers.astype(np.float32)

    def conv(self, x: Value, out: int, taps: int, stride: int = 1, groups: int = 1) -> Value:
        inner = x.type.static_shape[1] // groups
        weight, bias = self.of(out, inner, taps, taps), self.of(out) * np.float32(0.1)
        return ml.conv2d(x, weight, bias, stride=stride, padding=taps // 2, groups=groups)

    def head(self, x: Value) -> Value:
        """Scores of a thousand classes."""
        channels = x.type.static_shape[1]
        return ml.mean(x, (2, 3)) @ self.of(1000, channels).T + self.of(1000)


def resnet18(batch: int, side: int) -> Function:
    weights = Weights()

    def block(x: Value, out: int, stride: int) -> Value:
        y = ml.relu(weights.conv(x, out, 3, stride))
        if x.type.static_shape[1] != out:
            x = weights.conv(x, out, 1, stride)
        return ml.relu(weights.conv(y, out, 3) + x)

    def network(x: Value) -> Value:
        x = ml.relu(weights.conv(x, 64, 7, 2))
        x = ml.max_pool(x, 3, strides=2, padding=1)
        for out, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
            x = block(block(x, out, stride), out, 1)
        return weights.head(x)

    return ml.function(f32[batch, 3, side, side], name="resnet18")(network)


_STAGES = (  # times wider inside, channels, blocks, stride of the first
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
    (6, 320, 1, 1),
)  # fmt: skip


def mobilenet2(batch: int, side: int) -> Function:
    weights = Weights()

    def clipped(x: Value) -> Value:
        return ml.minimum(ml.relu(x), 6.0)

    def block(x: Value, wider: int, out: int, stride: int) -> Value:
        inner = x.type.static_shape[1] * wider
        y = clipped(weights.conv(x, inner, 1)) if wider > 1 else x
        y = clipped(weights.conv(y, inner, 3, stride, groups=inner))
        y = weights.conv(y, out, 1)
        return x + y if stride == 1 and x.shape == y.shape else y

    def network(x: Value) -> Value:
        x = clipped(weights.conv(x, 32, 3, 2))
        for wider, out, blocks, stride in _STAGES:
            for place in range(blocks):
                x = block(x, wider, out, 1 if place else stride)
        return weights.head(weights.conv(x, 1280, 1))

    return ml.function(f32[batch, 3, side, side], name="mobilenet2")(network)
