"""Trigonometric functions as inline vector code: sin, cos, tan, asin, acos, atan, atan2.

The argument is reduced by multiples of pi/2 in f64, f32 included. That is accurate for |x| up to
2**40 with fused multiply-add, less without it (`_near_limit`); a vector with a larger one takes the
way of `far_angles` for it.
"""

from __future__ import annotations

import math

from ..text.vectors import Ints, Mask, Vec
from .constants import PI_HALF, parts, twofold
from .exp import rounding_shift
from .far_angles import with_far_angles
from .tables import POLYNOMIALS

TAN_PI_8 = math.sqrt(2.0) - 1.0
TAN_3_PI_8 = math.sqrt(2.0) + 1.0


def _reduce(x: Vec) -> tuple[Vec, Ints]:
    """(r, n): x = n pi/2 + r, |r| <= pi/4; only the low bits of n are meant."""
    wide = x.widened() if x.shape.dtype == "f32" else x
    shifted = wide.fma(float(1 / PI_HALF), rounding_shift(wide))
    n = shifted - rounding_shift(wide)
    r = wide
    for part in _pi_half_parts(x):
        r = n.fma(-part, r)
    r, quadrant = with_far_angles(wide, (r, shifted.bits()), _near_limit(x))
    return (r.narrowed(), quadrant.truncated()) if x.shape.dtype == "f32" else (r, quadrant)


def _near_limit(x: Vec) -> float:
    """Up to which |x| the parts of pi/2 are enough."""
    if x.shape.out.fma:
        return 2.0**40
    return 2.0**26 if x.shape.dtype == "f32" else 2.0**20


def _pi_half_parts(x: Vec) -> tuple[float, ...]:
    """pi/2 in parts: n times each but the last is exact (or fused)."""
    match x.shape.dtype, x.shape.out.fma:
        case "f32", True:
            return parts(PI_HALF, 53, 53)
        case "f32", False:
            return parts(PI_HALF, 25, 25, 53)
        case _, True:
            return parts(PI_HALF, 53, 53, 53)
        case _:
            return parts(PI_HALF, 33, 33, 33, 53)


def _sin_polynomial(r: Vec) -> Vec:
    square = r * r
    tail = square.polynomial(POLYNOMIALS["sin"][r.shape.dtype])
    return (r * square).fma(tail, r).copysign(r)  # -0 + 0 would be +0


def _cos_polynomial(r: Vec) -> Vec:
    square = r * r
    tail = square.polynomial(POLYNOMIALS["cos"][r.shape.dtype])
    return (square * square).fma(tail, square.fma(-0.5, 1.0))


def _odd(quadrant: Ints) -> Mask:
    return (quadrant & 1).equals(1)


def _sin_of_quadrant(r: Vec, quadrant: Ints) -> Vec:
    """sin(r + quadrant pi/2)."""
    sign = (quadrant & 2) << (r.shape.total_bits - 2)
    value = _odd(quadrant).select(_cos_polynomial(r), _sin_polynomial(r))
    return (value.bits() ^ sign).as_float()


def sin(x: Vec) -> Vec:
    """The sine of the remainder by pi/2, or its cosine in odd quadrants."""
    return _sin_of_quadrant(*_reduce(x))


def cos(x: Vec) -> Vec:
    """The sine of the next quadrant."""
    r, quadrant = _reduce(x)
    return _sin_of_quadrant(r, quadrant + 1)


def tan(x: Vec) -> Vec:
    """tan(r), or -1/tan(r) in odd quadrants; for f64 only."""
    r, quadrant = _reduce(x)
    square = r * r
    tail = square.polynomial(POLYNOMIALS["tan"]["f64"])
    tangent = (r * square).fma(tail, r).copysign(r)
    odd = _odd(quadrant)
    return odd.select(-1.0, tangent) / odd.select(tangent, 1.0)


def _half_arcsine(x: Vec) -> tuple[Mask, Vec, Vec]:
    """(|x| > 1/2, p, q): asin|x| = p + q with q the smaller, or pi/2 - 2(p + q) in masked lanes."""
    magnitude = x.fabs()
    large = magnitude > 0.5
    square = large.select(magnitude.fma(-0.5, 0.5), magnitude * magnitude)
    root = large.select(square.sqrt(), magnitude)
    return large, root, root * square * square.polynomial(POLYNOMIALS["asin"][x.shape.dtype])


def asin(x: Vec) -> Vec:
    """The arc sine; NaN beyond -1..1."""
    large, root, tail = _half_arcsine(x)
    high, low = twofold(PI_HALF, x.shape.dtype)
    far = (high - root * 2.0) - (tail.fma(2.0, -low))
    return large.select(far, root + tail).copysign(x)


def acos(x: Vec) -> Vec:
    """The arc cosine; NaN beyond -1..1."""
    large, root, tail = _half_arcsine(x)
    high, low = twofold(PI_HALF, x.shape.dtype)
    angle = root + tail
    double = angle + angle
    far = (x < 0.0).select(2.0 * high - (double - 2.0 * low), double)
    return large.select(far, high - (angle.copysign(x) - low))


def _arctangent(a: Vec, b: Vec) -> Vec:
    """atan(a/b) for a, b >= 0, neither both zero nor both infinite.

    Above tan(3 pi/8): pi/2 + atan(-b/a); above tan(pi/8): pi/4 + atan((a - b)/(a + b)).
    """
    steep = a > b * TAN_3_PI_8
    middle = a > b * TAN_PI_8
    numerator = steep.select(-b, middle.select(a - b, a))
    denominator = steep.select(a, middle.select(a + b, b))
    q = numerator / denominator
    high, low = twofold(PI_HALF, a.shape.dtype)
    square = q * q
    tail = square.polynomial(POLYNOMIALS["atan"][a.shape.dtype])
    offset = steep.select(high, middle.select(high / 2, 0.0))
    offset_low = steep.select(low, middle.select(low / 2, 0.0))
    return offset + (q + (q * square).fma(tail, offset_low))


def atan(x: Vec) -> Vec:
    """The arc tangent; pi/2 at infinity."""
    return _arctangent(x.fabs(), x.shape.literal(1.0)).copysign(x)


def atan2(y: Vec, x: Vec) -> Vec:
    """The angle of the point (x, y), in -pi..pi; signs of zeros count."""
    a, b = y.fabs(), x.fabs()
    equal = a.equals(b)  # replaced by 0/1 and 1/1, where a/b could be 0/0 or inf/inf
    a, b = equal.select((a > 0.0).select(1.0, 0.0), a), equal.select(1.0, b)
    half_range = 2.0 ** (x.shape.bias - 1)
    scale = ((a > half_range) | (b > half_range)).select(0.25, 1.0)  # a + b must not overflow
    angle = _arctangent(a * scale, b * scale)
    high, low = twofold(PI_HALF, x.shape.dtype)
    left = x.bits() < 0
    return left.select(2.0 * high - (angle - 2.0 * low), angle).copysign(y)
