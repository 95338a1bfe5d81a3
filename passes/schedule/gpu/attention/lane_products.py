"""Products that lanes add up in registers, for attention: a lane has some rows of the left operand,
and every eighth row, or every eighth four columns, of the right one.

    for d: {lane: {a = queries[i, d];  b = keys[j, d];  scores[i, j] += a[i] * b[j]}}
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

from .....expr import Expr, Load, const, index
from .....tile.nodes import Accumulate, Block, Buffer, Loop, Ref, Stmt
from .....tile.tree import var
from .....types import f32
from ..products.fragments import Fragments
from ..products.operand import Staged
from .tiles import QUAD, WIDE

Rows: TypeAlias = Callable[[Expr, Expr], Expr]  # where a lane's i-th row is in the block


def scored(
    own: Fragments,
    name: str,
    row: Rows,
    queries: Staged,
    keys: Staged,
    stage: Expr,
    *,
    clears: bool = True,
) -> Stmt:
    """`name[i, j] = sum over d of queries[i, d] * keys[j, d]`, four terms at a time; added to what
    is there unless it `clears` that."""

    def lane_work(lane: Expr) -> Block:
        d = own.names.fresh("d", "$")

        def brought_a(i: Expr, v: Expr) -> Block:
            load = _at(queries, index(0), row(lane, i), var(d) * QUAD + v)
            return (own.store("a", load, i, lane, v),)

        def brought_b(j: Expr, v: Expr) -> Block:
            load = _at(keys, stage, j * WIDE + lane % WIDE, var(d) * QUAD + v)
            return (own.store("b", load, j, lane, v),)

        def multiplied(v: Expr, i: Expr, j: Expr) -> Block:
            product = own.load("a", i, lane, v) * own.load("b", j, lane, v)
            return (own.add(name, product, i, lane, j),)

        cleared = own.unrolled(
            [own.extent("a", 0), own.extent("b", 0)],
            lambda i, j: (own.store(name, const(0, f32), i, lane, j),),
        )
        body = (
            *own.unrolled([own.extent("a", 0), QUAD], brought_a),
            *own.unrolled([own.extent("b", 0), QUAD], brought_b),
            *own.unrolled([QUAD, own.extent("a", 0), own.extent("b", 0)], multiplied),
        )
        return (*(cleared if clears else ()), Loop(d, index(0), index(keys.sizes[1] // QUAD), body))

    return own.lanes([], lane_work)


def added(
    own: Fragments, name: str, row: Rows, weights: Buffer, values: Staged, stage: Expr
) -> Stmt:
    """`name[i, e] += sum over t of weights[i, t] * values[t, e]`, four keys at a time."""
    width = own.extent(name, 2)

    def lane_work(lane: Expr) -> Block:
        t = own.names.fresh("t", "$")

        def brought_a(i: Expr, v: Expr) -> Block:
            at = (row(lane, i), var(t) * QUAD + v)
            return (own.store("a", Load(f32, weights.name, at), i, lane, v),)

        def one(v: Expr) -> Block:
            def brought_c(q: Expr, u: Expr) -> Block:
                column = (q * WIDE + lane % WIDE) * QUAD + u
                load = _at(values, stage, var(t) * QUAD + v, column)
                return (own.store("c", load, lane, q * QUAD + u),)

            def multiplied(i: Expr, e: Expr) -> Block:
                product = own.load("a", i, lane, v) * own.load("c", lane, e)
                return (own.add(name, product, i, lane, e),)

            return (
                *own.unrolled([width // QUAD, QUAD], brought_c),
                *own.unrolled([own.extent("a", 0), width], multiplied),
            )

        body = (
            *own.unrolled([own.extent("a", 0), QUAD], brought_a),
            *own.unrolled([QUAD], one),
        )
        return (Loop(t, index(0), index(values.sizes[0] // QUAD), body),)

    return own.lanes([], lane_work)


def largest(own: Fragments) -> Stmt:
    """`own` = the largest score of each row that a lane has."""

    def row(lane: Expr, i: Expr) -> Block:
        zero = index(0)
        target = Ref(own.buffers["own"].name, (i, lane, zero))
        joined = own.unrolled(
            [own.extent("scores", 2)],
            lambda j: (Accumulate("max", (target,), (own.load("scores", i, lane, j),)),),
        )
        return (own.store("own", const(-math.inf, f32), i, lane, zero), *joined)

    return own.lanes([own.extent("scores", 0)], row)


def _at(side: Staged, stage: Expr, row: Expr, term: Expr) -> Load:
    """An element of a tile."""
    place = (row, term) if side.has_terms_last else (term, row)
    return Load(f32, side.tiles.name, (stage, *place))
