"""Tiles of a product's operands in shared memory: which thread brings which elements, and how.

    async tiles {unroll e: call @copy_f32x4(left[stage, k, m], x[m, k], valid)}
"""

from __future__ import annotations

from dataclasses import dataclass

from ....expr import TRUE, Expr, Load, Var, all_of, const, index, select, substitute_vars
from ....tile.copies import SIZES, copy_name
from ....tile.nodes import (
    Block,
    Buffer,
    Call,
    If,
    Kind,
    Let,
    Loop,
    Ref,
    Stmt,
    Store,
    Window,
)
from ....tile.tree import Names, var
from .contraction import Contraction, Operand
from .grid import axes_at


@dataclass(frozen=True)
class Staged:
    """An operand whose tiles a block has in shared memory, as `tiles[stage, term, row]`, or where
    it `keeps` the order of memory, with the terms last if neighbours there are terms."""

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
    def is_copied(self) -> bool:
        """Whether the card copies it while threads compute: elements as they are in memory."""
        load, dtype = self.operand.plain, self.tiles.dtype
        return load is not None and load.dtype == dtype and self.width * dtype.bytes in SIZES

    @property
    def turns(self) -> int:
        """How many runs of neighbours a thread brings."""
        rows, terms = self.sizes
        return -(-rows * terms // (self.width * self.threads))

    # Copies while threads compute

    def copied(self, step: Expr, stage: Expr, thread: Expr) -> Block:
        """Asynchronous copies of a step's elements into a stage; those outside become zero."""
        element = self._element(step, thread)
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

    def fetched(self, step: Expr, thread: Expr) -> Block:
        """A step's elements computed, into this thread's registers."""
        assert self.brought is not None
        element = self._element(step, thread)
        store = Store(self._register(element), self._value(element))
        return element.turns(store)

    def put(self, step: Expr, stage: Expr, thread: Expr) -> Block:
        """The elements in this thread's registers into a stage."""
        element = self._element(step, thread)
        register = self._register(element)
        value = Load(self.tiles.dtype, register.buffer, register.indices)
        store = Store(Ref(self.tiles.name, (stage, *element.place)), value)
        return element.turns(store)

    def filled(self, step: Expr, stage: Expr, thread: Expr) -> Block:
        """A step's elements computed, into a stage at once."""
        element = self._element(step, thread)
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

    def _element(self, step: Expr, thread: Expr) -> _Element:
        """Where what a thread brings in one turn stands: neighbouring threads bring what lies side
        by side in memory."""
        rows, terms = self.sizes
        width = self.width
        turn = self.names.fresh("e", "$")
        number = var(turn) * self.threads + thread if self.turns > 1 else thread
        if self.along_terms:
            per = terms // width
            along, down = number // per, number % per * width
        else:
            per = rows // width
            along, down = number % per * width, number // per
        name = self.tiles.name
        row, term = (self.names.fresh(f"{name}.{part}", "$") for part in ("row", "term"))
        lets: list[Stmt] = [
            Let(row, self.first + along),
            Let(term, step * terms + down),
        ]
        axes: dict[str, Expr] = {}
        for loops, position in (
            (self.operand.loops, var(row)),
            (self.contraction.terms, var(term)),
        ):
            for let in axes_at(loops, position):
                if let.value == position:  # a name more would say nothing
                    axes[let.name] = position
                    continue
                own = self.names.fresh(let.name, "$")
                lets.append(Let(own, let.value))
                axes[let.name] = var(own)
        conditions = []
        extent, depth = self.operand.extent, self.contraction.depth
        if extent % rows:
            conditions.append(var(row) < extent)
        if self.ends > depth:
            conditions.append(var(term) < depth)
        inside = all_of(*conditions, substitute_vars(self.operand.guard, axes))
        partial = rows * terms % (width * self.threads)
        limit = number < rows * terms // width if partial else TRUE
        place = (along, down) if self.has_terms_last else (down, along)
        return _Element(var(turn), self.turns, tuple(lets), axes, inside, place, limit)


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
