"""What a block has of a product: its tile of the result, its part of the terms, and what it does
with the sums in the end; the same for threads that multiply and for warps that do.
"""

from __future__ import annotations

from dataclasses import dataclass

from ....expr import Expr, Load, all_of, index, rewrite_expr
from ....tile.nodes import Block, If, Kind, Let, Loop, Stmt, map_expressions
from ....tile.tree import Names, var
from .contraction import Contraction, count
from .grid import axes_at
from .product_operand import Staged


@dataclass(frozen=True)
class Blocks:
    """The blocks of a contraction, with their tiles of both operands; each sums up in `steps`."""

    contraction: Contraction
    names: Names
    block: str
    left: Staged
    right: Staged
    steps: int

    @property
    def operands(self) -> tuple[Staged, Staged]:
        return self.left, self.right

    @property
    def grid(self) -> tuple[int, int]:
        """Tiles along the rows and along the columns."""
        rows, columns = (-(-side.operand.extent // side.sizes[0]) for side in self.operands)
        return rows, columns

    def count(self, splits: int) -> int:
        rows, columns = self.grid
        return splits * count(self.contraction.batch) * rows * columns

    def begin(self) -> Block:
        """Where the block's tiles begin, which product of a batch and which part of it it has."""
        rows, columns = self.grid
        at: Expr = var(self.block)
        lets: list[Stmt] = [
            Let(self.right.first.name, at % columns * self.right.sizes[0]),
            Let(self.left.first.name, at // columns % rows * self.left.sizes[0]),
        ]
        batch = at // (rows * columns)
        if self.contraction.part:
            each = count(self.contraction.batch)
            lets.append(Let(self.contraction.part, batch // each))
            batch = batch % each
        return (*lets, *axes_at(self.contraction.batch, batch))

    @property
    def first_step(self) -> Expr:
        """The first step of the block's part of the terms."""
        part = self.contraction.part
        return var(part) * self.steps if part else index(0)

    def axis(self, name: str) -> str:
        """A name that no axis has yet."""
        return self.names.fresh(name, "$")

    def result(self, row: Expr, column: Expr, sum_: Load) -> Block:
        """What is to be done with the sum at a row and a column of the block's tile."""
        lets: list[Stmt] = []
        conditions: list[Expr] = []
        for side, name, place in zip(
            self.operands, ("row", "column"), (row, column), strict=True
        ):
            own = self.axis(name)
            lets += [Let(own, side.first + place), *axes_at(side.operand.loops, var(own))]
            if side.operand.extent % side.sizes[0]:
                conditions.append(var(own) < side.operand.extent)
        total = self.contraction.total.name

        def summed(node: Expr) -> Expr | None:
            return sum_ if isinstance(node, Load) and node.buffer == total else None

        finish = map_expressions(
            self.contraction.finish, lambda expr: rewrite_expr(expr, summed)
        )
        body: Block = (If(all_of(*conditions), finish),) if conditions else finish
        return (*lets, *body)


def unrolled(axis: str, extent: int, *body: Stmt) -> Loop:
    """A loop over so many, written out."""
    return Loop(axis, index(0), index(extent), body, Kind.UNROLL)
