"""The launch of attention's gradients that has blocks of keys, by which queries come.

    for step: {weights = 2 ** (keys queriesᵀ - logs);  of_values += weights arrived;
               toward = values arrivedᵀ;  of_keys += weights (toward - along) queries}
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ....expr import Expr, Var, const, index
from ....tile.nodes import Block, Buffer, Let, Stmt
from ....tile.tree import var
from ....tile.warps import COLUMNS, ROWS
from ....types import f32
from .attention_steps import Steps, bound
from .fragments import Fragments
from .gradient_products import narrowed, product, summed
from .gradient_work import GradientWork
from .running_softmax import raised


@dataclass(frozen=True)
class KeyLaunch:
    """The work of writing it."""

    work: GradientWork

    def launch(self) -> tuple[Stmt, tuple[Buffer, ...]]:
        """The launch of blocks of keys, and what it keeps."""
        blocks, given = self.work.keys, self.work.blocks
        keys = self.work.side(blocks, "keys", given.keys, once=True)
        values = self.work.side(blocks, "values", given.values, once=True)
        queries = self.work.side(blocks, "queries", given.queries, once=False)
        arrived = self.work.side(blocks, "arrived", self.work.stored("arrived"), once=False)
        own = self.work.fragments({"of_keys": keys.sizes[1], "of_values": values.sizes[1]})
        warp = self.work.names.fresh("warp")
        row = var(warp) * ROWS
        steps = Steps(blocks, warp, (keys, values), (queries, arrived))

        def work(stage: Expr, first_key: Var, *, masked: bool) -> Block:
            return (
                *product(own, "scores", keys, queries, row, stage),
                *((self._masked(own, row, first_key),) if masked else ()),
                self._exponents(own, first_key),
                *raised(own),
                *narrowed(own, self.work.dtype),
                *summed(own, self.work.dtype, "of_values", arrived, stage),
                *product(own, "toward", values, arrived, row, stage),
                self._changes(own, first_key),
                *narrowed(own, self.work.dtype),
                *summed(own, self.work.dtype, "of_keys", queries, stage),
            )

        def cleared(lane: Expr) -> Block:
            return tuple(
                stmt
                for name in ("of_keys", "of_values")
                for stmt in own.unrolled(
                    [own.extent(name, 0), 4],
                    lambda j, e, name=name: (own.store(name, const(0, f32), j, lane, e),),
                )
            )

        *_, of_keys, of_values = self.work.blocks.naive.params
        body: Block = (
            *blocks.begin(),
            own.lanes([], cleared),
            *steps.started(),
            *steps.loops(work),
            self._stored_keys(own, "of_keys", row, of_keys, self.work.op.scale),
            self._stored_keys(own, "of_values", row, of_values, 1.0),
        )
        tiles = tuple(side.tiles for side in (keys, values, queries, arrived))
        whole = bound(warp, self.work.op.rows // ROWS, blocks.block, blocks.count, body)
        return whole, (*tiles, *own.buffers.values())

    def _by_query(
        self, own: Fragments, first_query: Expr, body: Callable[..., Block]
    ) -> Callable[[Expr, Expr, Expr], Block]:
        """Statements for a lane's columns, each of which is a query."""

        def one(lane: Expr, j: Expr, pair: Expr) -> Block:
            query = var(self.work.names.fresh("query", "$"))
            here = Let(query.name, first_query + j * COLUMNS + lane % 4 * 2 + pair)
            return (here, *own.unrolled([2], lambda h: body(query, lane, j, h * 2 + pair, h)))

        return one

    def _exponents(self, own: Fragments, first_query: Expr) -> Stmt:
        """Scores become exponents of weights, by the logarithms of the totals of their queries."""

        def one(query: Var, lane: Expr, j: Expr, e: Expr, h: Expr) -> Block:
            at = (index(0), j, lane, e)
            score, logs = own.load("scores", *at), self.work.logs
            return (own.store("scores", self.work.keys.exponent(score, query, logs), *at),)

        return own.lanes([own.extent("scores", 1), 2], self._by_query(own, first_query, one))

    def _masked(self, own: Fragments, row: Expr, first_query: Expr) -> Stmt:
        """The scores of queries that do not see all keys, or that a mask changes."""

        def one(query: Var, lane: Expr, j: Expr, e: Expr, h: Expr) -> Block:
            at = (index(0), j, lane, e)
            key = var(self.work.names.fresh("key", "$"))
            place = self.work.keys.first_row + row + h * (ROWS // 2) + lane // 4
            score = self.work.keys.masked(own.load("scores", *at), query, key)
            return (Let(key.name, place), own.store("scores", score, *at))

        return own.lanes([own.extent("scores", 1), 2], self._by_query(own, first_query, one))

    def _changes(self, own: Fragments, first_query: Expr) -> Stmt:
        def one(query: Var, lane: Expr, j: Expr, e: Expr, h: Expr) -> Block:
            along = self.work.keys.of_query(self.work.stored("along"), query, index(0))
            return self.work.change(own, lane, j, e, along)

        return own.lanes([own.extent("scores", 1), 2], self._by_query(own, first_query, one))

    def _stored_keys(
        self, own: Fragments, name: str, row: Expr, result: Buffer, scale: float
    ) -> Stmt:
        def one(lane: Expr, h: Expr) -> Block:
            key = var(self.work.names.fresh("key", "$"))
            place = (*self.work.keys.batch_places, key)
            return (
                Let(key.name, self.work.keys.first_row + row + h * (ROWS // 2) + lane // 4),
                *self.work.row_stored(
                    own, name, result, place, key < result.shape[-2], scale, lane, h
                ),
            )

        return own.lanes([2], one)
