"""Operators that work element by element: arithmetic, comparisons, choices."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from .... import ops
from ....ir import Value
from ....types import bool_
from ..promote import (
    Operand,
    converted,
    default_float,
    floating,
    promoted,
    result_type,
    together,
)
from .typed import Reader, Typed


def of_floats(function: Callable[[Value], Value]) -> Reader:
    """The reader of a function of one operand that makes floats of integers."""
    return lambda x: function(floating(x))


def of_any(function: Callable[[Value], Value]) -> Reader:
    """The reader of a function of one operand that leaves integers what they are."""
    return lambda x: x if x.dtype.is_integer else function(x)


def of_two(function: Callable[[Value, Value], Value]) -> Reader:
    """The reader of a function of two operands."""
    return lambda x, y: together(function, x, y)


def of_truths(function: Callable[[Value, Value], Value]) -> Reader:
    """The reader of a function of whether its operands are not 0."""
    return lambda x, y: function(*promoted(truth(x), truth(y)))


def truth(x: Operand) -> Value:
    """Whether an element is not 0."""
    return converted(x, bool_)


def add(x: Operand, y: Operand, alpha: float = 1) -> Value:
    """`x + alpha * y`, of truth values whether one holds."""
    if result_type(x, y) == bool_:
        return ops.bitwise_or(*promoted(x, y))
    return together(ops.add, x, _times(y, alpha, x))


def subtract(x: Operand, y: Operand, alpha: float = 1) -> Value:
    """`x - alpha * y`."""
    return together(ops.subtract, x, _times(y, alpha, x))


def subtract_from(x: Operand, y: Operand, alpha: float = 1) -> Value:
    """`y - alpha * x`."""
    return subtract(y, x, alpha=alpha)


def _times(y: Operand, alpha: float, beside: Operand) -> Operand:
    if alpha == 1:
        return y
    if isinstance(y, (int, float)):
        return y * alpha
    return together(ops.multiply, converted(y, result_type(y, beside)), alpha)


def multiply(x: Operand, y: Operand) -> Value:
    """`x * y`, of truth values whether both hold."""
    if result_type(x, y) == bool_:
        return ops.bitwise_and(*promoted(x, y))
    return together(ops.multiply, x, y)


def divide(x: Operand, y: Operand, *, rounding_mode: str | None = None) -> Value:
    """The quotient, of integers a float unless it is rounded."""
    if rounding_mode == "floor":
        return together(ops.floor_divide, x, y)
    if rounding_mode == "trunc":
        return together(_truncated_quotient, x, y)
    dtype = result_type(x, y)
    if dtype.is_float:
        return together(ops.divide, x, y)
    return together(ops.divide, *(converted(side, default_float()) for side in (x, y)))


def _truncated_quotient(x: Value, y: Value) -> Value:
    return ops.truncated_divide(x, y) if x.dtype.is_integer else ops.trunc(ops.divide(x, y))


def power(x: Operand, y: Operand) -> Value:
    """`x ** y`; common exponents are what they stand for."""
    if isinstance(x, Value) and not isinstance(y, Value) and x.dtype.is_float:
        known = _POWERS.get(float(y)) if isinstance(y, (int, float)) else None
        if known is not None:
            return known(x)
    return together(ops.power, x, y)


_POWERS: Mapping[float, Callable[[Value], Value]] = {
    0.5: ops.sqrt,
    -0.5: ops.rsqrt,
    1.0: lambda x: x,
    -1.0: ops.reciprocal,
    2.0: ops.square,
    3.0: lambda x: x * ops.square(x),
}


def where(condition: Value, x: Operand, y: Operand) -> Value:
    """`x` where the condition holds, `y` elsewhere."""
    return ops.where(truth(condition), *promoted(x, y))


def clamp(x: Value, low: Operand | None = None, high: Operand | None = None) -> Value:
    """`x` moved into `[low, high]`; numbers or tensors."""
    for bound, function in ((low, ops.maximum), (high, ops.minimum)):
        if bound is not None:
            x = together(function, x, bound)
    return x


def _ignoring_nan(function: Callable[[Value, Value], Value]) -> Callable[[Value, Value], Value]:
    """The function where both are numbers, else the one that is."""

    def read(x: Value, y: Value) -> Value:
        if not x.dtype.is_float:
            return function(x, y)
        return ops.where(ops.isnan(x), y, ops.where(ops.isnan(y), x, function(x, y)))

    return read


def absolute(x: Value) -> Value:
    """`|x|`, of truth values these."""
    return x if x.dtype in (bool_,) else ops.absolute(x)


def lerp(start: Value, end: Value, weight: Operand) -> Value:
    """From `start` to `end`, by the end that is nearer, as torch computes it."""
    x, y, w = promoted(start, end, weight)
    steps = y - x
    return ops.where(ops.absolute(w) < 0.5, x + w * steps, y - steps * (1 - w))


def _is_infinite(sign: float) -> Reader:
    def read(x: Value) -> Value:
        if not x.dtype.is_float:
            return ops.full(x.shape, False, bool_)
        return ops.equal(x, math.copysign(math.inf, sign))

    return read


def _tested(function: Callable[[Value], Value], of_integers: bool) -> Reader:
    """The reader of a question to floats, which integers answer all alike."""
    return lambda x: function(x) if x.dtype.is_float else ops.full(x.shape, of_integers, bool_)


def sign(x: Value) -> Value:
    """-1, 0 or 1; of NaN 0."""
    if x.dtype == bool_:
        return x
    return ops.where(ops.isnan(x), 0, ops.sign(x)) if x.dtype.is_float else ops.sign(x)


def hypotenuse(x: Value, y: Value) -> Value:
    """`sqrt(x² + y²)`, where the squares may be too large for the type."""
    sides = ops.absolute(x), ops.absolute(y)
    large, small = ops.maximum(*sides), ops.minimum(*sides)
    ratio = small / ops.where(large > 0, large, 1)
    return ops.where(ops.isinf(large), large, large * ops.sqrt(1 + ops.square(ratio)))


def rounded(x: Value, *, decimals: int = 0) -> Value:
    """The nearest integer, of two the even one; with decimals the nearest multiple."""
    if not x.dtype.is_float:
        return x
    if not decimals:
        return ops.round(x)
    scale = 10.0 ** abs(decimals)
    if decimals < 0:
        return together(ops.multiply, ops.round(together(ops.divide, x, scale)), scale)
    return together(ops.divide, ops.round(together(ops.multiply, x, scale)), scale)


def logit(x: Value, eps: float | None = None) -> Value:
    """`log(x / (1 - x))`."""
    x = floating(x)
    x = x if eps is None else ops.clip(x, eps, 1 - eps)
    return ops.log(x / (1 - x))


READERS: Mapping[str, Reader | Typed] = {
    "aten.__lshift__": of_two(ops.left_shift),
    "aten.__rshift__": of_two(ops.right_shift),
    "aten.abs": absolute,
    "aten.acos": of_floats(ops.arccos),
    "aten.acosh": of_floats(ops.arccosh),
    "aten.add": add,
    "aten.asin": of_floats(ops.arcsin),
    "aten.asinh": of_floats(ops.arcsinh),
    "aten.atan": of_floats(ops.arctan),
    "aten.atan2": lambda x, y: ops.arctan2(*promoted(floating(x), floating(y))),
    "aten.atanh": of_floats(ops.arctanh),
    "aten.bitwise_and": of_two(ops.bitwise_and),
    "aten.bitwise_left_shift": of_two(ops.left_shift),
    "aten.bitwise_not": lambda x: ops.bitwise_not(x),
    "aten.bitwise_or": of_two(ops.bitwise_or),
    "aten.bitwise_right_shift": of_two(ops.right_shift),
    "aten.bitwise_xor": of_two(ops.bitwise_xor),
    "aten.ceil": of_any(ops.ceil),
    "aten.clamp": clamp,
    "aten.clamp_max": lambda x, high: clamp(x, None, high),
    "aten.clamp_min": lambda x, low: clamp(x, low),
    "aten.cos": of_floats(ops.cos),
    "aten.cosh": of_floats(ops.cosh),
    "aten.div": divide,
    "aten.eq": of_two(ops.equal),
    "aten.erf": of_floats(ops.erf),
    "aten.erfc": of_floats(lambda x: 1 - ops.erf(x)),
    "aten.exp": of_floats(ops.exp),
    "aten.exp2": of_floats(ops.exp2),
    "aten.expm1": of_floats(ops.expm1),
    "aten.floor": of_any(ops.floor),
    "aten.floor_divide": of_two(ops.floor_divide),
    "aten.fmax": of_two(_ignoring_nan(ops.maximum)),
    "aten.fmin": of_two(_ignoring_nan(ops.minimum)),
    "aten.fmod": of_two(ops.truncated_mod),
    "aten.ge": of_two(ops.greater_equal),
    "aten.gt": of_two(ops.greater),
    "aten.hypot": of_two(hypotenuse),
    "aten.isfinite": _tested(ops.isfinite, True),
    "aten.isinf": _tested(ops.isinf, False),
    "aten.isnan": _tested(ops.isnan, False),
    "aten.isneginf": _is_infinite(-1),
    "aten.isposinf": _is_infinite(1),
    "aten.le": of_two(ops.less_equal),
    "aten.lerp": lerp,
    "aten.log": of_floats(ops.log),
    "aten.log10": of_floats(ops.log10),
    "aten.log1p": of_floats(ops.log1p),
    "aten.log2": of_floats(ops.log2),
    "aten.logaddexp": of_two(ops.logaddexp),
    "aten.logical_and": of_truths(ops.bitwise_and),
    "aten.logical_not": lambda x: ops.bitwise_not(truth(x)),
    "aten.logical_or": of_truths(ops.bitwise_or),
    "aten.logical_xor": of_truths(ops.bitwise_xor),
    "aten.logit": logit,
    "aten.lt": of_two(ops.less),
    "aten.maximum": of_two(ops.maximum),
    "aten.minimum": of_two(ops.minimum),
    "aten.mul": multiply,
    "aten.ne": of_two(ops.not_equal),
    "aten.neg": ops.negative,
    "aten.pow": power,
    "aten.reciprocal": of_floats(ops.reciprocal),
    "aten.remainder": of_two(ops.mod),
    "aten.round": rounded,
    "aten.rsqrt": of_floats(ops.rsqrt),
    "aten.rsub": subtract_from,
    "aten.sign": sign,
    "aten.sin": of_floats(ops.sin),
    "aten.sinh": of_floats(ops.sinh),
    "aten.sqrt": of_floats(ops.sqrt),
    "aten.sub": subtract,
    "aten.tan": of_floats(ops.tan),
    "aten.tanh": of_floats(ops.tanh),
    "aten.true_divide": divide,
    "aten.trunc": of_any(ops.trunc),
    "aten.where": where,
}
