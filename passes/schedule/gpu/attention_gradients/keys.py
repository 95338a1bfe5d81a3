"""The launch of attention's gradients that has blocks of keys, by which queries come.

    for step: {weights = 2 ** (keys queriesᵀ - bases);  of_values += weights arrived;
               toward = values arrivedᵀ;  of_keys += weights (toward - along) queries}
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .....expr import Expr, Load, Var, index
from .....tile.nodes import Block, Buffer, Let, Stmt
from .....tile.tree import var
from .....types import f32
from ..attention.keys import KeyBlocks
from ..attention.steps import Steps, bound
from ..products.operand import Staged
from .units import Row, Unit
from .work import GradientWork


@dataclass(frozen=True)
class KeyLaunch:
    """The work of writing it."""

    work: GradientWork
    unit: Unit

    @staticmethod
    def of(work: GradientWork) -> KeyLaunch:
        blocks = work.blocks
        depths = {"of_keys": blocks.keys.shape[-1], "of_values": blocks.values.shape[-1]}
        return KeyLaunch(work, work.unit(depths))

    @property
    def blocks(self) -> KeyBlocks:
        return self.work.keys

    def launch(self) -> tuple[Stmt, tuple[Buffer, ...]]:
        """The launch of blocks of keys, and what it keeps."""
        blocks, given, unit, side = self.blocks, self.work.blocks, self.unit, self.work.side
        keys = side(unit, blocks, "keys", given.keys, once=True)
        values = side(unit, blocks, "values", given.values, once=True)
        queries = side(unit, blocks, "queries", given.queries, once=False)
        arrived = side(unit, blocks, "arrived", self.work.stored("arrived"), once=False)
        bases = [self.work.numbers(unit, base.name) for base in self.work.bases]
        along = self.work.numbers(unit, "along")

        def work(stage: Expr, first_key: Var, *, masked: bool) -> Block:
            return (
                *unit.product("scores", keys, queries, stage),
                *((self._masked(first_key),) if masked else ()),
                self._exponents(bases, stage),
                *unit.raised(),
                *unit.summed("of_values", arrived, stage),
                *unit.product("toward", values, arrived, stage),
                self.work.changed(unit, lambda column: _number(along, stage, column)),
                *unit.summed("of_keys", queries, stage, again=True),
            )

        *_, of_keys, of_values = given.naive.params
        each = (queries, arrived, *bases, along)
        steps = Steps(blocks, unit.warp, (keys, values), each)
        body: Block = (
            *blocks.begin(),
            self.work.cleared(unit, "of_keys"),
            self.work.cleared(unit, "of_values"),
            *steps.started(),
            *steps.loops(work),
            self._stored("of_keys", of_keys, self.work.op.scale),
            self._stored("of_values", of_values, 1.0),
        )
        tiles = tuple(side.tiles for side in (keys, values, *each))
        whole = bound(unit.warp, unit.warps, blocks.block, blocks.count, body)
        return whole, (*tiles, *unit.kept)

    def _masked(self, first_query: Expr) -> Stmt:
        """The scores of queries that do not see all keys, or that a mask changes."""
        own = self.unit.own

        def one(row: Row) -> Block:
            key = var(self.work.names.fresh("key", "$"))

            def score(at: tuple[Expr, ...], column: Expr) -> Block:
                query = var(self.work.names.fresh("query", "$"))
                value = self.blocks.masked(own.load("scores", *at), query, key)
                return (Let(query.name, first_query + column), own.store("scores", value, *at))

            place = Let(key.name, self.blocks.first_row + row.place)
            return (place, *self.unit.scores_of(row, score))

        return self.unit.by_row(one)

    def _exponents(self, bases: Sequence[Staged], stage: Expr) -> Stmt:
        """Scores become exponents of weights, relative to the bases of their queries."""
        own = self.unit.own

        def score(at: tuple[Expr, ...], column: Expr) -> Block:
            exponent = self.work.blocks.exponent(own.load("scores", *at))
            for base in bases:
                exponent = exponent - _number(base, stage, column)
            return (own.store("scores", exponent, *at),)

        return self.unit.by_row(lambda row: self.unit.scores_of(row, score))

    def _stored(self, name: str, result: Buffer, scale: float) -> Stmt:
        def one(row: Row) -> Block:
            key = var(self.work.names.fresh("key", "$"))
            places, inside = (*self.blocks.batch_places, key), key < result.shape[-2]
            stored = self.work.row_stored(self.unit, name, row, result, places, inside, scale)
            return (Let(key.name, self.blocks.first_row + row.place), *stored)

        return self.unit.by_row(one)


def _number(side: Staged, stage: Expr, place: Expr) -> Load:
    """What a query has, at its place in the step."""
    return Load(f32, side.tiles.name, (stage, index(0), place))
