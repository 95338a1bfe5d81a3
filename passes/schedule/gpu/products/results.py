"""What is done with the sums that a thread has of a product: of neighbouring columns together,
where memory takes what comes of them at once.

    call load(bias_[0], bias[n]);  unroll e: y_[e] = f(sums[i, e] + bias_[e]);
    call store(y[m, n], y_[0])
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from .....expr import Expr, Load, rewrite_expr, substitute_vars
from .....tile.nodes import Block, Buffer
from .....tile.traverse import map_expressions
from .....tile.tree import extent_of, var
from ..held import Computed, Held, computed
from ..wide import Run, widest_run
from .blocks import Blocks
from .boxes import Boxed
from .operand import Staged


@dataclass(frozen=True)
class Results:
    """Runs of neighbouring results, `sums` being where they are neighbours too."""

    blocks: Blocks[Staged] | Blocks[Boxed]
    run: Run
    sums: Buffer

    @staticmethod
    def of(blocks: Blocks[Staged] | Blocks[Boxed], sums: Buffer, most: int) -> Results | None:
        """The longest runs of at most so many; None where memory takes results one by one."""
        contraction = blocks.contraction
        if not contraction.right.loops:
            return None
        along = contraction.right.loops[-1]
        run = widest_run(contraction.kernel, contraction.finish, along.axis, extent_of(along))
        if run is None:
            return None
        return Results(blocks, replace(run, width=min(run.width, most)), sums)

    def at(self, row: Expr, column: Expr, own: tuple[Expr, ...]) -> Computed:
        """What is done with a run that begins at a row and a column of the block's tile, with sums
        that begin at the thread's `own` place."""
        start = self.blocks.axis("start")
        *line, first = own
        total, axis = self.blocks.contraction.total, var(self.run.axis)

        def summed(node: Expr) -> Expr | None:
            if isinstance(node, Load) and node.buffer == total.name:
                place = (*line, first + (axis - var(start)))
                return Load(self.sums.dtype, self.sums.name, place)
            return None

        body = map_expressions(self.run.body, lambda expr: rewrite_expr(expr, summed))
        run = replace(self.run, body=body)
        names = self.blocks.names
        held = Held.of(self.run, (), names)
        made = computed(run, held, axis, (), names)
        block: Block = (*held.filled(axis, ()), *made.block)
        block = map_expressions(block, lambda expr: substitute_vars(expr, {start: axis}))
        registers = (*held.registers.values(), *made.registers)
        return Computed(self.blocks.placed(row, column, block), registers)
