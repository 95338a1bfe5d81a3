"""What a block of a card has of attention: some queries of one head, or of all heads that share
keys, and a part of the keys, some at a time; how scores are masked, and where results go.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from .....expr import (
    TRUE,
    Const,
    Expr,
    Var,
    all_of,
    apply,
    cast,
    const,
    index,
    select,
    substitute_vars,
)
from .....ops.base.body import LOG2_E
from .....ops.kernels.stored import Stored
from .....ops.nn.blocked_attention import BlockedAttention
from .....tile.nodes import Block, Buffer, If, Kernel, Let, Loop, Ref, Stmt, Store
from .....tile.tree import Names, var
from .....types import DType, bool_, f32
from ..grid import axes_at
from ..products.contraction import count
from ..products.operand import Staged
from .row_tiles import staged
from .running_softmax import LOWEST
from .tiles import Stretch, heads_together


@dataclass(frozen=True)
class AttentionBlocks:
    """The blocks of an attention; the buffers are those of its naive kernel."""

    op: BlockedAttention
    naive: Kernel
    names: Names
    block: str

    @staticmethod
    def of(op: BlockedAttention, naive: Kernel) -> AttentionBlocks:
        bare = replace(naive, body=(), locals=())
        names = Names(bare)
        return AttentionBlocks(op, bare, names, names.fresh("block"))

    def axis(self, name: str) -> str:
        """A name that nothing has yet."""
        return self.names.fresh(name, "$")

    # Sizes

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
        return Stretch(index(0), whole, False), Stretch(whole, self.steps, True)

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
    def is_scaled_first(self) -> bool:
        """Whether scores are scaled before the largest is found, not as powers are made."""
        return self.mask is not None or self.op.scale <= 0

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
