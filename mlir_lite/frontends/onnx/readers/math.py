"""Readers of the operators that work element by element.

Arithmetic on integers that are known while reading is done at once. ONNX divides integers
towards zero; types differ only where an operator says so.
"""

from __future__ import annotations

from collections.abc import Callable

from .... import ops
from ....errors import ParseError, check
from ....ir import Constant, Scalar, Value
from ....sizes import Size
from ....types import DType, bool_, f32, f64
from ..call import Call, Reader, Results
from ..sizes import (
    Operand,
    Sizes,
    as_value,
    elementwise,
    equal,
    less,
    maximum,
    minimum,
    quotient,
    select,
)
from ..weights import element_type

Fold = Callable[[Size, Size], Size | None]


def unary(function: Callable[[Value], Value]) -> Reader:
    """The reader of an operator that is one function of one operand."""

    def read(call: Call) -> Results:
        return function(call.value(0))

    return read


def binary(
    function: Callable[[Value, Value], Value],
    fold: Fold | None = None,
    dtype: DType | None = None,
) -> Reader:
    """The reader of a function of two operands; `fold` does it on known integers."""

    def read(call: Call) -> Results:
        left, right = call.operand(0), call.operand(1)
        if fold is not None:
            known = elementwise(dtype, fold, left, right)
            if known is not None:
                return known
        return function(as_value(left), as_value(right))

    return read


def variadic(function: Callable[[Value, Value], Value], fold: Fold | None = None) -> Reader:
    """The reader of a function of one or more operands, joined from the left."""

    def read(call: Call) -> Results:
        total = call.operand(0)
        for position in range(1, call.count):
            other = call.operand(position)
            known = None if fold is None else elementwise(None, fold, total, other)
            total = function(as_value(total), as_value(other)) if known is None else known
        return total

    return read


def add_sizes(a: Size, b: Size) -> Size:
    """The sum of sizes that are known while reading."""
    return a + b


def subtract_sizes(a: Size, b: Size) -> Size:
    """The difference of sizes that are known while reading."""
    return a - b


def multiply_sizes(a: Size, b: Size) -> Size:
    """The product of sizes that are known while reading."""
    return a * b


def more(a: Size, b: Size) -> bool | None:
    """`a > b`; None where that depends on the named sizes."""
    return less(b, a)


def at_most(a: Size, b: Size) -> bool | None:
    """`a <= b`; None where that depends on the named sizes."""
    return _not(less(b, a))


def at_least(a: Size, b: Size) -> bool | None:
    """`a >= b`; None where that depends on the named sizes."""
    return _not(less(a, b))


def _not(truth: bool | None) -> bool | None:
    return None if truth is None else not truth


def both(a: Size, b: Size) -> Size:
    """Whether both truth values hold."""
    return bool(a) and bool(b)


def either(a: Size, b: Size) -> Size:
    """Whether one of two truth values holds."""
    return bool(a) or bool(b)


def divide(x: Value, y: Value) -> Value:
    """ONNX's division, which of integers rounds to zero."""
    return ops.truncated_divide(x, y) if x.dtype.is_integer else ops.divide(x, y)


def mod(call: Call) -> Results:
    """The result has the sign of the divisor, or with `fmod` that of the dividend."""
    function = ops.truncated_mod if call.int_("fmod", 0) else ops.mod
    return function(call.value(0), call.value(1))


def power(call: Call) -> Results:
    """The result has the type of the base, whatever the exponent's."""
    base, exponent = call.value(0), call.value(1)
    if base.dtype.is_integer and exponent.dtype.is_float:
        wide = f64 if base.dtype.bits > 16 else f32
        result = ops.power(ops.cast(base, wide), ops.cast(exponent, wide))
        return ops.cast(result, base.dtype)
    return ops.power(base, ops.cast(exponent, base.dtype))


def negative(call: Call) -> Results:
    """`-x`, of known sizes at once."""
    known = elementwise(None, lambda entry: -entry, call.operand(0))
    return ops.negative(call.value(0)) if known is None else known


def logical_not(call: Call) -> Results:
    """The opposite truth values, known ones at once."""
    known = elementwise(bool_, lambda entry: not entry, call.operand(0))
    return ops.bitwise_not(call.value(0)) if known is None else known


def where(call: Call) -> Results:
    """Elements of one operand or the other, as a condition says; known ones at once."""
    condition, then, otherwise = (call.operand(position) for position in range(3))
    known = elementwise(None, select, condition, then, otherwise)
    if known is not None:
        return known
    return ops.where(as_value(condition), as_value(then), as_value(otherwise))


