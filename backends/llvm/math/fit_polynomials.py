"""Fit the polynomials of the vector mathematics and print `tables.py`.

Run as `python -m mlir_lite.backends.llvm.math.fit_polynomials > tables.py`. Needs mpmath, which the
package itself does not; a test repeats every fit and compares it with the table.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy

from ..text.builder import FloatType
from .constants import ERFC_POLE, PRECISION

Real = Any  # mpmath's numbers; it has no type annotations
Function = Callable[[Real], Real]


@dataclass(frozen=True)
class Interval:
    """`low..high`, covered by a polynomial of `coefficients` coefficients."""

    low: float
    high: float
    coefficients: int


@dataclass(frozen=True)
class Fit:
    """One polynomial `p(v) ~ target(v)`, on an interval for each float type that uses it.

    The weight turns the error of the polynomial into the relative error of the function it serves.
    """

    name: str
    meaning: str
    target: Function
    weight: Function
    f32: Interval | None
    f64: Interval | None


def identity(v: Real) -> Real:
    """v"""
    return v


def square(v: Real) -> Real:
    """v²"""
    return v * v


def one(_: Real) -> Real:
    """1, of anything"""
    return mpmath.mpf(1)


def odd(name: str, function: Function, high: float, f32: int, f64: int) -> Fit:
    """f(x) = x + x*v*p(v) with v = x*x in `0..high`, for an odd f with f'(0) = 1."""

    def target(v: Real) -> Real:
        return (function(mpmath.sqrt(v)) / mpmath.sqrt(v) - 1) / v

    single = Interval(0.0, high, f32) if f32 else None
    meaning = f"{name}(x) = x + x*v*p(v), v = x*x"
    return Fit(name, meaning, target, identity, single, Interval(0.0, high, f64))


def log_of_ratio(v: Real) -> Real:
    """log((1 + s)/(1 - s))/s with v = s*s."""
    return 2 * mpmath.atanh(mpmath.sqrt(v)) / mpmath.sqrt(v)


def scaled_erfc(v: Real) -> Real:
    """(1 + 2x) exp(x*x) erfc(x) with v = (x - pole)/(x + pole)."""
    x = ERFC_POLE * (1 + v) / (1 - v)
    return (1 + 2 * x) * mpmath.exp(x * x) * mpmath.erfc(x)


def normal_distribution(v: Real) -> Real:
    """The share of a normal distribution below -v."""
    return mpmath.erfc(v / mpmath.sqrt(2)) / 2


def normal_or_small(v: Real) -> Real:
    """The share of a normal distribution below -v, over itself or 2**-9, if that is larger."""
    share = normal_distribution(v)
    return share / max(share, mpmath.mpf(2) ** -9)


HALF_LN2 = 0.3467  # all limits are rounded outwards a little
QUARTER_PI_SQUARED = 0.6173
LARGEST_RATIO_SQUARED = 0.02945  # ((sqrt(2) - 1)/(sqrt(2) + 1))**2
FITS = (
    Fit(
        "exp",
        "exp(v) = 1 + v + v*v*p(v)",
        lambda v: (mpmath.exp(v) - 1 - v) / v**2,
        square,
        Interval(-HALF_LN2, HALF_LN2, 5),
        Interval(-HALF_LN2, HALF_LN2, 10),
    ),
    Fit(
        "exp2",
        "exp2(v) = 1 + v*p(v)",
        lambda v: (mpmath.power(2, v) - 1) / v,
        identity,
        Interval(-0.5001, 0.5001, 6),
        Interval(-0.5001, 0.5001, 11),
    ),
    Fit(
        "exp2_bf16",
        "exp2(v) = 1 + v*p(v), for results in bf16",
        lambda v: (mpmath.power(2, v) - 1) / v,
        identity,
        Interval(-0.5001, 0.5001, 3),
        None,
    ),
    Fit(
        "log",
        "log(1 + v) = v + v*v*p(v)",
        lambda v: (mpmath.log1p(v) - v) / v**2,
        identity,
        Interval(-0.2929, 0.4143, 9),
        None,
    ),
    Fit(
        "log_ratio",
        "log((1 + s)/(1 - s)) = 2*s + s*v*p(v), v = s*s",
        lambda v: (log_of_ratio(v) - 2) / v,
        identity,
        None,
        Interval(0.0, LARGEST_RATIO_SQUARED, 7),
    ),
    Fit(
        "log_ratio_5",
        "log((1 + s)/(1 - s)) = 2*s + 2/3*s*v + s*v*v*p(v), v = s*s",
        lambda v: (log_of_ratio(v) - 2 - 2 * v / 3) / v**2,
        square,
        None,
        Interval(0.0, LARGEST_RATIO_SQUARED, 7),
    ),
    odd("tanh", mpmath.tanh, 0.3907, f32=5, f64=11),
    odd("sinh", mpmath.sinh, 1.0, f32=4, f64=7),
    odd("sin", mpmath.sin, QUARTER_PI_SQUARED, f32=3, f64=6),
    odd("tan", mpmath.tan, QUARTER_PI_SQUARED, f32=0, f64=14),
    odd("asin", mpmath.asin, 0.25, f32=5, f64=12),
    odd("atan", mpmath.atan, 0.1716, f32=5, f64=11),
    Fit(
        "cos",
        "cos(x) = 1 - v/2 + v*v*p(v), v = x*x",
        lambda v: (mpmath.cos(mpmath.sqrt(v)) - 1 + v / 2) / v**2,
        square,
        Interval(0.0, QUARTER_PI_SQUARED, 3),
        Interval(0.0, QUARTER_PI_SQUARED, 6),
    ),
    Fit(
        "erf",
        "erf(x) = x + x*p(v), v = x*x",
        lambda v: mpmath.erf(mpmath.sqrt(v)) / mpmath.sqrt(v) - 1,
        one,
        Interval(0.0, 1.0, 7),
        Interval(0.0, 1.0, 12),
    ),
    Fit(
        "log_erfc",
        "erfc(v) = exp(p(v))",
        lambda v: mpmath.log(mpmath.erfc(v)),
        mpmath.erfc,
        Interval(0.99, 3.93, 6),
        Interval(0.99, 5.93, 19),
    ),
    Fit(
        "erfc",
        "erfc(x) = exp(-x*x)/(1 + 2x) p(v), v = (x - 4)/(x + 4)",
        scaled_erfc,
        one,
        None,
        Interval(-1.0, 0.745, 23),
    ),
    Fit(
        "log_normal",
        "normal distribution up to -v = 2**p(v)",
        lambda v: mpmath.log(normal_distribution(v), 2),
        normal_distribution,
        Interval(0.0, 7.0, 9),
        None,
    ),
    Fit(
        "log_normal_bf16",
        "normal distribution up to -v = 2**p(v), for results in bf16",
        lambda v: mpmath.log(normal_distribution(v), 2),
        normal_or_small,
        Interval(0.0, 9.5, 6),
        None,
    ),
)


