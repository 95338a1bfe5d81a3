"""The error function, its complement and gelu as inline vector code."""

from __future__ import annotations

import math

from ..text.vectors import Vec
from .constants import ERFC_POLE
from .exp import exp2_bounded, exp_bounded, exp_nonpositive
from .tables import POLYNOMIALS

ERF_IS_ONE = {"f32": 3.93, "f64": 5.93}
ERFC_IS_ZERO = 27.3
GELU_IS_ZERO = {"f32": 9.5, "f64": 9.0}  # to 1e-17, below minus this


def erf(x: Vec) -> Vec:
    """A polynomial below 1, above it 1 - exp(q(|x|)) with q fitted to log erfc."""
    magnitude = x.fabs().at_most(ERF_IS_ONE[x.shape.dtype])
    near = magnitude.fma(
        (magnitude * magnitude).polynomial(POLYNOMIALS["erf"][x.shape.dtype]), magnitude
    )
    far = 1.0 - exp_bounded(magnitude.polynomial(POLYNOMIALS["log_erfc"][x.shape.dtype]))
    return (magnitude < 1.0).select(near, far).copysign(x)


def erfc(x: Vec) -> Vec:
    """exp(-x*x) p(t)/(1 + 2x), t = (x - 4)/(x + 4), for x >= 0; 2 - erfc(-x) below.

    The form with one polynomial over the half line is that of Shepherd and Laframboise (1981).
    For f64 only: f32 would lose 4 ulp in it.
    """
    magnitude = x.fabs().at_most(ERFC_IS_ZERO)
    t = (magnitude - ERFC_POLE) / (magnitude + ERFC_POLE)
    factor = t.polynomial(POLYNOMIALS["erfc"]["f64"]) / magnitude.fma(2.0, 1.0)
    square, square_low = magnitude.two_product(magnitude)
    # exp(-square_low) = 1 - square_low to working precision
    right = exp_nonpositive(-square) * (factor - factor * square_low)
    return (x < 0.0).select(2.0 - right, right)


def gelu(x: Vec) -> Vec:
    """x times the normal distribution up to x; the error is relative to x.

    In f32 max(x, 0) - |x| 2**p(|x|), with p fitted to the logarithm of the distribution up to -|x|:
    nothing cancels, so that the error is relative to the result above 0, and near below.
    """
    if x.shape.dtype == "f64":
        x = x.at_least(-GELU_IS_ZERO["f64"])  # -inf times 0 would be NaN
        return x * 0.5 * (erf(x * math.sqrt(0.5)) + 1.0)
    return _gelu_by_powers(x, "log_normal", "exp2")


def gelu_bf16(x: Vec) -> Vec:
    """As `gelu`, by polynomials of fewer terms in f32: within 2**-12 of the result, a sixteenth of
    bf16's last place, or where that is less, below -2.9, of 2**-9 x."""
    if x.shape.dtype == "f64":
        return gelu(x)
    return _gelu_by_powers(x, "log_normal_bf16", "exp2_bf16")


def _gelu_by_powers(x: Vec, exponents: str, powers: str) -> Vec:
    """max(x, 0) - |x| 2**p(|x|), by polynomials of these tables."""
    magnitude = x.fabs().at_most(GELU_IS_ZERO["f32"])
    below = exp2_bounded(magnitude.polynomial(POLYNOMIALS[exponents]["f32"]), powers)
    return magnitude.fma(-below, x.at_least(0.0))
