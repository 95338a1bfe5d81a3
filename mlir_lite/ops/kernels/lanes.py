"""Statements on vectors of which each lane belongs to another matrix, and tiles turned in registers
on the way there and back.

    unroll row in 0..lanes: vector v: tile[row, v] = source[row, v]
    unroll column in 0..lanes: vector v: side_by_side[column, v] = tile[v, column]
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ...expr import Expr, Load, Var
from ...tile.nodes import Block, Buffer, If, Kind, Ref, Stmt, Store
from .statements import Make, Statements, as_index

VECTOR_BYTES = 64


@dataclass
class Lanes(Statements):
    """Builds blocks of statements on `lanes` elements at once, as many as a vector has."""

    @property
    def lanes(self) -> int:
        return VECTOR_BYTES // self.dtype.bytes

    def unrolled(self, extent: int, make: Make) -> Stmt:
        return self.loop_of(Kind.UNROLL, 0, extent, make)

    def vector(self, make: Make, extent: int | None = None) -> Stmt:
        return self.loop_of(Kind.VECTOR, 0, self.lanes if extent is None else extent, make)

    def filled(self, value: float, buffer: Buffer, *at: int) -> Stmt:
        """A number in all lanes."""
        return self.vector(lambda v: (put(buffer, *at, v)(self.number(value)),))

    def turn(
        self,
        read: Callable[[Var, Var], Expr],
        write: Callable[[Var, Var], Callable[[Expr], Stmt]],
        extent: int | None = None,
    ) -> Block:
        """Turn a tile of as many rows as lanes in registers: `read(row, column)` gives elements
        that lie along the `extent` columns, `write(row, column)` the stores, in vectors along the
        rows."""
        lanes = self.lanes
        tile = self.register(lanes, lanes)

        def load(row: Var) -> Block:
            return (self.vector(lambda v: (put(tile, row, v)(read(row, v)),), extent),)

        def store(column: Var) -> Block:
            return (self.vector(lambda v: (write(v, column)(get(tile, v, column)),)),)

        return self.unrolled(lanes, load), self.unrolled(extent or lanes, store)

    def turned_out(
        self,
        extent: int,
        read: Callable[[Var, Var], Expr],
        write: Callable[[Var, Var], Callable[[Expr], Stmt]],
        there: Callable[[Var], Expr],
    ) -> Block:
        """The way back: `read(row, lane)` gives vectors of all lanes for each of `extent` rows,
        `write(lane, row)` the stores, in vectors along the rows, of each lane that is `there`."""
        tile = self.register(self.lanes, self.lanes)

        def load(row: Var) -> Block:
            return (self.vector(lambda v: (put(tile, row, v)(read(row, v)),)),)

        def store(lane: Var) -> Block:
            kept = self.vector(lambda v: (write(lane, v)(get(tile, v, lane)),), extent)
            return (If(there(lane), (kept,)),)

        return self.unrolled(extent, load), self.unrolled(self.lanes, store)


def get(buffer: Buffer, *at: Expr | int) -> Load:
    """An element of a buffer."""
    return Load(buffer.dtype, buffer.name, _indices(at))


def put(buffer: Buffer, *at: Expr | int) -> Callable[[Expr], Stmt]:
    """A store to an element of a buffer."""
    return lambda value: Store(Ref(buffer.name, _indices(at)), value)


def _indices(at: tuple[Expr | int, ...]) -> tuple[Expr, ...]:
    return tuple(map(as_index, at))
