"""Blocks of keys of an attention, by which queries come: for the gradients of keys and values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .....expr import Expr, Load, Var, all_of, apply, const, index, select
from .....ops.kernels.stored import Stored
from .....tile.nodes import Block, Buffer, Kernel, Let, Loop, Stmt
from .....tile.tree import Names, var
from .....types import DType, f32
from ..grid import axes_at
from ..products.contraction import count
from ..products.operand import Staged
from .blocks import AttentionBlocks
from .row_tiles import staged
from .tiles import Stretch


@dataclass(frozen=True)
class KeyBlocks:
    """Blocks of as many keys as `of` has queries, beside those in the kernel."""

    of: AttentionBlocks
    block: str
    first_row: Var
    batch: tuple[Loop, ...]
    step_count: str
    partly: str  # how many steps have queries that do not see all keys

    @staticmethod
    def beside(of: AttentionBlocks) -> KeyBlocks:
        names = of.names
        batch = tuple(
            Loop(names.fresh(loop.axis, "$"), loop.start, loop.stop, ()) for loop in of.axes[:-1]
        )
        block, first = names.fresh("block", "$"), var(names.fresh("first.key", "$"))
        counts = (names.fresh(name, "$") for name in ("query.steps", "partly"))
        return KeyBlocks(of, block, first, batch, *counts)

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
        if self.of.op.causal:
            after = self.first_row + (self.of.op.rows + self.of.op.columns - 2)
            partly = after // self.of.op.columns - self._first_step
            lets.append(Let(self.step_count, self._seen))
            lets.append(Let(self.partly, apply("min", self.steps, partly)))
        return (*lets, *axes_at(self.batch, at // blocks_of_rows))

    # Steps over the queries

    @property
    def steps(self) -> Expr:
        return var(self.step_count) if self.of.op.causal else self._seen

    @property
    def stretches(self) -> Sequence[Stretch]:
        """Queries that may not see all of the block's keys come first."""
        if self.of.is_scaled_first or not self.of.op.causal:
            return (Stretch(index(0), self.steps, self.of.is_scaled_first),)
        partly = var(self.partly)
        return Stretch(index(0), partly, True), Stretch(partly, self.steps, False)

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

    def staged_numbers(self, name: str, threads: int, tiles: Buffer, first: Var) -> Staged:
        """What queries from the `first` on have, a number each."""
        ones = self.naive.buffers[name].shape[len(self.batch) + 1 :]
        places = (*self.batch_places, var("s"), *(index(0) for _ in ones))
        loops = (Loop("s", index(0), index(self.queries), ()),)
        sizes = (self.of.op.columns, 1)
        return staged(self, Load(f32, name, places), loops, 1, f32, sizes, threads, tiles, first)

    # Scores

    def masked(self, sum_: Expr, query: Var, key: Var) -> Expr:
        """A sum of products as a score: -inf where the query does not see the key."""
        names = (loop.axis for loop in self.of.axes[:-1])
        axes = {**dict(zip(names, self.batch_places, strict=True)), "s": query}
        score = self.of.masked(sum_, query, axes, key)
        conditions = []
        if self.queries % self.of.op.columns:
            conditions.append(query < self.queries)
        if self.keys % self.of.op.rows:
            conditions.append(key < self.keys)
        return select(all_of(*conditions), score, const(-math.inf, f32)) if conditions else score
