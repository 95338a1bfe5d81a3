"""Random numbers that are functions: of a seed, a stream and their place, and of nothing else.

So every backend gives the same ones at any thread count, in whatever order they are computed, and
equal calls give equal numbers: use another seed or another stream for other ones.

    noise = ml.random.normal(seed, x.shape)
    seed = ml.random.fold_in(seed, step)        # a new seed for each step
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..errors import check
from ..expr import FUNCTIONS, Expr, apply, cast, const, index, select
from ..ir import Element, Op, Operand, Value, op
from ..sizes import Size, static
from ..types import Array, DType, TensorType, bf16, f16, f32, f64, i32, i64
from .base.body import Indices
from .base.cast import cast as cast_value
from .base.elements import emit
from .base.promote import as_value, check_kind
from .elementwise.arithmetic import subtract
from .elementwise.compare import bitwise_and, less, right_shift
from .elementwise.select import where
from .elementwise.trigonometry import cos
from .elementwise.unary import log, negative, sqrt
from .reductions.extreme import argmax
from .shapes.shape import expand_dims

# How many bits a float holds exactly.
_PRECISION = {f64: 53, f32: 24, f16: 11, bf16: 8}


@op
class RandomBits(Op):
    """Uniform random integers from Philox-4x32-10 (Salmon et al., 2011): i32, or i64.

    The key is `seed`; the counter's upper half is `stream`, its lower counts blocks of 128 bits,
    from which the elements take theirs one after the other.
    """

    seed: Value
    stream: Value
    shape: tuple[Size, ...]
    dtype: DType = i32

    def infer(self) -> TensorType:
        scalar = self.seed.type == self.stream.type == i64[()]
        given = f"{self.seed.type} and {self.stream.type}"
        check(scalar, f"a seed and a stream are single i64, not {given}")
        check(self.dtype in (i32, i64), f"random bits come in i32 or i64, not in {self.dtype}")
        return TensorType(self.shape, self.dtype)

    def reference(self, seed: Array, stream: Array) -> Array:
        shape = static(self.shape)
        words = math.prod(shape) * self.dtype.bits // 32
        places = np.arange(-(-words // 2))
        pairs = np.asarray(FUNCTIONS["philox"].evaluate(seed, stream, places))
        if self.dtype == i64:
            return pairs.reshape(shape)
        halves = np.stack([pairs, pairs >> 32], -1).astype(np.int32)
        return halves.reshape(-1)[:words].reshape(shape)

    def body(self, at: Indices, seed: Element, stream: Element) -> Expr:
        place: Expr = index(0)
        for position, extent in zip(at, static(self.shape), strict=True):
            place = place * extent + position
        key, high = seed[()], stream[()]
        if self.dtype == i64:
            return apply("philox", key, high, place)
        pair = apply("philox", key, high, place // 2)
        upper = apply("shr", pair, const(32, i64))
        return cast(select((place % 2).eq(0), pair, upper), i32)


def bits(
    seed: Operand, shape: Sequence[Size], *, stream: Operand = 0, dtype: DType = i32
) -> Value:
    """Uniform random integers over the whole range of i32 or i64; see `RandomBits`."""
    return emit(RandomBits(as_value(seed, i64), as_value(stream, i64), tuple(shape), dtype))


def fold_in(seed: Operand, number: Operand) -> Value:
    """A new seed from a seed and a number, such as that of a step: `i64[()]`."""
    # Streams from the far end, which nobody counts to from 0.
    return bits(seed, (), stream=-1 - as_value(number, i64), dtype=i64)


def uniform(
    seed: Operand,
    shape: Sequence[Size],
    low: float = 0.0,
    high: float = 1.0,
    *,
    stream: Operand = 0,
    dtype: DType = f32,
) -> Value:
    """Floats from `low` to below `high`, all multiples of an ulp of their difference alike."""
    check(dtype.is_float, f"uniform gives floats, not {dtype}")
    whole = bits(seed, shape, stream=stream, dtype=i64 if dtype == f64 else i32)
    count = _PRECISION[dtype]
    kept = bitwise_and(right_shift(whole, whole.dtype.bits - count), 2**count - 1)
    share = cast_value(kept, dtype) * 2.0**-count
    if high - low != 1:
        share = share * (high - low)
    return share if low == 0 else share + low


def normal(
    seed: Operand,
    shape: Sequence[Size],
    mean: float = 0.0,
    deviation: float = 1.0,
    *,
    stream: Operand = 0,
    dtype: DType = f32,
) -> Value:
    """Normally distributed floats, by the method of Box and Muller (1958)."""
    wide = f64 if dtype == f64 else f32
    pair = uniform(seed, (2, *shape), stream=stream, dtype=wide)
    # From 1 down to above 0, as the logarithm wants it.
    radius = sqrt(-2.0 * log(1.0 - pair[0]))
    x = radius * cos(2 * math.pi * pair[1])
    if deviation != 1:
        x = x * deviation
    return cast_value(x if mean == 0 else x + mean, dtype)


def bernoulli(
    seed: Operand, shape: Sequence[Size], p: Operand = 0.5, *, stream: Operand = 0
) -> Value:
    """Bools that are true with probability `p`, to within 2**-24."""
    return less(uniform(seed, shape, stream=stream), p)


def categorical(
    seed: Operand, logits: Operand, *, count: int | None = None, stream: Operand = 0
) -> Value:
    """Draws along the last axis of `logits (.., classes)`, in i64: `(..)`, or `count` of each row,
    `(.., count)`, independent of one another.

    A class is drawn with the probability of its softmax, one of -inf never. By Gumbel's noise: the
    largest of the logits, each with noise of its own, is such a draw.
    """
    value = as_value(logits)
    check_kind(value, "f")
    check(value.rank > 0, "the classes are along the last axis of the logits, which have none")
    rows = value if count is None else expand_dims(value, -2)
    shape = rows.shape if count is None else (*value.shape[:-1], count, value.shape[-1])
    dtype = f64 if value.dtype == f64 else f32
    noise = log(negative(log(uniform(seed, shape, stream=stream, dtype=dtype))))
    return argmax(subtract(cast_value(rows, dtype), noise), -1)


def dropout(x: Operand, rate: float, seed: Operand, *, stream: Operand = 0) -> Value:
    """`x` with elements set to 0 at this rate, the others scaled so that the mean stays.

    Srivastava et al. (2014). Which ones is decided by the seed and the stream.
    """
    value = as_value(x)
    check(0 <= rate <= 1, f"a rate of dropout is in 0..1, not {rate}")
    if rate == 0:
        return value
    kept = bernoulli(seed, value.shape, 1 - rate, stream=stream)
    return where(kept, value * (1 / (1 - rate)) if rate < 1 else value, 0)


OPS: tuple[type[Op], ...] = (RandomBits,)
