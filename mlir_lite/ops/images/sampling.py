"""Where a resized axis is sampled: exact fractions, known when the program is built.

Indices follow from them in integers: doubling an image reads `x[i // 2]`, and no rounding error
picks a neighbour.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import floor, gcd, lcm

from ...errors import check
from ...expr import Expr, apply, cast, index
from ...types import DType

COORDINATES = (
    "half_pixel",
    "pytorch_half_pixel",
    "half_pixel_symmetric",
    "align_corners",
    "asymmetric",
    "tf_half_pixel_for_nn",
)

_HALF = Fraction(1, 2)
# Scales come as floats: 0.6 in f32 means 3/5. Finer fractions are below the resolution of f32.
_LARGEST_DENOMINATOR = 1 << 16


@dataclass(frozen=True)
class Sampling:
    """Element `i` of `count` is sampled at `slope * i + start` of an axis of `size` elements."""

    size: int
    count: int
    slope: Fraction
    start: Fraction

    def at(self, i: int) -> Fraction:
        """Where element `i` is sampled."""
        return self.slope * i + self.start

    @property
    def unit(self) -> int:
        """The least common denominator of all places."""
        return lcm(self.slope.denominator, self.start.denominator)

    def floor(self, i: Expr, shift: Fraction = Fraction(0)) -> Expr:
        """The largest integer not above the place of element `i` plus `shift`."""
        start = self.start + shift
        unit = lcm(self.slope.denominator, start.denominator)
        step = int(self.slope * unit)
        common = gcd(step, unit)
        return (i * (step // common) + int(start * unit) // common) // (unit // common)

    def rest(self, i: Expr, dtype: DType) -> Expr:
        """The place of element `i` less its `floor`, in [0, 1)."""
        numerator = (i * int(self.slope * self.unit) + int(self.start * self.unit)) % self.unit
        return cast(numerator, dtype) * (1 / self.unit)

    def inside(self, i: Expr, shift: Fraction = Fraction(0)) -> Expr:
        """As `floor`, moved to the nearest index that there is."""
        found = self.floor(i, shift)
        if floor(self.at(0) + shift) < 0:
            found = apply("max", found, index(0))
        if floor(self.at(self.count - 1) + shift) >= self.size:
            found = apply("min", found, index(self.size - 1))
        return found


def sampling(size: int, count: int, scale: Fraction, coordinates: str) -> Sampling:
    """The places in an axis of `size` elements at which its resized one of `count` is sampled.

    `coordinates` names a formula of ONNX's Resize (coordinate_transformation_mode); an axis of
    scale 1 stays as it is.
    """
    check(size > 0 or count == 0, f"an axis without elements cannot become one of {count}")
    if scale == 1:
        return Sampling(size, count, Fraction(1), Fraction(0))
    half_pixel = Sampling(size, count, 1 / scale, _HALF / scale - _HALF)
    match coordinates:
        case "half_pixel":
            return half_pixel
        case "pytorch_half_pixel":
            return half_pixel if count > 1 else Sampling(size, count, Fraction(0), Fraction(0))
        case "half_pixel_symmetric":
            # `count` is rounded down: what is missing is left out on both sides alike.
            missing = 1 - Fraction(count) / (scale * max(1, size))
            centre = Fraction(size, 2)
            return Sampling(size, count, 1 / scale, centre * missing + half_pixel.start)
        case "align_corners":
            slope = Fraction(size - 1, count - 1) if count > 1 else Fraction(0)
            return Sampling(size, count, slope, Fraction(0))
        case "asymmetric":
            return Sampling(size, count, 1 / scale, Fraction(0))
    return Sampling(size, count, 1 / scale, _HALF / scale)  # tf_half_pixel_for_nn


def rational(scale: float) -> Fraction:
    """The simple fraction that a scale given as a float means."""
    found = Fraction(scale).limit_denominator(_LARGEST_DENOMINATOR)
    check(found > 0, f"the scale {scale} is not positive")
    return found
