"""canonicalize: one form for what can be written in several ways; identities disappear."""

from __future__ import annotations

from math import frexp, prod

import numpy as np

from ...ir import Constant, Function, Value, rewrite, rewrite_all
from ...ops.base.broadcast import Broadcast, broadcast
from ...ops.base.cast import Cast, cast
from ...ops.base.elements import BinaryFunction, emit
from ...ops.elementwise.arithmetic import Add, Divide, Multiply, Power, Subtract
from ...ops.elementwise.select import Clip, Where
from ...ops.elementwise.unary import Negative, square
from ...ops.products.matmul import Matmul
from ...ops.reductions.reduce import Sum
from ...ops.regions.checkpoint import Barrier
from ...ops.shapes.creation import full
from ...ops.shapes.shape import Reshape, Transpose, reshape, transpose
from ...ops.table import TABLE
from ...sizes import product
from ...types import f32
from .gelu import GELU
from .join_pads import join_pads
from .slice_groups import slice_of_groups
from .uniform import uniform


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


@rewrite(Broadcast)
def broadcast_makes_new_axes(op: Broadcast) -> Value | None:
    """broadcast(reshape(x, [1, n]), [m, n])  ->  broadcast(x, [m, n])"""
    match op.x.op:
        case Reshape(x=x, shape=shape) if shape == (1,) * (len(shape) - x.rank) + x.shape:
            return broadcast(x, op.shape)
    return None


@rewrite(Sum)
def sum_of_one_number(op: Sum) -> Value | None:
    """sum(broadcast(c, [m, n]))  ->  m * n * c, of floats"""
    number, type_ = uniform(op.x), op.x.type
    if number is None or not type_.dtype.is_float or not type_.is_static:
        return None
    count = prod(type_.static_shape[axis] for axis in op.axes)
    return full(op.infer().shape, number * count, type_.dtype)


@rewrite(Where)
def choice_of_one_or_zero(op: Where) -> Value | None:
    """where(c, 1, 0)  ->  cast(c)"""
    if uniform(op.then) == 1 and _is_plain_zero(op.otherwise):
        return cast(op.condition, op.then.dtype)
    return None


def _is_plain_zero(value: Value) -> bool:
    """Whether every element is 0, and not -0."""
    number = uniform(value)
    return number == 0 and str(number)[0] != "-"


@rewrite(Add, Subtract)
def add_negative(op: BinaryFunction) -> Value | None:
    """x + -y  ->  x - y;  -x + y  ->  y - x;  x - -y  ->  x + y"""
    match op:
        case Add(lhs=x, rhs=Value(op=Negative(x=y))) | Add(lhs=Value(op=Negative(x=y)), rhs=x):
            return x - y
        case Subtract(lhs=x, rhs=Value(op=Negative(x=y))):
            return x + y
    return None


@rewrite(Negative)
def negative_of_negative(op: Negative) -> Value | None:
    """negative(negative(x))  ->  x"""
    match op.x.op:
        case Negative(x=x):
            return x
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


@rewrite(Barrier)
def barrier_of_constant(op: Barrier) -> Value | None:
    """barrier(constant)  ->  constant, which is there all the time"""
    return op.x if isinstance(op.x.op, Constant) else None


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


PATTERNS = (
    fold_reshape_pair,
    drop_identity_reshape,
    fold_transpose_pair,
    drop_identity_transpose,
    transpose_of_unit_axes,
    transpose_between_reshapes,
    fold_broadcast_pair,
    broadcast_makes_new_axes,
    sum_of_one_number,
    choice_of_one_or_zero,
    add_negative,
    join_pads,
    slice_of_groups,
    negative_of_negative,
    one_product_for_a_sum_of_them,
    barrier_of_constant,
    drop_identity_cast,
    drop_limits_of_type,
    drop_zero_before_cast,
    drop_unit_factor,
    drop_integer_zero,
    divide_by_power_of_two,
    power_of_small_number,
    *GELU,
)


def canonicalize(fn: Function, *, fuel: int = 8) -> Function:
    """Apply the identities until nothing changes."""
    return rewrite_all(fn, PATTERNS, TABLE, fuel=fuel)
