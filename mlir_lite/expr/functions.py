"""The table of scalar functions: the one place that says what each computes at NaN, signed zero,
infinity, overflow and a zero divisor, as NumPy code.

Backends have an emission rule by name; their tests compare with these.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import erf, erfc, sqrt
from typing import Any

import numpy as np

from ..types import Array, DType
from .philox import philox

# NumPy's own functions take and give arrays of any element type.
Evaluator = Callable[..., Any]


@dataclass(frozen=True)
class ScalarFunction:
    """One scalar function: its arity, whether it gives a bool, and its value in NumPy."""

    name: str
    arity: int
    evaluate: Evaluator
    gives_bool: bool = False
    doc: str = ""
    cost: int = 1  # in units of an addition; what a recomputation is judged by


def _is_one_divisor(b: Array) -> bool:
    """Whether all is divided by one number, of which it is told at once that it is not 0."""
    return b.ndim == 0 and bool(b)


def _floor_divide(a: Array, b: Array) -> Array:
    if a.dtype.kind == "f" or a.dtype.kind == "V":
        return np.asarray(np.floor_divide(a, b))
    if _is_one_divisor(b):
        return np.asarray(np.floor_divide(a, b))
    safe = np.where(b == 0, np.ones_like(b), b)
    return np.where(b == 0, np.zeros_like(a), np.floor_divide(a, safe))


def _modulo(a: Array, b: Array) -> Array:
    if a.dtype.kind == "f" or a.dtype.kind == "V":
        return np.asarray(np.mod(a, b))
    if _is_one_divisor(b):
        return np.asarray(np.mod(a, b))
    safe = np.where(b == 0, np.ones_like(b), b)
    return np.where(b == 0, np.zeros_like(a), np.mod(a, safe))


def _truncated_divide(a: Array, b: Array) -> Array:
    quotient = _floor_divide(a, b)
    remainder = a - quotient * b
    up = (remainder != 0) & ((a < 0) != (b < 0)) & (b != 0)
    return np.asarray(quotient + up.astype(a.dtype))


def _truncated_modulo(a: Array, b: Array) -> Array:
    if a.dtype.kind == "f" or a.dtype.kind == "V":
        return np.asarray(np.fmod(a, b))
    return np.where(b == 0, np.zeros_like(a), a - _truncated_divide(a, b) * b)


def _erf(x: Array) -> Array:
    wide = np.asarray(x, np.float64)
    return np.asarray(np.vectorize(erf, otypes=[np.float64])(wide)).astype(x.dtype)


def _gelu(x: Array) -> Array:
    # The limit at -inf is 0, but -inf times 0 would be NaN.
    wide = np.maximum(np.asarray(x, np.float64), -40.0)
    upper = np.vectorize(erfc, otypes=[np.float64])(wide * -sqrt(0.5))
    return np.asarray(wide * 0.5 * upper).astype(x.dtype)


def _sigmoid(x: Array) -> Array:
    positive = np.exp(-np.abs(x))
    return np.asarray(np.where(x >= 0, 1 / (1 + positive), positive / (1 + positive))).astype(
        x.dtype
    )


def _integer_power(a: Array, b: Array) -> Array:
    """Powers of integers by squaring, wrapping around; a negative exponent gives 0."""
    result = np.ones(np.broadcast_shapes(np.shape(a), np.shape(b)), a.dtype)
    base, left = np.array(np.broadcast_to(a, result.shape)), np.broadcast_to(b, result.shape).copy()
    negative = left < 0
    left[negative] = 0
    while np.any(left):
        result = np.where(left & 1, result * base, result).astype(a.dtype)
        base = (base * base).astype(a.dtype)
        left = left >> 1
    return np.where(negative, np.zeros_like(result), result)


def _power(a: Array, b: Array) -> Array:
    return _integer_power(a, b) if a.dtype.kind in "iu" else np.asarray(np.power(a, b))


def _shift_left(a: Array, b: Array) -> Array:
    return np.asarray(np.left_shift(a, b))


def _rounded(x: Array) -> Array:
    return np.asarray(np.rint(x))


def _tf32(x: Array) -> Array:
    return _ten_bits(x, to_even=False)


def _tf32_even(x: Array) -> Array:
    return _ten_bits(x, to_even=True)


def _ten_bits(x: Array, *, to_even: bool) -> Array:
    """Ten bits of the mantissa are kept; f16 and bf16 have no more."""
    bits = {"f2": 10, "f4": 23, "f8": 52}.get(x.dtype.str[1:])
    if bits is None:
        raise TypeError(f"no mantissa in {x.dtype}")
    whole = x.view(f"u{x.dtype.itemsize}")
    drop, half = whole.dtype.type(bits - 10), whole.dtype.type(1 << (bits - 10) >> 1)
    if to_even and half:
        half = half - 1 + (whole >> drop & 1)
    near = (whole + half) >> drop << drop
    return np.where(np.isfinite(x), near.view(x.dtype), x)


def _tf32_cut(x: Array) -> Array:
    """Ten bits of the mantissa are kept; a NaN stays one."""
    drop = {"f2": 0, "f4": 13, "f8": 42}.get(x.dtype.str[1:])
    if drop is None:
        raise TypeError(f"no mantissa in {x.dtype}")
    whole = x.view(f"u{x.dtype.itemsize}")
    return np.where(np.isnan(x), x, (whole >> drop << drop).view(x.dtype))


def _flush(x: Array) -> Array:
    if x.dtype.kind in "iub":
        raise TypeError(f"no number of {x.dtype} is subnormal")
    least = np.finfo(np.float64 if x.dtype == np.float64 else np.float32).tiny
    return np.where(np.abs(x) < least, x * x.dtype.type(0), x)


def _select(condition: Array, then: Array, otherwise: Array) -> Array:
    return np.where(condition, then, otherwise)


def _fused(a: Array, b: Array, c: Array) -> Array:
    return np.asarray(a * b + c)


def _table(*functions: ScalarFunction) -> Mapping[str, ScalarFunction]:
    return {function.name: function for function in functions}


def _f(name: str, arity: int, evaluate: Evaluator, doc: str, cost: int = 1) -> ScalarFunction:
    return ScalarFunction(name, arity, evaluate, False, doc, cost)


def _predicate(name: str, arity: int, evaluate: Evaluator, doc: str) -> ScalarFunction:
    return ScalarFunction(name, arity, evaluate, True, doc)


FUNCTIONS: Mapping[str, ScalarFunction] = _table(
    _f("add", 2, np.add, "Sum; integers wrap around; of bools: or."),
    _f("sub", 2, np.subtract, "Difference; integers wrap around."),
    _f("mul", 2, np.multiply, "Product; integers wrap around; of bools: and."),
    _f("div", 2, np.divide, "Quotient of floats; x/0 is ±inf, 0/0 is NaN.", 4),
    _f("floordiv", 2, _floor_divide, "Quotient rounded down; of integers by zero: 0.", 8),
    _f("mod", 2, _modulo, "Remainder with the divisor's sign; of integers by zero: 0.", 8),
    _f("truncdiv", 2, _truncated_divide, "Integer quotient rounded to zero; by zero: 0.", 8),
    _f("truncmod", 2, _truncated_modulo, "Remainder with the dividend's sign (C's fmod).", 8),
    _f("min", 2, np.minimum, "The smaller; NaN where either is."),
    _f("max", 2, np.maximum, "The larger; NaN where either is."),
    _f("pow", 2, _power, "Power as in IEEE 754; integer to a negative power: 0.", 20),
    _f("atan2", 2, np.arctan2, "Angle of the point (second, first).", 20),
    _f("neg", 1, np.negative, "Negation; integers wrap around."),
    _f("abs", 1, np.abs, "Magnitude; of the least integer: itself."),
    _f("sign", 1, np.sign, "-1, 0 or 1; NaN of NaN."),
    _f("round", 1, _rounded, "Nearest integer, halves to even."),
    _f("tf32", 1, _tf32, "Nearest number with 10 bits after its first, halves away from zero."),
    _f("tf32_even", 1, _tf32_even, "As `tf32`, but halves to even."),
    _f("tf32_cut", 1, _tf32_cut, "Cut off after 10 bits, as cards read it; of `tf32`: itself."),
    _f("flush", 1, _flush, "Itself; a zero of its sign below 2**-126, of f64 below 2**-1022."),
    _f("floor", 1, np.floor, "Largest integer not above."),
    _f("ceil", 1, np.ceil, "Smallest integer not below."),
    _f("trunc", 1, np.trunc, "Integer part."),
    _f("sqrt", 1, np.sqrt, "Square root; NaN below zero; of -0: -0.", 4),
    _f("exp", 1, np.exp, "e to the power; overflow to inf, underflow to 0.", 12),
    _f("exp2", 1, np.exp2, "2 to the power.", 12),
    _f("expm1", 1, np.expm1, "exp(x) - 1, accurate near 0.", 14),
    _f("log", 1, np.log, "Natural logarithm; of 0: -inf; NaN below zero.", 14),
    _f("log1p", 1, np.log1p, "log(1 + x), accurate near 0.", 16),
    _f("log2", 1, np.log2, "Logarithm to base 2.", 14),
    _f("log10", 1, np.log10, "Logarithm to base 10.", 14),
    _f("sin", 1, np.sin, "Sine; NaN of ±inf.", 16),
    _f("cos", 1, np.cos, "Cosine; NaN of ±inf.", 16),
    _f("tan", 1, np.tan, "Tangent; NaN of ±inf.", 20),
    _f("asin", 1, np.arcsin, "Arc sine; NaN outside [-1, 1].", 16),
    _f("acos", 1, np.arccos, "Arc cosine; NaN outside [-1, 1].", 16),
    _f("atan", 1, np.arctan, "Arc tangent.", 16),
    _f("sinh", 1, np.sinh, "Hyperbolic sine.", 16),
    _f("cosh", 1, np.cosh, "Hyperbolic cosine.", 16),
    _f("tanh", 1, np.tanh, "Hyperbolic tangent; of -0: -0.", 16),
    _f("asinh", 1, np.arcsinh, "Inverse hyperbolic sine.", 20),
    _f("acosh", 1, np.arccosh, "Inverse hyperbolic cosine; NaN below 1.", 20),
    _f("atanh", 1, np.arctanh, "Inverse hyperbolic tangent; of ±1: ±inf.", 20),
    _f("erf", 1, _erf, "The error function.", 20),
    _f("gelu", 1, _gelu, "x times the normal distribution at x, precise to x; of -inf: 0.", 16),
    _f("gelu_bf16", 1, _gelu, "As `gelu`, to 2**-12 of it or of 2**-9 x: for bf16.", 10),
    _f("sigmoid", 1, _sigmoid, "1 / (1 + exp(-x)), without overflow.", 16),
    _f("and", 2, np.bitwise_and, "Logical and; of integers bit by bit."),
    _f("or", 2, np.bitwise_or, "Logical or; of integers bit by bit."),
    _f("xor", 2, np.bitwise_xor, "Exclusive or; of integers bit by bit."),
    _f("not", 1, np.invert, "Logical not; of integers bit by bit."),
    _f("shl", 2, _shift_left, "Bits moved up; the amount is below the width."),
    _f("shr", 2, np.right_shift, "Bits moved down; signed integers keep the sign."),
    _f("philox", 3, philox, "64 random bits: of a seed, a stream and a place in it, all i64.", 90),
    _f("fma", 3, _fused, "a * b + c, rounded once where the machine can."),
    _f("select", 3, _select, "Second argument where the first is true, else the third."),
    _predicate("eq", 2, np.equal, "Equal; false with NaN."),
    _predicate("ne", 2, np.not_equal, "Not equal; true with NaN."),
    _predicate("lt", 2, np.less, "Less; false with NaN."),
    _predicate("le", 2, np.less_equal, "Less or equal; false with NaN."),
    _predicate("gt", 2, np.greater, "Greater; false with NaN."),
    _predicate("ge", 2, np.greater_equal, "Greater or equal; false with NaN."),
    _predicate("isnan", 1, np.isnan, "Is NaN."),
    _predicate("isinf", 1, np.isinf, "Is infinite."),
)


def cast_array(array: Array, dtype: DType) -> Array:
    """Convert as `Cast` does: float to integer saturates, NaN goes to 0, to bool is `!= 0`."""
    source = array.dtype
    is_float = source.kind == "f" or source.kind == "V"
    if dtype.kind == "b":
        return np.asarray(array != 0)
    if dtype.is_integer and is_float:
        wide = np.nan_to_num(array.astype(np.float64), nan=0.0, posinf=np.inf, neginf=-np.inf)
        limits = np.iinfo(dtype.numpy)
        clipped = np.clip(np.trunc(wide), float(limits.min), float(limits.max))
        with np.errstate(invalid="ignore"):
            result = clipped.astype(dtype.numpy)
        # The largest i64 is no float64: what is at or above it saturates by hand.
        return np.where(wide >= float(limits.max), dtype.numpy.type(limits.max), result)
    with np.errstate(over="ignore"):
        return array.astype(dtype.numpy)
