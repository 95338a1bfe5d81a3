"""Softmax of rows that come block by block (Milakov and Gimelshein, 2018), on fragments of scores.

    scores -= top
    if any score of the warp >= 0, or total = 0: {
      own = max of scores;  scores -= own + growth;  top += own + growth
      total, sums *= 2 ** -(own + growth)}
    weights = 2 ** scores
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce
from itertools import product
from typing import TypeAlias

import numpy as np

from .....expr import Expr, Var, apply, const, index, select
from .....tile.instructions.warps import (
    MAXIMA,
    POWERS,
    QUAD_MAXIMA,
    any_rises_name,
    of_threads,
    shuffle_name,
)
from .....tile.nodes import Block, Call, If, Let, Stmt, Window
from .....types import f32
from ..products.fragments import Fragments

# What an exponent of 2 may grow by before sums are made to shrink, which takes as long as a product
# of sixteen terms: weights are 2 ** 8 at most instead of 1. So most steps only compare.
GROWTH = 8.0

# What exponents are relative to while nothing is seen: all powers are 0 then, as -inf less any
# finite number is -inf.
LOWEST = float(np.finfo(np.float32).min)

Exponent: TypeAlias = Callable[[Expr], Expr]  # an exponent of 2 of a score
Shrunk: TypeAlias = Callable[[Expr, Expr, Expr, Expr], Block]  # by a rate, of a lane's row (i, h)


def weights_of(own: Fragments, exponent: Exponent, growth: float) -> Block:
    """Scores become weights, relative to what the largest of each row once was and its `growth`
    since then; only where one is above that, or nothing is seen yet, maxima are looked for."""
    rows, columns = own.extent("scores", 0), own.extent("scores", 1)

    def lowered(lane: Expr, i: Expr, j: Expr, e: Expr) -> Block:
        score = exponent(own.load("scores", i, j, lane, e))
        return (own.store("scores", score - own.load("top", i, lane, e // 2), i, j, lane, e),)

    rises = own.call(any_rises_name(rows, columns), rises=(), scores=(), total=())
    raised_tops = own.lanes([rows, 2], lambda lane, i, h: _rebased(own, growth, lane, i, h))
    return (
        own.lanes([rows, columns, 4], lowered),
        rises,
        If(own.load("rises", index(0)) > 0.0, (*maxima(own), raised_tops)),
        *raised(own),
    )


def _rebased(own: Fragments, growth: float, lane: Expr, i: Expr, h: Expr) -> Block:
    """A row's exponents relative to its largest one and the growth there may be: those of this
    step, and what was summed."""
    top, most = own.load("top", i, lane, h), own.load("own", i, lane, h)
    following, moved, rate = (
        Var(f32, own.names.fresh(name, "$")) for name in ("top", "moved", "rate")
    )
    begins = own.load("total", i, lane, h * 2).eq(const(0, f32))
    rises = apply("and", apply("or", most >= 0.0, begins), most > -math.inf)

    def less(name: str, *at: Expr) -> Stmt:
        return own.store(name, own.load(name, *at) * rate, *at)

    def lower(*at: Expr) -> Stmt:
        return own.store("scores", own.load("scores", *at) - moved, *at)

    pairs = [own.extent("scores", 1), 2]
    return (
        Let(following.name, select(rises, top + (most + growth), top)),
        Let(moved.name, following - top),
        # Of a row that begins, nothing is summed, and its top may go down.
        Let(rate.name, apply("exp2", apply("min", -moved, const(0, f32)))),
        own.store("top", following, i, lane, h),
        *own.unrolled(pairs, lambda j, pair: (lower(i, j, lane, h * 2 + pair),)),
        *own.unrolled([2], lambda pair: (less("total", i, lane, h * 2 + pair),)),
        *own.unrolled(
            [own.extent("sums", 1), 2], lambda j, pair: (less("sums", i, j, lane, h * 2 + pair),)
        ),
    )


def maxima(own: Fragments) -> Block:
    """`own` = the largest score of each row."""
    lowest, rows = const(-math.inf, f32), own.extent("scores", 0)
    return (
        own.lanes([rows, 2], lambda lane, i, h: (own.store("own", lowest, i, lane, h),)),
        *own.unrolled(
            [rows, own.extent("scores", 1)],
            lambda i, j: (own.call(MAXIMA, own=(i,), scores=(i, j)),),
        ),
        *own.unrolled([rows], lambda i: (own.call(QUAD_MAXIMA, own=(i,)),)),
    )


def grown(own: Fragments, exponent: Exponent, shrunk: Shrunk) -> Stmt:
    """Where the largest new score of a lane's row is much above what its exponents are relative to,
    it takes the place of that, in all rows of the lane, and what was summed is `shrunk`."""
    rows, halves = own.extent("top", 0), own.extent("top", -1)

    def rises(lane: Expr, i: int, h: int) -> Expr:
        at = index(i), lane, index(h)
        return exponent(own.load("own", *at)) - own.load("top", *at) > GROWTH

    def row(lane: Expr, i: Expr, h: Expr) -> Block:
        top, most = own.load("top", i, lane, h), exponent(own.load("own", i, lane, h))
        following, rate = (Var(f32, own.names.fresh(name, "$")) for name in ("top", "rate"))
        return (
            Let(following.name, select(most > top, most, top)),
            Let(rate.name, apply("exp2", top - following)),
            own.store("top", following, i, lane, h),
            *shrunk(rate, lane, i, h),
        )

    def lane_work(lane: Expr) -> Block:
        any_rises = (rises(lane, i, h) for i, h in product(range(rows), range(halves)))
        condition = reduce(lambda one, other: apply("or", one, other), any_rises)
        return (If(condition, own.unrolled([rows, halves], lambda i, h: row(lane, i, h))),)

    return own.lanes([], lane_work)


def exchanged(own: Fragments, name: str, function: str, i: Expr, step: int) -> Block:
    """What a lane has of a row joined with what the lane a step away has."""

    def joined(lane: Expr, h: Expr) -> Block:
        at = (i, lane, h)
        both = apply(function, own.load(name, *at), own.load("other", *at))
        return (own.store(name, both, *at),)

    def taken(h: Expr) -> Block:
        windows = (Window(own.buffers[part].name, (i, index(0), h)) for part in ("other", name))
        name_ = of_threads(shuffle_name(f32), own.threads)
        return (Call(name_, tuple(windows), (index(step),)),)

    every = [own.extent(name, -1)]
    return (*own.unrolled(every, taken), own.lanes(every, joined))


def raised(own: Fragments) -> Block:
    """`scores = 2 ** scores`, in their place."""

    def one(i: Expr, j: Expr) -> Block:
        window = own.window("scores", i, j)
        return (Call(POWERS, (window, window)),)

    return own.unrolled([own.extent("scores", 0), own.extent("scores", 1)], one)
