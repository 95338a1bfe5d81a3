"""x**y as inline vector code, with NumPy's values at zeros, infinities, NaN and negative bases.

|x|**y = exp(y log|x|). The product reaches 710, so a relative error of log|x| counts 710 times: f32
takes the logarithm in f64, f64 takes it as a sum of two numbers.
"""

from __future__ import annotations

import math

from ..text.vectors import Mask, Vec
from .constants import LN2, TWO_THIRDS, exponent_parts, twofold
from .exp import RESCUE, exp_bounded, exp_polynomial, power_of_two, reduce_by_ln2
from .log import log_positive, normalise
from .tables import POLYNOMIALS

EXPONENT_IS_INFINITE = 2.0**65  # times the smallest |log x| of f64, 2**-53, this exceeds 745
F32_IS_INFINITE = 200.0  # beyond the logarithm of every f32, subnormal or not
F64_IS_ZERO = -746.0
F64_IS_INFINITE = 710.0
F64_SUBNORMAL = -700.0


def power(base: Vec, exponent: Vec) -> Vec:
    """base**exponent = exp(exponent log|base|) with NumPy's values at the edges; f32 through
    f64, f64 with the logarithm in two parts."""
    magnitude = base.fabs()
    if base.shape.dtype == "f32":
        limited = _limited(exponent.widened())
        product = (limited * log_positive(magnitude.widened())).at_most(F32_IS_INFINITE)
        result = exp_bounded(product.at_least(-F32_IS_INFINITE)).narrowed()
    else:
        result = _pow_f64(magnitude, _limited(exponent))
    return _with_edges(base, magnitude, exponent, result)


def _limited(exponent: Vec) -> Vec:
    """The exponent without infinities, which would make NaN of later differences."""
    return exponent.at_most(EXPONENT_IS_INFINITE).at_least(-EXPONENT_IS_INFINITE)


def _pow_f64(magnitude: Vec, exponent: Vec) -> Vec:
    """exp(high + low) with y log x = high + low."""
    log_high, log_low = _log_extended(magnitude)
    high, low = exponent.two_product(log_high)
    low = exponent.fma(log_low, low)
    # where the result is 0 or inf anyway, the low part may be large enough to spoil the polynomial
    low = (high.fabs() < 1000.0).select(low, 0.0)
    high = high.at_most(F64_IS_INFINITE).at_least(F64_IS_ZERO)
    shifted, r = reduce_by_ln2(high)
    small = high < F64_SUBNORMAL
    shifted = small.select(shifted + float(RESCUE), shifted)
    half = exp_polynomial(r + low) * power_of_two(shifted, -1)
    return half * small.select(2.0 ** (1 - RESCUE), 2.0)


def _log_extended(x: Vec) -> tuple[Vec, Vec]:
    """log(x) to some 64 bits as (high, low), for positive finite f64.

    With s = f/(2 + f) and v = s*s: log(1 + f) = s (2 + 2/3 v + v*v p(v)), all but p in
    twofold precision.
    """
    k, f = normalise(x)
    denominator = f + 2.0
    denominator_low = f - (denominator - 2.0)
    reciprocal = 1.0 / denominator
    s = f * reciprocal
    product, product_low = s.two_product(denominator)
    s_low = (((f - product) - product_low) - s * denominator_low) * reciprocal
    v, v_low = s.two_product(s)
    v_low = v_low + s * s_low * 2.0
    third, third_low = twofold(TWO_THIRDS, "f64")
    term, term_low = v.two_product(x.shape.literal(third))
    tail = v * v * v.polynomial(POLYNOMIALS["log_ratio_5"]["f64"])
    term_low = tail + (v * third_low + (v_low * third + term_low))
    factor = term + 2.0
    factor_low = (term - (factor - 2.0)) + term_low
    log_f, log_f_low = s.two_product(factor)
    log_f_low = log_f_low + (s * factor_low + s_low * factor)
    ln2, ln2_low = exponent_parts(LN2, "f64")
    whole = k * ln2
    high = whole + log_f
    low = (log_f - (high - whole)) + k.fma(ln2_low, log_f_low)
    total = high + low
    return total, low - (total - high)


def _parity(exponent: Vec) -> tuple[Mask, Mask]:
    """(is an integer, is an odd integer); infinities count as even integers.

    Adding and taking away 2**mantissa_bits rounds smaller magnitudes to integers.
    """
    unit = 2.0**exponent.shape.mantissa_bits
    magnitude = exponent.fabs()
    half = magnitude * 0.5
    integer = ((magnitude + unit) - unit).equals(magnitude) | (magnitude >= unit)
    half_is_whole = ((half + unit) - unit).equals(half)
    odd = integer & (magnitude < 2.0 * unit) & half_is_whole.inverted()
    return integer, odd


def _with_edges(base: Vec, magnitude: Vec, exponent: Vec, power: Vec) -> Vec:
    """C99 Annex F.9.4.4, which NumPy follows."""
    integer, odd = _parity(exponent)
    zero = magnitude.equals(0.0)
    infinite = magnitude.equals(math.inf)
    vanishes = zero ^ (exponent < 0.0)
    power = (zero | infinite).select(vanishes.select(0.0, math.inf), power)
    negative = base.bits() < 0
    power = (negative & odd).select(-power, power)
    undefined = (base < 0.0) & (infinite | integer).inverted()
    undefined = undefined | base.compare("uno", exponent)
    power = undefined.select(math.nan, power)
    return (base.equals(1.0) | exponent.equals(0.0)).select(1.0, power)
