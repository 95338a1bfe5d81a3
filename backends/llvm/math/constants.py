"""Irrational constants, cut into parts that multiply exactly, and limits of the float types."""

from __future__ import annotations

import math
from fractions import Fraction

from ..text.builder import FloatType

LN2 = Fraction("0.693147180559945309417232121458176568075500134360255254120680009493393")
PI_HALF = Fraction("1.570796326794896619231321691639751442098584699687552910487472296153908")
LOG2_E = Fraction("1.442695040888963407359924681001892137426645954152985934135449406931109")
LOG10_E = Fraction("0.434294481903251827651128918916605082294397005803666566114453783165864")
LOG10_2 = Fraction("0.301029995663981195213738894724493026768189881462108541310427461127108")
TWO_THIRDS = Fraction(2, 3)

TANH_IS_ONE = {"f32": 9.1, "f64": 20.0}  # rounded, from here on
ERFC_POLE = 4.0  # erfc's polynomial is one in (x - 4)/(x + 4)
MIN_NORMAL = {"f32": 2.0**-126, "f64": 2.0**-1022}
PRECISION = {"f32": 24, "f64": 53}
EXPONENT_BITS = {"f32": 8, "f64": 11}


def parts(value: Fraction, *bits: int) -> tuple[float, ...]:
    """Positive `value` as a sum of floats, part i cut (not rounded) to `bits[i]` bits.

    A part of b bits times an integer of c bits is exact when b + c is at most the precision.
    """
    result: list[float] = []
    for count in bits:
        exponent = math.frexp(float(value))[1]
        quantum = Fraction(2) ** (exponent - count)
        part = (value // quantum) * quantum
        result.append(float(part))
        value -= part
    return tuple(result)


def twofold(value: Fraction, dtype: FloatType) -> tuple[float, float]:
    """`value` as a sum (high, low) of two numbers of full precision."""
    high, low = parts(value, PRECISION[dtype], PRECISION[dtype])
    return high, low


def exponent_parts(value: Fraction, dtype: FloatType) -> tuple[float, float]:
    """`value` as a sum (high, low), where high times any exponent of a number is exact."""
    precision = PRECISION[dtype]
    high, low = parts(value, precision - EXPONENT_BITS[dtype] - 1, precision)
    return high, low