def clip(call: Call) -> Results:
    """Limits are attributes until version 6, operands from 11 on."""
    if call.version < 11:
        low = call.float_("min") if call.attribute("min") is not None else None
        high = call.float_("max") if call.attribute("max") is not None else None
        return ops.clip(call.value(0), low, high)
    x = call.operand(0)
    limits = [call.operands[place] if call.has(place) else None for place in (1, 2)]
    numbers = [_constant_number(limit) for limit in limits]
    if isinstance(x, Value) and all(
        (limit is None) == (known is None) for limit, known in zip(limits, numbers, strict=True)
    ):
        return ops.clip(x, *numbers)
    for limit, fold, function in zip(
        limits, (maximum, minimum), (ops.maximum, ops.minimum), strict=True
    ):
        if limit is not None:
            known = elementwise(None, fold, x, limit)
            x = function(as_value(x), as_value(limit)) if known is None else known
    return x


def _constant_number(operand: Operand | None) -> Scalar | None:
    """The number of a constant with one element."""
    constant = operand.op if isinstance(operand, Value) else None
    return constant.number if isinstance(constant, Constant) else None


def cast_to(operand: Operand, dtype: DType) -> Operand:
    """Convert; a named size stays one in any integer type."""
    if isinstance(operand, Sizes):
        if dtype.is_integer:
            known = elementwise(dtype, lambda entry: entry * 1, operand)
        else:
            known = elementwise(dtype, _truth, operand) if dtype == bool_ else None
        if known is not None:
            return known
    return ops.cast(as_value(operand), dtype)


def _truth(entry: Size) -> bool | None:
    return _not(equal(entry, 0))


def cast(call: Call) -> Results:
    """To the element type that the attribute `to` names by its number."""
    return cast_to(call.operand(0), element_type(call.int_("to"), "the result"))


def cast_like(call: Call) -> Results:
    """To the element type of the second operand."""
    return cast_to(call.operand(0), call.dtype(1))


def mean(call: Call) -> Results:
    """The mean of the operands, which broadcast."""
    total = call.value(0)
    for position in range(1, call.count):
        total = ops.add(total, call.value(position))
    return ops.divide(total, float(call.count))


def is_inf(call: Call) -> Results:
    """Where elements are infinite, of the signs that the attributes ask for."""
    x = call.value(0)
    found = ops.isinf(x)
    if not call.int_("detect_positive", 1):
        found = ops.bitwise_and(found, ops.less(x, 0))
    if not call.int_("detect_negative", 1):
        found = ops.bitwise_and(found, ops.greater(x, 0))
    return found


def bit_shift(call: Call) -> Results:
    """Bits moved in the direction that the attribute names."""
    direction = call.text("direction", "")
    check(direction in ("LEFT", "RIGHT"), f"the direction '{direction}'", ParseError)
    function = ops.left_shift if direction == "LEFT" else ops.right_shift
    return function(call.value(0), call.value(1))


DIVIDE = binary(divide, quotient)
EQUAL = binary(ops.equal, equal, bool_)
LESS = binary(ops.less, less, bool_)
GREATER = binary(ops.greater, more, bool_)
LESS_EQUAL = binary(ops.less_equal, at_most, bool_)
GREATER_EQUAL = binary(ops.greater_equal, at_least, bool_)


# Activations with attributes


def activation(function: Callable[..., Value], **defaults: float) -> Reader:
    """The reader of a function of one operand with numbers as attributes, given by position."""

    def read(call: Call) -> Results:
        numbers = [call.float_(name, default) for name, default in defaults.items()]
        return function(call.value(0), *numbers)

    return read


def swish(call: Call) -> Results:
    """`x sigmoid(alpha x)`."""
    x = call.value(0)
    return ops.multiply(x, ops.sigmoid(ops.multiply(x, call.float_("alpha", 1.0))))


def gelu(call: Call) -> Results:
    """By the error function, or approximated by tanh."""
    return ops.gelu(call.value(0), call.text("approximate", "none"))


LEAKY_RELU = activation(ops.leaky_relu, alpha=0.01)
ELU = activation(ops.elu, alpha=1.0)
SELU = activation(ops.selu, alpha=1.67326319217681884765625, gamma=1.05070102214813232421875)
CELU = activation(ops.celu, alpha=1.0)
THRESHOLDED_RELU = activation(ops.thresholded_relu, alpha=1.0)
HARD_SIGMOID = activation(ops.hard_sigmoid, alpha=0.2, beta=0.5)
SHRINK = activation(ops.shrink, lambd=0.5, bias=0.0)
