"""What the bodies of operations are written with: reductions, padded reads, computing types."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from ...expr import COMBINERS, INDEX, Expr, Reduce, Var, all_of, apply, const, index, select
from ...ir import Element
from ...types import DType, bf16, f16, f32

Indices: TypeAlias = tuple[Expr, ...]

LOG2_E = math.log2(math.e)


def reduce_over(
    combiner: str,
    axes: Mapping[str, int],
    value: Callable[..., Expr | tuple[Expr, ...]],
    *,
    component: int = 0,
) -> Expr:
    """The reduction of `value(*axes)` over axes given by name and extent.

    `reduce_over("sum", {"k": K}, lambda k: a[i, k] * b[k, j])`. A combiner of several states
    (argmax) takes a tuple of values, and `component` says which state is the result. The names
    are bound inside: nest reductions under different names, and keep `at` free of them.
    """
    variables = [Var(INDEX, name) for name in axes]
    states = value(*variables)
    values = states if isinstance(states, tuple) else (states,)
    if len(values) != len(COMBINERS[combiner].identity):
        raise ValueError(f"'{combiner}' has {len(COMBINERS[combiner].identity)} states")
    return Reduce(values[component].dtype, combiner, tuple(axes.items()), values, component)


def guarded(
    x: Element,
    at: Indices,
    fill: Expr | int | float | bool,
    *,
    also: Sequence[Expr] = (),
) -> Expr:
    """`x[at]`, or `fill` where an index lies outside of `x` or a condition of `also` is false.

    Nothing is read where the fill stands.
    """
    within = all_of(
        *(
            (position >= 0) & (position < extent)
            for position, extent in zip(at, x.type.static_shape, strict=True)
        ),
        *also,
    )
    other = fill if isinstance(fill, Expr) else const(fill, x.type.dtype)
    if 0 in x.type.static_shape:
        return other
    return select(within, x[at], other)


def wrapped(position: Expr, extent: int) -> Expr:
    """An index where -1 is the last; what is out of range is moved into it (see `outside`)."""
    counted = select(position < 0, position + extent, position)
    return clamped(counted, extent)


def outside(position: Expr, extent: int) -> Expr:
    """Whether an index that may count from the end lies outside of [-extent, extent)."""
    return (position < -extent) | (position >= extent)


def inside(position: Expr, extent: int) -> Expr:
    """Whether an index that may count from the end lies in [-extent, extent)."""
    return (position >= -extent) & (position < extent)


def clamped(position: Expr, extent: int) -> Expr:
    """The nearest index inside of [0, extent)."""
    return select(
        position < 0, index(0), select(position < extent, position, index(extent - 1))
    )


def computing_type(dtype: DType) -> DType:
    """The type to compute and accumulate in: f32 for the half-width floats, else `dtype`."""
    return f32 if dtype in (f16, bf16) else dtype


def power_below(centred: Expr) -> Expr:
    """exp of a difference from a maximum, as a power of 2, which costs less. The product is
    rounded, but so was the difference, and both errors are as small a part of it."""
    factor = float(centred.dtype.numpy.type(LOG2_E))  # as a constant of the graph is
    return apply("exp2", centred * const(factor, centred.dtype))
