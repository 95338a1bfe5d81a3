"""canonicalize: one form for what can be written in several ways; identities disappear."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from math import frexp, isclose, sqrt

import numpy as np

from ..ir import Constant, Function, Value, rewrite, rewrite_all
from ..ops.arithmetic import Add, Divide, Multiply, Power, Subtract
from ..ops.broadcast import Broadcast, broadcast
from ..ops.cast import Cast, cast
from ..ops.elementwise import BinaryFunction, emit
from ..ops.gate import TANH_CUBIC, TANH_SCALE, gelu
from ..ops.matmul import Matmul
from ..ops.reduce import Sum
from ..ops.select import Clip
from ..ops.shape import Reshape, Transpose, reshape, transpose
from ..ops.table import TABLE
from ..ops.trigonometry import Tanh
from ..ops.unary import Erf, Square, square
from ..types import DType, f32, product


@rewrite(Reshape)
def fold_reshape_pair(op: Reshape) -> Value | None:
    """reshape(reshape(x, a), b)  ->  reshape(x, b)"""
    match op.x.op:
        case Reshape(x=x):
            return reshape(x, op.shape)
    return None


@rewrite(Reshape)
def drop_identity_reshape(op: Reshape) -> Value | None:
    """reshape(x, shape of x)  ->  x"""
    return op.x if op.x.shape == op.shape else None


@rewrite(Transpose)
def fold_transpose_pair(op: Transpose) -> Value | None:
    """transpose(transpose(x, p), q)  ->  transpose(x, p∘q)"""
    match op.x.op:
        case Transpose(x=x, perm=inner):
            return transpose(x, tuple(inner[axis] for axis in op.perm))
    return None


@rewrite(Transpose)
def drop_identity_transpose(op: Transpose) -> Value | None:
    """transpose(x, identity)  ->  x"""
    return op.x if op.perm == tuple(range(op.x.rank)) else None


@rewrite(Transpose)
def transpose_of_unit_axes(op: Transpose) -> Value | None:
    """transpose that only moves axes of size 1  ->  reshape, which costs nothing"""
    moved = [axis for axis in op.perm if op.x.shape[axis] != 1]
    if moved != sorted(moved):
        return None
    return reshape(op.x, tuple(op.x.shape[axis] for axis in op.perm))


@rewrite(Reshape)
def transpose_between_reshapes(op: Reshape) -> Value | None:
    """reshape(transpose(reshape(x, [b*h, s, d]), [0, 2, 1]), [b, h, d, s])
    ->  transpose(x, [0, 1, 3, 2])"""
    match op.x.op:
        case Transpose(x=Value(op=Reshape(x=x)) as merged, perm=(*leading, last, before)):
            *batch, rows, columns = range(x.rank) if x.rank > 1 else (0, 0)
            swaps = (*leading, before, last) == tuple(range(merged.rank))
            shape = (*x.shape[:-2], *reversed(x.shape[-2:]))
            if swaps and merged.shape[-2:] == x.shape[-2:] and op.shape == shape:
                return transpose(x, (*batch, columns, rows))
    return None


@rewrite(Broadcast)
def fold_broadcast_pair(op: Broadcast) -> Value | None:
    """broadcast(broadcast(x, a), b)  ->  broadcast(x, b)"""
    match op.x.op:
        case Broadcast(x=x):
            return broadcast(x, op.shape)
    return None


@rewrite(Sum)
def one_product_for_a_sum_of_them(op: Sum) -> Value | None:
    """sum(matmul(transpose(x), y), over the batch)  ->  matmul(transpose(rows of x), rows of y)

    The gradient of a weight that many rows share: one product adds up all of it.
    """
    match op.x.op:
        case Matmul(lhs=Value(op=Transpose(x=x, perm=(*_, last, before))), rhs=y):
            batch = x.shape[:-2]
            whole = y.shape[:-2] == batch and op.axes == tuple(range(x.rank - 2))
            if not batch or not whole or (last, before) != (x.rank - 1, x.rank - 2):
                return None
            if not op.x.dtype.is_float or op.x.dtype.bits < f32.bits or op.keepdims:
                return None  # integers too would do, but half floats are rounded once a product
            count = product(x.shape[:-1])
            rows, others = reshape(x, (count, x.shape[-1])), reshape(y, (count, y.shape[-1]))
            return emit(Matmul(transpose(rows), others))
    return None


@rewrite(Cast)
def drop_identity_cast(op: Cast) -> Value | None:
    """cast(x, type of x)  ->  x"""
    return op.x if op.x.dtype == op.dtype else None


@rewrite(Cast)
def drop_limits_of_type(op: Cast) -> Value | None:
    """cast(clip(x, lo, hi))  ->  cast(x), from floats to integers within: a cast saturates"""
    if not op.dtype.is_integer or not op.x.dtype.is_float:
        return None
    limits = np.iinfo(op.dtype.numpy)
    match op.x.op:
        case Clip(x=x, minimum=low, maximum=high):
            wide = (low is None or low <= limits.min) and (high is None or high >= limits.max)
            return cast(x, op.dtype) if wide else None
    return None


@rewrite(Cast)
def drop_zero_before_cast(op: Cast) -> Value | None:
    """cast(x + 0)  ->  cast(x), from floats to integers, which have one zero"""
    match op.x.op:
        case Add(lhs=x, rhs=zero) if op.x.dtype.is_float and op.dtype.is_integer:
            return cast(x, op.dtype) if uniform(zero) == 0 else None
    return None


def uniform(value: Value) -> int | float | bool | None:
    """The number that every element of a (broadcast) constant is; None if it is no such thing."""
    match value.op:
        case Broadcast(x=x) | Reshape(x=x):
            return uniform(x)
        case Constant() as op:
            return op.number
    return None


@rewrite(Multiply, Divide)
def drop_unit_factor(op: BinaryFunction) -> Value | None:
    """x * 1  ->  x;  x / 1  ->  x"""
    if uniform(op.rhs) == 1:
        return op.lhs
    return op.rhs if isinstance(op, Multiply) and uniform(op.lhs) == 1 else None


@rewrite(Add, Subtract)
def drop_integer_zero(op: BinaryFunction) -> Value | None:
    """x + 0  ->  x, of integers (of floats it would lose the sign of -0)"""
    if not op.lhs.dtype.is_integer:
        return None
    if uniform(op.rhs) == 0:
        return op.lhs
    return op.rhs if isinstance(op, Add) and uniform(op.lhs) == 0 else None


@rewrite(Divide)
def divide_by_power_of_two(op: Divide) -> Value | None:
    """x / 2ⁿ  ->  x * 2⁻ⁿ, which is exact"""
    divisor = uniform(op.rhs)
    if not isinstance(divisor, float) or not 2.0**-10 <= abs(divisor) <= 2.0**10:
        return None
    mantissa, _ = frexp(divisor)
    return op.lhs * (1.0 / divisor) if abs(mantissa) == 0.5 and divisor != 1 else None


@rewrite(Power)
def power_of_small_number(op: Power) -> Value | None:
    """x ** 1  ->  x;  x ** 2  ->  square(x)"""
    match uniform(op.rhs):
        case 1:
            return op.lhs
        case 2:
            return square(op.lhs)
    return None


@rewrite(Multiply)
def gelu_written_out(op: Multiply) -> Value | None:
    """x * 0.5 * (erf(x / √2) + 1), its factors in any order  ->  gelu(x)"""
    for gate, argument in _gates(op, Erf):
        for x in argument.op.operands if argument.op is not None else ():
            if _is_over_root_two(argument, x) and _is_half_times(op, x, gate):
                return gelu(x)
    return None


@rewrite(Multiply)
def tanh_gelu_written_out(op: Multiply) -> Value | None:
    """x * 0.5 * (tanh(√(2/π) * (x + 0.044715 * x³)) + 1), factors in any order
    ->  gelu(x) {approximate = "tanh"}"""
    for gate, argument in _gates(op, Tanh):
        scale, others = _factors(argument)
        for bent in others if _is_about(scale, TANH_SCALE, argument.dtype) else ():
            match bent.op:
                case Add(lhs=lhs, rhs=rhs) if others.total() == 1:
                    for x, cubic in ((lhs, rhs), (rhs, lhs)):
                        if _is_cubic(cubic, x) and _is_half_times(op, x, gate):
                            return gelu(x, "tanh")
    return None


def _factors(*values: Value, depth: int = 4) -> tuple[float, Counter[Value]]:
    """The factors of a product: the numbers multiplied, and how often each other value is one.

    Products in products are looked into `depth` deep: powers of powers have many factors.
    """
    number, others = 1.0, Counter[Value]()
    for value in values:
        constant, parts = uniform(value), _parts(value)
        if constant is not None:
            number *= constant
        elif parts and depth:
            inner_number, inner = _factors(*parts, depth=depth - 1)
            number, others = number * inner_number, others + inner
        else:
            others[value] += 1
    return number, others


def _parts(value: Value) -> tuple[Value, ...]:
    """The values that a product, a square or a cube multiplies."""
    match value.op:
        case Multiply(lhs=lhs, rhs=rhs):
            return lhs, rhs
        case Square(x=x):
            return x, x
        case Power(lhs=x, rhs=exponent) if uniform(exponent) == 3:
            return x, x, x
    return ()


def _gates(op: Multiply, function: type[Erf | Tanh]) -> Iterator[tuple[Value, Value]]:
    """The factors `function(v) + 1` of a product, each with its v."""
    for factor in _factors(op.lhs, op.rhs)[1]:
        match factor.op:
            case Add(lhs=lhs, rhs=rhs):
                for curve, one in ((lhs, rhs), (rhs, lhs)):
                    if isinstance(curve.op, function) and uniform(one) == 1:
                        yield factor, curve.op.x


def _is_half_times(op: Multiply, x: Value, gate: Value) -> bool:
    """Whether a product is 0.5 * x * gate."""
    number, others = _factors(op.lhs, op.rhs)
    in_x, others_in_x = _factors(x)
    return isclose(number, 0.5 * in_x) and others == others_in_x + Counter([gate])


def _is_cubic(value: Value, x: Value) -> bool:
    """Whether `value` is 0.044715 * x³."""
    number, others = _factors(value)
    in_x, others_in_cube = _factors(x, x, x)
    return others == others_in_cube and _is_about(number, TANH_CUBIC * in_x, x.dtype)


def _is_over_root_two(value: Value, x: Value) -> bool:
    """Whether `value` is x / √2, to the precision of its type."""
    match value.op:
        case Divide(lhs=lhs, rhs=rhs):
            return lhs is x and _is_about(uniform(rhs), sqrt(2), x.dtype)
        case Multiply(lhs=lhs, rhs=rhs):
            number, other = (uniform(rhs), lhs) if lhs is x else (uniform(lhs), rhs)
            return other is x and _is_about(number, sqrt(0.5), x.dtype)
    return False


def _is_about(number: float | None, ideal: float, dtype: DType) -> bool:
    """Whether a constant is the number that a type has for `ideal`, or a neighbour of it."""
    rounded = float(np.asarray(ideal).astype(dtype.numpy))
    precision = 2.0**-51 if dtype.bits == 64 else 2.0**-22
    return number is not None and isclose(number, rounded, rel_tol=precision)


PATTERNS = (
    fold_reshape_pair,
    drop_identity_reshape,
    fold_transpose_pair,
    drop_identity_transpose,
    transpose_of_unit_axes,
    transpose_between_reshapes,
    fold_broadcast_pair,
    one_product_for_a_sum_of_them,
    drop_identity_cast,
    drop_limits_of_type,
    drop_zero_before_cast,
    drop_unit_factor,
    drop_integer_zero,
    divide_by_power_of_two,
    power_of_small_number,
    gelu_written_out,
    tanh_gelu_written_out,
)


def canonicalize(fn: Function, *, fuel: int = 8) -> Function:
    """Apply the identities until nothing changes."""
    return rewrite_all(fn, PATTERNS, TABLE, fuel=fuel)
