"""Workloads of recurrent layers and of steps of training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np

from mlir_lite.types import Array

from . import recurrent
from .networks import block, lenet, perceptron
from .workload import Training, Workload, normal


def classifying(name: str, shape: tuple[int, ...], in_torch: str, training: Training) -> Workload:
    """A step of training a model of `models`, and its twin in `networks`, to tell ten classes."""

    def inputs() -> tuple[Array, ...]:
        return normal(*shape), np.random.default_rng(1).integers(0, 10, shape[:1])

    return _trained(name, inputs, in_torch, training)


def regressing(name: str, shape: tuple[int, ...], in_torch: str, training: Training) -> Workload:
    """A step of training a model of `models`, and its twin in `networks`, to give what is of the
    same shape."""
    return _trained(name, lambda: (normal(*shape), normal(*shape, seed=1)), in_torch, training)


def _trained(
    name: str, inputs: Callable[[], tuple[Array, ...]], in_torch: str, training: Training
) -> Workload:
    def module() -> Any:
        import torch

        from . import models

        torch.manual_seed(0)
        return getattr(models, in_torch)()

    def in_jax() -> Any:
        from . import networks

        return getattr(networks, f"jax_{in_torch.lower()}")

    return Workload(name, "train", inputs, module, in_jax, training=training)


def recurrence(name: str, kind: str, batch: int) -> Workload:
    """A recurrent layer over 128 steps."""

    def in_jax() -> Any:
        import jax

        weights = {key: jax.device_put(w) for key, w in recurrent.weights(kind).items()}
        return partial(recurrent.in_jax(kind), weights)

    shape = (recurrent.STEPS, batch, recurrent.INPUT)
    return Workload(
        name, "recurrent", lambda: (normal(*shape),), lambda: recurrent.in_torch(kind), in_jax
    )


def training_recurrence(name: str, batch: int) -> Workload:
    """A step of training an LSTM over 128 steps."""
    shape = (recurrent.STEPS, batch, recurrent.INPUT)
    wanted = (*shape[:2], recurrent.HIDDEN)
    return Workload(
        name,
        "recurrent",
        lambda: (normal(*shape), normal(*wanted, seed=1)),
        lambda: recurrent.in_torch("LSTM"),
        lambda: recurrent.in_jax("LSTM"),
        training=Training(recurrent.ours, "mse_loss", "SGD", _SGD),
    )


_SGD: Mapping[str, float] = MappingProxyType({"lr": 0.01})
# With a smaller epsilon, gradients that are 0 but for rounding (that of the bias of keys) would
# move weights by the whole rate, and no engine would be near float64.
_ADAMW: Mapping[str, float] = MappingProxyType({"lr": 1e-3, "weight_decay": 1e-2, "eps": 1e-4})
TRAINED = (
    recurrence("rnn_b1", "RNN", 1),
    recurrence("lstm_b1", "LSTM", 1),
    recurrence("lstm_b32", "LSTM", 32),
    training_recurrence("train_lstm_b32", 32),
    classifying(
        "train_mlp_b64", (64, 784), "Perceptron",
        Training(perceptron, "cross_entropy", "SGD", _SGD),
    ),
    classifying(
        "train_lenet_b64", (64, 1, 28, 28), "LeNet", Training(lenet, "cross_entropy", "SGD", _SGD)
    ),
    regressing(
        "train_block_b8", (8, 128, 256), "Block", Training(block, "mse_loss", "AdamW", _ADAMW)
    ),
)
