"""What both launches of attention's gradients have in common: operands, results, those who
multiply."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from .....expr import Expr, apply, const
from .....ops.kernels.stored import Stored
from .....ops.nn.attention_gradient import BlockedAttentionGradient
from .....target import Gpu
from .....tile.instructions.warps import LANES
from .....tile.nodes import Block, Buffer, If, Kernel, Let, Ref, Space, Stmt, Store
from .....tile.tree import Names, var
from .....types import DType, f32
from ..attention.blocks import AttentionBlocks
from ..attention.keys import KeyBlocks
from ..attention.tiles import STAGES, wide_queries
from ..products.operand import Staged
from .lanes import LaneUnit
from .units import Row, Unit
from .warps import WarpUnit


@dataclass(frozen=True)
class GradientWork:
    """The gradients of an attention in blocks of queries, and in blocks of keys. The exponents of
    each query's weights are relative to its `bases`, one after the other: to the logarithm of their
    total; of scores with a mask to the largest of them, then to that of the total relative to it,
    which would be lost beside the least number, that masks have."""

    op: BlockedAttentionGradient
    blocks: AttentionBlocks  # of queries
    keys: KeyBlocks
    dtype: DType  # of the factors that warps multiply; f32 where lanes do
    bases: tuple[Buffer, ...]

    @staticmethod
    def of(op: BlockedAttentionGradient, naive: Kernel, dtype: DType) -> GradientWork:
        blocks = AttentionBlocks.of(op.forward, naive)
        shape = naive.params[-3].shape[:-1]
        bases = tuple(
            Buffer(blocks.names.fresh(name, "_"), f32, shape, Space.SHARED)
            for name in (("logs",) if op.mask is None else ("tops", "logs"))
        )
        blocks = replace(blocks, naive=replace(blocks.naive, locals=bases))
        return GradientWork(op, blocks, KeyBlocks.beside(blocks), dtype, bases)

    def with_wide_queries(self, gpu: Gpu) -> GradientWork:
        """With blocks of more queries, where warps have registers for them."""
        shapes = (self.blocks.queries.shape, self.blocks.values.shape)
        wide = wide_queries(*shapes, self.dtype, gpu)
        if wide is None:
            return self
        op = replace(self.op, rows=wide[0], columns=wide[1])
        return replace(self, op=op, blocks=replace(self.blocks, op=op.forward))

    @property
    def names(self) -> Names:
        return self.blocks.names

    def unit(self, depths: Mapping[str, int]) -> Unit:
        """Those who multiply, with sums of such depths."""
        if self.dtype == f32:
            return LaneUnit.of(self.names, self.op, depths)
        return WarpUnit.of(self.names, self.op, self.dtype, depths)

    # Operands

    def stored(self, name: str) -> Stored:
        buffer = self.blocks.naive.buffers[name]
        return Stored(buffer, tuple(range(len(buffer.shape))))

    def side(
        self,
        unit: Unit,
        blocks: AttentionBlocks | KeyBlocks,
        name: str,
        stored: Stored,
        *,
        once: bool,
    ) -> Staged:
        """The tiles of an operand, as rows of the block or as what comes by."""
        depth, threads = unit.padded(stored.shape[-1]), unit.warps * LANES
        stages, rows = (1, self.op.rows) if once else (STAGES, self.op.columns)
        own = self.names.fresh(name, "_")

        def made(high: int, wide: int) -> Staged:
            tiles = unit.tiles(own, stages, high, wide)
            if once:
                return blocks.staged_rows(stored, unit.dtype, depth, threads, tiles)
            return blocks.staged(stored, unit.dtype, depth, threads, tiles, var("key"))

        along = made(rows, depth)
        return along if along.has_terms_last else made(depth, rows)

    def numbers(self, unit: Unit, name: str) -> Staged:
        """What each query of those that come by has: one number. Past the last one it is 0, so that
        weights are 1 there, and multiply zeros."""
        shape = (STAGES, 1, self.op.columns)
        tiles = Buffer(self.names.fresh(name, "_"), f32, shape, Space.SHARED)
        return self.keys.staged_numbers(name, unit.warps * LANES, tiles, var("key"))

    # Results

    def cleared(self, unit: Unit, name: str) -> Stmt:
        """Sums that are 0."""

        def row(row: Row) -> Block:
            return unit.sums_of(
                name, row, lambda at, _: (unit.own.store(name, const(0, f32), *at),)
            )

        return unit.by_row(row)

    def changed(self, unit: Unit, along: Callable[[Expr], Expr] | None = None) -> Stmt:
        """What arrives at each score, in its weight's place; less what is `along` its column, if
        that is not in it yet."""

        def score(at: tuple[Expr, ...], column: Expr) -> Block:
            toward: Expr = unit.own.load("toward", *at)
            if along is not None:
                toward = toward - along(column)
            return (unit.own.store("scores", unit.own.load("scores", *at) * toward, *at),)

        return unit.by_row(lambda row: unit.scores_of(row, score))

    def row_stored(
        self,
        unit: Unit,
        name: str,
        row: Row,
        result: Buffer,
        place: Sequence[Expr],
        inside: Expr,
        scale: float,
    ) -> Block:
        """What a lane has of a row of sums, into a result."""

        def one(at: tuple[Expr, ...], place_: Expr) -> Block:
            column = var(self.names.fresh("column", "$"))
            store = Store(Ref(result.name, (*place, column)), unit.own.load(name, *at) * scale)
            condition = apply("and", inside, column < result.shape[-1])
            return (Let(column.name, place_), If(condition, (store,)))

        return unit.sums_of(name, row, one)
