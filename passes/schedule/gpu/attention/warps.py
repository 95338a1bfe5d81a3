"""Attention by warps that multiply fragments (Dao, FlashAttention-2, 2023): each warp has some
queries, and their scores never leave its registers, where they become the left operand of the
second product.

    block: warp: {async tiles {queries};  async tiles {keys, values <- step 0};  ..
      for step: {wait tiles;  sync;  async tiles {keys, values <- step + 1};
                 scores[j] = sum of call mma(queries[k], keys[j]);  scores -= top;
                 if any of them >= 0: {their maxima + 8 are subtracted too;  sums shrink by that};
                 scores = 2 ** scores;  call narrow(weights[k], scores[2 * k]);
                 sums[j] += call mma(weights[k], values[j])}
      lane: y[s, e] = sums[j] / total}
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

from .....expr import Expr, Var, const, index, select
from .....ops.nn.blocked_attention import BlockedAttention
from .....sizes import round_up
from .....tile.instructions.warps import COLUMNS, LANES, ROWS, TERMS, row_sums_name
from .....tile.nodes import (
    Block,
    Buffer,
    If,
    Kernel,
    Let,
    Space,
    Stmt,
)
from .....tile.tree import var
from .....types import DType, bf16, f16, f32
from ..products.fragment_results import FragmentSums
from ..products.fragments import Fragments
from ..products.warp_tiles import swizzled
from .blocks import AttentionBlocks
from .fragment_products import PAIR, narrowed, product, rows_loaded, summed
from .means import Means
from .parts import Parts
from .running_softmax import LOWEST, weights_of
from .steps import Steps, attention_kernel, staged_operand
from .tiles import GROUP_COLUMNS, WIDE_ROWS, keys_of_warps

# What the largest exponent of a row may grow by before sums shrink, which takes as long as a
# product of sixteen terms: weights are 2 ** -growth at first and 1 at most. In f16 those below
# 2 ** -14 lose bits.
GROWTH = {bf16: 8.0, f16: 3.0}
HELD = 128  # queries times their depth / 16, of a warp, that it has in registers


def attention_by_warps(op: BlockedAttention, naive: Kernel, dtype: DType) -> Kernel:
    """The kernel of an attention whose factors are of a narrow type, or rounded to it."""
    return _Warps.of(AttentionBlocks.of(op, naive), dtype).kernel()


def for_warps(op: BlockedAttention) -> BlockedAttention:
    """As few keys at a time as warps have registers for, of blocks that are cut for warpgroups."""
    if op.columns != GROUP_COLUMNS:
        return op
    queries, _, values, _ = op.operands_stored
    return replace(op, columns=keys_of_warps(max(queries.shape[-1], values.shape[-1])))


@dataclass(frozen=True)
class _Warps:
    """The work of writing an attention by warps."""

    blocks: AttentionBlocks
    steps: Steps
    dtype: DType
    fragments: int  # of queries in a warp
    own: Fragments
    holds: bool  # its queries in registers

    @staticmethod
    def of(blocks: AttentionBlocks, dtype: DType) -> _Warps:
        op = blocks.op
        fragments = 2 if op.rows >= WIDE_ROWS else 1
        threads = op.rows // (ROWS * fragments) * LANES
        depths = [round_up(side.shape[-1], TERMS) for side in (blocks.queries, blocks.values)]
        tiles = partial(_tiles, dtype)
        sides = (
            staged_operand(blocks, "queries", blocks.queries, dtype, depths[0], threads, tiles),
            staged_operand(blocks, "keys", blocks.keys, dtype, depths[0], threads, tiles),
            staged_operand(blocks, "values", blocks.values, dtype, depths[1], threads, tiles),
        )
        columns, out = op.columns, depths[1] // COLUMNS
        held = fragments * depths[0] <= HELD
        terms = depths[0] // TERMS if held else 1
        shapes: dict[str, tuple[DType, tuple[int, ...]]] = {
            "a": (dtype, (terms, fragments, LANES, 8)),
            "b": (dtype, (PAIR, LANES, 4)),
            "scores": (f32, (fragments, columns // COLUMNS, LANES, 4)),
            "weights": (dtype, (columns // TERMS, fragments, LANES, 8)),
            "sums": (f32, (fragments, out, LANES, 4)),
            "total": (f32, (fragments, LANES, 4)),
            **dict.fromkeys(("top", "own"), (f32, (fragments, LANES, 2))),
        }
        rises = Buffer(blocks.names.fresh("rises", "_"), f32, (1,), Space.REGISTER)
        own = Fragments.of(blocks.names, shapes).with_register("rises", rises)
        steps = Steps(blocks, blocks.names.fresh("warp"), sides[:1], sides[1:])
        return _Warps(blocks, steps, dtype, fragments, own, held)

    def kernel(self) -> Kernel:
        """All of it: the blocks, and what joins their parts."""
        parts = Parts.of(self.blocks) if self.blocks.op.parts > 1 else None
        means = self._means(parts)
        body: Block = (
            self._cleared(),
            *self.steps.started(),
            *((*self.steps.once_there(), *self._queries()) if self.holds else ()),
            *self.steps.loops(self._step),
            *((self._kept(parts),) if parts is not None else ()),
            *means.stored(),
        )
        warps = self.blocks.op.rows // (ROWS * self.fragments)
        locals_ = (*self.own.buffers.values(), *means.registers)
        return attention_kernel(self.blocks, self.steps, warps, body, locals_, parts)

    @property
    def _first_row(self) -> Expr:
        """The warp's first row of the block."""
        return var(self.steps.warp) * (ROWS * self.fragments)

    def _cleared(self) -> Stmt:
        zero = const(0, f32)

        def row(lane: Expr, i: Expr) -> Block:
            return (
                *self.own.unrolled([2], lambda h: (self.own.store("top", zero, i, lane, h),)),
                *self.own.unrolled([4], lambda e: (self.own.store("total", zero, i, lane, e),)),
                *self.own.unrolled(
                    [self.own.extent("sums", 1), 4],
                    lambda j, e: (self.own.store("sums", zero, i, j, lane, e),),
                ),
            )

        return self.own.lanes([self.fragments], row)

    def _queries(self) -> Block:
        """Queries in registers."""
        queries = self.steps.once[0]
        return self.own.unrolled(
            [self.own.extent("a", 0)],
            lambda k: (rows_loaded(self.own, queries, self._first_row, k, k),),
        )

    # Steps over the keys

    def _step(self, stage: Expr, first_key: Var, *, masked: bool) -> Block:
        queries, (keys, values) = self.steps.once[0], self.steps.each
        return (
            *product(self.own, "scores", queries, keys, self._first_row, stage, held=self.holds),
            *((self._masked(first_key),) if masked else ()),
            *weights_of(self.own, self.blocks.exponent, GROWTH[self.dtype]),
            *narrowed(self.own, self.dtype),
            *self._totals(),
            *summed(self.own, "sums", values, stage),
        )

    def _masked(self, first_key: Expr) -> Stmt:
        """The scores of a block of which some are not seen, or that a mask changes."""

        def row(lane: Expr, i: Expr, half: Expr) -> Block:
            lets, own, axes = self.blocks.row(self._row(lane, i, half))

            def one(j: Expr, pair: Expr) -> Block:
                at = (i, j, lane, half * 2 + pair)
                key = var(self.blocks.axis("key"))
                score = self.blocks.masked(self.own.load("scores", *at), own, axes, key)
                place = first_key + j * COLUMNS + lane % 4 * 2 + pair
                return (Let(key.name, place), self.own.store("scores", score, *at))

            return (*lets, *self.own.unrolled([self.own.extent("scores", 1), 2], one))

        return self.own.lanes([self.fragments, 2], row)

    def _row(self, lane: Expr, i: Expr, half: Expr) -> Expr:
        """The row of the block that a lane has in a half of a fragment."""
        return self._first_row + i * ROWS + half * (ROWS // 2) + lane // 4

    def _totals(self) -> Block:
        """The totals of the weights, by the unit that multiplies."""
        return self.own.unrolled(
            [self.own.extent("weights", 0), self.fragments],
            lambda k, i: (self.own.call(row_sums_name(self.dtype), total=(i,), weights=(k, i)),),
        )

    # Results

    def _means(self, parts: Parts | None) -> Means:
        """Those of the values; of a part of the keys, sums."""
        sums = FragmentSums(self.own.buffers["sums"], LANES)

        def total(i: Expr, lane: Expr, half: Expr) -> Expr:
            return self.own.load("total", i, lane, half * 2)

        return Means.of(self.blocks, sums, self._first_row, total, parts)

    def _kept(self, parts: Parts) -> Stmt:
        """What is needed to join the sums of a part with others."""

        def row(lane: Expr, i: Expr, half: Expr) -> Block:
            lets, own, axes = self.blocks.row(self._row(lane, i, half))
            total = self.own.load("total", i, lane, half * 2)
            # What no key was seen of must not count among the tops of the other parts.
            own_top = self.own.load("top", i, lane, half)
            top = select(total.eq(const(0, f32)), const(LOWEST, f32), own_top)
            kept = parts.kept_row(self.blocks.places(axes), top, total)
            inside = self.blocks.inside(own, None, 0, kept)
            return (*lets, If((lane % 4).eq(index(0)), inside))

        return self.own.lanes([self.fragments, 2], row)


def _tiles(dtype: DType, name: str, shape: tuple[int, int, int]) -> Buffer:
    """Tiles that warps read as fragments."""
    return Buffer(name, dtype, shape, Space.SHARED, swizzled(shape, dtype))
