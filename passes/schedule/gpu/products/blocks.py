"""What a block has of a product: its tile of the result, its part of the terms, and what it does
with the sums in the end; the same for threads that multiply and for warps that do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeAlias, TypeVar

from .....expr import TRUE, Expr, Load, Var, all_of, apply, index, rewrite_expr, substitute_vars
from .....tile.nodes import Block, If, Kind, Let, Loop, Stmt
from .....tile.traverse import map_expressions
from .....tile.tree import Names, var
from ..grid import axes_at
from .contraction import Contraction, Operand, count
from .standing import Standing
from .tiles import Cut

# The statements of a step, in the stage that its tiles are in; and whether all steps that come have
# tiles to bring ahead.
StepBody: TypeAlias = Callable[[Expr, Expr, bool], Block]


class Side(Protocol):
    """An operand whose tiles a block has in shared memory."""

    @property
    def operand(self) -> Operand: ...

    @property
    def first(self) -> Var:
        """The row (or column) that the block's tile begins with."""

    @property
    def sizes(self) -> tuple[int, int]:
        """Rows and terms of a tile."""

    @property
    def ends(self) -> int:
        """Terms that all tiles have, with those past the last one."""

    @property
    def overlaps(self) -> bool:
        """Whether the last tile lies over the one before, rather than past the last row."""

    @property
    def last_first(self) -> int:
        """The row that the last tile begins with where it overlaps."""


AnySide = TypeVar("AnySide", bound=Side)


# The tiles of an operand: by its name in the kernel, the rows and terms of a tile, the terms that
# all tiles have, and the names that there are.
SideOf: TypeAlias = Callable[[Operand, str, tuple[int, int], int, Names], AnySide]


def steps_of(contraction: Contraction, cut: Cut) -> int:
    """The steps in which a block goes through its part of the terms."""
    return -(-contraction.depth // (cut.depth * cut.splits))


@dataclass(frozen=True)
class Blocks(Generic[AnySide]):
    """The blocks of a contraction, with their tiles of both operands; each sums up in `steps`."""

    contraction: Contraction
    names: Names
    block: str
    left: AnySide
    right: AnySide
    steps: int
    together: int = 1  # rows of tiles that are gone down before the next columns; divides them all

    @staticmethod
    def of(
        contraction: Contraction, cut: Cut, names: Names, block: str, side: SideOf[AnySide]
    ) -> Blocks[AnySide]:
        """The blocks of a cut, with tiles of both operands as `side` makes them."""
        steps = steps_of(contraction, cut)
        ends = steps * cut.splits * cut.depth
        left, right = (
            side(operand, name, (rows, cut.depth), ends, names)
            for operand, name, rows in zip(
                (contraction.left, contraction.right), ("left", "right"), cut.sides, strict=True
            )
        )
        return Blocks(contraction, names, block, left, right, steps)

    @property
    def operands(self) -> tuple[AnySide, AnySide]:
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
        lets: list[Stmt] = []
        for side in (self.right, self.left):
            start = self._start(side)
            place = apply("min", start, index(side.last_first)) if side.overlaps else start
            lets.append(Let(side.first.name, place))
        batch = var(self.block) // (rows * columns)
        if self.contraction.part:
            each = count(self.contraction.batch)
            lets.append(Let(self.contraction.part, batch // each))
            batch = batch % each
        return (*lets, *axes_at(self.contraction.batch, batch))

    def _start(self, side: Side) -> Expr:
        """Where the rows (or columns) begin that are the block's alone."""
        rows, columns = self.grid
        at: Expr = var(self.block)
        if side is self.right:
            return at // self.together % columns * side.sizes[0]
        is_alone = count(self.contraction.batch) == 1 and not self.contraction.part
        number = at // (columns * self.together)
        if not is_alone:
            number = number % (rows // self.together)
        if self.together > 1:
            number = number * self.together + at % self.together
        return number * side.sizes[0]

    @property
    def first_step(self) -> Expr:
        """The first step of the block's part of the terms."""
        part = self.contraction.part
        return var(part) * self.steps if part else index(0)

    @property
    def has_partial_end(self) -> bool:
        """Whether the last step alone has fewer terms than all others."""
        return 0 < self.left.ends - self.contraction.depth < self.left.sizes[1]

    @property
    def has_whole_steps(self) -> bool:
        """Whether all steps but the last have all their terms."""
        return self.left.ends - self.contraction.depth < self.left.sizes[1]

    def over_steps(self, stages: int, body: StepBody, *, together: bool) -> Block:
        """All steps, those that have whole ones ahead of them apart from the last ones.

        rolled step in 0..steps - 2: body(step, step % 3);  rolled step of the rest: ..

        or, `together`, as many as there are stages written out, so that these are constants:

        rolled turn: unroll stage: body(turn * 3 + stage, stage);  rolled step of the rest: ..

        The rest stays a loop too: a compiler that mixes it with what is done with the sums needs
        more registers than there are.
        """
        whole = max(0, self.steps - (stages - 1) - self.has_partial_end)
        if together:
            whole -= whole % stages
        step = self.axis("step")
        rest = body(var(step), var(step) % stages, False)
        last: Block = (Loop(step, index(whole), index(self.steps), rest, Kind.ROLLED),)
        if not whole:
            return last
        if not together:
            step = self.axis("step")
            inside = body(var(step), var(step) % stages, True)
            return (Loop(step, index(0), index(whole), inside, Kind.ROLLED), *last)
        turn, stage = self.axis("turn"), self.axis("stage")
        inside = body(var(turn) * stages + var(stage), var(stage), True)
        written_out = unrolled(stage, stages, *inside)
        turns = index(whole // stages)
        return (Loop(turn, index(0), turns, (written_out,), Kind.ROLLED), *last)

    def axis(self, name: str) -> str:
        """A name that no axis has yet."""
        return self.names.fresh(name, "$")

    def result(self, row: Expr, column: Expr, sum_: Load) -> Block:
        """What is to be done with the sum at a row and a column of the block's tile."""
        total = self.contraction.total.name

        def summed(node: Expr) -> Expr | None:
            return sum_ if isinstance(node, Load) and node.buffer == total else None

        finish = map_expressions(
            self.contraction.finish, lambda expr: rewrite_expr(expr, summed)
        )
        return self.placed(row, column, finish)

    def placed(self, row: Expr, column: Expr, finish: Block) -> Block:
        """Statements on the axes of the contraction at a row and a column of the block's tile."""
        lets: list[Stmt] = []
        conditions: list[Expr] = []
        axes: dict[str, Expr] = {}
        for side, name, place in zip(
            self.operands, ("row", "column"), (row, column), strict=True
        ):
            at = Standing.at(side.operand.loops, side.first + place, name, self.names)
            lets += at.lets
            axes |= at.axes
            if side.operand.within != TRUE:
                conditions.append(substitute_vars(side.operand.within, at.axes))
            extent, size = side.operand.extent, side.sizes[0]
            if side.overlaps:  # the tile before has the rows before these
                conditions.append(at.position >= self._start(side))
            if extent % size and (not side.overlaps or side.last_first + size > extent):
                conditions.append(at.position < extent)
        finish = map_expressions(finish, lambda expr: substitute_vars(expr, axes))
        body: Block = (If(all_of(*conditions), finish),) if conditions else finish
        return (*lets, *body)


def unrolled(axis: str, extent: int, *body: Stmt) -> Loop:
    """A loop over so many, written out."""
    return Loop(axis, index(0), index(extent), body, Kind.UNROLL)
