"""Gradients kept from being too large, before an optimiser sees them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from ..ir import Value
from ..ops import cast, clip, minimum, sqrt, square
from ..ops import sum as sum_
from ..types import f32

Clipping: TypeAlias = Callable[[Sequence[Value]], Sequence[Value]]

_LEAST = 1e-6  # as torch's: no division by zero


def clip_by_norm(largest: float) -> Clipping:
    """All gradients scaled alike so that the norm of all of them together is at most this."""

    def clipped(gradients: Sequence[Value]) -> Sequence[Value]:
        scale = minimum(largest / (norm(gradients) + _LEAST), 1.0)
        return [gradient * cast(scale, gradient.dtype) for gradient in gradients]

    return clipped


def clip_by_value(largest: float) -> Clipping:
    """Each element of each gradient moved into [-largest, largest]."""
    return lambda gradients: [clip(gradient, -largest, largest) for gradient in gradients]


def norm(gradients: Sequence[Value]) -> Value:
    """The root of the sum of all squares, in the first one's type."""
    dtype = gradients[0].dtype if gradients else f32
    total = None
    for gradient in gradients:
        squares = cast(sum_(square(gradient)), dtype)
        total = squares if total is None else total + squares
    assert total is not None
    return sqrt(total)
