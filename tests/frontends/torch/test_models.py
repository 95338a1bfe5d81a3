"""Networks of the usual kinds, imported whole, compiled, and held against torch in float64."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import mlir_lite as ml

if TYPE_CHECKING:
    import torch
    from torch import nn
else:
    torch = pytest.importorskip("torch")
    nn = torch.nn

from frontends.torch.modules import module

F = nn.functional
# Torch's own exporter warns of its own types.
pytestmark = pytest.mark.filterwarnings("ignore")


def residual(channels: int, out: int, stride: int) -> Any:
    def forward(self: Any, x: Any) -> Any:
        y = F.relu(self.norm1(self.conv1(x)), inplace=True)
        return F.relu(self.norm2(self.conv2(y)) + self.shortcut(x))

    return module(
        "Residual",
        forward,
        conv1=nn.Conv2d(channels, out, 3, stride, 1, bias=False),
        norm1=nn.BatchNorm2d(out),
        conv2=nn.Conv2d(out, out, 3, 1, 1, bias=False),
        norm2=nn.BatchNorm2d(out),
        shortcut=nn.Conv2d(channels, out, 1, stride),
    )


def resnet() -> Any:
    stem = [nn.Conv2d(3, 16, 7, 2, 3, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    blocks = [nn.MaxPool2d(3, 2, 1), residual(16, 16, 1), residual(16, 32, 2)]
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))


def inverted(channels: int, out: int, stride: int) -> Any:
    def forward(self: Any, x: Any) -> Any:
        y = self.body(x)
        return x + y if x.shape == y.shape else y

    wide = 4 * channels
    body = nn.Sequential(
        nn.Conv2d(channels, wide, 1, bias=False),
        nn.BatchNorm2d(wide),
        nn.ReLU6(inplace=True),
        nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False),
        nn.BatchNorm2d(wide),
        nn.Hardswish(),
        nn.Conv2d(wide, out, 1, bias=False),
        nn.BatchNorm2d(out),
    )
    return module("Inverted", forward, body=body)


def mobilenet() -> Any:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), inverted(8, 8, 1), inverted(8, 16, 2), nn.AdaptiveAvgPool2d(1)
    )


def tagger() -> Any:
    def forward(self: Any, ids: Any) -> Any:
        y, (last, _) = self.lstm(self.table(ids))
        return {"tags": self.head(y).log_softmax(-1), "last": last}

    lstm = nn.LSTM(12, 16, num_layers=2, batch_first=True, bidirectional=True)
    return module("Tagger", forward, table=nn.Embedding(50, 12), lstm=lstm, head=nn.Linear(32, 7))


def gpt() -> Any:
    def attend(self: Any, x: Any) -> Any:
        parts = self.inputs(x).chunk(3, -1)
        q, k, v = (part.unflatten(-1, (4, -1)).transpose(1, 2) for part in parts)
        seen = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.output(seen.transpose(1, 2).flatten(2))

    def block(self: Any, x: Any) -> Any:
        x = x + self.attend(self.before(x))
        return x + self.down(F.gelu(self.up(self.between(x)), approximate="tanh"))

    def forward(self: Any, ids: Any) -> Any:
        places = torch.arange(ids.shape[1])
        x = self.block(self.table(ids) + self.places(places))
        return F.linear(self.norm(x), self.table.weight)

    wide = nn.Linear(32, 96), nn.Linear(32, 32)
    attended = module("Attend", attend, inputs=wide[0], output=wide[1])
    norms = {"before": nn.LayerNorm(32), "between": nn.LayerNorm(32)}
    feed = {"up": nn.Linear(32, 128), "down": nn.Linear(128, 32)}
    made = module("Block", block, attend=attended, **norms, **feed)
    tables = {"table": nn.Embedding(50, 32), "places": nn.Embedding(64, 32)}
    return module("Gpt", forward, block=made, norm=nn.LayerNorm(32), **tables)


def encoder() -> Any:
    layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)


def images(*shape: int) -> Any:
    return torch.randn(*shape)


def ids(*shape: int) -> Any:
    return torch.randint(0, 50, shape)


MODELS = {
    "resnet": (resnet, images, (2, 3, 40, 40)),
    "mobilenet": (mobilenet, images, (2, 3, 32, 32)),
    "tagger": (tagger, ids, (3, 9)),
    "gpt": (gpt, ids, (2, 11)),
    "encoder": (encoder, images, (2, 9, 32)),
}


def leaves(found: Any) -> list[Any]:
    """Tensors as arrays, and arrays."""
    parts = torch.utils._pytree.tree_leaves(found)
    return [part.detach().numpy() if isinstance(part, torch.Tensor) else part for part in parts]


@pytest.mark.parametrize("name", MODELS)
def test_models_give_what_torch_gives_for_any_batch(name: str) -> None:
    torch.manual_seed(0)
    make, inputs, shape = MODELS[name]
    model = make().eval()
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2)
    # Zeros as examples: nothing of the values may stay in the program.
    example = inputs(*shape) * 0
    fn = ml.from_torch(model, example, dynamic_shapes=({0: torch.export.Dim("batch")},))
    run = ml.compile(fn)
    for batch in (1, 4):
        x = inputs(batch, *shape[1:])
        own = leaves(model.float()(x))
        best = leaves(model.double()(x.double() if x.is_floating_point() else x))
        model.float()
        found = run(x)
        for have, like, want in zip(leaves(found), own, best, strict=True):
            limit = max(2 * np.abs(like - want).max(), 8 * 2**-24 * np.abs(want).max())
            assert np.abs(have - want).max() <= limit
