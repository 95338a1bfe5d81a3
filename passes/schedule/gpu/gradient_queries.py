"""The launch of attention's gradients that has blocks of queries: it goes through the keys twice.

    for step: {scores = queries keysᵀ;  top, total = those of a running softmax}
    logs = top + log2(total)
    for step: {weights = 2 ** (scores - logs);  toward = arrived valuesᵀ;
               of_queries += weights (toward - along) keys}
"""

from __future__ import annotations

from dataclasses import dataclass

from ....expr import Expr, Var, apply, const, index, select
from ....tile.nodes import Block, Buffer, If, Let, Ref, Stmt, Store, Sync
from ....tile.tree import var
from ....tile.warps import COLUMNS, ROWS
from ....types import f32
from .attention_blocks import AttentionBlocks
from .attention_steps import Steps, bound
from .fragments import Fragments
from .gradient_products import narrowed, product, summed
from .gradient_work import GradientWork
from .running_softmax import LOWEST, exchanged, grown, maxima, powers


@dataclass(frozen=True)
class QueryLaunch:
    """The work of writing it."""

    work: GradientWork

    @property
    def blocks(self) -> AttentionBlocks:
        return self.work.blocks

    def launch(self) -> tuple[Stmt, tuple[Buffer, ...]]:
        """The launch of blocks of queries, and what it keeps."""
        blocks = self.blocks
        queries = self.work.side(blocks, "queries", blocks.queries, once=True)
        arrived = self.work.side(blocks, "arrived", self.work.stored("arrived"), once=True)
        keys = self.work.side(blocks, "keys", blocks.keys, once=False)
        values = self.work.side(blocks, "values", blocks.values, once=False)
        own = self.work.fragments({"sums": queries.sizes[1]})
        warp = self.work.names.fresh("warp")
        row = var(warp) * ROWS
        zero = index(0)

        def scored(stage: Expr, first_key: Var, masked: bool) -> Block:
            return (
                *product(own, "scores", queries, keys, row, stage),
                *((self._masked(own, row, first_key),) if masked else ()),
            )

        def counted(stage: Expr, first_key: Var, *, masked: bool) -> Block:
            return (*scored(stage, first_key, masked), *self._totals(own))

        def change(lane: Expr, j: Expr, e: Expr) -> Block:
            return self.work.change(own, lane, j, e, own.load("along", zero, lane, e // 2))

        def changed(stage: Expr, first_key: Var, *, masked: bool) -> Block:
            return (
                *scored(stage, first_key, masked),
                *powers(own, blocks.exponent),
                *product(own, "toward", arrived, values, row, stage),
                own.lanes([own.extent("scores", 1), 4], change),
                *narrowed(own, self.work.dtype),
                *summed(own, self.work.dtype, "sums", keys, stage),
            )

        first = Steps(blocks, warp, (queries, arrived), (keys,))
        second = Steps(blocks, warp, (), (keys, values))
        body: Block = (
            *blocks.begin(),
            own.lanes([], lambda lane: self._cleared(own, lane, row)),
            *first.started(),
            *first.loops(counted),
            *self._logs(own, row),
            Sync("block"),
            *second.started(),
            *second.loops(changed),
            self._stored_rows(own, row, self.blocks.naive.params[-3]),
        )
        tiles = tuple(side.tiles for side in (queries, arrived, keys, values))
        whole = bound(warp, self.work.op.rows // ROWS, blocks.block, blocks.count, body)
        return whole, (*tiles, *own.buffers.values())

    def _cleared(self, own: Fragments, lane: Expr, row: Expr) -> Block:
        """Sums and statistics, and the sums along rows, which lie in memory."""
        zero, none = index(0), const(0, f32)

        def half(h: Expr) -> Block:
            lets, place, axes = self.blocks.row(row + h * (ROWS // 2) + lane // 4)
            *batch, s = self.blocks.places(axes)
            along = self.work.stored("along").load((*batch, s, zero))
            inside = self.blocks.row_is_inside(place)
            return (
                own.store("top", const(LOWEST, f32), zero, lane, h),
                own.store("total", none, zero, lane, h),
                *lets,
                own.store("along", select(inside, along, none), zero, lane, h),
            )

        return (
            *own.unrolled([2], half),
            *own.unrolled(
                [own.extent("sums", 0), 4], lambda j, e: (own.store("sums", none, j, lane, e),)
            ),
        )

    def _masked(self, own: Fragments, row: Expr, first_key: Expr) -> Stmt:
        def one(lane: Expr, h: Expr) -> Block:
            lets, place, axes = self.blocks.row(row + h * (ROWS // 2) + lane // 4)

            def score(j: Expr, pair: Expr) -> Block:
                at = (index(0), j, lane, h * 2 + pair)
                key = var(self.blocks.axis("key"))
                value = self.blocks.masked(own.load("scores", *at), place, axes, key)
                here = Let(key.name, first_key + j * COLUMNS + lane % 4 * 2 + pair)
                return (here, own.store("scores", value, *at))

            return (*lets, *own.unrolled([own.extent("scores", 1), 2], score))

        return own.lanes([2], one)

    def _totals(self, own: Fragments) -> Block:
        """The largest score of each row so far, and the total of the weights relative to it."""
        zero = index(0)

        def less(rate: Expr, lane: Expr, i: Expr, h: Expr) -> Block:
            return (own.store("total", own.load("total", i, lane, h) * rate, i, lane, h),)

        def more(lane: Expr, j: Expr, e: Expr) -> Block:
            total = own.load("total", zero, lane, e // 2) + own.load("scores", zero, j, lane, e)
            return (own.store("total", total, zero, lane, e // 2),)

        return (
            *maxima(own),
            grown(own, self.blocks.exponent, less),
            *powers(own, self.blocks.exponent),
            own.lanes([own.extent("scores", 1), 4], more),
        )

    def _logs(self, own: Fragments, row: Expr) -> Block:
        """The logarithm of each row's total, which exponents are relative to from now on, into
        memory too."""
        zero = index(0)

        def one(lane: Expr, h: Expr) -> Block:
            lets, place, axes = self.blocks.row(row + h * (ROWS // 2) + lane // 4)
            log = own.load("top", zero, lane, h) + apply("log2", own.load("total", zero, lane, h))
            at = Ref(self.work.logs.name, tuple(self.blocks.places(axes)))
            top = own.load("top", zero, lane, h)
            inside = apply("and", self.blocks.row_is_inside(place), (lane % 4).eq(zero))
            return (
                *lets,
                own.store("top", log, zero, lane, h),
                If(inside, (Store(at, top),)),
            )

        return (
            *(part for step in (1, 2) for part in exchanged(own, "total", "add", zero, step)),
            own.lanes([2], one),
        )

    def _stored_rows(self, own: Fragments, row: Expr, result: Buffer) -> Stmt:
        def one(lane: Expr, h: Expr) -> Block:
            lets, place, axes = self.blocks.row(row + h * (ROWS // 2) + lane // 4)
            return (
                *lets,
                *self.work.row_stored(
                    own, "sums", result, self.blocks.places(axes),
                    self.blocks.row_is_inside(place), self.work.op.scale, lane, h,
                ),
            )  # fmt: skip

        return own.lanes([2], one)
