"""The exponential family as inline vector code: exp, exp2, expm1, sigmoid, tanh, sinh, cosh.

All rest on exp(x) = 2**n exp(r), n = round(x/ln 2), |r| <= ln(2)/2. Adding 1.5 * 2**mantissa_bits
rounds to the nearest integer and leaves that integer in the low bits, on every target and without a
conversion, so the sum's bits shifted into the exponent field are the factor 2**n.
"""

from __future__ import annotations

import math

from ..text.avx512 import fraction, has_avx512, has_tables, looked_up, scaled
from ..text.vectors import Vec
from .constants import LN2, LOG2_E, TANH_IS_ONE, exponent_parts
from .pieces import LOWEST_PIECE, PIECES
from .tables import POLYNOMIALS

# exp(x) is finite up to the first, 0 below the second; from the third on 2**n is normal
EXP_RANGE = {
    "f32": (88.72283172607422, -104.0, -86.0),
    "f64": (709.782712893384, -745.2, -707.0),
}
EXP2_RANGE = {
    "f32": (127.99999237060547, -151.0, -125.0),
    "f64": (1023.9999999999999, -1076.0, -1021.0),
}
EXPM1_IS_MINUS_ONE = {"f32": -20.0, "f64": -40.0}
SINH_IS_INFINITE = {"f32": 89.5, "f64": 710.6}
RESCUE = 64  # a power of two that lifts every subnormal result into the normal range


def rounding_shift(x: Vec) -> float:
    """The number whose addition rounds to integers below 2**(mantissa_bits - 1) in magnitude."""
    return 1.5 * 2.0**x.shape.mantissa_bits


def reduce_by_ln2(x: Vec) -> tuple[Vec, Vec]:
    """(n + rounding shift, x - n ln 2) with n = round(x/ln 2)."""
    high, low = exponent_parts(LN2, x.shape.dtype)
    shifted = x.fma(float(LOG2_E), rounding_shift(x))
    n = shifted - rounding_shift(x)
    return shifted, n.fma(-low, n.fma(-high, x))


def power_of_two(shifted: Vec, offset: int = 0) -> Vec:
    """2**(n + offset) of `shifted` = n + rounding shift; n + offset must be a normal exponent."""
    shape = shifted.shape
    bits = (shifted.bits() << shape.mantissa_bits) + ((shape.bias + offset) << shape.mantissa_bits)
    return bits.as_float()


def exp_polynomial(r: Vec) -> Vec:
    """exp(r) for |r| <= ln(2)/2."""
    return r.polynomial(POLYNOMIALS["exp"][r.shape.dtype]).fma(r, 1.0).fma(r, 1.0)


def exp_bounded(x: Vec) -> Vec:
    """exp(x) for arguments known to be far from overflow and underflow; NaN passes."""
    shifted, r = reduce_by_ln2(x)
    return exp_polynomial(r) * power_of_two(shifted)


def exp_nonpositive(x: Vec) -> Vec:
    """exp(x) for x <= 0, subnormal results included; NaN passes."""
    _, lowest, subnormal = EXP_RANGE[x.shape.dtype]
    x = x.at_least(lowest)
    shifted, r = reduce_by_ln2(x)
    if has_avx512(x.shape):
        return scaled(exp_polynomial(r), shifted - rounding_shift(x))
    small = x < subnormal
    power = power_of_two(small.select(shifted + float(RESCUE), shifted))
    result = exp_polynomial(r) * power
    return small.select(result * 2.0**-RESCUE, result)


def _scaled(significand: Vec, shifted: Vec, x: Vec, limits: tuple[float, float, float]) -> Vec:
    """significand * 2**n, subnormal and infinite results included; NaN of x passes.

    2**n itself may overflow where the result does not, so n is added to the significand's bits.
    What is 0 anyway (powers of -inf, in masked softmax) becomes so without a slow underflow.
    """
    highest, lowest, subnormal = limits
    shape = x.shape
    if has_avx512(shape):
        return scaled(significand, shifted - rounding_shift(x))
    small = x < subnormal
    shifted = small.select(shifted + float(RESCUE), shifted)
    result = (significand.bits() + (shifted.bits() << shape.mantissa_bits)).as_float()
    lowered = result * (x > lowest).select(2.0**-RESCUE, 0.0)
    result = small.select(lowered, result)
    return (x <= highest).select(result, x + math.inf)


def _reducible(x: Vec, limits: tuple[float, float, float]) -> Vec:
    """x without the infinities, of which no remainder can be taken; NaN passes.

    An instruction that scales gives infinity by itself for what is above the highest argument.
    """
    highest, lowest, _ = limits
    x = x.at_least(lowest)
    return x.at_most(highest + 1.0) if has_avx512(x.shape) else x


def exp(x: Vec) -> Vec:
    """e**x; subnormal results, 0 and infinity where they are due."""
    limits = EXP_RANGE[x.shape.dtype]
    x = _reducible(x, limits)
    shifted, r = reduce_by_ln2(x)
    return _scaled(exp_polynomial(r), shifted, x, limits)


