"""The launch of attention's gradients that has blocks of queries: it goes through the keys twice.

    for step: {scores = queries keysᵀ;  top, total = those of a running softmax}
    bases = top + log2(total)
    for step: {weights = 2 ** (scores - bases);  toward = arrived valuesᵀ;
               of_queries += weights (toward - along) keys}
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .....expr import Expr, Var, apply, const, index, select
from .....tile.nodes import Block, Buffer, If, Let, Ref, Stmt, Store, Sync
from .....tile.tree import var
from .....types import f32
from ..attention.blocks import AttentionBlocks
from ..attention.running_softmax import LOWEST, grown
from ..attention.steps import Steps, bound
from .units import Row, Unit, is_first_lane, joined
from .work import GradientWork


@dataclass(frozen=True)
class QueryLaunch:
    """The work of writing it."""

    work: GradientWork
    unit: Unit

    @staticmethod
    def of(work: GradientWork) -> QueryLaunch:
        return QueryLaunch(work, work.unit({"sums": work.blocks.queries.shape[-1]}))

    @property
    def blocks(self) -> AttentionBlocks:
        return self.work.blocks

    def launch(self) -> tuple[Stmt, tuple[Buffer, ...]]:
        """The launch of blocks of queries, and what it keeps."""
        blocks, unit, side = self.blocks, self.unit, self.work.side
        queries = side(unit, blocks, "queries", blocks.queries, once=True)
        arrived = side(unit, blocks, "arrived", self.work.stored("arrived"), once=True)
        keys = side(unit, blocks, "keys", blocks.keys, once=False)
        values = side(unit, blocks, "values", blocks.values, once=False)

        def scored(stage: Expr, first_key: Var, masked: bool) -> Block:
            return (
                *unit.product("scores", queries, keys, stage),
                *((self._masked(first_key),) if masked else ()),
            )

        def counted(stage: Expr, first_key: Var, *, masked: bool) -> Block:
            return (*scored(stage, first_key, masked), *self._totals())

        def changed(stage: Expr, first_key: Var, *, masked: bool) -> Block:
            return (
                *scored(stage, first_key, masked),
                *self._powers(self._bases),
                *unit.product("toward", arrived, values, stage, self._begun_toward()),
                self.work.changed(unit),
                *unit.summed("sums", keys, stage),
            )

        first = Steps(blocks, unit.warp, (queries, arrived), (keys,))
        second = Steps(blocks, unit.warp, (), (keys, values))
        body: Block = (
            *blocks.begin(),
            self.work.cleared(unit, "sums"),
            unit.by_row(self._begun),
            *first.started(),
            *first.loops(counted),
            *joined(unit, "total", "add"),
            unit.by_row(self._finished),
            Sync("block"),
            *second.started(),
            *second.loops(changed),
            unit.by_row(self._stored),
        )
        tiles = tuple(side.tiles for side in (queries, arrived, keys, values))
        whole = bound(unit.warp, unit.warps, blocks.block, blocks.count, body)
        return whole, (*tiles, *unit.kept)

    def _begun(self, row: Row) -> Block:
        """Statistics of nothing, and the sums along rows, which lie in memory."""
        own, none = self.unit.own, const(0, f32)
        lets, place, axes = self.blocks.row(row.place)
        *batch, s = self.blocks.places(axes)
        along = self.work.stored("along").load((*batch, s, index(0)))
        inside = self.blocks.row_is_inside(place)
        return (
            own.store("top", const(LOWEST, f32), *row.at),
            own.store("total", none, *row.at),
            *lets,
            own.store("along", select(inside, along, none), *row.at),
        )

    def _masked(self, first_key: Expr) -> Stmt:
        """The scores of a block of which some are not seen, or that a mask changes."""
        own = self.unit.own

        def one(row: Row) -> Block:
            lets, place, axes = self.blocks.row(row.place)

            def score(at: tuple[Expr, ...], column: Expr) -> Block:
                key = var(self.blocks.axis("key"))
                value = self.blocks.masked(own.load("scores", *at), place, axes, key)
                return (Let(key.name, first_key + column), own.store("scores", value, *at))

            return (*lets, *self.unit.scores_of(row, score))

        return self.unit.by_row(one)

    @property
    def _bases(self) -> Sequence[str]:
        """The registers that have the bases of a row, once all is counted."""
        return ("top", "total")[: len(self.work.bases)]

    def _powers(self, bases: Sequence[str]) -> Block:
        """`scores = 2 ** (exponent(scores) - bases)`, in their place."""
        own = self.unit.own

        def one(row: Row) -> Block:
            def score(at: tuple[Expr, ...], _: Expr) -> Block:
                exponent = self.blocks.exponent(own.load("scores", *at))
                for base in bases:
                    exponent = exponent - own.load(base, *row.at)
                return (own.store("scores", exponent, *at),)

            return self.unit.scores_of(row, score)

        return (self.unit.by_row(one), *self.unit.raised())

    def _totals(self) -> Block:
        """The largest score of each row so far, and the total of the weights relative to it."""
        own = self.unit.own

        def less(rate: Expr, lane: Expr, i: Expr, h: Expr) -> Block:
            return (own.store("total", own.load("total", i, lane, h) * rate, i, lane, h),)

        def more(row: Row) -> Block:
            def score(at: tuple[Expr, ...], _: Expr) -> Block:
                return (own.add("total", own.load("scores", *at), *row.at),)

            return self.unit.scores_of(row, score)

        return (
            *self.unit.maxima(),
            grown(own, self.blocks.exponent, less),
            *self._powers(["top"]),
            self.unit.by_row(more),
        )

    def _finished(self, row: Row) -> Block:
        """The bases of a row, which exponents are relative to from now on, into memory too."""
        own = self.unit.own
        lets, place, axes = self.blocks.row(row.place)
        log = apply("log2", own.load("total", *row.at))
        last = log if len(self._bases) > 1 else own.load("top", *row.at) + log
        at = tuple(self.blocks.places(axes))
        is_kept = apply("and", self.blocks.row_is_inside(place), is_first_lane(self.unit, row))
        kept = (
            Store(Ref(base.name, at), own.load(register, *row.at))
            for base, register in zip(self.work.bases, self._bases, strict=True)
        )
        return (*lets, own.store(self._bases[-1], last, *row.at), If(is_kept, tuple(kept)))

    def _begun_toward(self) -> Stmt:
        """What products toward the weights of a row begin with, so that nothing is left to
        subtract."""
        own = self.unit.own

        def one(row: Row) -> Block:
            along = -own.load("along", *row.at)
            return self.unit.scores_of(row, lambda at, _: (own.store("toward", along, *at),))

        return self.unit.by_row(one)

    def _stored(self, row: Row) -> Block:
        lets, place, axes = self.blocks.row(row.place)
        result, inside = self.blocks.naive.params[-3], self.blocks.row_is_inside(place)
        places, scale = self.blocks.places(axes), self.work.op.scale
        stored = self.work.row_stored(self.unit, "sums", row, result, places, inside, scale)
        return (*lets, *stored)
