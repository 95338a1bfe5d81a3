"""The warps of a kernel of rows: which row a lane has, and the loops over lanes that statements are
written into, one after the other.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from .....expr import TRUE, Expr, index
from .....tile.instructions.warps import LANES
from .....tile.nodes import Block, If, Kernel, Kind, Loop, Stmt
from .....tile.tree import copy_block, tidy, var
from ..grid import places
from .reductions import Rows
from .registers import ZERO, Registers
from .shares import Share


@dataclass
class RowWarps:
    """Statements of a warp, and those of the loop over its lanes that is being written."""

    own: Registers
    number: int  # of rows
    beside: int  # warps of a block that have rows of their own
    block: str
    body: list[Stmt] = field(default_factory=list)
    lane_body: list[Stmt] = field(default_factory=list)
    loops: int = 0

    @property
    def rows(self) -> Rows:
        return self.own.rows

    @property
    def share(self) -> Share:
        return self.own.share

    def kernel(self) -> Kernel:
        """All that was written."""
        self.flush()
        body: Block = tuple(self.body)
        if not self.share.several:
            lets, position = self.row_lets()
            whole = self.share.warps > 1 or self.number % self.beside == 0
            body = (*lets, *(body if whole else (If(position < self.number, body),)))
        warps = index(self.share.warps * self.beside)
        inner = Loop(self.own.warp, ZERO, warps, body, Kind.WARP)
        blocks = index(-(-self.number // (self.beside * self.share.rows)))
        outer = Loop(self.block, ZERO, blocks, (inner,), Kind.BLOCK)
        return tidy(replace(self.rows.kernel, body=(outer,), locals=tuple(self.own.locals)))

    # Which row a lane has

    def row(self) -> Expr:
        """The number of its row."""
        if self.share.warps > 1:
            return var(self.block)
        row = (var(self.block) * self.beside + var(self.own.warp)) * self.share.rows
        return row + var(self.own.lane) // self.share.lanes if self.share.several else row

    def row_lets(self) -> tuple[Block, Expr]:
        """The axes of the rows' loops, and the number of the row."""
        if not self.rows.loops:
            return (), self.row()
        position, lets = places(list(self.rows.loops), self.row(), self.own.names)
        return (position, *lets), var(position.name)

    def in_row(self) -> Expr:
        """Whether there is a row for the lane."""
        if not self.share.several or self.number % (self.share.rows * self.beside) == 0:
            return TRUE
        return self.row() < self.number

    def flush(self) -> None:
        """Write the loop over lanes, and begin another."""
        if not self.lane_body:
            return
        lets: Block = self.row_lets()[0] if self.share.several else ()
        body = (*lets, *self.lane_body)
        loop: Block = (Loop(self.own.lane, ZERO, index(LANES), body, Kind.LANE),)
        self.body += copy_block(loop, self.own.names) if self.loops else loop
        self.lane_body.clear()
        self.loops += 1
