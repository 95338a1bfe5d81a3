"""Where the blocks of an attention begin, and how many there are: each has some queries of one
head, or of all heads that share keys, and a part of the keys, some at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from .....expr import Const, Expr, Var, apply, index
from .....ops.kernels.stored import Stored
from .....ops.nn.blocked_attention import BlockedAttention
from .....tile.nodes import Block, Kernel, Let, Loop, Stmt
from .....tile.tree import Names, var
from ..grid import axes_at
from ..products.contraction import count
from .tiles import Stretch, heads_together


@dataclass(frozen=True)
class BlockPlaces:
    """The places of the blocks of an attention; the buffers are those of its naive kernel."""

    op: BlockedAttention
    naive: Kernel
    names: Names
    block: str

    def _own(self, stored: Stored) -> Stored:
        known = self.naive.buffers.get(stored.buffer.name, stored.buffer)
        return replace(stored, buffer=known)

    @property
    def queries(self) -> Stored:
        return self._own(self.op.operands_stored[0])

    @property
    def keys(self) -> Stored:
        return self._own(self.op.operands_stored[1])

    @property
    def values(self) -> Stored:
        return self._own(self.op.operands_stored[2])

    @property
    def mask(self) -> Stored | None:
        mask = self.op.operands_stored[3]
        return None if mask is None else self._own(mask)

    @property
    def result(self) -> Stored:
        """The result, in the order of `attention`'s axes."""
        return self._own(self.op.result_stored)

    @property
    def axes(self) -> tuple[Loop, ...]:
        """The axes of the batch, then that of queries."""
        extents = self.result.shape[:-1]
        names = (*(f"b{axis}" for axis in range(len(extents) - 1)), "s")
        pairs = zip(names, extents, strict=True)
        return tuple(Loop(name, index(0), index(extent), ()) for name, extent in pairs)

    @property
    def batch(self) -> tuple[Loop, ...]:
        return self.axes[: len(self.axes) - len(self.rows)]

    @property
    def rows(self) -> tuple[Loop, ...]:
        """The axes of the queries that blocks have some of: of several heads, where these share
        keys and have few."""
        queries, keys, values, _ = self.op.operands_stored
        together = heads_together(queries.shape, keys.shape, values.shape)
        return self.axes[len(self.axes) - 1 - together :]

    @property
    def is_scaled_first(self) -> bool:
        """Whether scores are scaled before the largest is found, not as powers are made."""
        return self.mask is not None or self.op.scale <= 0

    @property
    def key_blocks(self) -> int:
        return -(-self.keys.shape[-2] // self.op.columns)

    @property
    def blocks_of_part(self) -> int:
        return -(-self.key_blocks // self.op.parts)

    @property
    def count(self) -> int:
        """Blocks of threads."""
        return count(self.batch) * self.op.parts * -(-count(self.rows) // self.op.rows)

    # Where a block begins

    @property
    def first_row(self) -> Var:
        return var("first.row")

    @property
    def first_step(self) -> Expr:
        """The first of the block's blocks of keys."""
        return var("part") * self.blocks_of_part if self.op.parts > 1 else index(0)

    def begin(self) -> Block:
        """What the block has; the rows that see most keys come first if they differ."""
        blocks_of_rows = -(-count(self.rows) // self.op.rows)
        at: Expr = var(self.block)
        place = at % blocks_of_rows
        if self.op.causal:
            place = blocks_of_rows - 1 - place
        lets: list[Stmt] = [Let(self.first_row.name, place * self.op.rows)]
        rest = at // blocks_of_rows
        if self.op.parts > 1:
            lets.append(Let("part", rest % self.op.parts))
            rest = rest // self.op.parts
        for name, count_ in (("steps", self._seen), ("whole", self._whole)):
            if not isinstance(count_, (Const, Var)):
                lets.append(Let(name, count_))
        return (*lets, *axes_at(self.batch, rest))

    @property
    def steps(self) -> Expr:
        """How many blocks of keys the block sees."""
        return self._seen if isinstance(self._seen, Const) else var("steps")

    @property
    def stretches(self) -> Sequence[Stretch]:
        """The steps whose scores are as they are come first, then those that are masked."""
        whole = self._whole if isinstance(self._whole, (Const, Var)) else var("whole")
        both = Stretch(index(0), whole, False), Stretch(whole, self.steps, True)
        return tuple(stretch for stretch in both if stretch.first != stretch.last)

    @property
    def may_be_none(self) -> bool:
        """Whether some blocks see no keys: those of parts past the diagonal."""
        return self.op.parts > 1

    @property
    def _seen(self) -> Expr:
        seen: Expr = index(self.key_blocks)
        if self.op.causal:
            last: Expr = self.first_row + (self.op.rows - 1)
            if len(self.rows) > 1:
                last = index(self.result.shape[-2] - 1)
            seen = apply("min", seen, last // self.op.columns + 1)
        part = apply("min", index(self.blocks_of_part), seen - self.first_step)
        return seen if self.op.parts == 1 else part

    @property
    def _whole(self) -> Expr:
        """How many of the first blocks of keys every row of the block sees as they are."""
        only_diagonal = len(self.rows) > 1 or count(self.rows) <= self.op.rows
        if self.is_scaled_first or (self.op.causal and only_diagonal):
            return index(0)
        keys, columns = self.keys.shape[-2], self.op.columns
        if not self.op.causal and keys % columns == 0:
            return self.steps
        every: Expr = index(keys // columns)
        whole = apply("min", every, (self.first_row + 1) // columns) if self.op.causal else every
        part = apply("max", index(0), apply("min", self.steps, whole - self.first_step))
        return whole if self.op.parts == 1 else part

    def first_key(self, step: Expr) -> Expr:
        return (self.first_step + step) * self.op.columns
