"""What both launches of attention's gradients have in common: operands, registers, results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ....expr import Expr, apply, const
from ....ops.attention_gradient import BlockedAttentionGradient
from ....ops.stored import Stored
from ....tile.nodes import Block, Buffer, If, Kernel, Let, Ref, Space, Stmt, Store
from ....tile.tree import Names, var
from ....tile.warps import COLUMNS, LANES, ROWS, TERMS
from ....types import DType, f32
from .attention_blocks import AttentionBlocks
from .attention_keys import KeyBlocks
from .attention_tiles import STAGES, WIDE_ROWS
from .fragment_products import PAIR
from .fragments import Fragments
from .product_operand import Staged
from .warp_tiles import swizzled


@dataclass(frozen=True)
class GradientWork:
    """The gradients of an attention in blocks of queries, and in blocks of keys; `logs` are what
    the exponents of each query's weights are relative to."""

    op: BlockedAttentionGradient
    blocks: AttentionBlocks  # of queries
    keys: KeyBlocks
    dtype: DType
    logs: Buffer

    @staticmethod
    def of(op: BlockedAttentionGradient, naive: Kernel, dtype: DType) -> GradientWork:
        blocks = AttentionBlocks.of(op.forward, naive)
        shape = naive.params[-3].shape[:-1]
        logs = Buffer(blocks.names.fresh("logs", "_"), f32, shape, Space.SHARED)
        blocks = replace(blocks, naive=replace(blocks.naive, locals=(logs,)))
        return GradientWork(op, blocks, KeyBlocks.beside(blocks), dtype, logs)

    @property
    def names(self) -> Names:
        return self.blocks.names

    @property
    def fragments(self) -> int:
        """Of rows in a warp."""
        return 2 if self.op.rows >= WIDE_ROWS else 1

    @property
    def warps(self) -> int:
        return self.op.rows // (ROWS * self.fragments)

    def first_row(self, warp: str) -> Expr:
        """The warp's first row of the block."""
        return var(warp) * (ROWS * self.fragments)

    def stored(self, name: str) -> Stored:
        buffer = self.blocks.naive.buffers[name]
        return Stored(buffer, tuple(range(len(buffer.shape))))

    def side(
        self, blocks: AttentionBlocks | KeyBlocks, name: str, stored: Stored, *, once: bool
    ) -> Staged:
        """The tiles of an operand, as rows of the block or as what comes by."""
        depth = -(-stored.shape[-1] // TERMS) * TERMS
        threads = self.warps * LANES
        stages, rows = (1, self.op.rows) if once else (STAGES, self.op.columns)
        own = self.names.fresh(name, "_")

        def made(high: int, wide: int) -> Staged:
            shape = (stages, high, wide)
            tiles = Buffer(own, self.dtype, shape, Space.SHARED, swizzled(shape, self.dtype))
            if once:
                return blocks.staged_rows(stored, self.dtype, depth, threads, tiles)
            first = var("key")
            return blocks.staged(stored, self.dtype, depth, threads, tiles, first)

        along = made(rows, depth)
        return along if along.has_terms_last else made(depth, rows)

    def numbers(self, name: str) -> Staged:
        """What each query of those that come by has: one number. Past the last one it is 0, so that
        weights are 1 there, and multiply zeros."""
        shape = (STAGES, 1, self.op.columns)
        tiles = Buffer(self.names.fresh(name, "_"), f32, shape, Space.SHARED)
        return self.keys.staged_numbers(name, self.warps * LANES, tiles, var("key"))

    def registers(self, sums: Mapping[str, int]) -> Fragments:
        """A warp's registers, with sums of so many columns."""
        columns, high = self.op.columns, self.fragments
        shapes: dict[str, tuple[DType, tuple[int, ...]]] = {
            "a": (self.dtype, (1, high, LANES, 8)),
            "b": (self.dtype, (PAIR, LANES, 4)),
            "weights": (self.dtype, (columns // TERMS, high, LANES, 8)),
            **dict.fromkeys(("scores", "toward"), (f32, (high, columns // COLUMNS, LANES, 4))),
            **{name: (f32, (high, width // COLUMNS, LANES, 4)) for name, width in sums.items()},
            **dict.fromkeys(("top", "own", "other", "total", "along"), (f32, (high, LANES, 2))),
        }
        return Fragments.of(self.names, shapes)

    def row(self, first: Expr, lane: Expr, i: Expr, h: Expr) -> Expr:
        """The row of the block that a lane has in a half of a fragment."""
        return first + i * ROWS + h * (ROWS // 2) + lane // 4

    def cleared(self, own: Fragments, name: str) -> Stmt:
        """Sums that are 0."""
        return own.lanes(
            [self.fragments, own.extent(name, 1), 4],
            lambda lane, i, j, e: (own.store(name, const(0, f32), i, j, lane, e),),
        )

    def change(self, own: Fragments, along: Expr, *at: Expr) -> Block:
        """What arrives at a score, in its weight's place."""
        change = own.load("scores", *at) * (own.load("toward", *at) - along)
        return (own.store("scores", change, *at),)

    def row_stored(
        self,
        own: Fragments,
        name: str,
        result: Buffer,
        place: Sequence[Expr],
        inside: Expr,
        scale: float,
        lane: Expr,
        i: Expr,
        h: Expr,
    ) -> Block:
        """What a lane has of a row of sums, into a result."""

        def one(j: Expr, pair: Expr) -> Block:
            column = var(self.names.fresh("column", "$"))
            value = own.load(name, i, j, lane, h * 2 + pair) * scale
            store = Store(Ref(result.name, (*place, column)), value)
            condition = apply("and", inside, column < result.shape[-1])
            return (
                Let(column.name, j * COLUMNS + lane % 4 * 2 + pair), If(condition, (store,))
            )

        return own.unrolled([own.extent(name, 1), 2], one)
