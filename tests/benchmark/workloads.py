"""What is measured: every workload, defined once.

A workload is a torch module (from which come its ONNX file and its float64 result), its inputs,
and where there is a natural way to write it for jax, that. One with `dsl` is written in our own
language instead of coming from an ONNX file, and only engines with a function of their own take it.
One with `training` is a step of training.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np

from mlir_lite.types import Array

from .layers import (
    Convolution,
    attention,
    chain,
    layer_norm,
    linear,
    product,
    small_layer,
    softmax,
    total,
    transpose,
)  # fmt: skip
from .trained import TRAINED
from .workload import Workload, normal


def model(
    name: str, shape: tuple[int, ...], make: Callable[[Any], Any], vocabulary: int | None = None
) -> Workload:
    """A whole model, made by functions of `models`; of tokens, where it has a vocabulary."""

    def inputs() -> tuple[Array, ...]:
        if vocabulary is None:
            return (normal(*shape),)
        return (np.random.default_rng(0).integers(0, vocabulary, shape),)

    def module() -> Any:
        import torch

        from . import models

        torch.manual_seed(0)
        return models.prepared(make(models), shape)

    return Workload(name, "models", inputs, module)


START = "start"  # the group that is measured from the model's file on
_IMAGE, _TEXT = (1, 3, 224, 224), (1, 128)
_CONVOLUTIONS = (
    Convolution(64, 64, 3, 56),
    Convolution(256, 256, 3, 14),
    Convolution(512, 512, 3, 7),
    Convolution(256, 64, 1, 56),
    Convolution(64, 256, 1, 56),
    Convolution(3, 64, 7, 224, stride=2),
    Convolution(144, 144, 3, 56, depthwise=True),
    Convolution(64, 3, 3, 224),
    Convolution(32, 1, 9, 128),
    Convolution(64, 12, 3, 128),
)
_MODELS = (
    model("mlp_b64", (64, 784), lambda m: m.Perceptron()),
    model("resnet18", _IMAGE, lambda m: m.resnet((2, 2, 2, 2), 1)),
    model("resnet50", _IMAGE, lambda m: m.resnet((3, 4, 6, 3), 4)),
    model("vgg16", _IMAGE, lambda m: m.vgg16()),
    model("mobilenetv2", _IMAGE, lambda m: m.mobilenet_v2()),
    model(
        "bert-base", _TEXT, lambda m: m.Transformer(12, 768, 12, 30522, causal=False), 30522
    ),
    model(
        "gpt2-small", _TEXT, lambda m: m.Transformer(12, 768, 12, 50257, causal=True), 50257
    ),
    model(
        "minilm-l6", _TEXT, lambda m: m.Transformer(6, 384, 12, 30522, causal=False), 30522
    ),
)


def narrow(precision: str, *names: str) -> tuple[Workload, ...]:
    """These models in another precision, a group of its own."""
    return tuple(
        replace(
            work,
            name=f"{work.name}_{precision}",
            group=precision,
            precision=precision,
            base="" if precision == "int8" else work.name,
        )
        for work in _MODELS
        if work.name in names
    )


def started(*names: str) -> tuple[Workload, ...]:
    """These models until their first result."""
    return tuple(
        replace(work, name=f"{work.name}_{START}", group=START, is_plain=True, base=work.name)
        for work in _MODELS
        if work.name in names
    )


_ALL = (
    *(product(n, n, n) for n in (64, 256, 512, 1024, 2048)),
    product(128, 768, 3072),
    product(1, 4096, 4096),
    linear(128, 768, 3072),
    linear(1, 4096, 4096),
    *(sizes.channels_first() for sizes in _CONVOLUTIONS),
    *(sizes.channels_last() for sizes in _CONVOLUTIONS),
    softmax(4096, 1024),
    layer_norm(4096, 768),
    chain(4096),
    total(4096),
    transpose(4096),
    attention(128),
    attention(1024),
    *_MODELS,
    *narrow("bf16", "resnet50", "mobilenetv2", "bert-base", "minilm-l6"),
    *narrow("int8", "resnet18", "mobilenetv2"),
    *TRAINED,
    small_layer(8),
    *started("mlp_b64", "resnet18", "resnet50", "mobilenetv2", "bert-base"),
)
WORKLOADS: Mapping[str, Workload] = MappingProxyType({work.name: work for work in _ALL})
GROUPS = tuple(dict.fromkeys(work.group for work in _ALL))


def chosen(text: str) -> list[Workload]:
    """The workloads that names and groups with commas mean; `ValueError` for one unknown."""
    found: dict[str, Workload] = {}
    for part in text.split(","):
        matching = [work for work in _ALL if part in (work.name, work.group)]
        if not matching:
            known = ", ".join((*GROUPS, *WORKLOADS))
            raise ValueError(f"no workload or group '{part}'; there are {known}")
        found |= {work.name: work for work in matching}
    return list(found.values())
