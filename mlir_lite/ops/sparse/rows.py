"""Kernels that go through the stored elements of one row of a sparse matrix after the other.

Blocks of rows are dealt like cards to a fixed number of pieces, which then have about as many
elements, whether the long rows come first, last or together. A program ends at a fault, before the
kernel that it is a fault of: starts and columns are taken at their word.

    parallel piece: for turn: for row: for k in starts[row]..starts[row + 1]: ..

Where most rows of a block are not as long as the one before, which no processor predicts, there may
be another way to go through one. What comes from memory in the order of short rows is asked for
some rows ahead, and what the next block begins with at the beginning of this one: processors follow
an array from one end to the other, but not from block to block.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from ...expr import COMBINERS, Expr, Var, apply, const, index, select, to_index
from ...tile.instructions.table import LINE_BYTES, prefetch_name
from ...tile.nodes import Accumulate, Block, Buffer, Call, If, Kind, Ref, Stmt, Window
from ..base.body import clamped
from ..kernels.lanes import VECTOR_BYTES, Lanes, get, put

PIECES = 64  # whatever the number of threads
MOST_ROWS = 1024  # of a block
TURNS = 4  # that a piece gets, if there are enough rows
LITTLE = 30_000  # multiplications that are not worth waking threads for
STREAMED_BYTES = 1 << 20  # an array of so many is not in a core's own caches in the next call
AHEAD_BYTES = 2048  # how far ahead of a row elements are asked for

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

    def dealt(
        self, work: int, make: Row, ragged: Row | None = None, read: Sequence[Buffer] = ()
    ) -> Stmt:
        """Something for each row, `work` multiplications in all; by `ragged`, if it is given, in
        blocks of rows that differ in length. What is `read` in order is asked for ahead."""
        rows = max(1, min(MOST_ROWS, self.count // (PIECES * TURNS)))
        pieces = max(1, min(PIECES, -(-self.count // rows)))
        turns = -(-self.count // (pieces * rows))
        dealt = work > LITTLE
        streams = [b for b in read if b.elements * b.dtype.bytes >= STREAMED_BYTES]
        block = partial(self._block, ragged=ragged, streams=streams) if dealt else self._few

        def turn(piece: Var, at: Var) -> Block:
            let, first = self.named((at * pieces + piece) * rows)
            after = select(at + 1 < turns, first + pieces * rows, (piece + 1) * rows)
            asked = self._heads(after, rows, streams) if dealt else ()
            return let, *asked, If(first < self.count, block(first, rows, make))

        return self.loop_of(
            Kind.PARALLEL if dealt else Kind.SERIAL,
            0,
            pieces,
            lambda piece: (self.loop(0, turns, lambda at: turn(piece, at)),),
        )

    def _few(self, first: Expr, rows: int, make: Row) -> Block:
        """A block of a kernel that recipes may still change: its limits are constants."""

        def row(r: Var) -> Block:
            return (If(first + r < self.count, self._numbered(make, first + r)),)

        return (self.loop(0, rows, row),)

    def _heads(self, row: Expr, rows: int, streams: Sequence[Buffer]) -> Block:
        """Requests for what the block of rows that begins with one has in front, and for where
        its rows start, which are looked at before all else."""
        if not streams:
            return ()
        let_row, row = self.named(row)
        let_start, start = self.named(self._start(apply("min", row, index(self.count))))

        def lines(buffer: Buffer, at: Expr, size: int) -> Stmt:
            line = LINE_BYTES // buffer.dtype.bytes
            return self.loop(0, -(-size // line), lambda n: (_asked(buffer, at + n * line),))

        heads = (lines(buffer, start, AHEAD_BYTES // buffer.dtype.bytes) for buffer in streams)
        return let_row, lines(self.starts, row, rows), let_start, *heads

    def _block(
        self, first: Expr, rows: int, make: Row, ragged: Row | None, streams: Sequence[Buffer]
    ) -> Block:
        """What is made of each row of a block."""
        count = apply("min", index(rows), index(self.count) - first)

        def asking(make: Row, row: Expr, start: Expr, stop: Expr) -> Block:
            ahead = (_asked(b, start + AHEAD_BYTES // b.dtype.bytes) for b in streams)
            return *ahead, *make(row, start, stop)

        def each(make: Row) -> Stmt:
            return self.loop(0, count, lambda r: self._numbered(partial(asking, make), first + r))

        if ragged is None:
            return (each(make),)
        counted, changes = self._changes(first, first + count)
        return *counted, If(changes * 2 > count, (each(ragged),), (each(make),))

    def _numbered(self, make: Row, row: Expr) -> Block:
        """What is made of the row of a number."""
        let_start, start = self.named(self._start(row))
        let_stop, stop = self.named(self._start(row + 1))
        return let_start, let_stop, *make(row, start, stop)

    def _start(self, row: Expr) -> Expr:
        return to_index(get(self.starts, row))

    def _changes(self, first: Expr, last: Expr) -> tuple[Block, Expr]:
        """How many rows of a block are not as long as the one before."""
        dtype = self.starts.dtype
        changes = self.register(VECTOR_BYTES // dtype.bytes, dtype=dtype)
        zero, one = const(0, dtype), const(1, dtype)

        def changed(row: Expr, v: Var) -> Block:
            let_start, start = self.named(get(self.starts, row))
            before, after = start - get(self.starts, row - 1), get(self.starts, row + 1) - start
            change = select(apply("ne", before, after), one, zero)
            return let_start, put(changes, v)(get(changes, v) + change)

        through = self._through(first + 1, last, changes.elements, changed)
        joined, total = self._joined("sum", changes)
        clear = self.vector(lambda v: (put(changes, v)(zero),), changes.elements)
        return (clear, *through, *joined), to_index(total)

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

        nothing = const(COMBINERS[combiner].identity[0](lanes.dtype), lanes.dtype)
        return (put(total)(nothing), self.vector(join, lanes.elements)), get(total)

    def in_vectors(
        self, start: Expr, stop: Expr, lanes: int, term: Callable[[Expr, Expr], Expr]
    ) -> tuple[Block, Expr]:
        """The sum over the elements of a row, `term(k, sum)` with each, in vectors of so many."""
        total = self.register(lanes)
        let_turns, turns = self.named((stop - start + (lanes - 1)) // lanes)

        def some(turn: Var) -> Block:
            k = start + turn * lanes

            def lane(v: Var) -> Block:
                return (If(k + v < stop, (put(total, v)(term(k + v, get(total, v))),)),)

            return (self.vector(lane, lanes),)

        zero = self.vector(lambda v: (put(total, v)(self.number(0)),), lanes)
        joined, whole = self._joined("sum", total)
        return (zero, let_turns, self.loop(0, turns, some), *joined), whole

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


def _asked(buffer: Buffer, at: Expr) -> Stmt:
    """A request for the cache line of an element."""
    return Call(prefetch_name(buffer.dtype, soon=True), (Window(buffer.name, (at,)),))
