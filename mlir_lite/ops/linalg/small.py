"""Factors of many small matrices, side by side in the lanes of vectors: ten times as fast as one
call of a library for each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ...expr import INDEX, Expr, Var, cast, index, select
from ...tile.nodes import Block, Buffer, If, Kernel, Kind, Loop, Stmt
from ...types import i32
from ..base.body import clamped
from ..kernels.lanes import VECTOR_BYTES, get, put
from ..kernels.side_by_side import SideBySide

MOST_ROWS = 64  # of as many matrices as lanes, which then stay in the second cache


def suits(matrices: Buffer) -> bool:
    """Whether a batch is of small matrices, and enough of them to fill a vector."""
    batch, rows, _ = matrices.shape
    return batch >= VECTOR_BYTES // matrices.dtype.bytes and rows <= MOST_ROWS


def small_cholesky(name: str, x: Buffer, factors: Buffer, info: Buffer) -> Kernel:
    """The lower Cholesky factors of `x (b, n, n)`, and 1 in `info (b,)` for one without."""
    batch, size, _ = x.shape
    side = SideBySide(x.dtype, size)
    first = Var(INDEX, "block") * side.lanes

    def status(lane: Var) -> Block:
        failed = cast(get(side.failed, lane), i32)
        return (If(first + lane < batch, (put(info, first + lane)(failed),)),)

    body: Block = (
        side.loop(0, size, lambda i: tuple(_row_in(side, x, first, i, lower=True))),
        *side.padded(),
        *side.factored(),
        side.loop(0, size, lambda i: tuple(_row_out(side, factors, first, i))),
        side.loop(0, side.lanes, status),
    )
    return _kernel(name, (x, factors, info), (factors.name, info.name), body, side, batch)


def small_substitution(
    name: str,
    matrix: Buffer,
    rhs: Buffer,
    out: Buffer,
    *,
    lower: bool,
    transposed: bool,
    unit: bool,
) -> Kernel:
    """X with `op(A) X = B` for triangles A `(b, n, n)` and B `(b, n, k)`.

    Whichever triangle is given, a lower one is brought side by side.
    """
    batch, size, columns = rhs.shape
    side = SideBySide(rhs.dtype, size, columns)
    first = Var(INDEX, "block") * side.lanes
    body: Block = (
        side.loop(0, size, lambda i: tuple(_row_in(side, matrix, first, i, lower=lower))),
        *_each_part(side, lambda part: _right_in(side, rhs, first, part)),
        *side.padded(),
        *side.inverted(unit=unit),
        *side.substituted(forward=lower != transposed),
        *_each_part(side, lambda part: _right_out(side, out, first, part)),
    )
    return _kernel(name, (matrix, rhs, out), (out.name,), body, side, batch)


@dataclass(frozen=True)
class _Part:
    """Elements of a right side that follow one another in memory: in row `i` from column `start`
    on, or of a sole column (`i` is None) from row `start` on."""

    i: Var | None
    start: int
    extent: int

    def at(self, j: Expr) -> tuple[Expr, Expr]:
        """Row and column of the j-th."""
        here = j + self.start
        return (here, index(0)) if self.i is None else (self.i, here)

    def place(self, j: Expr, columns: int) -> Expr:
        """Where that is, row after row."""
        row, column = self.at(j)
        return row * columns + column


def _each_part(side: SideBySide, make: Callable[[_Part], Block]) -> Block:
    """What is made of every part of the right sides."""
    alone = side.columns == 1
    length = side.size if alone else side.columns

    def parts(i: Var | None) -> Block:
        made = (
            make(_Part(i, start, min(side.lanes, length - start)))
            for start in range(0, length, side.lanes)
        )
        return tuple(stmt for block in made for stmt in block)

    return parts(None) if alone else (side.loop(0, side.size, parts),)


def _right_in(side: SideBySide, rhs: Buffer, first: Expr, part: _Part) -> Block:
    return side.turn(
        lambda lane, j: get(rhs, clamped(first + lane, rhs.shape[0]), *part.at(j)),
        lambda lane, j: put(side.right, part.place(j, side.columns), lane),
        part.extent,
    )


def _right_out(side: SideBySide, out: Buffer, first: Expr, part: _Part) -> Block:
    return side.turned_out(
        part.extent,
        lambda j, lane: get(side.right, part.place(j, side.columns), lane),
        lambda lane, j: put(out, first + lane, *part.at(j)),
        lambda lane: first + lane < out.shape[0],
    )


def _kernel(
    name: str,
    params: tuple[Buffer, ...],
    outputs: tuple[str, ...],
    body: Block,
    side: SideBySide,
    batch: int,
) -> Kernel:
    """The kernel that runs a body for each block of as many matrices as lanes."""
    blocks = -(-batch // side.lanes)
    loop = Loop("block", index(0), index(blocks), body, Kind.PARALLEL)
    return Kernel(name, params, outputs, (loop,), tuple(side.locals))


def _row_in(
    side: SideBySide, x: Buffer, first: Expr, i: Var, *, lower: bool
) -> Iterator[Stmt]:
    """Row `i` of each matrix, as far as its triangle reaches in whole vectors; of matrices that
    are not there, that of the last one. An upper triangle is transposed."""
    batch, size, _ = x.shape

    def part(column: int, extent: int) -> Block:
        return side.turn(
            lambda lane, j: get(x, clamped(first + lane, batch), i, column + j),
            lambda lane, j: (
                put(side.matrix, i, column + j, lane)
                if lower
                else put(side.matrix, column + j, i, lane)
            ),
            extent,
        )

    for column in range(0, size, side.lanes):
        extent = min(side.lanes, size - column)
        needed = i >= column if lower else i < column + extent
        yield If(needed, part(column, extent))


def _row_out(side: SideBySide, factors: Buffer, first: Expr, i: Var) -> Iterator[Stmt]:
    """Row `i` of each factor, zero beyond the diagonal."""
    batch, size, _ = factors.shape

    def part(column: int) -> Block:
        return side.turned_out(
            min(side.lanes, size - column),
            lambda j, lane: select(
                i >= column + j, get(side.matrix, i, column + j, lane), side.number(0)
            ),
            lambda lane, v: put(factors, first + lane, i, column + v),
            lambda lane: first + lane < batch,
        )

    for column in range(0, size, side.lanes):
        yield from part(column)
