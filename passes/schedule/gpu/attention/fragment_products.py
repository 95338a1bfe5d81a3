"""Products of fragments for attention: of tiles, and of what a warp has narrowed.

    for k: {call load_left(a[0, i], x[i, k]);
            for p: {call load_right(b, y[p * 2, k]);
                    call mma(scores[i, p * 2 + j], a[0, i], b[j])}}
"""

from __future__ import annotations

from .....expr import Expr, const, index
from .....tile.instructions.warps import COLUMNS, TERMS, mma_name, narrow_name
from .....tile.nodes import Block, Stmt
from .....types import DType, f32
from ..products.fragments import Fragments
from ..products.operand import Staged
from ..products.warp_tiles import load_fragments

PAIR = 2  # fragments of a right operand that come with one instruction


def product(
    own: Fragments,
    name: str,
    rows: Staged,
    columns: Staged,
    first: Expr,
    stage: Expr,
    *,
    held: bool = False,
    begun: Stmt | None = None,
) -> Block:
    """`name[i, j] = sum over k of rows[first + i, k] * columns[j, k]`, of a stage of these, the
    rows perhaps `held` in registers already; or added to what is `begun` with."""

    def term(k: Expr) -> Block:
        place = k if held else index(0)
        turned = not columns.has_terms_last
        loaded = () if held else (rows_loaded(own, rows, first, k, place),)
        return (*loaded, *_multiplied(own, name, "a", place, columns, turned, stage, k))

    cleared = own.lanes(
        [own.extent(name, 0), own.extent(name, 1), 4],
        lambda lane, i, j, e: (own.store(name, const(0, f32), i, j, lane, e),),
    )
    return (begun or cleared, *own.unrolled([rows.sizes[1] // TERMS], term))


def rows_loaded(own: Fragments, rows: Staged, first: Expr, k: Expr, place: Expr) -> Stmt:
    """`a[place, i] = rows[first + i, k]`."""
    at, axis = (index(0), first, k * TERMS), own.names.fresh("f", "$")
    turned = not rows.has_terms_last
    return load_fragments(
        rows.tiles, own.buffers["a"], "left", at, axis, turned=turned, outer=(place,)
    )


def narrowed(own: Fragments, dtype: DType) -> Block:
    """Scores as the left operand of another product."""
    return own.unrolled(
        [own.extent("weights", 0), own.extent("weights", 1)],
        lambda k, i: (own.call(narrow_name(dtype), weights=(k, i), scores=(i, k * 2)),),
    )


def summed(own: Fragments, name: str, terms: Staged, stage: Expr) -> Block:
    """`name[i, j] += sum over k of weights[k, i] * terms[k, j]`, of a stage of the terms."""

    def term(k: Expr) -> Block:
        return _multiplied(own, name, "weights", k, terms, terms.has_terms_last, stage, k)

    return own.unrolled([own.extent("weights", 0)], term)


def _multiplied(
    own: Fragments,
    name: str,
    left: str,
    place: Expr,
    right: Staged,
    turned: bool,
    stage: Expr,
    k: Expr,
) -> Block:
    """`name[i, j] += left[place, i] * right[k, j]`, two columns of fragments at a time: so few of
    the right operand are in registers at once."""

    def pair(p: Expr) -> Block:
        at, axis = (stage, p * (PAIR * COLUMNS), k * TERMS), own.names.fresh("f", "$")
        loaded = load_fragments(right.tiles, own.buffers["b"], "right", at, axis, turned=turned)
        multiply = mma_name(right.tiles.dtype)

        def one(i: Expr, j: Expr) -> Block:
            windows = {name: (i, p * PAIR + j), left: (place, i), "b": (j,)}
            return (own.call(multiply, **windows),)

        return (loaded, *own.unrolled([own.extent(name, 0), PAIR], one))

    return own.unrolled([own.extent(name, 1) // PAIR], pair)
