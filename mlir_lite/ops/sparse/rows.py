"""Kernels that go through the stored elements of one row of a sparse matrix after the other.

Blocks of rows are dealt like cards to a fixed number of pieces, which then have about as many
elements, whether the long rows come first, last or together. A block is looked at in vectors first:
one with a start or a column that is none, an error that the run will say, is left out, so that
nothing more needs to be asked of each element.

    parallel piece: for turn: {low, high, falls = of the block's columns and starts;
      if low >= 0 and high < width and not falls: for row: for k in starts[row]..: ..}
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from ...expr import Expr, Var, all_of, apply, const, index, select, to_index
from ...tile.nodes import Accumulate, Block, Buffer, If, Kind, Ref, Stmt
from ..base.body import clamped
from ..kernels.lanes import VECTOR_BYTES, Lanes, get, put

PIECES = 64  # whatever the number of threads
MOST_ROWS = 1024  # of a block
TURNS = 4  # that a piece gets, if there are enough rows
LITTLE = 30_000  # multiplications that are not worth waking threads for

Row: TypeAlias = Callable[[Expr, Expr, Expr], Block]  # of a row, its first element, and the next's


@dataclass
class RowSteps(Lanes):
    """Builds kernels over the rows that `starts` has, of so many `stored` elements."""

    starts: Buffer
    stored: int

    @property
    def count(self) -> int:
        return self.starts.shape[0] - 1

    # On CPUs

    def dealt(self, work: int, make: Row, columns: Buffer | None = None, width: int = 0) -> Stmt:
        """Something for each row, `work` multiplications in all, of elements in `columns`."""
        rows = max(1, min(MOST_ROWS, self.count // (PIECES * TURNS)))
        pieces = max(1, min(PIECES, -(-self.count // rows)))
        turns = -(-self.count // (pieces * rows))

        def turn(piece: Var, at: Var) -> Block:
            let, first = self.named((at * pieces + piece) * rows)
            return let, If(first < self.count, self._block(first, rows, make, columns, width))

        return self.loop_of(
            Kind.PARALLEL if work > LITTLE else Kind.SERIAL,
            0,
            pieces,
            lambda piece: (self.loop(0, turns, lambda at: turn(piece, at)),),
        )

    def _block(
        self, first: Expr, rows: int, make: Row, columns: Buffer | None, width: int
    ) -> Block:
        """What is made of each row of a block in which nothing is wrong."""
        let_last, last = self.named(apply("min", first + rows, index(self.count)))
        let_begin, begin = self.named(self._start(first))
        let_end, end = self.named(self._start(last))
        fallen, falls = self._falls(first, last)
        ordered = all_of(begin >= 0, begin <= end, end <= self.stored, falls.eq(0))

        def row(r: Var) -> Block:
            number = first + r
            let_start, start = self.named(self._start(number))
            let_stop, stop = self.named(self._start(number + 1))
            return (If(number < self.count, (let_start, let_stop, *make(number, start, stop))),)

        each: Block = (self.loop(0, rows, row),)  # not to `last`: pieces must be seen to be apart
        if columns is not None:
            looked, within = self._within(columns, begin, end, width)
            each = (*looked, If(within, each))
        return let_last, let_begin, let_end, *fallen, If(ordered, each)

    def _start(self, row: Expr) -> Expr:
        return to_index(get(self.starts, row))

    def _falls(self, first: Expr, last: Expr) -> tuple[Block, Expr]:
        """Whether a start of a block is less than the one before: 1, else 0."""
        dtype = self.starts.dtype
        falls = self.register(VECTOR_BYTES // dtype.bytes, dtype=dtype)
        zero, one = const(0, dtype), const(1, dtype)

        def looked(row: Expr, v: Var) -> Block:
            fall = get(self.starts, row + 1) < get(self.starts, row)
            return (put(falls, v)(apply("max", get(falls, v), select(fall, one, zero))),)

        through = self._through(first, last, falls.elements, looked)
        joined, total = self._joined("max", falls)
        clear = self.vector(lambda v: (put(falls, v)(zero),), falls.elements)
        return (clear, *through, *joined), total

    def _within(self, columns: Buffer, begin: Expr, end: Expr, width: int) -> tuple[Block, Expr]:
        """Whether the columns of a block are those of a matrix so wide."""
        dtype = columns.dtype
        low, high = (self.register(VECTOR_BYTES // dtype.bytes, dtype=dtype) for _ in range(2))
        zero = const(0, dtype)

        def looked(k: Expr, v: Var) -> Block:
            let, column = self.named(get(columns, k))
            return (
                let,
                put(low, v)(apply("min", get(low, v), column)),
                put(high, v)(apply("max", get(high, v), column)),
            )

        through = self._through(begin, end, low.elements, looked)
        lowest, least = self._joined("min", low)
        highest, most = self._joined("max", high)
        clear = self.vector(lambda v: (put(low, v)(zero), put(high, v)(zero)), low.elements)
        inside = all_of(to_index(least) >= 0, to_index(most) < width)
        return (clear, *through, *lowest, *highest), inside

    def _through(
        self, start: Expr, stop: Expr, lanes: int, make: Callable[[Expr, Var], Block]
    ) -> Block:
        """Something for each index, in vectors of so many; the last one may be short."""
        let_turns, turns = self.named((stop - start) // lanes)
        let_rest, rest = self.named(start + turns * lanes)

        def whole(turn: Var) -> Block:
            first = start + turn * lanes
            return (self.vector(lambda v: make(first + v, v), lanes),)

        short = self.vector(lambda v: (If(rest + v < stop, make(rest + v, v)),), lanes)
        return let_turns, let_rest, self.loop(0, turns, whole), If(rest < stop, (short,))

    def _joined(self, combiner: str, lanes: Buffer) -> tuple[Block, Expr]:
        """All lanes of a register in one, and what reads it."""
        total = self.register(dtype=lanes.dtype)

        def join(v: Var) -> Block:
            return (Accumulate(combiner, (Ref(total.name, ()),), (get(lanes, v),)),)

        return (
            put(total)(get(lanes, 0)),
            self.vector(join, lanes.elements),
        ), get(total)

    # On cards

    def plain(self, make: Row) -> Stmt:
        """Something for each row, in order; a card finds out what may be done at once."""
        return self.loop(0, self.count, lambda row: self.limited(row, make))

    def limited(self, row: Expr, make: Row) -> Block:
        """What is made of a row, whose elements are there, whatever the starts are."""
        most = index(self.stored)
        first = apply("min", apply("max", self._start(row), index(0)), most)
        let_start, start = self.named(first)
        let_stop, stop = self.named(apply("min", apply("max", self._start(row + 1), start), most))
        return let_start, let_stop, *make(row, start, stop)

    def column(self, columns: Buffer, k: Expr, width: int) -> tuple[Block, Var]:
        """The column of a stored element, by name; that of no matrix so wide is moved into it."""
        let_given, given = self.named(to_index(get(columns, k)))
        let_column, column = self.named(clamped(given, width))
        return (let_given, let_column), column
