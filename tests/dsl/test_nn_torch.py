"""Every layer against torch: the same weights by name, the same outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import mlir_lite as ml
from mlir_lite import f32, i64, nn
from mlir_lite.types import Array

torch = pytest.importorskip("torch")


@dataclass(frozen=True)
class Sample:
    """A layer, torch's of the same name, and the shape of the input."""

    layer: nn.Module
    torch_layer: Any  # a torch.nn.Module; torch is not there for the type checker
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{type(self.layer).__name__}-{'x'.join(map(str, self.shape))}"


SAMPLES = [
    Sample(nn.Linear(3, 5), torch.nn.Linear(3, 5), (2, 7, 3)),
    *(
        Sample(getattr(nn, name)(), getattr(torch.nn, name)(), (2, 3))
        for name in (
            *("Identity", "ReLU6", "LeakyReLU", "PReLU", "ELU", "SELU", "Softplus", "Mish"),
            *("Hardswish", "Hardsigmoid"),
        )
    ),
    Sample(nn.LeakyReLU(0.3), torch.nn.LeakyReLU(0.3), (2, 3)),
    Sample(nn.ELU(0.3), torch.nn.ELU(0.3), (2, 3)),
    Sample(nn.PReLU(3), torch.nn.PReLU(3), (2, 3, 5)),
    Sample(nn.LogSoftmax(1), torch.nn.LogSoftmax(1), (2, 5, 3)),
    Sample(nn.Linear(3, 1, bias=False), torch.nn.Linear(3, 1, bias=False), (3,)),
    Sample(nn.Conv1d(2, 3, 3), torch.nn.Conv1d(2, 3, 3), (2, 2, 7)),
    Sample(
        nn.Conv1d(2, 4, 2, 2, 1, 2, groups=2, bias=False),
        torch.nn.Conv1d(2, 4, 2, 2, 1, 2, groups=2, bias=False),
        (1, 2, 9),
    ),
    Sample(
        nn.Conv2d(2, 4, (3, 2), (2, 1), (1, 0)),
        torch.nn.Conv2d(2, 4, (3, 2), (2, 1), (1, 0)),
        (2, 2, 5, 7),
    ),
    Sample(nn.Conv2d(4, 4, 3, groups=4), torch.nn.Conv2d(4, 4, 3, groups=4), (1, 4, 3, 5)),
    Sample(
        nn.ConvTranspose2d(4, 6, 3, 2, 1, groups=2, output_padding=(1, 0)),
        torch.nn.ConvTranspose2d(4, 6, 3, 2, 1, output_padding=(1, 0), groups=2),
        (2, 4, 3, 5),
    ),
    Sample(
        nn.Conv2d(2, 4, (3, 4), padding="same", dilation=(1, 2)),
        torch.nn.Conv2d(2, 4, (3, 4), padding="same", dilation=(1, 2)),
        (2, 2, 5, 7),
    ),
    Sample(
        nn.Conv2d(2, 4, 3, 2, padding="valid"),
        torch.nn.Conv2d(2, 4, 3, 2, padding="valid"),
        (2, 2, 5, 7),
    ),
    Sample(nn.Conv3d(2, 4, 3, padding=1), torch.nn.Conv3d(2, 4, 3, padding=1), (1, 2, 3, 4, 5)),
    Sample(
        nn.ConvTranspose1d(4, 6, 3, 2, 1), torch.nn.ConvTranspose1d(4, 6, 3, 2, 1), (2, 4, 5)
    ),
    Sample(
        nn.ConvTranspose3d(4, 2, 2, 2), torch.nn.ConvTranspose3d(4, 2, 2, 2), (1, 4, 2, 3, 4)
    ),
    Sample(nn.BatchNorm3d(3), torch.nn.BatchNorm3d(3), (2, 3, 2, 4, 5)),
    Sample(nn.InstanceNorm1d(3), torch.nn.InstanceNorm1d(3), (2, 3, 7)),
    Sample(
        nn.InstanceNorm2d(3, 1e-3, affine=True),
        torch.nn.InstanceNorm2d(3, 1e-3, affine=True),
        (2, 3, 4, 5),
    ),
    Sample(nn.InstanceNorm3d(3), torch.nn.InstanceNorm3d(3), (2, 3, 2, 4, 5)),
    Sample(nn.BatchNorm1d(3), torch.nn.BatchNorm1d(3), (5, 3)),
    Sample(nn.BatchNorm1d(3), torch.nn.BatchNorm1d(3), (2, 3, 7)),
    Sample(nn.BatchNorm2d(3, 1e-3), torch.nn.BatchNorm2d(3, 1e-3), (2, 3, 4, 5)),
    Sample(nn.LayerNorm(7), torch.nn.LayerNorm(7), (2, 3, 7)),
    Sample(
        nn.LayerNorm((3, 7), 1e-2, bias=False),
        torch.nn.LayerNorm((3, 7), 1e-2, bias=False),
        (2, 3, 7),
    ),
    Sample(nn.RMSNorm(7), torch.nn.RMSNorm(7), (2, 3, 7)),
    Sample(nn.RMSNorm((3, 7), 1e-2), torch.nn.RMSNorm((3, 7), 1e-2), (2, 3, 7)),
    Sample(nn.GroupNorm(2, 4), torch.nn.GroupNorm(2, 4), (3, 4, 5)),
    Sample(nn.ReLU(), torch.nn.ReLU(), (2, 3)),
    Sample(nn.GELU(), torch.nn.GELU(), (2, 3)),
    Sample(nn.GELU("tanh"), torch.nn.GELU("tanh"), (2, 3)),
    Sample(nn.SiLU(), torch.nn.SiLU(), (2, 3)),
    Sample(nn.Sigmoid(), torch.nn.Sigmoid(), (2, 3)),
    Sample(nn.Tanh(), torch.nn.Tanh(), (2, 3)),
    Sample(nn.Softmax(1), torch.nn.Softmax(1), (2, 5, 3)),
    Sample(nn.Dropout(0.9), torch.nn.Dropout(0.9), (2, 3)),
    Sample(nn.Flatten(), torch.nn.Flatten(), (2, 3, 4)),
    Sample(nn.MaxPool2d(2), torch.nn.MaxPool2d(2), (1, 2, 5, 6)),
    Sample(
        nn.MaxPool2d((3, 2), 2, 1, (1, 2), ceil_mode=True),
        torch.nn.MaxPool2d((3, 2), 2, 1, (1, 2), ceil_mode=True),
        (1, 2, 7, 8),
    ),
    Sample(nn.AvgPool2d(3, 2, 1), torch.nn.AvgPool2d(3, 2, 1), (1, 2, 7, 6)),
    Sample(
        nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False),
        torch.nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False),
        (1, 2, 6, 7),
    ),
    Sample(nn.MaxPool1d(3, 2, 1), torch.nn.MaxPool1d(3, 2, 1), (1, 2, 7)),
    Sample(nn.MaxPool3d(2), torch.nn.MaxPool3d(2), (1, 2, 4, 5, 6)),
    Sample(nn.AvgPool1d(3, 2, 1), torch.nn.AvgPool1d(3, 2, 1), (1, 2, 7)),
    Sample(nn.AvgPool3d(2), torch.nn.AvgPool3d(2), (1, 2, 4, 5, 6)),
    Sample(nn.Upsample(scale_factor=2), torch.nn.Upsample(scale_factor=2), (1, 2, 3, 4)),
    Sample(nn.Upsample(7), torch.nn.Upsample(7), (1, 2, 5)),
    Sample(
        nn.Upsample(scale_factor=(1.5, 2), mode="bilinear"),
        torch.nn.Upsample(scale_factor=(1.5, 2), mode="bilinear"),
        (1, 2, 4, 5),
    ),
    Sample(
        nn.Upsample((7, 9), mode="bicubic", align_corners=True),
        torch.nn.Upsample((7, 9), mode="bicubic", align_corners=True),
        (1, 2, 4, 5),
    ),
    Sample(nn.AdaptiveAvgPool2d(), torch.nn.AdaptiveAvgPool2d(1), (2, 3, 5, 7)),
    Sample(nn.AdaptiveAvgPool2d((2, 3)), torch.nn.AdaptiveAvgPool2d((2, 3)), (2, 3, 4, 9)),
    Sample(
        nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)),
        torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2)),
        (2, 3),
    ),
]


