"""Directions of vectors: vectors of length 1, and how far two point the same way."""

from __future__ import annotations

from ...ir import Axes, Operand, Value
from ...types import f32
from ..base.cast import cast
from ..base.promote import as_value, check_kind, promote
from ..elementwise.arithmetic import maximum, multiply
from ..elementwise.unary import rsqrt, square
from .reduce import sum as sum_


def normalize(x: Operand, axis: Axes = -1, *, epsilon: float = 1e-12) -> Value:
    """`x` divided by its length along axes, or by `epsilon` where that is more.

    Floats; half-width ones are computed in f32. A vector of zeros stays so, with the gradient of
    `x / epsilon`.
    """
    value = as_value(x)
    check_kind(value, "f")
    wide = cast(value, f32) if value.dtype.bits < 32 else value
    squares = sum_(square(wide), axis, keepdims=True)
    return cast(multiply(wide, rsqrt(maximum(squares, epsilon * epsilon))), value.dtype)


def cosine_similarity(x: Operand, y: Operand, axis: Axes = -1, *, epsilon: float = 1e-8) -> Value:
    """The cosine of the angle between vectors along axes, with broadcasting: sums of products of
    what `normalize` gives."""
    left, right = promote(x, y)
    parts = (normalize(value, axis, epsilon=epsilon) for value in (left, right))
    return sum_(multiply(*parts), axis)
