"""What a workload of the benchmark is, and the arrays that they are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, TypeAlias

import numpy as np

import mlir_lite as ml
from mlir_lite import Function
from mlir_lite.types import Array

# Modules, tensors and functions of packages without types, which may not be there.
Make: TypeAlias = Callable[[], Any]


@dataclass(frozen=True)
class Workload:
    """One line of the table. Everything is made when it is asked for, from fixed seeds."""

    name: str
    group: str
    inputs: Callable[[], tuple[Array, ...]]
    module: Make
    jax: Make | None = None  # gives a function of jax arrays
    dsl: Callable[[], Function] | None = None
    training: Training | None = None
    precision: str = "f32"  # or "bf16", as an option; "int8": the file is quantised
    is_plain: bool = False  # called as users do; others have their inputs bound where that can be
    base: str = ""  # the name of a workload whose file and arrays these are


@dataclass(frozen=True)
class Training:
    """What makes a workload a step of training: its inputs are examples and targets, `module`
    what is trained, with `jax` a function of its weights by name and the examples, and `ours` the
    same as one of our modules, its weights of the same names.

    The loss is a function of that name in `torch.nn.functional` and in our package, the optimiser
    a class in `torch.optim` and `ml.train`, with these options.
    """

    ours: Callable[[], ml.nn.Module]
    loss: str
    optimiser: str
    options: Mapping[str, float]

    def step(self, work: Workload) -> ml.train.Step:
        """The step as one of our functions."""
        x, y = work.inputs()
        optimiser = getattr(ml.train, self.optimiser)(**self.options)
        types = {np.dtype(np.float32): ml.f32, np.dtype(np.int64): ml.i64}
        return ml.train.step(
            self.ours(), getattr(ml, self.loss), optimiser,
            inputs=types[x.dtype][x.shape], targets=types[y.dtype][y.shape],
        )  # fmt: skip


def normal(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def scaled(*shape: int, seed: int) -> Array:
    """Weights that keep the size of what they are multiplied with."""
    terms = prod(shape[1:]) if len(shape) > 2 else shape[0]
    return normal(*shape, seed=seed) / np.float32(np.sqrt(terms))
