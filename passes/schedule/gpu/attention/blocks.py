"""What a block of a card has of attention: tiles of queries, keys and values; how scores are
masked, and where results go.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from .....expr import TRUE, Expr, Var, all_of, apply, cast, const, index, select, substitute_vars
from .....ops.base.body import LOG2_E
from .....ops.kernels.stored import Stored
from .....ops.nn.blocked_attention import BlockedAttention
from .....tile.nodes import Block, Buffer, If, Kernel, Let, Loop, Ref, Stmt, Store
from .....tile.tree import Names, var
from .....types import DType, bool_, f32
from ..grid import axes_at
from ..products.contraction import count
from ..products.operand import Staged
from .places import BlockPlaces
from .row_tiles import staged
from .running_softmax import LOWEST


@dataclass(frozen=True)
class AttentionBlocks(BlockPlaces):
    """The blocks of an attention; the buffers are those of its naive kernel."""

    @staticmethod
    def of(op: BlockedAttention, naive: Kernel) -> AttentionBlocks:
        bare = replace(naive, body=(), locals=())
        names = Names(bare)
        return AttentionBlocks(op, bare, names, names.fresh("block"))

    def axis(self, name: str) -> str:
        """A name that nothing has yet."""
        return self.names.fresh(name, "$")

    # Tiles in shared memory

    @property
    def places_of_axes(self) -> tuple[Expr, ...]:
        return tuple(var(loop.axis) for loop in self.axes[:-1])

    def staged_rows(
        self, stored: Stored, dtype: DType, depth: int, threads: int, tiles: Buffer
    ) -> Staged:
        """The block's rows of queries, or of what is as they are."""
        load = stored.load(self.places_of_axes, var("s"), var("d"))
        sizes = (self.op.rows, depth)
        return staged(
            self, load, self.rows, stored.shape[-1], dtype, sizes, threads, tiles, self.first_row
        )

    def staged(
        self, stored: Stored, dtype: DType, depth: int, threads: int, tiles: Buffer, first: Var
    ) -> Staged:
        """Keys or values from the `first` on."""
        load = stored.load(self.places_of_axes, var("t"), var("d"))
        rows = (Loop("t", index(0), index(stored.shape[-2]), ()),)
        sizes = (self.op.columns, depth)
        return staged(self, load, rows, stored.shape[-1], dtype, sizes, threads, tiles, first)

    # Scores

    @property
    def factor(self) -> float:
        """What scores are multiplied by, as exponents of 2."""
        return self.op.scale * LOG2_E

    def row(self, place: Expr) -> tuple[Block, Var, Mapping[str, Expr]]:
        """Names for a row of the block's and its axes: the statements that give them, the row, and
        the axes by theirs."""
        own = self.axis("row")
        lets: list[Stmt] = [Let(own, self.first_row + place)]
        found: dict[str, Expr] = {}
        for let in axes_at(self.rows, var(own)):
            if let.value == var(own):
                found[let.name] = var(own)
                continue
            name = self.axis(let.name)
            lets.append(Let(name, let.value))
            found[let.name] = var(name)
        return tuple(lets), var(own), found

    def masked(self, score: Expr, row: Var, axes: Mapping[str, Expr], key: Expr) -> Expr:
        """A sum of products as a score: -inf where the row does not see the key."""
        conditions: list[Expr] = []
        if self.keys.shape[-2] % self.op.columns:
            conditions.append(key < self.keys.shape[-2])
        if self.op.causal:
            conditions.append(key <= axes["s"])
        if self.is_scaled_first:
            score = score * self.factor
        if self.mask is not None:
            batch = tuple(self.places(axes))
            at = (*batch[:-1], key, batch[-1])
            if count(self.rows) % self.op.rows:
                conditions.append(row < count(self.rows))
            if self.mask.buffer.dtype == bool_:
                score = select(self.mask.load(at), score, _exponent(const(self.op.fill, f32)))
            else:
                score = score + _exponent(self.mask.wide(at))
        if not conditions:
            return score
        return select(all_of(*conditions), score, const(-math.inf, f32))

    def exponent(self, value: Expr) -> Expr:
        """A score as an exponent of 2."""
        return value if self.is_scaled_first else value * self.factor

    def places(self, axes: Mapping[str, Expr]) -> Sequence[Expr]:
        """Where a row is along the axes of the batch and of queries."""
        return [substitute_vars(var(loop.axis), axes) for loop in self.axes]

    # Results

    def stored(self, mean: Expr, axes: Mapping[str, Expr], column: Expr) -> Store:
        out = self.result
        *batch, row = self.places(axes)
        place = out.place(tuple(batch), row, column)
        return Store(Ref(out.buffer.name, place), cast(mean, out.buffer.dtype))

    def inverse(self, total: Expr) -> Expr:
        """What the sum of weighted values is multiplied by, to be their mean, by the total of the
        weights: where nothing is seen the mean of it is NaN, or 0."""
        zero = const(0, f32)
        inverse = const(1, f32) / total
        return select(total > zero, inverse, zero) if self.op.unseen_is_zero else inverse

    def row_is_inside(self, row: Var) -> Expr:
        """Whether there is such a row."""
        total = count(self.rows)
        return row < total if total % self.op.rows else TRUE

    def inside(self, row: Var, column: Expr | None, columns: int, body: Block) -> Block:
        """What is done for rows and columns of the result, of which blocks may have more."""
        conditions: list[Expr] = []
        if count(self.rows) % self.op.rows:
            conditions.append(row < count(self.rows))
        if column is not None and self.result.shape[-1] % columns:
            conditions.append(column < self.result.shape[-1])
        return (If(all_of(*conditions), body),) if conditions else body


def _exponent(mask: Expr) -> Expr:
    """What is added to a score, as an exponent of 2. Finite where the mask is: a row that sees no
    key but at the least number, as masks of many models have it, has weights."""
    exponent = mask * LOG2_E
    finite = apply("max", exponent, const(LOWEST, f32))
    return select(mask > -math.inf, finite, exponent)
