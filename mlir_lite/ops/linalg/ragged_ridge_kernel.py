"""The kernel of ridge regression of many rows, each on rows of a matrix that it lists.

It makes the normal matrix of one row after the other in registers, brings those of as many rows as
a vector has lanes side by side, factors and solves them together. None of them is ever in memory
beyond the caches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from ...expr import INDEX, Expr, Var, all_of, apply, const, index, select, to_index
from ...sizes import round_up
from ...tile.nodes import Block, Buffer, If, Kernel, Kind, Loop, Stmt
from ...types import i32
from ..base.body import clamped, wrapped
from ..kernels.lanes import get, put
from ..kernels.side_by_side import SideBySide

TILE_VECTORS = 4  # columns of a register tile, in vectors
TILE_ACCUMULATORS = 24  # of 32 registers
MOST_ROWS = 12


class RidgeKernel:
    """The kernel of `RaggedRidge` under construction; its inputs by the operation's fields."""

    def __init__(self, inputs: Mapping[str, Buffer]) -> None:
        self.inputs = inputs
        self.factors = self.inputs["factors"]
        self.targets = self.inputs["targets"]
        self.weights, self.base = self.inputs.get("weights"), self.inputs.get("base")
        (self.rows,) = self.inputs["ridge"].shape
        (self.entries,) = self.targets.shape
        dtype, size = self.factors.dtype, self.factors.shape[1]
        self.out = Buffer("out0", dtype, (self.rows, size))
        self.info = Buffer("out1", i32, (self.rows,))
        self.side = SideBySide(dtype, size)
        lanes = self.side.lanes
        self.width = round_up(size, lanes)
        # A row more: what is read together must not lie a power of two apart (see `SideBySide`).
        self.normal = self.side.shared("normal", lanes, size + 1, self.width)
        self.sums = self.side.shared("sums", lanes, round_up(self.side.rows, lanes))
        self.ridges = self.side.shared("ridges", lanes)
        self.wrong = self.side.shared("wrong", lanes)

    def kernel(self, name: str) -> Kernel:
        side, lanes = self.side, self.side.lanes
        block = Var(INDEX, "block")
        first = block * lanes
        body: Block = (
            side.loop(0, lanes, lambda lane: self._one(first + lane, lane)),
            *side.turned(self.normal),
            side.loop(0, side.size, self._ridged),
            *side.turned_right(self.sums),
            *side.padded(),
            *side.factored(),
            *side.solved(),
            *self._results(first),
        )
        blocks = -(-self.rows // lanes)
        return Kernel(
            name,
            (*self.inputs.values(), self.out, self.info),
            (self.out.name, self.info.name),
            (Loop("block", index(0), index(blocks), body, Kind.PARALLEL),),
            tuple(side.locals),
        )

    def _ridged(self, i: Var) -> Block:
        g = self.side.matrix
        return (
            self.side.vector(
                lambda v: (put(g, i, i, v)(get(g, i, i, v) + get(self.ridges, v)),)
            ),
        )

    # One row: its normal matrix, and its right side

    def _one(self, row: Expr, lane: Var) -> Block:
        """What one row is regressed on; of rows that are not there, nothing."""
        side = self.side
        there = row < self.rows
        let_row, within = side.named(clamped(row, self.rows))
        offsets = self.inputs["offsets"]
        let_from, start = side.named(to_index(get(offsets, within)))
        let_to, stop = side.named(to_index(get(offsets, within + 1)))
        ordered = all_of(start >= 0, start <= stop, stop <= self.entries)
        let_end, end = side.named(select(all_of(there, ordered), stop, start))
        let_ridge, ridge = side.named(
            select(there, get(self.inputs["ridge"], within), side.number(1))
        )
        body: list[Stmt] = [let_row, let_from, let_to, let_end, let_ridge]
        body.append(put(self.wrong, lane)(select(ordered, side.number(0), side.number(1))))
        body.append(put(self.ridges, lane)(ridge))
        for tile in tiles(side.size, side.lanes):
            body.extend(self._tile(tile, lane, start, end))
        body.extend(self._sums(lane, start, end))
        return tuple(body)

    def _entry(self, k: Var) -> tuple[Block, Var]:
        """The row of the factors that an entry means, by name."""
        let, picked = self.side.named(to_index(get(self.inputs["indices"], k)))
        let_row, row = self.side.named(wrapped(picked, self.factors.shape[0]))
        return (let, let_row), row

    def _tile(self, tile: Tile, lane: Var, start: Expr, end: Expr) -> Iterator[Stmt]:
        """Some rows and columns of the normal matrix, in registers over all entries."""
        side, factors = self.side, self.factors
        acc = self._registers(tile, tile.rows)
        right = self._registers(tile)

        def initial(a: int, column: Expr) -> Expr:
            return side.number(0) if self.base is None else get(self.base, tile.row + a, column)

        def entry(k: Var) -> Block:
            lets, y = self._entry(k)

            def weighted(part: int, v: Var, column: Expr) -> Stmt:
                value: Expr = get(factors, y, column)
                weight = 1 if self.weights is None else get(self.weights, k)
                return put(right[part], v)(value * weight)

            def joined(a: int) -> Each:
                left = get(factors, y, tile.row + a)
                return lambda part, v, _: put(acc[part], a, v)(
                    fma(left, get(right[part], v), get(acc[part], a, v))
                )

            return *lets, *self._columns(tile, weighted), *self._rows(tile, joined)

        yield from self._rows(
            tile, lambda a: lambda part, v, column: put(acc[part], a, v)(initial(a, column))
        )
        yield side.loop(start, end, entry)
        yield from self._rows(
            tile,
            lambda a: lambda part, v, column: put(self.normal, lane, tile.row + a, column)(
                get(acc[part], a, v)
            ),
        )

    def _registers(self, tile: Tile, *rows: int) -> list[Buffer]:
        """Registers for each part of a tile's columns; the last may be short, and is apart, so that
        the others are whole vectors."""
        return [
            self.side.register(*rows, self._extent(tile, part)) for part in range(tile.vectors)
        ]

    def _extent(self, tile: Tile, part: int) -> int:
        """The columns of a part."""
        lanes = self.side.lanes
        return min(lanes, self.side.size - (tile.column + part * lanes))

    def _rows(self, tile: Tile, each: Callable[[int], Each]) -> Block:
        """`_columns` of each row of a tile."""
        rows = (self._columns(tile, each(a)) for a in range(tile.rows))
        return tuple(stmt for row in rows for stmt in row)

    def _columns(self, tile: Tile, each: Each) -> Block:
        """A vector of each part of a tile's columns; the last one may be short."""
        lanes = self.side.lanes

        def part(number: int) -> Stmt:
            first = tile.column + number * lanes
            extent = self._extent(tile, number)
            return self.side.vector(lambda v: (each(number, v, v + first),), extent)

        return tuple(map(part, range(tile.vectors)))

    def _sums(self, lane: Var, start: Expr, end: Expr) -> Iterator[Stmt]:
        """The right side of one row."""
        side, factors = self.side, self.factors
        whole = Tile(0, 1, 0, self.width // side.lanes)
        acc = self._registers(whole)

        def entry(k: Var) -> Block:
            lets, y = self._entry(k)
            target = get(self.targets, k)
            return *lets, *self._columns(
                whole,
                lambda part, v, column: put(acc[part], v)(
                    fma(target, get(factors, y, column), get(acc[part], v))
                ),
            )

        yield from self._columns(whole, lambda part, v, _: put(acc[part], v)(side.number(0)))
        yield side.loop(start, end, entry)
        yield from self._columns(
            whole, lambda part, v, column: put(self.sums, lane, column)(get(acc[part], v))
        )

    # The results of a block of rows

    def _results(self, first: Expr) -> Block:
        side, lanes = self.side, self.side.lanes

        def status(lane: Var) -> Block:
            bad = (get(side.failed, lane) > 0) | (get(self.wrong, lane) > 0)
            store = put(self.info, first + lane)(select(bad, const(1, i32), const(0, i32)))
            return (If(first + lane < self.rows, (store,)),)

        stmts: list[Stmt] = [side.loop(0, lanes, status)]
        for column in range(0, side.size, lanes):
            stmts.extend(self._columns_out(first, column))
        return tuple(stmts)

    def _columns_out(self, first: Expr, column: int) -> Block:
        side = self.side
        return side.turned_out(
            min(side.lanes, side.size - column),
            lambda j, lane: get(side.right, column + j, lane),
            lambda lane, v: put(self.out, first + lane, column + v),
            lambda lane: first + lane < self.rows,
        )


# A statement for a part of a tile's columns, the lane in it, and the column itself.
Each: TypeAlias = Callable[[int, Var, Expr], Stmt]


@dataclass(frozen=True)
class Tile:
    """Rows and columns of a matrix, from the first ones on; the columns in vectors."""

    row: int
    rows: int
    column: int
    vectors: int


def tiles(size: int, lanes: int) -> Iterator[Tile]:
    """Tiles that cover the lower triangle of a matrix, each one in the registers."""
    row = 0
    while row < size:
        vectors = row // lanes + 1  # at least; more rows may reach further
        rows = min(MOST_ROWS, TILE_ACCUMULATORS // min(vectors + 1, TILE_VECTORS), size - row)
        vectors = (row + rows - 1) // lanes + 1
        for part in range(0, vectors, TILE_VECTORS):
            yield Tile(row, rows, part * lanes, min(TILE_VECTORS, vectors - part))
        row += rows


def fma(left: Expr, right: Expr, total: Expr) -> Expr:
    """`left * right + total`, rounded once where the machine can."""
    return apply("fma", left, right, total)
