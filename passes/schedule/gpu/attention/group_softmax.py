"""Softmax of rows that come block by block, on the scores that the threads of a warpgroup have:
four neighbouring threads have two rows together.

    own = max of scores, of all four;  most = own if own > top + growth else top
    rate = 2 ** (top - most);  top = most;  total *= rate
    scores = 2 ** (scores - top);  total += scores
    if rate < 1: sums *= rate
    call narrow(weights[k], scores[8 * k])
"""

from __future__ import annotations

import math

from .....expr import Expr, Var, apply, const, index, select
from .....tile.instructions.warps import MAXIMA, POWERS, QUAD_MAXIMA, narrow_name, of_threads
from .....tile.nodes import Block, Call, If, Let, Stmt
from .....types import DType, f32
from ..products.fragments import Fragments
from .running_softmax import GROWTH, LOWEST, Exponent, exchanged


def begun(own: Fragments) -> Stmt:
    """Nothing is seen, and summed, yet."""
    zero, lowest = const(0, f32), const(LOWEST, f32)

    def cleared(lane: Expr) -> Block:
        at = index(0), lane
        return (
            *own.unrolled([2], lambda h: (own.store("top", lowest, *at, h),)),
            *own.unrolled([4], lambda e: (own.store("total", zero, *at, e),)),
            *own.unrolled(
                [own.extent("sums", -1)], lambda e: (own.store("sums", zero, *at, e),)
            ),
        )

    return own.lanes([], cleared)


def powers_of(own: Fragments, exponent: Exponent) -> Block:
    """Scores become weights, relative to what the largest of each row was when it had grown last;
    so do totals. The rate by which it grew is kept."""
    each, zero = own.extent("scores", -1), index(0)

    def lowered(lane: Expr, e: Expr) -> Block:
        score = exponent(own.load("scores", lane, e)) - own.load("top", zero, lane, e % 4 // 2)
        return (own.store("scores", score, lane, e),)

    def powers(j: Expr) -> Block:
        window = own.window("scores", zero, j * 4)
        return (Call(of_threads(POWERS, own.threads), (window, window)),)

    def added(lane: Expr, e: Expr) -> Block:
        return (own.add("total", own.load("scores", lane, e), zero, lane, e % 4),)

    return (
        *_maxima(own),
        own.lanes([2], lambda lane, h: _grown(own, exponent, lane, h)),
        own.lanes([each], lowered),
        *own.unrolled([each // 4], powers),
        own.lanes([each], added),
    )


def _maxima(own: Fragments) -> Block:
    """`own` = the largest score of each row."""
    lowest, zero = const(-math.inf, f32), index(0)
    return (
        own.lanes([2], lambda lane, h: (own.store("own", lowest, zero, lane, h),)),
        *own.unrolled(
            [own.extent("scores", -1) // 4],
            lambda j: (own.call_of_threads(MAXIMA, own=(zero,), scores=(zero, j * 4)),),
        ),
        own.call_of_threads(QUAD_MAXIMA, own=(zero,)),
    )


def _grown(own: Fragments, exponent: Exponent, lane: Expr, h: Expr) -> Block:
    """The largest score of a row takes the place of what its exponents are relative to, where it is
    much above that."""
    at = index(0), lane, h
    most, following, rate = (
        Var(f32, own.names.fresh(name, "$")) for name in ("most", "top", "rate")
    )
    top = own.load("top", *at)

    def less(pair: Expr) -> Block:
        place = (index(0), lane, h * 2 + pair)
        return (own.store("total", own.load("total", *place) * rate, *place),)

    return (
        Let(most.name, exponent(own.load("own", *at))),
        Let(following.name, select(most - top > GROWTH, most, top)),
        Let(rate.name, apply("exp2", top - following)),
        own.store("rate", rate, *at),
        own.store("top", following, *at),
        *own.unrolled([2], less),
    )


def shrunk(own: Fragments) -> Stmt:
    """What was summed of rows that grew, less by their rates."""
    zero, one = index(0), const(1, f32)

    def lane_work(lane: Expr) -> Block:
        rates = [own.load("rate", zero, lane, index(h)) for h in range(2)]

        def less(j: Expr, h: Expr, pair: Expr) -> Block:
            at = zero, lane, j * 4 + h * 2 + pair
            rate = own.load("rate", zero, lane, h)
            return (own.store("sums", own.load("sums", *at) * rate, *at),)

        grew = apply("or", rates[0] < one, rates[1] < one)
        return (If(grew, own.unrolled([own.extent("sums", -1) // 4, 2, 2], less)),)

    return own.lanes([], lane_work)


def weights_of(own: Fragments, dtype: DType) -> Block:
    """Scores as the left operand of another product."""
    return own.unrolled(
        [own.extent("weights", 0)],
        lambda k: (
            own.call_of_threads(narrow_name(dtype), weights=(k,), scores=(index(0), k * 8)),
        ),
    )


def joined_totals(own: Fragments) -> Block:
    """What the threads of a row have of its total, added up."""
    return tuple(
        part for step in (1, 2) for part in exchanged(own, "total", "add", index(0), step)
    )


def total_of(own: Fragments, lane: Expr, half: Expr) -> Expr:
    """The total of a row of which all threads know each other's."""
    first, second = (own.load("total", index(0), lane, half * 2 + pair) for pair in range(2))
    return first + second
