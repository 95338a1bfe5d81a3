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
from ....tile.warps import COLUMNS
from ....types import f32
from .attention_blocks import AttentionBlocks
from .attention_steps import Steps, bound
from .fragment_products import narrowed, product, summed
from .fragments import Fragments
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
        own = self.work.registers({"sums": queries.sizes[1]})
        warp = self.work.names.fresh("warp")
        row = self.work.first_row(warp)

        def scored(stage: Expr, first_key: Var, masked: bool) -> Block:
            return (
                *product(own, "scores", queries, keys, row, stage),
                *((self._masked(own, row, first_key),) if masked else ()),
            )

        def counted(stage: Expr, first_key: Var, *, masked: bool) -> Block:
            return (*scored(stage, first_key, masked), *self._totals(own))

        def change(lane: Expr, i: Expr, j: Expr, e: Expr) -> Block:
            return self.work.change(own, own.load("along", i, lane, e // 2), i, j, lane, e)

        def changed(stage: Expr, first_key: Var, *, masked: bool) -> Block:
            return (
                *scored(stage, first_key, masked),
                *powers(own, blocks.exponent),
                *product(own, "toward", arrived, values, row, stage),
                own.lanes([self.work.fragments, own.extent("scores", 1), 4], change),
                *narrowed(own, self.work.dtype),
                *summed(own, "sums", keys, stage),
            )

        first = Steps(blocks, warp, (queries, arrived), (keys,))
        second = Steps(blocks, warp, (), (keys, values))
        body: Block = (
            *blocks.begin(),
            self.work.cleared(own, "sums"),
            self._begun(own, row),
            *first.started(),
            *first.loops(counted),
            *self._logs(own, row),
            Sync("block"),
            *second.started(),
            *second.loops(changed),
            self._stored_rows(own, row, self.blocks.naive.params[-3]),
        )
        tiles = tuple(side.tiles for side in (queries, arrived, keys, values))
        whole = bound(warp, self.work.warps, blocks.block, blocks.count, body)
        return whole, (*tiles, *own.buffers.values())

    def _begun(self, own: Fragments, row: Expr) -> Stmt:
        """Statistics of nothing, and the sums along rows, which lie in memory."""
        none = const(0, f32)

        def one(lane: Expr, i: Expr, h: Expr) -> Block:
            lets, place, axes = self.blocks.row(self.work.row(row, lane, i, h))
            *batch, s = self.blocks.places(axes)
            along = self.work.stored("along").load((*batch, s, index(0)))
            inside = self.blocks.row_is_inside(place)
            return (
                own.store("top", const(LOWEST, f32), i, lane, h),
                own.store("total", none, i, lane, h),
                *lets,
                own.store("along", select(inside, along, none), i, lane, h),
            )

        return own.lanes([self.work.fragments, 2], one)

    def _masked(self, own: Fragments, row: Expr, first_key: Expr) -> Stmt:
        def one(lane: Expr, i: Expr, h: Expr) -> Block:
            lets, place, axes = self.blocks.row(self.work.row(row, lane, i, h))

            def score(j: Expr, pair: Expr) -> Block:
                at = (i, j, lane, h * 2 + pair)
                key = var(self.blocks.axis("key"))
                value = self.blocks.masked(own.load("scores", *at), place, axes, key)
                here = Let(key.name, first_key + j * COLUMNS + lane % 4 * 2 + pair)
                return (here, own.store("scores", value, *at))

            return (*lets, *own.unrolled([own.extent("scores", 1), 2], score))

        return own.lanes([self.work.fragments, 2], one)

    def _totals(self, own: Fragments) -> Block:
        """The largest score of each row so far, and the total of the weights relative to it."""
        def less(rate: Expr, lane: Expr, i: Expr, h: Expr) -> Block:
            return (own.store("total", own.load("total", i, lane, h) * rate, i, lane, h),)

        def more(lane: Expr, i: Expr, j: Expr, e: Expr) -> Block:
            total = own.load("total", i, lane, e // 2) + own.load("scores", i, j, lane, e)
            return (own.store("total", total, i, lane, e // 2),)

        return (
            *maxima(own),
            grown(own, self.blocks.exponent, less),
            *powers(own, self.blocks.exponent),
            own.lanes([self.work.fragments, own.extent("scores", 1), 4], more),
        )

    def _logs(self, own: Fragments, row: Expr) -> Block:
        """The logarithm of each row's total, which exponents are relative to from now on, into
        memory too."""

        def one(lane: Expr, i: Expr, h: Expr) -> Block:
            lets, place, axes = self.blocks.row(self.work.row(row, lane, i, h))
            top = own.load("top", i, lane, h)
            log = top + apply("log2", own.load("total", i, lane, h))
            at = Ref(self.work.logs.name, tuple(self.blocks.places(axes)))
            inside = apply("and", self.blocks.row_is_inside(place), (lane % 4).eq(index(0)))
            return (
                *lets,
                own.store("top", log, i, lane, h),
                If(inside, (Store(at, top),)),
            )

        def joined(i: Expr) -> Block:
            return tuple(
                part for step in (1, 2) for part in exchanged(own, "total", "add", i, step)
            )

        rows = [self.work.fragments]
        return (*own.unrolled(rows, joined), own.lanes([*rows, 2], one))

    def _stored_rows(self, own: Fragments, row: Expr, result: Buffer) -> Stmt:
        def one(lane: Expr, i: Expr, h: Expr) -> Block:
            lets, place, axes = self.blocks.row(self.work.row(row, lane, i, h))
            return (
                *lets,
                *self.work.row_stored(
                    own, "sums", result, self.blocks.places(axes),
                    self.blocks.row_is_inside(place), self.work.op.scale, lane, i, h,
                ),
            )  # fmt: skip

        return own.lanes([self.work.fragments, 2], one)