def points_of(interval: Interval, count: int) -> list[Real]:
    """Chebyshev points of an interval."""
    middle = mpmath.mpf(interval.low + interval.high) / 2
    radius = mpmath.mpf(interval.high - interval.low) / 2
    return [middle + radius * mpmath.cospi((i + mpmath.mpf(0.5)) / count) for i in range(count)]


def fit(case: Fit, interval: Interval) -> list[Real]:
    """Weighted least squares on Chebyshev points, lowest power first.

    On such points the result is within a small factor of the minimax polynomial.
    """
    points = points_of(interval, 4 * interval.coefficients)
    weights = [case.weight(v) for v in points]
    powers = range(interval.coefficients)
    rows = [[w * v**i for i in powers] for v, w in zip(points, weights, strict=True)]
    values = [w * case.target(v) for v, w in zip(points, weights, strict=True)]
    return list(mpmath.lu_solve(mpmath.matrix(rows), mpmath.matrix(values)))


def rounded(coefficients: Sequence[Real], dtype: FloatType) -> list[float]:
    """The coefficients as the nearest numbers of a type."""
    if dtype == "f64":
        return [float(c) for c in coefficients]
    return [float(numpy.float32(mpmath.nstr(c, 20))) for c in coefficients]


def largest_error(case: Fit, interval: Interval, coefficients: Sequence[float]) -> float:
    """Largest weighted error on 300 points."""
    highest_first = [mpmath.mpf(c) for c in reversed(coefficients)]
    return max(
        float(abs(case.weight(v) * (mpmath.polyval(highest_first, v) - case.target(v))))
        for v in points_of(interval, 300)
    )


HEADER = '''"""Polynomial coefficients of the vector mathematics, lowest power first.

Written by `fit_polynomials.py`, which also says how each was fitted. The comments give the interval
and the largest error of the polynomial alone, in units of 2**-24 (f32) and 2**-53 (f64) of the
function's value.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..text.builder import FloatType

POLYNOMIALS: Mapping[str, Mapping[FloatType, tuple[float, ...]]] = {'''


def entry_lines(case: Fit, interval: Interval, dtype: FloatType) -> list[str]:
    """The lines of one polynomial in the table, with its interval and error."""
    with mpmath.workdps(60):
        coefficients = rounded(fit(case, interval), dtype)
        error = largest_error(case, interval, coefficients) * 2.0 ** PRECISION[dtype]
    return [
        f'        "{dtype}": (  # {interval.low}..{interval.high}, error {error:.2f}',
        *(f"            {c!r}," for c in coefficients),
        "        ),",
    ]


def table_text() -> str:
    """The text of `tables.py`."""
    lines = [HEADER]
    for case in FITS:
        lines.append(f'    "{case.name}": {{  # {case.meaning}')
        if case.f32:
            lines += entry_lines(case, case.f32, "f32")
        if case.f64:
            lines += entry_lines(case, case.f64, "f64")
        lines.append("    },")
    return "\n".join([*lines, "}", ""])


if __name__ == "__main__":
    sys.stdout.write(table_text())
