"""Softmax of rows that come block by block (Milakov and Gimelshein, 2018), on fragments of scores.

    own = max of scores;  if own > top + 8: {rate = 2 ** (top - own);  top = own}
    weights = 2 ** (scores - top);  total *= rate;  sums *= rate
"""

from __future__ import annotations

import math
from collections.abc import Callable

from ....expr import Expr, Var, apply, const, index, select
from ....tile.nodes import Block, Call, If, Let, Store, Window
from ....tile.warps import MAXIMA, POWERS, narrow_name, shuffle_name
from ....types import DType, f32
from .fragments import Fragments

# What an exponent of 2 may grow by before sums are made to shrink, which takes as long as a product
# of sixteen terms: weights are 2 ** 8 at most instead of 1.
GROWTH = 8.0


def weights_of(
    own: Fragments, dtype: DType, exponent: Callable[[Expr], Expr], i: Expr
) -> Block:
    """Scores of a fragment of rows become weights, relative to about the largest of each row; what
    was summed shrinks where that has grown. `exponent` makes an exponent of 2 of a score."""
    lowest = const(-math.inf, f32)
    every = [own.extent("scores", 1)]

    narrow = narrow_name(dtype)
    return (
        own.lanes([2], lambda lane, h: (own.store("own", lowest, i, lane, h),)),
        *own.unrolled(every, lambda j: (own.call(MAXIMA, own=(i,), scores=(i, j)),)),
        *(part for step in (1, 2) for part in exchanged(own, "own", "max", i, step)),
        own.lanes([2], lambda lane, h: relative(own, exponent, i, lane, h)),
        *powers(own, exponent, i),
        *own.unrolled(
            [own.extent("weights", 0)],
            lambda k: (own.call(narrow, weights=(k, i), scores=(i, k * 2)),),
        ),
        own.lanes([], lambda lane: _shrunk(own, i, lane)),
    )


def exchanged(own: Fragments, name: str, function: str, i: Expr, step: int) -> Block:
    """What a lane has of a row joined with what the lane a step away has."""

    def joined(lane: Expr, h: Expr) -> Block:
        at = (i, lane, h)
        both = apply(function, own.load(name, *at), own.load("other", *at))
        return (own.store(name, both, *at),)

    def taken(h: Expr) -> Block:
        windows = (Window(own.buffers[part].name, (i, index(0), h)) for part in ("other", name))
        return (Call(shuffle_name(f32), tuple(windows), (index(step),)),)

    every = [own.extent(name, -1)]
    return (*own.unrolled(every, taken), own.lanes(every, joined))


def relative(own: Fragments, exponent: Callable[[Expr], Expr], *at: Expr) -> Block:
    """What the exponents of a row are relative to, after its largest new score, and by what sums
    that were relative to something else are to be multiplied."""
    top, most = own.load("top", *at), exponent(own.load("own", *at))
    # As long as nothing is seen all powers are to be 0, not those of -inf less -inf.
    finite = select(top > const(-math.inf, f32), top, const(0, f32))
    before = Var(f32, own.names.fresh("before", "$"))
    return (
        Let(before.name, top),
        own.store("top", select(most > top + GROWTH, most, top), *at),
        own.store("shift", finite, *at),
        own.store("rate", apply("exp2", before - own.load("shift", *at)), *at),
    )


def _shrunk(own: Fragments, i: Expr, lane: Expr) -> Block:
    """What a lane has summed of two rows by the rate of each, if that is not 1."""
    rates = [own.load("rate", i, lane, index(half)) for half in (0, 1)]

    def less(name: str, e: Expr, *at: Expr) -> Store:
        value = own.load(name, *at) * own.load("rate", i, lane, e // 2)
        return own.store(name, value, *at)

    body = (
        *own.unrolled([4], lambda e: (less("total", e, i, lane, e),)),
        *own.unrolled(
            [own.extent("sums", 1), 4], lambda j, e: (less("sums", e, i, j, lane, e),)
        ),
    )
    return (If(apply("or", rates[0] < 1.0, rates[1] < 1.0), body),)


def powers(own: Fragments, exponent: Callable[[Expr], Expr], i: Expr) -> Block:
    """`scores = 2 ** (exponent(scores) - shift)`, in their place."""

    def lowered(lane: Expr, j: Expr, e: Expr) -> Block:
        score = exponent(own.load("scores", i, j, lane, e))
        return (own.store("scores", score - own.load("shift", i, lane, e // 2), i, j, lane, e),)

    every = [own.extent("scores", 1), 4]
    return (own.lanes(every, lowered), *raised(own, i))


def raised(own: Fragments, i: Expr) -> Block:
    """`scores = 2 ** scores`, in their place."""

    def one(j: Expr) -> Block:
        window = own.window("scores", i, j)
        return (Call(POWERS, (window, window)),)

    return own.unrolled([own.extent("scores", 1)], one)
