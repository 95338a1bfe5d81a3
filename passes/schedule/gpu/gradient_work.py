"""What both launches of attention's gradients have in common: operands, registers, results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ....expr import Expr, apply, index
from ....ops.attention_gradient import BlockedAttentionGradient
from ....ops.stored import Stored
from ....tile.nodes import Block, Buffer, If, Kernel, Let, Ref, Space, Store
from ....tile.tree import Names, var
from ....tile.warps import COLUMNS, LANES, ROWS, TERMS
from ....types import DType, f32
from .attention_blocks import AttentionBlocks
from .attention_keys import KeyBlocks
from .attention_tiles import STAGES
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
        return GradientWork(op, blocks, KeyBlocks.beside(blocks), dtype, logs)

    @property
    def names(self) -> Names:
        return self.blocks.names

    def stored(self, name: str) -> Stored:
        buffer = self.blocks.naive.buffers[name]
        return Stored(buffer, tuple(range(len(buffer.shape))))

    def side(
        self, blocks: AttentionBlocks | KeyBlocks, name: str, stored: Stored, *, once: bool
    ) -> Staged:
        """The tiles of an operand, as rows of the block or as what comes by."""
        depth = -(-stored.shape[-1] // TERMS) * TERMS
        threads = self.op.rows // ROWS * LANES
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

    def fragments(self, sums: Mapping[str, int]) -> Fragments:
        """A warp's registers, with sums of so many columns."""
        columns = self.op.columns
        widest = max(sums.values())
        shapes: dict[str, tuple[DType, tuple[int, ...]]] = {
            "a": (self.dtype, (1, LANES, 8)),
            "b": (self.dtype, (columns // COLUMNS, LANES, 4)),
            "c": (self.dtype, (widest // COLUMNS, LANES, 4)),
            "weights": (self.dtype, (columns // TERMS, LANES, 8)),
            **dict.fromkeys(("scores", "toward"), (f32, (1, columns // COLUMNS, LANES, 4))),
            **{name: (f32, (width // COLUMNS, LANES, 4)) for name, width in sums.items()},
            **dict.fromkeys(
                ("top", "own", "other", "total", "along"), (f32, (1, LANES, 2))
            ),
        }
        return Fragments.of(self.names, shapes)

    def change(self, own: Fragments, lane: Expr, j: Expr, e: Expr, along: Expr) -> Block:
        """What arrives at a score, in its weight's place."""
        at = (index(0), j, lane, e)
        return (
            own.store("scores", own.load("scores", *at) * (own.load("toward", *at) - along), *at),
        )

    def row_stored(
        self,
        own: Fragments,
        name: str,
        result: Buffer,
        place: Sequence[Expr],
        inside: Expr,
        scale: float,
        lane: Expr,
        h: Expr,
    ) -> Block:
        """What a lane has of a row of sums, into a result."""

        def one(j: Expr, pair: Expr) -> Block:
            column = var(self.names.fresh("column", "$"))
            value = own.load(name, j, lane, h * 2 + pair) * scale
            store = Store(Ref(result.name, (*place, column)), value)
            condition = apply("and", inside, column < result.shape[-1])
            return (
                Let(column.name, j * COLUMNS + lane % 4 * 2 + pair), If(condition, (store,))
            )

        return own.unrolled([own.extent(name, 0), 2], one)