def exp2(x: Vec) -> Vec:
    """2**x; subnormal results, 0 and infinity where they are due."""
    if has_avx512(x.shape):
        return _exp2_by_scaling(x)
    limits = EXP2_RANGE[x.shape.dtype]
    x = x.at_least(limits[1])
    shifted, significand = _reduce_by_one(x)
    return _scaled(significand, shifted, x, limits)


def exp2_bounded(x: Vec, table: str = "exp2") -> Vec:
    """2**x for arguments known to be far from overflow and underflow; of NaN: anything. The
    polynomial is that of a `table`, "exp2_bf16" where the result will be rounded to bf16."""
    if has_avx512(x.shape):
        return _exp2_by_scaling(x, table)
    shifted, significand = _reduce_by_one(x, table)
    return (significand.bits() + (shifted.bits() << x.shape.mantissa_bits)).as_float()


def _exp2_by_scaling(x: Vec, table: str = "exp2") -> Vec:
    """2**x by two instructions that take infinities and NaN as they come."""
    r = fraction(x)
    return scaled(_exp2_polynomial(r, table), x - r)


def _reduce_by_one(x: Vec, table: str = "exp2") -> tuple[Vec, Vec]:
    """(n + rounding shift, 2**(x - n)) with n = round(x)."""
    shifted = x + rounding_shift(x)
    r = x - (shifted - rounding_shift(x))
    return shifted, _exp2_polynomial(r, table)


def _exp2_polynomial(r: Vec, table: str) -> Vec:
    """2**r for |r| <= 1/2."""
    return r.polynomial(POLYNOMIALS[table][r.shape.dtype]).fma(r, 1.0)


def expm1(x: Vec) -> Vec:
    """2**n expm1(r) + (2**n - 1), halved until the last step because 2**n may overflow."""
    clamped = x.at_least(EXPM1_IS_MINUS_ONE[x.shape.dtype])
    shifted, r = reduce_by_ln2(clamped)
    tail = r.polynomial(POLYNOMIALS["exp"][x.shape.dtype])
    half = power_of_two(shifted, -1)
    result = half.fma((r * r).fma(tail, r), half - 0.5) * 2.0
    highest = EXP_RANGE[x.shape.dtype][0]
    return (clamped <= highest).select(result, clamped + math.inf).copysign(x)


def sigmoid(x: Vec) -> Vec:
    """1/(1 + exp(-x)) through exp(-|x|), which cannot overflow; subnormal results are kept."""
    e = exp_nonpositive(-x.fabs())
    return (x < 0.0).select(e, 1.0) / (e + 1.0)


def tanh(x: Vec) -> Vec:
    """A polynomial below 0.625, above it 1 - 2/(exp(2|x|) + 1)."""
    if has_tables(x.shape):
        return _tanh_in_pieces(x)
    magnitude = x.fabs().at_most(TANH_IS_ONE[x.shape.dtype])
    square = magnitude * magnitude
    tail = square.polynomial(POLYNOMIALS["tanh"][x.shape.dtype])
    near = (magnitude * square).fma(tail, magnitude)
    far = 1.0 - 2.0 / (exp_bounded(magnitude + magnitude) + 1.0)
    return (magnitude < 0.625).select(near, far).copysign(x)


def _tanh_in_pieces(x: Vec) -> Vec:
    """One polynomial, its coefficients those of the piece that |x| is in.

    A power of two has two pieces: the exponent and the bit below it are the piece's number.
    """
    magnitude = x.fabs().at_most(TANH_IS_ONE["f32"])
    piece = magnitude.at_least(LOWEST_PIECE).bits() >> (x.shape.mantissa_bits - 1)
    middle, *coefficients = (looked_up(piece, table) for table in PIECES["tanh"])
    offset = magnitude - middle
    return offset.horner(coefficients).copysign(x)


def _quarter_exp(magnitude: Vec) -> Vec:
    """exp(|x|)/4, finite over the whole range in which sinh and cosh are."""
    shifted, r = reduce_by_ln2(magnitude.at_most(SINH_IS_INFINITE[magnitude.shape.dtype]))
    return exp_polynomial(r) * power_of_two(shifted, -2)


def sinh(x: Vec) -> Vec:
    """A polynomial below 1, above it (exp(|x|) - exp(-|x|))/2."""
    magnitude = x.fabs()
    square = magnitude * magnitude
    tail = square.polynomial(POLYNOMIALS["sinh"][x.shape.dtype])
    near = (magnitude * square).fma(tail, magnitude)
    quarter = _quarter_exp(magnitude)
    far = (quarter - 0.0625 / quarter) * 2.0
    return (magnitude < 1.0).select(near, far).copysign(x)


def cosh(x: Vec) -> Vec:
    """(exp(|x|) + exp(-|x|))/2, through quarters, which do not overflow first."""
    quarter = _quarter_exp(x.fabs())
    return (quarter + 0.0625 / quarter) * 2.0
