"""First values of parameters: the distributions that torch's layers draw them from."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from ...types import Array

Initialiser: TypeAlias = Callable[[np.random.Generator, tuple[int, ...]], Array]


def filled(value: float) -> Initialiser:
    """One number everywhere."""
    return lambda generator, shape: np.full(shape, value)


def uniform(bound: float) -> Initialiser:
    """Between `-bound` and `bound`."""
    return lambda generator, shape: generator.uniform(-bound, bound, shape)


def normal(deviation: float = 1.0) -> Initialiser:
    """The normal distribution with mean 0."""
    return lambda generator, shape: generator.normal(0.0, deviation, shape)


def fan_in_uniform(fan_in: int) -> Initialiser:
    """Between `±1 / sqrt(fan_in)`, for weights and biases alike.

    torch's default for linear layers and convolutions: He et al. (2015) with slope `sqrt(5)`.
    """
    return uniform(1 / math.sqrt(fan_in) if fan_in else 0.0)


def xavier_uniform(fan_in: int, fan_out: int) -> Initialiser:
    """Between `±sqrt(6 / (fan_in + fan_out))` (Glorot and Bengio, 2010)."""
    return uniform(math.sqrt(6 / (fan_in + fan_out)))
