"""Fit the polynomials of the vector mathematics and print `math_tables.py`.

Run as `python -m mlir_lite.backends.llvm.fit_polynomials > math_tables.py`. Needs mpmath, which the
package itself does not; a test repeats every fit and compares it with the table.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import mpmath
import numpy

from .math_constants import PRECISION

Real = mpmath.mpf
Function = Callable[[Real], Real]
SQRT_2 = mpmath.sqrt(2)


@dataclass(frozen=True)
class Fit:
    """One polynomial `p(v) ~ target(v)` for v in `low..high`, with `coefficients` for f32 and f64.

    The weight turns the error of the polynomial into the relative error of the function it serves.
    A count of 0 means that this precision does not use the polynomial.
    """

    name: str
    meaning: str
    target: Function
    weight: Function
    low: float
    high: tuple[float, float]
    coefficients: tuple[int, int]


def odd_tail(function: Function) -> Function:
    """(f(x)/x - 1)/v with v = x*x, for an odd f with f'(0) = 1."""
    return lambda v: (function(mpmath.sqrt(v)) / mpmath.sqrt(v) - 1) / v


def scaled_erfc(pole: Real) -> Function:
    """(1 + 2x) exp(x*x) erfc(x) as a function of v = (x - pole)/(x + pole)."""

    def target(v: Real) -> Real:
        x = pole * (1 + v) / (1 - v)
        return (1 + 2 * x) * mpmath.exp(x * x) * mpmath.erfc(x)

    return target


def identity(v: Real) -> Real:
    return v


def one(_: Real) -> Real:
    return mpmath.mpf(1)


ERFC_POLE = 4.0
HALF_LN2 = 0.3467
QUARTER_PI_SQUARED = 0.6173
FITS = (
    Fit(
        "exp",
        "exp(v) = 1 + v + v*v*p(v)",
        lambda v: (mpmath.exp(v) - 1 - v) / v**2,
        lambda v: v * v,
        -HALF_LN2,
        (HALF_LN2, HALF_LN2),
        (5, 10),
    ),
    Fit(
        "exp2",
        "exp2(v) = 1 + v*p(v)",
        lambda v: (mpmath.power(2, v) - 1) / v,
        identity,
        -0.5001,
        (0.5001, 0.5001),
        (6, 11),
    ),
    Fit(
        "log",
        "log(1 + v) = v + v*v*p(v)",
        lambda v: (mpmath.log1p(v) - v) / v**2,
        identity,
        float(1 / SQRT_2 - 1),
        (float(SQRT_2 - 1), 0.0),
        (9, 0),
    ),
    Fit(
        "log_ratio",
        "log((1 + s)/(1 - s)) = 2*s + s*v*p(v), v = s*s",
        lambda v: (2 * mpmath.atanh(mpmath.sqrt(v)) / mpmath.sqrt(v) - 2) / v,
        identity,
        0.0,
        (0.0, 0.02945),
        (0, 7),
    ),
    Fit(
        "log_ratio_5",
        "log((1 + s)/(1 - s)) = 2*s + 2/3*s*v + s*v*v*p(v), v = s*s",
        lambda v: (2 * mpmath.atanh(mpmath.sqrt(v)) / mpmath.sqrt(v) - 2 - 2 * v / 3) / v**2,
        lambda v: v * v,
        0.0,
        (0.0, 0.02945),
        (0, 7),
    ),
    Fit("tanh", "tanh(x) = x + x*v*p(v), v = x*x", odd_tail(mpmath.tanh), identity,
        0.0, (0.3907, 0.3907), (5, 11)),
    Fit("sinh", "sinh(x) = x + x*v*p(v), v = x*x", odd_tail(mpmath.sinh), identity,
        0.0, (1.0, 1.0), (4, 7)),
    Fit("sin", "sin(x) = x + x*v*p(v), v = x*x", odd_tail(mpmath.sin), identity,
        0.0, (QUARTER_PI_SQUARED, QUARTER_PI_SQUARED), (3, 6)),
    Fit(
        "cos",
        "cos(x) = 1 - v/2 + v*v*p(v), v = x*x",
        lambda v: (mpmath.cos(mpmath.sqrt(v)) - 1 + v / 2) / v**2,
        lambda v: v * v,
        0.0,
        (QUARTER_PI_SQUARED, QUARTER_PI_SQUARED),
        (3, 6),
    ),
    Fit("tan", "tan(x) = x + x*v*p(v), v = x*x", odd_tail(mpmath.tan), identity,
        0.0, (QUARTER_PI_SQUARED, QUARTER_PI_SQUARED), (7, 14)),
    Fit("asin", "asin(x) = x + x*v*p(v), v = x*x", odd_tail(mpmath.asin), identity,
        0.0, (0.25, 0.25), (5, 12)),
    Fit("atan", "atan(x) = x + x*v*p(v), v = x*x", odd_tail(mpmath.atan), identity,
        0.0, (0.1716, 0.1716), (5, 11)),
    Fit(
        "erf",
        "erf(x) = x + x*p(v), v = x*x",
        lambda v: mpmath.erf(mpmath.sqrt(v)) / mpmath.sqrt(v) - 1,
        one,
        0.0,
        (1.0, 1.0),
        (7, 12),
    ),
    Fit(
        "log_erfc",
        "erfc(v) = exp(p(v))",
        lambda v: mpmath.log(mpmath.erfc(v)),
        mpmath.erfc,
        0.99,
        (3.93, 5.93),
        (6, 19),
    ),
    Fit(
        "erfc",
        "erfc(x) = exp(-x*x)/(1 + 2x) p(v), v = (x - 4)/(x + 4)",
        scaled_erfc(mpmath.mpf(ERFC_POLE)),
        one,
        -1.0,
        (0.44, 0.745),
        (11, 23),
    ),
)  # fmt: skip


