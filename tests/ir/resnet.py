"""A network of the size that people compile, ResNet-50 (He et al. 2015), with weights that count
how often they are read."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np

import mlir_lite as ml
from mlir_lite import Value, f32
from mlir_lite.dsl import nn
from mlir_lite.ir import Builder, ConstantData, Function
from mlir_lite.ops.base.constant import constant
from mlir_lite.ops.table import TABLE
from mlir_lite.types import Array, TensorType


class Convolution(nn.Module):
    """A convolution with its norm."""

    conv: nn.Conv2d
    norm: nn.BatchNorm2d

    def forward(self, x: Value) -> Value:
        return self.norm(self.conv(x))


def convolution(inputs: int, outputs: int, taps: int, stride: int = 1) -> Convolution:
    conv = nn.Conv2d(inputs, outputs, taps, stride, padding=taps // 2, bias=False)
    return Convolution(conv, nn.BatchNorm2d(outputs))


class Bottleneck(nn.Module):
    """1×1, 3×3, 1×1 and a skip connection, which `shortcut` brings to the same shape."""

    convs: tuple[Convolution, Convolution, Convolution]
    shortcut: Convolution | None

    def forward(self, x: Value) -> Value:
        first, second, third = self.convs
        skipped = self.shortcut(x) if self.shortcut else x
        return ml.relu(third(ml.relu(second(ml.relu(first(x))))) + skipped)


def bottleneck(inputs: int, inner: int, stride: int) -> Bottleneck:
    outputs = 4 * inner
    convs = (
        convolution(inputs, inner, 1),
        convolution(inner, inner, 3, stride),
        convolution(inner, outputs, 1),
    )
    same = stride == 1 and inputs == outputs
    return Bottleneck(convs, None if same else convolution(inputs, outputs, 1, stride))


class ResNet50(nn.Module):
    """Images `(batch, 3, height, width)` to scores `(batch, 1000)`."""

    stem: Convolution
    pool: nn.MaxPool2d
    blocks: tuple[Bottleneck, ...]
    head: nn.Linear

    def forward(self, images: Value) -> Value:
        x = self.pool(ml.relu(self.stem(images)))
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean((2, 3)))


def resnet50() -> ResNet50:
    blocks: list[Bottleneck] = []
    channels = 64
    for stage, count in enumerate((3, 4, 6, 3)):
        inner = 64 << stage
        for place in range(count):
            blocks.append(bottleneck(channels, inner, 2 if stage and not place else 1))
            channels = 4 * inner
    stem, head = convolution(3, 64, 7, 2), nn.Linear(channels, 1000)
    return ResNet50(stem, nn.MaxPool2d(3, 2, 1), tuple(blocks), head)


@dataclass(eq=False)
class Counting:
    """Random data that counts how often it is read."""

    type: TensorType
    seed: int
    reads: int = 0

    def read(self) -> Array:
        self.reads += 1
        random = np.random.default_rng(self.seed)
        return random.standard_normal(self.type.static_shape, np.float32)

    def origin(self) -> Hashable:
        return self


def resnet50_with_weights() -> tuple[Function, tuple[Counting, ...]]:
    """The function of any number of images with its weights bound, and where those come from."""
    fn = ml.function(resnet50(), f32["batch", 3, 224, 224], name="resnet50")
    builder = Builder(TABLE)
    sources: list[Counting] = []
    with builder.active():
        *params, images = fn.params
        weights: list[Value] = []
        for seed, param in enumerate(params):
            sources.append(Counting(param.type, seed))
            weights.append(constant(ConstantData(param.type, sources[-1], param.name)))
        scores = fn(*weights, images)
    assert isinstance(scores, Value)
    return builder.finish(fn.name, (images,), (scores,)), tuple(sources)
