"""The logarithm family as inline vector code: log, log2, log10, log1p, asinh, acosh, atanh.

log(x) = k ln 2 + log(1 + f) with x = 2**k (1 + f), 1 + f in sqrt(1/2)..sqrt(2), taken apart on the
bits; log(1 + f) = f + tail(f), where the tail is small enough for its rounding not to matter.
"""

from __future__ import annotations

import math
from fractions import Fraction

from ..text.builder import float_bits
from ..text.vectors import Vec
from .constants import LN2, LOG2_E, LOG10_2, LOG10_E, MIN_NORMAL, exponent_parts, twofold
from .tables import POLYNOMIALS

SQRT_HALF = math.sqrt(0.5)
SQUARE_IS_LOST = 2.0**28  # above it x*x + 1 = x*x in f64


def normalise(x: Vec) -> tuple[Vec, Vec]:
    """(k, f) with x = 2**k (1 + f), sqrt(1/2) <= 1 + f < sqrt(2), for positive finite x."""
    shape = x.shape
    lift = shape.mantissa_bits + 2
    subnormal = x < MIN_NORMAL[shape.dtype]
    x = subnormal.select(x * 2.0**lift, x)
    low_end = float_bits(SQRT_HALF, shape.dtype)
    # the exponent field of `shifted` is k + bias; its mantissa field is the distance from sqrt(1/2)
    shifted = x.bits() + ((shape.bias << shape.mantissa_bits) - low_end)
    significand = ((shifted & ((1 << shape.mantissa_bits) - 1)) + low_end).as_float()
    # integer to float by way of the bits of 2**mantissa_bits: AVX2 converts no 64-bit integers
    base = 2.0**shape.mantissa_bits
    biased = ((shifted >> shape.mantissa_bits) | float_bits(base, shape.dtype)).as_float()
    offset = base + shape.bias
    return biased - subnormal.select(offset + lift, offset), significand - 1.0


def log_tail(f: Vec) -> Vec:
    """log(1 + f) - f."""
    if f.shape.dtype == "f32":
        return f * f * f.polynomial(POLYNOMIALS["log"]["f32"])
    # a division saves more than half of the twenty terms that f64 would need
    s = f / (f + 2.0)
    square = s * s
    half = f * f * 0.5
    return s.fma(square.fma(square.polynomial(POLYNOMIALS["log_ratio"]["f64"]), half), -half)


def log_positive(x: Vec, correction: Vec | None = None) -> Vec:
    """log(x) + correction for positive finite x; the correction is at most an ulp of x over x."""
    k, f = normalise(x)
    high, low = exponent_parts(LN2, x.shape.dtype)
    tail = log_tail(f)
    if correction is not None:
        tail = tail + correction
    return k.fma(high, f + k.fma(low, tail))


def _with_edges(x: Vec, result: Vec) -> Vec:
    """log's values outside 0 < x < inf: -inf at 0, NaN below, inf and NaN as they are."""
    result = (x < math.inf).select(result, x)
    return (x <= 0.0).select((x < 0.0).select(math.nan, -math.inf), result)


def log(x: Vec) -> Vec:
    """The natural logarithm; -inf at 0, NaN below."""
    return _with_edges(x, log_positive(x))


def _log_to_base(x: Vec, one_over_ln: Fraction, of_two: Fraction) -> Vec:
    """log(x) * one_over_ln with the products' leading parts kept apart."""
    k, f = normalise(x)
    factor, factor_low = twofold(one_over_ln, x.shape.dtype)
    high, low = exponent_parts(of_two, x.shape.dtype)
    tail = f.fma(factor_low, log_tail(f) * factor)
    if low:
        tail = k.fma(low, tail)
    return _with_edges(x, k.fma(high, f.fma(factor, tail)))


def log2(x: Vec) -> Vec:
    """The logarithm to base 2, exact at powers of two."""
    return _log_to_base(x, LOG2_E, Fraction(1))


def log10(x: Vec) -> Vec:
    """The logarithm to base 10."""
    return _log_to_base(x, LOG10_E, LOG10_2)


def log1p(x: Vec) -> Vec:
    """log(u) + e/u, where u + e = 1 + x exactly (Knuth's two-sum)."""
    u = x + 1.0
    without_one = u - x
    error = (1.0 - without_one) + (x - (u - without_one))
    return _with_edges(u, log_positive(u, error / u)).copysign(x)


def asinh(x: Vec) -> Vec:
    """log1p(|x| + x*x/(1 + sqrt(1 + x*x))); log(|x|) + ln 2 where the square is too large."""
    magnitude = x.fabs()
    square = magnitude * magnitude
    large = magnitude > SQUARE_IS_LOST
    argument = magnitude + square / ((square + 1.0).sqrt() + 1.0)
    result = log1p(large.select(magnitude - 1.0, argument))
    return (result + large.select(float(LN2), 0.0)).copysign(x)


def acosh(x: Vec) -> Vec:
    """log1p(t + sqrt(t (t + 2))) with t = x - 1; log(x) + ln 2 where the square is too large."""
    t = x - 1.0
    large = x > SQUARE_IS_LOST
    result = log1p(large.select(t, t + (t * (t + 2.0)).sqrt()))
    return (x < 1.0).select(math.nan, result + large.select(float(LN2), 0.0))


def atanh(x: Vec) -> Vec:
    """log1p(2|x|/(1 - |x|))/2; beyond 1 the argument is below -1, where log1p is NaN."""
    magnitude = x.fabs()
    return (log1p((magnitude + magnitude) / (1.0 - magnitude)) * 0.5).copysign(x)
