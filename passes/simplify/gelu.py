"""Patterns of canonicalize: gelu written out, by erf or by tanh, is one scalar function."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from math import isclose, sqrt

import numpy as np

from ...ir import Value, rewrite
from ...ops.elementwise.arithmetic import Add, Divide, Multiply, Power
from ...ops.elementwise.gate import TANH_CUBIC, TANH_SCALE, gelu
from ...ops.elementwise.trigonometry import Tanh
from ...ops.elementwise.unary import Erf, Square
from ...types import DType
from .uniform import uniform


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
        if others.total() != 1 or not _is_about(scale, TANH_SCALE, argument.dtype):
            continue
        (bent,) = others
        for x, cubic in _terms(bent):
            if _is_cubic(cubic, x) and _is_half_times(op, x, gate):
                return gelu(x, "tanh")
    return None


def _terms(value: Value) -> Iterator[tuple[Value, Value]]:
    """The two terms of a sum, in either order."""
    match value.op:
        case Add(lhs=lhs, rhs=rhs):
            yield lhs, rhs
            yield rhs, lhs


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
        for curve, one in _terms(factor):
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


GELU = (gelu_written_out, tanh_gelu_written_out)
