"""The recipe for rows: some lanes of a warp have one, or a block has, and each keeps its part in
registers from when it is read to when it is written. Sums go from lane to lane.

    for i: {acc = 0;  for k: acc += x[i, k];  for j: y[i, j] = x[i, j] * acc}
      ->  block: warp: {lane: {call load(x_[turn, lane, 0], x[row, ..]);  part += x_[turn, lane, e]}
                        call shuffle(other, part; 16);  lane: part += other;  ..
                        lane: {y_[e] = x_[turn, lane, e] * part;  call store(y[row, ..], y_[0])}}
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from ....expr import COMBINERS, TRUE, Expr, Load, all_of, const, index, substitute_vars
from ....expr.nodes import children, with_children
from ....target import Gpu
from ....tile.copies import load_name, store_name
from ....tile.nodes import (
    Accumulate,
    Block,
    Buffer,
    Call,
    If,
    Kernel,
    Kind,
    Loop,
    Ref,
    Space,
    Stmt,
    Store,
    Sync,
    Window,
    map_own,
)
from ....tile.tree import Names, copy_block, tidy, var
from ....tile.warps import LANES, shuffle_name
from ....types import DType
from .grid import places
from .row_shares import Share
from .rows import ELEMENT, Rows, named
from .wide import at_place
from .work import iterations

ZERO = index(0)
IN_FLIGHT = 4  # turns of a loop that are written out, where nothing is kept


def bind_rows(rows: Rows, share: Share, held: tuple[Load, ...], gpu: Gpu) -> Kernel:
    """The kernel of rows that are dealt so, with these loads kept in registers."""
    names = Names(rows.kernel)
    number = iterations(list(rows.loops))
    beside = share.rows_beside(number, gpu)
    block, warp, lane = map(names.fresh, ("block", "warp", "lane"))
    lanes = _Lanes(rows, share, names, number, beside, block, warp, lane)
    lanes.keep(held)
    return lanes.kernel()


@dataclass(frozen=True)
class _Element:
    """An element that a lane has: of a run of neighbours in one of its turns, in loops over
    `axis`. `own` are the registers with what was read for this run alone."""

    axis: str
    turn: Expr
    number: Expr
    own: Mapping[Load, Buffer]


@dataclass
class _Lanes:
    """The work of writing a kernel of rows: statements of a warp, and those of the loop over its
    lanes that is being written."""

    rows: Rows
    share: Share
    names: Names
    number: int  # of rows
    beside: int  # warps of a block that have rows of their own
    block: str
    warp: str
    lane: str
    held: dict[Load, Buffer] = field(default_factory=dict)
    fragments: dict[str, Buffer] = field(default_factory=dict)
    locals: list[Buffer] = field(default_factory=list)
    body: list[Stmt] = field(default_factory=list)
    lane_body: list[Stmt] = field(default_factory=list)
    loaded: set[Load] = field(default_factory=set)
    loops: int = 0

    def keep(self, held: tuple[Load, ...]) -> None:
        """Name the registers."""
        share, kernel = self.share, self.rows.kernel
        for load in held:
            runs = (share.turns, LANES, share.width)
            self.held[load] = self._local(load.buffer, load.dtype, runs)
        for local in kernel.locals:
            each = share.turns * share.width if local.space is Space.SHARED else 0
            shape = (each, LANES, 1)[0 if each else 1 :]
            self.fragments[local.name] = self._local(local.name, local.dtype, shape)

    def _local(
        self, name: str, dtype: DType, shape: tuple[int, ...], space: Space = Space.FRAGMENT
    ) -> Buffer:
        buffer = Buffer(self.names.fresh(f"{name}_", "_"), dtype, shape, space)
        self.locals.append(buffer)
        return buffer

    def kernel(self) -> Kernel:
        """All of it."""
        for stmt in self.rows.body:
            match stmt:
                case Store():
                    self._scalar(stmt)
                case Loop(body=(Accumulate() as update,)):
                    self._sum(stmt, update, TRUE)
                case Loop(body=(If(condition=condition, then=(Accumulate() as update,)),)):
                    self._sum(stmt, update, condition)
                case Loop():
                    self._map(stmt)
        self._flush()
        body: Block = tuple(self.body)
        if not self.share.several:
            lets, position = self._row_lets()
            whole = self.share.warps > 1 or self.number % self.beside == 0
            body = (*lets, *(body if whole else (If(position < self.number, body),)))
        inner = Loop(self.warp, ZERO, index(self.share.warps * self.beside), body, Kind.WARP)
        rows_a_block = self.beside * self.share.rows
        blocks = index(-(-self.number // rows_a_block))
        outer = Loop(self.block, ZERO, blocks, (inner,), Kind.BLOCK)
        return tidy(replace(self.rows.kernel, body=(outer,), locals=tuple(self.locals)))

    # Where a lane stands

    def _row_lets(self) -> tuple[Block, Expr]:
        """The axes of the rows' loops, and the number of the row."""
        row: Expr = var(self.block)
        if self.share.warps == 1:
            row = (row * self.beside + var(self.warp)) * self.share.rows
            if self.share.several:
                row = row + var(self.lane) // self.share.lanes
        if not self.rows.loops:
            return (), row
        position, lets = places(list(self.rows.loops), row, self.names)
        return (position, *lets), var(position.name)

    @property
    def _place(self) -> Expr:
        """The number of a lane among those that have one row."""
        if self.share.warps > 1:
            return var(self.warp) * LANES + var(self.lane)
        return var(self.lane) % self.share.lanes

    def _flush(self) -> None:
        """Write the loop over lanes, and begin another."""
        if not self.lane_body:
            return
        lets: Block = self._row_lets()[0] if self.share.several else ()
        loop: Block = (
            Loop(self.lane, ZERO, index(LANES), (*lets, *self.lane_body), Kind.LANE),
        )
        self.body += copy_block(loop, self.names) if self.loops else loop
        self.lane_body.clear()
        self.loops += 1

    def _own(self, name: str) -> Ref:
        """A lane's own register of a value."""
        return Ref(name, (var(self.lane), ZERO))

    def _in_row(self) -> Expr:
        """Whether there is a row for the lane."""
        if not self.share.several or self.number % (self.share.rows * self.beside) == 0:
            return TRUE
        first = (var(self.block) * self.beside + var(self.warp)) * self.share.rows
        return first + var(self.lane) // self.share.lanes < self.number

    # Statements

    def _scalar(self, store: Store) -> None:
        """A statement on what all lanes of a row know; the first of them writes to memory."""
        value = self._value(store.value, _Element("", ZERO, ZERO, {}))
        if store.target.buffer in self.fragments:
            target = self._own(self.fragments[store.target.buffer].name)
            self.lane_body.append(Store(target, value))
            return
        first = self._place.eq(ZERO) if self.share.together > 1 else TRUE
        done = replace(store, value=value)
        self.lane_body += _guarded(all_of(self._in_row(), first), (done,))

    def _map(self, loop: Loop) -> None:
        """A loop over the elements: each lane does its own."""
        self._load(loop)
        kernel, width = self.rows.kernel, self.share.width
        targets: dict[str, Buffer] = {}
        for stmt in loop.body:
            if isinstance(stmt, Store) and width > 1 and stmt.target.buffer in kernel.outputs:
                name = stmt.target.buffer
                targets[name] = self._local(name, stmt.value.dtype, (width,), Space.REGISTER)

        def stored(stmt: Stmt, element: _Element) -> Stmt:
            if not isinstance(stmt, Store):
                return self._at(stmt, element)
            name, value = stmt.target.buffer, self._value(stmt.value, element)
            if name in targets:
                return Store(Ref(targets[name].name, (element.number,)), value)
            if name in self.fragments:
                return Store(Ref(self.fragments[name].name, self._kept(element)), value)
            indices = tuple(self._value(part, element) for part in stmt.target.indices)
            return Store(Ref(name, indices), value)

        def finish(turn: Expr) -> Block:
            first = self._first(turn)
            return tuple(
                Call(
                    store_name(targets[stmt.target.buffer].dtype, width),
                    (
                        Window(
                            stmt.target.buffer, at_place(stmt.target.indices, loop.axis, first)
                        ),
                        Window(targets[stmt.target.buffer].name, (ZERO,)),
                    ),
                )
                for stmt in loop.body
                if isinstance(stmt, Store) and stmt.target.buffer in targets
            )

        self._each(loop, lambda at: tuple(stored(stmt, at) for stmt in loop.body), finish)

    def _sum(self, loop: Loop, update: Accumulate, condition: Expr) -> None:
        """A reduction: each lane joins its own elements, then lanes join theirs pair by pair."""
        self._load(loop)
        types = [value.dtype for value in update.values]
        parts = [self._local("part", dtype, (LANES, 1)) for dtype in types]
        mine = tuple(self._own(part.name) for part in parts)
        identities = COMBINERS[update.combiner].identity
        for ref, identity, dtype in zip(mine, identities, types, strict=True):
            self.lane_body.append(Store(ref, const(identity(dtype), dtype)))

        def joined(element: _Element) -> Block:
            values = tuple(self._value(value, element) for value in update.values)
            held = self._value(condition, element)
            return _guarded(held, (replace(update, targets=mine, values=values),))

        self._each(loop, joined, lambda turn: ())
        self._exchange(update.combiner, parts, min(LANES, self.share.lanes))
        if self.share.warps > 1:
            self._across_warps(update.combiner, parts)
        targets = tuple(self._own(self.fragments[ref.buffer].name) for ref in update.targets)
        loads = tuple(Load(part.dtype, part.name, (var(self.lane), ZERO)) for part in parts)
        self.lane_body.append(replace(update, targets=targets, values=loads))

    def _exchange(self, combiner: str, parts: list[Buffer], count: int) -> None:
        """Lanes of so many join their parts: all of them have the whole then."""
        others = [self._local("other", part.dtype, (LANES, 1)) for part in parts]
        step = count // 2
        while step:
            self._flush()
            for part, other in zip(parts, others, strict=True):
                windows = (Window(other.name, (ZERO, ZERO)), Window(part.name, (ZERO, ZERO)))
                self.body.append(Call(shuffle_name(part.dtype), windows, (index(step),)))
            given = tuple(
                Load(other.dtype, other.name, (var(self.lane), ZERO)) for other in others
            )
            mine = tuple(self._own(part.name) for part in parts)
            self.lane_body.append(Accumulate(combiner, mine, given))
            step //= 2

    def _across_warps(self, combiner: str, parts: list[Buffer]) -> None:
        """The parts of a block's warps, through shared memory."""
        warps = self.share.warps
        every = [
            self._local("parts", part.dtype, (warps,), Space.SHARED) for part in parts
        ]
        first = var(self.lane).eq(ZERO)
        for part, shared in zip(parts, every, strict=True):
            own = Load(part.dtype, part.name, (var(self.lane), ZERO))
            put = Store(Ref(shared.name, (var(self.warp),)), own)
            self.lane_body += _guarded(first, (put,))
        self._flush()
        self.body.append(Sync("block"))
        for part, shared in zip(parts, every, strict=True):
            taken = Load(part.dtype, shared.name, (var(self.lane) % warps,))
            self.lane_body.append(Store(self._own(part.name), taken))
        self._exchange(combiner, parts, warps)

    # Elements

    def _first(self, turn: Expr) -> Expr:
        """The first element of a lane's run in a turn."""
        return (turn * self.share.together + self._place) * self.share.width

    def _kept(self, element: _Element) -> tuple[Expr, ...]:
        """Where a row's own buffers have an element."""
        return (element.turn * self.share.width + element.number, var(self.lane), ZERO)

    def _load(self, loop: Loop) -> None:
        """Read what is to be kept from this loop on."""
        wanted = [load for load in self.rows.loads(loop) if load in self.held]
        new = [load for load in wanted if load not in self.loaded]
        self.loaded |= set(new)
        if new:
            self.lane_body += self._turns(
                lambda turn: tuple(
                    self._read(load, self.held[load], (turn, var(self.lane)), turn) for load in new
                )
            )

    def _read(self, load: Load, to: Buffer, at: tuple[Expr, ...], turn: Expr) -> Stmt:
        """Read a run into registers."""
        indices = at_place(load.indices, ELEMENT, self._first(turn))
        if self.share.width == 1:
            return Store(Ref(to.name, (*at, ZERO)), Load(load.dtype, load.buffer, indices))
        windows = (Window(to.name, (*at, ZERO)), Window(load.buffer, indices))
        return Call(load_name(load.dtype, self.share.width), windows)

    def _each(
        self,
        loop: Loop,
        body_at: Callable[[_Element], Block],
        finish: Callable[[Expr], Block],
    ) -> None:
        """A body for each element of a loop, and what is to be done with each run of them."""
        width = self.share.width
        own = {
            load: self._local(load.buffer, load.dtype, (width,), Space.REGISTER)
            for load in self.rows.loads(loop)
            if load not in self.held and width > 1
        }

        def run(turn: Expr) -> Block:
            read = tuple(self._read(load, to, (), turn) for load, to in own.items())
            if width == 1:
                return (*read, *body_at(_Element(loop.axis, turn, ZERO, own)), *finish(turn))
            number = self.names.fresh("e", "$")
            body = body_at(_Element(loop.axis, turn, var(number), own))
            each = Loop(number, ZERO, index(width), body, Kind.UNROLL)
            return (*read, each, *finish(turn))

        self.lane_body += self._turns(run)

    def _turns(self, body_at: Callable[[Expr], Block]) -> Block:
        """A body in all turns of a lane, where there is something for it."""
        share = self.share

        def guarded(turn: Expr) -> Block:
            inside = turn * share.together + self._place < share.runs
            whole = share.turns * share.together == share.runs
            return _guarded(all_of(self._in_row(), TRUE if whole else inside), body_at(turn))

        turn = self.names.fresh("turn", "$")
        if self.held or self.rows.locals or share.turns <= 2 * IN_FLIGHT:
            return (Loop(turn, ZERO, index(share.turns), guarded(var(turn)), Kind.UNROLL),)
        part = self.names.fresh("part", "$")
        body = guarded(var(turn) * IN_FLIGHT + var(part))
        inner = Loop(part, ZERO, index(IN_FLIGHT), body, Kind.UNROLL)
        return (Loop(turn, ZERO, index(-(-share.turns // IN_FLIGHT)), (inner,)),)

    def _at(self, stmt: Stmt, element: _Element) -> Stmt:
        return map_own(stmt, lambda expr: self._value(expr, element))

    def _value(self, expr: Expr, element: _Element) -> Expr:
        """An expression of an element, with what is in registers out of them."""
        found = self._register(expr, element) if isinstance(expr, Load) else None
        if found is not None:
            return found
        parts = children(expr)
        if not parts:
            here = self._first(element.turn) + element.number
            return substitute_vars(expr, {element.axis: here})
        new = tuple(self._value(part, element) for part in parts)
        return with_children(expr, new) if new != parts else expr

    def _register(self, load: Load, element: _Element) -> Load | None:
        """Where a lane has what a load reads."""
        fragment = self.fragments.get(load.buffer)
        if fragment is not None:
            single = len(fragment.shape) == 2
            at = (var(self.lane), ZERO) if single else self._kept(element)
            return Load(load.dtype, fragment.name, at)
        key = named(load, element.axis)
        if key in self.held:
            at = (element.turn, var(self.lane), element.number)
            return Load(load.dtype, self.held[key].name, at)
        if key in element.own:
            return Load(load.dtype, element.own[key].name, (element.number,))
        return None


def _guarded(condition: Expr, body: Block) -> Block:
    return body if condition == TRUE else (If(condition, body),)
