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
# The first 1216 bits of 2/pi; the largest f64 asks for bits up to the 1163rd.
TWO_OVER_PI = int(
    "a2f9836e4e441529fc2757d1f534ddc0db6295993c439041fe5163abdebbc561b7246e3a424dd2e0"
    "06492eea09d1921cfe1deb1cb129a73ee88235f52ebb4484e99c7026b45f7e413991d639835339f4"
    "9c845f8bbdf9283b1ff897ffde05980fef2f118b5a0a6d1f6d367ecf27cb09b74f463f669e5fea2d"
    "7527bac7ebe5f17b3d0739f78a5292ea6bfb5fb11f8d5d0856033046fc7b6bab",
    16,
)

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
