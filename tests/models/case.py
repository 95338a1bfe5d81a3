"""What a test of a real model consists of: inputs, and a check of what the answer means.

A check knows nothing of who computed the answer; the same one judges every runner.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .corpus import ModelFile


@dataclass(frozen=True, eq=False)
class Answer:
    """A runner's outputs, in the model's order, and the text that the model file carries."""

    outputs: tuple[NDArray[np.float32], ...]
    metadata: Mapping[str, str]


@dataclass(frozen=True, eq=False)
class Case:
    """One call of a model."""

    name: str
    inputs: Mapping[str, NDArray[np.generic]]
    """By the model's input names, concrete shapes."""
    check: Callable[[Answer], None]
    """Raises `AssertionError` where the answer is not what the input means."""


@dataclass(frozen=True, eq=False)
class RealModel:
    """A published model with its cases, which differ in their dynamic sizes."""

    name: str
    file: ModelFile
    cases: tuple[Case, ...]
