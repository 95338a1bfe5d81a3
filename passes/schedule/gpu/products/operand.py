"""Tiles of a product's operands in shared memory: which thread brings which elements, and how.

    async tiles {unroll e: call @copy_f32x4(left[stage, k, m], x[m, k], valid)}
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd

from .....expr import (
    TRUE,
    Expr,
    Load,
    Var,
    all_of,
    const,
    index,
    select,
    substitute_vars,
)
from .....sizes import round_up
from .....tile.instructions.copies import SIZES, copy_name
from .....tile.nodes import (
    Block,
    Buffer,
    Call,
    If,
    Kind,
    Loop,
    Ref,
    Stmt,
    Store,
    Window,
)
from .....tile.tree import Names, var
from .contraction import Contraction, Operand
from .seen_taps import by_bits
from .standing import Standing

LINE = 128  # bytes of a line of memory: what neighbouring threads bring at once


@dataclass(frozen=True)
class Staged:
    """An operand whose tiles a block has in shared memory, as `tiles[stage, term, row]`, or where
    it `keeps` the order of memory, with the terms last if neighbours there are terms. If it
    `may_overlap`, the last tile is to begin no later than at `last_first`."""

    contraction: Contraction
    operand: Operand
    tiles: Buffer
    brought: Buffer | None  # registers on the way, of an operand that is computed
    first: Var  # the row that the block's tile begins with
    own: Var  # the row of the tile that a thread's part begins with
    sizes: tuple[int, int]  # rows and terms of a tile
    threads: int
    ends: int  # terms that all tiles have, with those past the last one
    names: Names
    keeps: bool = False
    may_overlap: bool = False

    @staticmethod
    def of(
        contraction: Contraction,
        operand: Operand,
        name: str,
        tiles: Buffer,
        sizes: tuple[int, int],
        ends: int,
        threads: int,
        names: Names,
        *,
        keeps: bool = False,
    ) -> Staged:
        """An operand of a product, that a block's threads bring; nothing is computed on the way."""
        first, own = (var(names.fresh(f"{name}.{place}")) for place in ("first", "own"))
        return Staged(
            contraction, operand, tiles, None, first, own, sizes, threads, ends, names, keeps, True
        )

    @property
    def along_terms(self) -> bool:
        """Whether neighbours in memory are neighbouring terms."""
        return self.contraction.runs_along_terms(self.operand)

    @property
    def has_terms_last(self) -> bool:
        """Whether a row of the tiles holds the terms of one row (or column) of the operand."""
        return self.keeps and self.along_terms

    @property
    def width(self) -> int:
        """Neighbours in memory that a thread brings at once: they are neighbours in the tile."""
        load, width = self.operand.plain, SIZES[-1] // self.tiles.dtype.bytes
        if load is None or load.dtype != self.tiles.dtype:
            return 1
        if self.along_terms and not self.keeps:
            return 1
        return width if self.contraction.run(self.operand, width) else 1

    @property
    def overlaps(self) -> bool:
        """Whether the last tile lies over the one before, rather than past the last row."""
        extent, rows = self.operand.extent, self.sizes[0]
        return self.may_overlap and extent > rows and extent % rows > 0

    @property
    def last_first(self) -> int:
        """The row that the last tile begins with where it overlaps: a multiple of what is brought
        at once."""
        unit = 1 if self.along_terms else self.width
        return round_up(self.operand.extent - self.sizes[0], unit)

    @property
    def is_copied(self) -> bool:
        """Whether the card copies it while threads compute: elements as they are in memory."""
        load, dtype = self.operand.plain, self.tiles.dtype
        return load is not None and load.dtype == dtype and self.width * dtype.bytes in SIZES

    @property
    def turns(self) -> int:
        """How many runs of neighbours a thread brings."""
        rows, terms = self.sizes
        return -(-rows * terms // (self.width * self.threads))

    @property
    def is_dealt_evenly(self) -> bool:
        """Whether every thread brings as many runs as all others."""
        rows, terms = self.sizes
        return rows * terms % (self.width * self.threads) == 0

    def turns_in_row(self, per: int) -> int:
        """Of a thread's turns those in one row of so many runs, where a line of memory is enough
        for neighbouring threads."""
        if not self.is_copied:
            return 1
        line = LINE // (self.width * self.tiles.dtype.bytes)
        return gcd(self.turns, per, max(1, per // line))

    # Copies while threads compute

    def copied(self, step: Expr, stage: Expr, thread: Expr, *, whole: bool = False) -> Block:
        """Asynchronous copies of a step's elements into a stage; those past the last term, of which
        a `whole` step has none, become zero."""
        element = self._element(step, thread, whole=whole)
        load = self.operand.plain
        assert load is not None
        width = self.width
        valid: Expr = index(width)
        if element.inside != TRUE:
            valid = select(element.inside, valid, index(0))
        to = Window(self.tiles.name, (stage, *element.place))
        source = Window(load.buffer, tuple(element.at(part) for part in load.indices))
        call = Call(copy_name(load.dtype, width), (to, source), (valid,))
        return element.turns(call)

    # Elements that are computed on the way

    def fetched(self, step: Expr, thread: Expr, *, whole: bool = False) -> Block:
        """A step's elements computed, into this thread's registers."""
        assert self.brought is not None
        element = self._element(step, thread, whole=whole)
        store = Store(self._register(element), self._value(element))
        return element.turns(store)

    def put(self, step: Expr, stage: Expr, thread: Expr) -> Block:
        """The elements in this thread's registers into a stage."""
        element = self._element(step, thread)
        register = self._register(element)
        value = Load(self.tiles.dtype, register.buffer, register.indices)
        store = Store(Ref(self.tiles.name, (stage, *element.place)), value)
        return element.turns(store)

    def filled(self, step: Expr, stage: Expr, thread: Expr, *, whole: bool = False) -> Block:
        """A step's elements computed, into a stage at once."""
        element = self._element(step, thread, whole=whole)
        store = Store(Ref(self.tiles.name, (stage, *element.place)), self._value(element))
        return element.turns(store)

    def _register(self, element: _Element) -> Ref:
        assert self.brought is not None
        return Ref(self.brought.name, (element.turn,))

    def _value(self, element: _Element) -> Expr:
        value = element.at(self.operand.value)
        if element.inside == TRUE:
            return value
        return select(element.inside, value, const(0, value.dtype))

    def _element(self, step: Expr, thread: Expr, *, whole: bool = False) -> _Element:
        """Where what a thread brings in one turn stands: neighbouring threads bring what lies side
        by side in memory."""
        rows, terms = self.sizes
        width = self.width
        turn = self.names.fresh("e", "$")
        number = var(turn) * self.threads + thread if self.turns > 1 else thread
        per = (terms if self.along_terms else rows) // width
        across, beside = number // per, number % per
        beside_it = self.turns_in_row(per)
        if self.turns > 1 and self.threads % (per // beside_it) == 0 and self.is_dealt_evenly:
            # A thread's turns are in its row first, then in others, at constant distances.
            lanes = per // beside_it
            beside = var(turn) % beside_it * lanes + thread % lanes
            across = var(turn) // beside_it * (self.threads // lanes) + thread // lanes
        beside *= width
        along, down = (across, beside) if self.along_terms else (beside, across)
        own = self.tiles.name
        row, extent, depth = self.first + along, self.operand.extent, self.contraction.depth
        rows_at = Standing.at(self.operand.loops, row, f"{own}.row", self.names)
        terms_at = Standing.in_step(
            self.contraction.terms, step, terms, down, f"{own}.term", self.names
        )
        conditions = []
        if extent % rows and not self.overlaps:
            conditions.append(rows_at.position < extent)
        if self.ends > depth and not whole:
            conditions.append(terms_at.position < depth)
        lets, axes = (*rows_at.lets, *terms_at.lets), {**rows_at.axes, **terms_at.axes}
        taps = [loop for loop in self.contraction.terms if loop.axis in terms_at.still]
        bits = by_bits(self.operand.guard, taps, axes, self.names.fresh("outside", "$"))
        if bits is None:
            conditions.append(substitute_vars(self.operand.guard, axes))
        else:
            lets, conditions = (*lets, bits[0]), [*conditions, bits[1]]
        inside = all_of(*conditions)
        partial = rows * terms % (width * self.threads)
        limit = number < rows * terms // width if partial else TRUE
        place = (along, down) if self.has_terms_last else (down, along)
        return _Element(var(turn), self.turns, lets, axes, inside, place, limit)


@dataclass(frozen=True)
class _Element:
    """What a thread brings in one of its turns: its place in the operand and in the tile."""

    turn: Var
    count: int
    lets: tuple[Stmt, ...]
    axes: dict[str, Expr]
    inside: Expr
    place: tuple[Expr, Expr]
    limit: Expr

    def at(self, expr: Expr) -> Expr:
        return substitute_vars(expr, self.axes)

    def turns(self, stmt: Stmt) -> Block:
        """The statement in all turns."""
        body: Block = (*self.lets, stmt)
        if self.limit != TRUE:
            body = (If(self.limit, body),)
        if self.count == 1:
            return body
        return (Loop(self.turn.name, index(0), index(self.count), body, Kind.UNROLL),)
