"""Tiles in shared memory that warps read as fragments: how they lie there, who brings them, and how
fragments are loaded from them.

    async tiles {lane: left, right <- step + 2};  call load_left(a[i], left[stage, m, k])
"""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd

from .....expr import TRUE, Expr, apply, index
from .....tile.instructions.warps import COLUMNS, LANES, ROWS, load_name
from .....tile.nodes import Async, Block, Buffer, Call, If, Kind, Layout, Loop, Stmt, Window
from .....tile.tree import Names, var
from .....types import DType
from .blocks import unrolled
from .operand import Staged

GROUP = "tiles"  # of asynchronous copies
CHUNK = 16  # bytes that one lane reads of shared memory for a fragment
PHASE = 8  # chunks that are read of all banks at once


def lanes(lane: str, *body: Stmt) -> Loop:
    """What each lane of a warp does."""
    return Loop(lane, index(0), index(LANES), body, Kind.LANE)


def brought(
    sides: Sequence[tuple[Staged, Expr]],
    stage: Expr,
    warp: str,
    names: Names,
    condition: Expr = TRUE,
    *,
    whole: bool = False,
) -> Block:
    """A step's tiles, each with the number of its step, into a stage: copied while the warps go on
    where the card can do that. A `whole` step has all its terms."""
    parts: list[Block] = []
    for copied in (True, False):
        chosen = [(side, step) for side, step in sides if side.is_copied is copied]
        lane = names.fresh("lane", "$")
        thread = var(warp) * LANES + var(lane)
        stmts = [
            stmt
            for side, step in chosen
            for stmt in (side.copied if copied else side.filled)(step, stage, thread, whole=whole)
        ]
        part: Block = (lanes(lane, *stmts),) if stmts else ()
        parts.append((If(condition, part),) if part and condition != TRUE else part)
    asynchronous, filled = parts
    return (*((Async(GROUP, asynchronous),) if asynchronous else ()), *filled)


def load_fragments(
    tiles: Buffer,
    fragments: Buffer,
    side: str,
    place: tuple[Expr, Expr, Expr],
    axis: str,
    *,
    turned: bool,
    outer: tuple[Expr, ...] = (),
) -> Stmt:
    """Sixteen terms of a warp's fragments of the `left` or `right` operand, from a `place` in its
    tiles on: a stage, a row and a term; they lie `turned` if their rows are the tile's columns. Two
    fragments of a right operand come with one instruction. `outer` are the first indices of the
    fragments."""
    size, at_once = (ROWS, 1) if side == "left" else (COLUMNS, 2)
    stage, row, term = place
    first = row + var(axis) * (size * at_once)
    at = (stage, term, first) if turned else (stage, first, term)
    call = Call(
        load_name(side, tiles.dtype, turned=turned),
        (
            Window(fragments.name, (*outer, var(axis) * at_once, index(0), index(0))),
            Window(tiles.name, at),
        ),
    )
    return unrolled(axis, fragments.shape[-3] // at_once, call)


def swizzled(shape: tuple[int, int, int], dtype: DType, together: int = 1) -> Layout:
    """Rows whose chunks of sixteen bytes change places, so that the same chunk of eight rows in a
    row, or as many chunks `together` of fewer rows, lie in all banks."""
    stage, row, column = (var(f"{name}#") for name in ("stage", "row", "column"))
    width = CHUNK // dtype.bytes
    places = gcd(shape[-1] // width, PHASE)  # among which a row's chunks change theirs
    turn = row * together // (PHASE // places) % places
    moved = apply("xor", column // width, turn) * width + column % width
    return Layout(("stage#", "row#", "column#"), (stage, row, moved), shape)
