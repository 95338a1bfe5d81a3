"""What the launches of attention's gradients ask of those who multiply: warps on fragments, or
lanes on f32. Each has some rows of scores in its registers, and of the sums that scores weight.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from .....expr import Expr, index
from .....tile.nodes import Block, Buffer, Stmt
from .....types import DType
from ..attention.running_softmax import exchanged
from ..products.fragments import Fragments
from ..products.operand import Staged


@dataclass(frozen=True)
class Row:
    """A row that a lane has: where its statistics are in registers, and its place in the block."""

    at: tuple[Expr, Expr, Expr]
    place: Expr


# What is done with an element of a row, by its place in registers and its column.
Element: TypeAlias = Callable[[tuple[Expr, ...], Expr], Block]


class Unit(Protocol):
    """Those of a block who multiply. They have `scores` and `toward`, of the rows' `top`, `own`,
    `total` and `along`, and sums."""

    @property
    def own(self) -> Fragments: ...

    @property
    def warp(self) -> str: ...

    @property
    def warps(self) -> int: ...

    @property
    def dtype(self) -> DType:
        """The type of tiles."""

    @property
    def kept(self) -> tuple[Buffer, ...]:
        """Registers, and what lanes exchange in shared memory."""

    @property
    def row_lanes(self) -> int:
        """How many lanes have parts of a row."""

    def padded(self, depth: int) -> int:
        """The depth of tiles."""

    def tiles(self, name: str, stages: int, high: int, wide: int) -> Buffer:
        """Tiles of an operand in shared memory."""

    def by_row(self, body: Callable[[Row], Block]) -> Stmt:
        """What is done for each row of a lane."""

    def scores_of(self, row: Row, body: Element) -> Block:
        """What is done with each score of a row that the lane has."""

    def sums_of(self, name: str, row: Row, body: Element) -> Block:
        """What is done with each sum of a row that the lane has."""

    def product(
        self, name: str, rows: Staged, columns: Staged, stage: Expr, begun: Stmt | None = None
    ) -> Block:
        """`name[i, j] = sum over k of rows[i, k] * columns[j, k]`, of a stage of the columns; added
        to what is `begun` with."""

    def summed(self, name: str, terms: Staged, stage: Expr, *, again: bool = False) -> Block:
        """`name[i, e] += sum over k of scores[i, k] * terms[k, e]`, of a stage of the terms;
        perhaps `again` in a step."""

    def maxima(self) -> Block:
        """`own` = the largest score of each row."""

    def raised(self) -> Block:
        """`scores = 2 ** scores`."""


def joined(unit: Unit, name: str, function: str) -> Block:
    """What the lanes of each row have of it, joined."""
    steps = [1 << bit for bit in range(unit.row_lanes.bit_length() - 1)]

    def row(i: Expr) -> Block:
        parts = (exchanged(unit.own, name, function, i, step) for step in steps)
        return tuple(stmt for part in parts for stmt in part)

    return unit.own.unrolled([unit.own.extent(name, 0)], row)


def is_first_lane(unit: Unit, row: Row) -> Expr:
    """Whether a lane is the first of those that have a row."""
    return (row.at[1] % unit.row_lanes).eq(index(0))