def random_state(torch_layer: Any) -> dict[str, Array]:
    """Random weights put into a torch layer, as arrays by name; variances are positive."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in torch_layer.state_dict().items():
            if tensor.dtype.is_floating_point:
                tensor.normal_(generator=generator)
                if name.endswith("running_var"):
                    tensor.abs_().add_(0.1)
    state = torch_layer.state_dict().items()
    return {
        name: tensor.numpy() for name, tensor in state if not name.endswith("num_batches_tracked")
    }


def normal(*shape: int) -> Array:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def run_torch(torch_layer: Any, *inputs: Array, **options: object) -> Array:
    tensors = [torch.from_numpy(array) for array in inputs]
    with torch.no_grad():
        result: Array = torch_layer.eval()(*tensors, **options).numpy()
    return result


def assert_close(ours: Array | tuple[Array, ...], theirs: Array) -> None:
    """Within 1e-5 of the largest output: some hundred roundings of f32, of either side."""
    assert np.shape(ours) == theirs.shape
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5 * max(1, np.abs(theirs).max()))


@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_a_layer_gives_what_torchs_gives(sample: Sample) -> None:
    weights = random_state(sample.torch_layer)
    declared = {name: entry.type.shape for name, entry in sample.layer.parameters().items()}
    assert declared == {name: array.shape for name, array in weights.items()}
    fn = ml.function(sample.layer, f32[sample.shape]).bind(weights)
    x = normal(*sample.shape)
    assert_close(ml.evaluate(fn, x), run_torch(sample.torch_layer, x))


def test_embedding() -> None:
    theirs = torch.nn.Embedding(7, 3)
    ids = np.array([[0, 6], [3, 3]])
    fn = ml.function(nn.Embedding(7, 3), i64[2, 2]).bind(random_state(theirs))
    assert_close(ml.evaluate(fn, ids), run_torch(theirs, ids))


def attention(bias: bool = True) -> tuple[Any, Mapping[str, Array]]:
    theirs = torch.nn.MultiheadAttention(6, 2, bias=bias, batch_first=True)
    return theirs, random_state(theirs)


def run_attention(theirs: Any, inputs: tuple[Array, ...], mask: Array | None) -> Array:
    added = None if mask is None else torch.from_numpy(mask)
    with torch.no_grad():
        tensors = [torch.from_numpy(array) for array in inputs]
        result: Array = theirs.eval()(*tensors, need_weights=False, attn_mask=added)[0].numpy()
    return result


@pytest.mark.parametrize("bias", [True, False])
def test_attention_to_itself_for_any_batch(bias: bool) -> None:
    theirs, weights = attention(bias)
    x = normal(3, 5, 6)
    fn = ml.function(nn.MultiheadAttention(6, 2, bias), f32["batch", 5, 6]).bind(weights)
    assert_close(ml.evaluate(fn, x), run_attention(theirs, (x, x, x), None))


def test_causal_attention() -> None:
    theirs, weights = attention()
    x = normal(3, 5, 6)
    hidden = np.where(np.tri(5, dtype=bool), np.float32(0), np.float32(-np.inf))
    fn = ml.function(nn.MultiheadAttention(6, 2, causal=True), f32[3, 5, 6]).bind(weights)
    assert_close(ml.evaluate(fn, x), run_attention(theirs, (x, x, x), hidden))


def test_attention_to_others_with_a_mask() -> None:
    theirs, weights = attention()
    query, key, value, mask = normal(2, 3, 6), normal(2, 5, 6) + 1, normal(2, 5, 6), normal(3, 5)
    types = f32[2, 3, 6], f32[2, 5, 6], f32[2, 5, 6], f32[3, 5]
    fn = ml.function(nn.MultiheadAttention(6, 2), *types).bind(weights)
    ours = ml.evaluate(fn, query, key, value, mask)
    assert_close(ours, run_attention(theirs, (query, key, value), mask))


@pytest.mark.parametrize("norm_first", [False, True])
def test_transformer_layer(norm_first: bool) -> None:
    theirs = torch.nn.TransformerEncoderLayer(
        6, 2, 11, activation="gelu", norm_first=norm_first, batch_first=True
    )
    ours = nn.TransformerEncoderLayer(6, 2, 11, activation="gelu", norm_first=norm_first)
    fn = ml.function(ours, f32[3, 5, 6]).bind(random_state(theirs))
    x = normal(3, 5, 6)
    with torch.no_grad():
        wanted = theirs.eval()(torch.from_numpy(x)).numpy()
    assert_close(ml.evaluate(fn, x), wanted)


def test_heads_that_share_keys_are_those_of_repeated_keys() -> None:
    layer = nn.MultiheadAttention(12, 6, causal=True, num_kv_heads=2)
    weights = {name: array + normal(*array.shape) / 4 for name, array in layer.init().items()}
    x = normal(2, 5, 12)
    found = ml.compile(ml.function(layer, f32[2, 5, 12]).bind(weights))(x)
    packed = torch.from_numpy(x @ weights["in_proj_weight"].T + weights["in_proj_bias"])
    q, k, v = (
        part.reshape(2, 5, -1, 2).transpose(1, 2) for part in packed.split([12, 4, 4], dim=-1)
    )
    mixed = torch.nn.functional.scaled_dot_product_attention(
        q, k, v, is_causal=True, enable_gqa=True
    )
    y = mixed.transpose(1, 2).reshape(2, 5, 12).numpy() @ weights["out_proj.weight"].T
    assert_close(found, y + weights["out_proj.bias"])