def fit(case: Fit, high: float, count: int) -> list[Real]:
    """Weighted least squares on Chebyshev points, lowest power first.

    With this many points the result is within a small factor of the minimax polynomial.
    """
    points = [
        (case.low + high) / 2 + (high - case.low) / 2 * mpmath.cos(mpmath.pi * (i + 0.5) / (4 * count))
        for i in range(4 * count)
    ]
    weights = [case.weight(v) for v in points]
    matrix = mpmath.matrix([[w * v**i for i in range(count)] for v, w in zip(points, weights)])
    values = mpmath.matrix([w * case.target(v) for v, w in zip(points, weights)])
    return list(mpmath.lu_solve(matrix, values))


def rounded(coefficients: Sequence[Real], dtype: str) -> tuple[float, ...]:
    if dtype == "f64":
        return tuple(float(c) for c in coefficients)
    return tuple(float(numpy.float32(mpmath.nstr(c, 20))) for c in coefficients)


def largest_error(case: Fit, high: float, coefficients: Sequence[float]) -> float:
    """Largest weighted error, measured on 400 points."""
    points = [case.low + (high - case.low) * mpmath.mpf(i + 0.5) / 400 for i in range(400)]
    with mpmath.workdps(60):
      return max(
        float(abs(case.weight(v) * (mpmath.polyval(list(coefficients)[::-1], v) - case.target(v))))
        for v in points
    )


def fitted(case: Fit) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The f32 and the f64 coefficients, lowest power first."""
    with mpmath.workdps(60):
        single, double = (
            rounded(fit(case, high, count), dtype) if count else ()
            for high, count, dtype in zip(case.high, case.coefficients, ("f32", "f64"))
        )
    return single, double


HEADER = '''"""Polynomial coefficients of the vector mathematics, lowest power first.

Written by `fit_polynomials.py`, which also says how each was fitted; the comments give the largest
error of the polynomial alone, in units of 2**-24 and 2**-53 of the function's value.
"""

from __future__ import annotations

from collections.abc import Mapping

from .text_builder import FloatType

POLYNOMIALS: Mapping[str, Mapping[FloatType, tuple[float, ...]]] = {'''


def table_text() -> str:
    """The text of `math_tables.py`."""
    lines = [HEADER]
    for case in FITS:
        lines.append(f'    "{case.name}": {{  # {case.meaning}')
        for dtype, high, coefficients in zip(("f32", "f64"), case.high, fitted(case), strict=True):
            if coefficients:
                error = largest_error(case, high, coefficients) * 2 ** PRECISION[dtype]
                lines.append(f'        "{dtype}": (  # {case.low:.4g}..{high:.4g}, error {error:.2f}')
                lines.extend(f"            {c!r}," for c in coefficients)
                lines.append("        ),")
        lines.append("    },")
    return "\n".join([*lines, "}", ""])


if __name__ == "__main__":
    sys.stdout.write(table_text())
