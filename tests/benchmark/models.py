"""Whole models as torch modules, with random weights from a fixed seed."""

# mypy: disable-error-code="misc"
# torch has no types here, so each of its subclasses is one of an unknown class.

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from mlir_lite.types import Array


class Formula(nn.Module):
    """A function of tensors as a module."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *tensors: Tensor) -> Tensor:
        return self.function(*tensors)


def linear(weight: Array, bias: Array) -> nn.Module:
    """`x @ weight + bias` for a weight of shape (in, out)."""
    inputs, outputs = weight.shape
    layer = nn.Linear(inputs, outputs)
    return loaded(layer, weight=weight.T.copy(), bias=bias)


def conv(weight: Array, bias: Array, stride: int) -> nn.Module:
    """A convolution for a weight of shape (out, in / groups, k, k): depthwise where that has one
    input channel; padded by half a window."""
    outputs, per_group, size, _ = weight.shape
    groups = outputs if per_group == 1 else 1
    inputs = per_group * groups
    layer = nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups)
    return loaded(layer, weight=weight, bias=bias)


def loaded(layer: nn.Module, **weights: Array) -> nn.Module:
    """A layer with these weights."""
    layer.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    return layer.eval().requires_grad_(False)


class ChannelsLast(nn.Module):
    """A layer of images whose channels come last."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x.permute(0, 3, 1, 2))
        return y.permute(0, 2, 3, 1)


class Perceptron(nn.Sequential):
    """784-512-512-10 with ReLU."""

    def __init__(self) -> None:
        super().__init__(
            nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10)
        )


