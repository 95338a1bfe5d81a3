"""This compiler as an engine of training steps, for a benchmark that loads Python files.

Such a benchmark calls `e_mlir_lite(w, threads, cache)`: `w` has a torch module with named
parameters, and examples and labels as inputs; the step is one of SGD with rate 0.01. It gets a call
that does one step, and one that gives the results of the first: the loss, then the parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import mlir_lite as ml
from mlir_lite import f32, i64, nn
from mlir_lite.types import Array

_RATE = 0.01


def e_mlir_lite(
    w: Any, threads: int, cache: str
) -> tuple[Callable[[], object], Callable[[], Sequence[Array]]]:
    x, labels = w.inputs
    weights = {name: entry.detach().numpy() for name, entry in w.module.named_parameters()}
    module = _perceptron() if "mlp" in w.name else _lenet()
    step = ml.train.step(
        module, ml.cross_entropy, ml.train.SGD(_RATE), inputs=f32[x.shape], targets=i64[len(x)]
    )
    compiled = ml.compile(step.function, threads=threads)
    state = step.initial(weights)
    arrays = (*state.values(), x, labels)

    def run() -> object:
        return compiled(*arrays)[len(state)]

    loss = np.array(run())
    first = [loss, *(state[name].copy() for name in weights)]
    return run, lambda: first


def _perceptron() -> nn.Module:
    return nn.Sequential(
        {
            "a": nn.Linear(784, 512), "first": nn.ReLU(),
            "b": nn.Linear(512, 512), "second": nn.ReLU(), "c": nn.Linear(512, 10),
        }
    )  # fmt: skip


def _lenet() -> nn.Module:
    return nn.Sequential(
        {
            "c1": nn.Conv2d(1, 6, 5, padding=2), "first": nn.ReLU(), "pool1": nn.MaxPool2d(2),
            "c2": nn.Conv2d(6, 16, 5), "second": nn.ReLU(), "pool2": nn.MaxPool2d(2),
            "flat": nn.Flatten(), "f1": nn.Linear(400, 120), "third": nn.ReLU(),
            "f2": nn.Linear(120, 84), "fourth": nn.ReLU(), "f3": nn.Linear(84, 10),
        }
    )  # fmt: skip
