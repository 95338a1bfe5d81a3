"""The launch of attention's gradients that has blocks of keys, by which queries come.

    for step: {weights = 2 ** (keys queriesᵀ - logs);  of_values += weights arrived;
               toward = values arrivedᵀ;  of_keys += weights (toward - along) queries}
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from ....expr import Expr, Load, Var, index
from ....tile.nodes import Block, Buffer, Let, Stmt
from ....tile.tree import var
from ....tile.warps import COLUMNS
from ....types import f32
from .attention_steps import Steps, bound
from .fragment_products import narrowed, product, summed
from .fragments import Fragments
from .gradient_work import GradientWork
from .product_operand import Staged
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
        logs, along = (self.work.numbers(name) for name in (self.work.logs.name, "along"))
        own = self.work.registers({"of_keys": keys.sizes[1], "of_values": values.sizes[1]})
        warp = self.work.names.fresh("warp")
        row = self.work.first_row(warp)
        each = (queries, arrived, logs, along)
        steps = Steps(blocks, warp, (keys, values), each)

        def exponent(stage: Expr, query: Expr, *at: Expr) -> Block:
            score = given.exponent(own.load("scores", *at))
            return (own.store("scores", score - _number(logs, stage, query), *at),)

        def change(stage: Expr, query: Expr, *at: Expr) -> Block:
            return self.work.change(own, _number(along, stage, query), *at)

        def work(stage: Expr, first_key: Var, *, masked: bool) -> Block:
            return (
                *product(own, "scores", keys, queries, row, stage),
                *((self._masked(own, row, first_key),) if masked else ()),
                self._by_query(own, partial(exponent, stage)),
                *raised(own),
                *narrowed(own, self.work.dtype),
                *summed(own, "of_values", arrived, stage),
                *product(own, "toward", values, arrived, row, stage),
                self._by_query(own, partial(change, stage)),
                *narrowed(own, self.work.dtype),
                *summed(own, "of_keys", queries, stage),
            )

        *_, of_keys, of_values = self.work.blocks.naive.params
        body: Block = (
            *blocks.begin(),
            self.work.cleared(own, "of_keys"),
            self.work.cleared(own, "of_values"),
            *steps.started(),
            *steps.loops(work),
            self._stored_keys(own, "of_keys", row, of_keys, self.work.op.scale),
            self._stored_keys(own, "of_values", row, of_values, 1.0),
        )
        tiles = tuple(side.tiles for side in (keys, values, *each))
        whole = bound(warp, self.work.warps, blocks.block, blocks.count, body)
        return whole, (*tiles, *own.buffers.values())

    def _masked(self, own: Fragments, row: Expr, first_query: Expr) -> Stmt:
        """The scores of queries that do not see all keys, or that a mask changes."""

        def one(place: Expr, i: Expr, j: Expr, lane: Expr, e: Expr) -> Block:
            at = (i, j, lane, e)
            key, query = (var(self.work.names.fresh(name, "$")) for name in ("key", "query"))
            score = self.work.keys.masked(own.load("scores", *at), query, key)
            return (
                Let(key.name, self.work.keys.first_row + self.work.row(row, lane, i, e // 2)),
                Let(query.name, first_query + place),
                own.store("scores", score, *at),
            )

        return self._by_query(own, one)

    def _by_query(self, own: Fragments, body: Callable[..., Block]) -> Stmt:
        """What is done with each score of a lane, the place of whose query is told."""

        def one(lane: Expr, i: Expr, j: Expr, e: Expr) -> Block:
            return body(j * COLUMNS + lane % 4 * 2 + e % 2, i, j, lane, e)

        return own.lanes([self.work.fragments, own.extent("scores", 1), 4], one)

    def _stored_keys(
        self, own: Fragments, name: str, row: Expr, result: Buffer, scale: float
    ) -> Stmt:
        def one(lane: Expr, i: Expr, h: Expr) -> Block:
            key = var(self.work.names.fresh("key", "$"))
            place = (*self.work.keys.batch_places, key)
            return (
                Let(key.name, self.work.keys.first_row + self.work.row(row, lane, i, h)),
                *self.work.row_stored(
                    own, name, result, place, key < result.shape[-2], scale, lane, i, h
                ),
            )

        return own.lanes([self.work.fragments, 2], one)


def _number(side: Staged, stage: Expr, place: Expr) -> Load:
    """What a query has, at its place in the step."""
    return Load(f32, side.tiles.name, (stage, index(0), place))