class LeNet(nn.Sequential):
    """LeNet-5 (LeCun et al., 1998) with ReLU and the largest of each window."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
            nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
        )  # fmt: skip


class Block(nn.Module):
    """A transformer's block with norms before attention and layers."""

    def __init__(self, width: int = 256, heads: int = 8, hidden: int = 1024) -> None:
        super().__init__()
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.wide, self.narrow = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        y = self.before(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        narrow: Tensor = self.narrow(functional.gelu(self.wide(self.between(x))))
        return x + narrow


def normalised(
    inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """A convolution and its batch normalisation."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    )


class Residual(nn.Module):
    """A ResNet block: two 3x3 convolutions, or 1x1, 3x3, 1x1 (He et al., 2015; stride at 3x3)."""

    def __init__(self, inputs: int, width: int, stride: int, expansion: int) -> None:
        super().__init__()
        outputs = width * expansion
        if expansion == 1:
            layers = [normalised(inputs, width, 3, stride), nn.ReLU(), normalised(width, width, 3)]
        else:
            layers = [
                normalised(inputs, width, 1), nn.ReLU(),
                normalised(width, width, 3, stride), nn.ReLU(),
                normalised(width, outputs, 1),
            ]  # fmt: skip
        self.body = nn.Sequential(*layers)
        same = stride == 1 and inputs == outputs
        self.side = nn.Identity() if same else normalised(inputs, outputs, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.body(x) + self.side(x))


def resnet(depths: Sequence[int], expansion: int) -> nn.Module:
    """ResNet with so many blocks in each of its stages."""
    layers: list[nn.Module] = [normalised(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    channels = 64
    for stage, depth in enumerate(depths):
        for block in range(depth):
            stride = 2 if stage and not block else 1
            layers.append(Residual(channels, 64 << stage, stride, expansion))
            channels = (64 << stage) * expansion
    return nn.Sequential(*layers, *classifier(channels))


def classifier(channels: int) -> tuple[nn.Module, ...]:
    return nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 1000)


class Inverted(nn.Module):
    """An inverted residual of MobileNetV2 (Sandler et al., 2018): 1x1, depthwise 3x3, 1x1."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        first = [normalised(inputs, hidden, 1), nn.ReLU6()] if expansion > 1 else []
        self.body = nn.Sequential(
            *first,
            normalised(hidden, hidden, 3, stride, hidden), nn.ReLU6(),
            normalised(hidden, outputs, 1),
        )  # fmt: skip
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x)
        return x + y if self.adds else y


# Expansion, channels, blocks, stride of the first.
_MOBILE = (
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
    (6, 320, 1, 1),
)  # fmt: skip


def mobilenet_v2() -> nn.Module:
    layers: list[nn.Module] = [normalised(3, 32, 3, 2), nn.ReLU6()]
    channels = 32
    for expansion, outputs, blocks, stride in _MOBILE:
        for block in range(blocks):
            layers.append(Inverted(channels, outputs, 1 if block else stride, expansion))
            channels = outputs
    return nn.Sequential(*layers, normalised(channels, 1280, 1), nn.ReLU6(), *classifier(1280))


def vgg16() -> nn.Module:
    """VGG-16 (Simonyan and Zisserman, 2014)."""
    layers: list[nn.Module] = []
    channels = 3
    for outputs, depth in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(depth):
            layers += [nn.Conv2d(channels, outputs, 3, padding=1), nn.ReLU()]
            channels = outputs
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(
        *layers, nn.Flatten(),
        nn.Linear(25088, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, 1000),
    )  # fmt: skip


class Attention(nn.Module):
    def __init__(self, width: int, heads: int, *, causal: bool) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        shape = (batch, tokens, self.heads, width // self.heads)
        query, key, value = (
            layer(x).view(shape).transpose(1, 2) for layer in (self.query, self.key, self.value)
        )
        y = functional.scaled_dot_product_attention(query, key, value, is_causal=self.causal)
        mixed: Tensor = self.out(y.transpose(1, 2).reshape(batch, tokens, width))
        return mixed


class Layer(nn.Module):
    """A layer of a transformer: normalised before (GPT-2, causal) or after (BERT)."""

    def __init__(self, width: int, heads: int, *, causal: bool) -> None:
        super().__init__()
        self.before = causal
        self.attention = Attention(width, heads, causal=causal)
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.body = nn.Sequential(
            nn.Linear(width, 4 * width),
            nn.GELU("tanh" if causal else "none"),
            nn.Linear(4 * width, width),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor
        if self.before:
            x = x + self.attention(self.first(x))
            y = x + self.body(self.second(x))
        else:
            x = self.first(x + self.attention(x))
            y = self.second(x + self.body(x))
        return y


class Transformer(nn.Module):
    """BERT's encoder, or (causal) GPT-2 with logits for every position; `head` is tied."""

    def __init__(
        self, layers: int, width: int, heads: int, vocabulary: int, *, causal: bool
    ) -> None:
        super().__init__()
        self.causal = causal
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(512, width)
        self.norm = nn.LayerNorm(width)
        self.layers = nn.Sequential(*(Layer(width, heads, causal=causal) for _ in range(layers)))

    def forward(self, ids: Tensor) -> Tensor:
        x = self.tokens(ids) + self.positions.weight[: ids.shape[1]]
        if self.causal:
            return functional.linear(self.norm(self.layers(x)), self.tokens.weight)
        encoded: Tensor = self.layers(self.norm(x))
        return encoded


def prepared(module: nn.Module, shape: tuple[int, ...]) -> nn.Module:
    """A model for inference. Weights keep activations in a range in which errors show."""
    norms = [part for part in module.modules() if isinstance(part, nn.BatchNorm2d)]
    for part in module.modules():
        if isinstance(part, nn.Embedding):
            nn.init.normal_(part.weight, 0, 0.02)
        elif isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight)
    for norm in norms:
        nn.init.uniform_(norm.weight, 0.5, 1.0)
        nn.init.uniform_(norm.bias, -0.2, 0.2)
        norm.momentum = 1.0  # the statistics become those of the one batch below
    if norms:
        with torch.no_grad():
            module.train()(torch.randn(2, *shape[1:]))
    return module.eval().requires_grad_(False)
