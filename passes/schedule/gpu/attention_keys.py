"""Blocks of keys of an attention, by which queries come: for the gradients of keys and values."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ....expr import Const, Expr, Load, Var, all_of, const, index, select
from ....ops.stored import Stored
from ....tile.nodes import Block, Buffer, Kernel, Let, Loop, Stmt
from ....tile.tree import Names, var
from ....types import DType, f32
from .attention_blocks import AttentionBlocks
from .contraction import count
from .grid import axes_at
from .product_operand import Staged
from .row_tiles import staged


@dataclass(frozen=True)
class KeyBlocks:
    """Blocks of as many keys as `of` has queries, beside those in the kernel."""

    of: AttentionBlocks
    block: str
    first_row: Var
    batch: tuple[Loop, ...]
    step_count: str

    @staticmethod
    def beside(of: AttentionBlocks) -> KeyBlocks:
        names = of.names
        batch = tuple(
            Loop(names.fresh(loop.axis, "$"), loop.start, loop.stop, ()) for loop in of.axes[:-1]
        )
        block, first = names.fresh("block", "$"), var(names.fresh("first.row", "$"))
        return KeyBlocks(of, block, first, batch, names.fresh("steps", "$"))

    @property
    def naive(self) -> Kernel:
        return self.of.naive

    @property
    def names(self) -> Names:
        return self.of.names

    @property
    def keys(self) -> int:
        return self.of.keys.shape[-2]

    @property
    def queries(self) -> int:
        return self.of.queries.shape[-2]

    @property
    def batch_places(self) -> tuple[Expr, ...]:
        return tuple(var(loop.axis) for loop in self.batch)

    @property
    def count(self) -> int:
        """Blocks of threads."""
        return count(self.batch) * -(-self.keys // self.of.op.rows)

    def begin(self) -> Block:
        """What the block has: the first keys, which most queries see, come first."""
        blocks_of_rows = -(-self.keys // self.of.op.rows)
        at: Expr = var(self.block)
        lets: list[Stmt] = [Let(self.first_row.name, at % blocks_of_rows * self.of.op.rows)]
        if not isinstance(self._seen, Const):
            lets.append(Let(self.step_count, self._seen))
        return (*lets, *axes_at(self.batch, at // blocks_of_rows))

    # Steps over the queries

    @property
    def steps(self) -> Expr:
        return self._seen if isinstance(self._seen, Const) else var(self.step_count)

    @property
    def may_be_none(self) -> bool:
        """Whether no query sees some keys."""
        return self.of.op.causal

    @property
    def _seen(self) -> Expr:
        return index(-(-self.queries // self.of.op.columns)) - self._first_step

    @property
    def _first_step(self) -> Expr:
        """Queries see no later keys than themselves."""
        return self.first_row // self.of.op.columns if self.of.op.causal else index(0)

    def first_key(self, step: Expr) -> Expr:
        """The query that a step begins with."""
        return (self._first_step + step) * self.of.op.columns

    # Tiles in shared memory

    def staged_rows(
        self, stored: Stored, dtype: DType, depth: int, threads: int, tiles: Buffer
    ) -> Staged:
        """The block's rows of keys or values."""
        rows, first = self.of.op.rows, self.first_row
        return self._staged(stored, "t", rows, dtype, depth, threads, tiles, first)

    def staged(
        self, stored: Stored, dtype: DType, depth: int, threads: int, tiles: Buffer, first: Var
    ) -> Staged:
        """Queries, or what arrives at them, from the `first` on."""
        return self._staged(stored, "s", self.of.op.columns, dtype, depth, threads, tiles, first)

    def _staged(
        self,
        stored: Stored,
        axis: str,
        rows: int,
        dtype: DType,
        depth: int,
        threads: int,
        tiles: Buffer,
        first: Var,
    ) -> Staged:
        load = stored.load(self.batch_places, var(axis), var("d"))
        loops = (Loop(axis, index(0), index(stored.shape[-2]), ()),)
        sizes = (rows, depth)
        return staged(self, load, loops, stored.shape[-1], dtype, sizes, threads, tiles, first)

    # Scores

    def of_query(self, stored: Stored, query: Expr, *at: Expr) -> Expr:
        """A number that a query has; 0 past the last one."""
        load = stored.load((*self.batch_places, query, *at))
        if self.queries % self.of.op.columns == 0:
            return load
        return select(query < self.queries, load, const(0, load.dtype))

    def exponent(self, sum_: Expr, query: Var, key: Var, logs: Buffer) -> Expr:
        """The exponent of 2 of a weight, by the logarithm of the total of its query's weights."""
        names = (loop.axis for loop in self.of.axes[:-1])
        axes = {**dict(zip(names, self.batch_places, strict=True)), "s": query}
        score = self.of.exponent(self.of.masked(sum_, query, axes, key))
        log = Load(f32, logs.name, (*self.batch_places, query))
        conditions = []
        if self.queries % self.of.op.columns:
            conditions.append(query < self.queries)
        if self.keys % self.of.op.rows:
            conditions.append(key < self.keys)
        value = score - log
        return select(all_of(*conditions), value, const(-math.inf, f32)) if conditions else value
