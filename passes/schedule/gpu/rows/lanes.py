"""The recipe for rows: some lanes of a warp have one, or a block has, and each keeps its part in
registers from when it is read to when it is written. Sums go from lane to lane.

    for i: {acc = 0;  for k: acc += x[i, k];  for j: y[i, j] = x[i, j] * acc}
      ->  block: warp: {lane: {call load(x_[turn, lane, 0], x[row, ..]);  part += x_[turn, lane, e]}
                        call shuffle(other, part; 16);  lane: part += other;  ..
                        lane: {y_[e] = x_[turn, lane, e] * part;  call store(y[row, ..], y_[0])}}
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from .....expr import COMBINERS, TRUE, Expr, Load, all_of, const, index
from .....target import Gpu
from .....tile.instructions.warps import LANES, shuffle_name
from .....tile.nodes import (
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
)
from .....tile.traverse import map_own
from .....tile.tree import Names, var
from ..work import iterations
from .reductions import Rows
from .registers import ZERO, Element, Registers
from .runs import joined_run, joins_runs, passes_over
from .shares import Share
from .warps import RowWarps

IN_FLIGHT = 4  # turns of a loop that are written out, where nothing is kept


def bind_rows(rows: Rows, share: Share, held: tuple[Load, ...], gpu: Gpu) -> Kernel:
    """The kernel of rows that are dealt so, with these loads kept in registers."""
    names = Names(rows.kernel)
    number = iterations(list(rows.loops))
    block, warp, lane = map(names.fresh, ("block", "warp", "lane"))
    own = Registers(rows, share, names, warp, lane)
    own.keep(held)
    lanes = _Lanes(own, number, share.rows_beside(number, gpu), block)
    lanes.write()
    return lanes.kernel()


@dataclass
class _Lanes(RowWarps):
    """The work of writing a kernel of rows."""

    loaded: set[Load] = field(default_factory=set)

    def write(self) -> None:
        """All statements."""
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

    # Statements

    def _scalar(self, store: Store) -> None:
        """A statement on what all lanes of a row know; the first of them writes to memory."""
        value = self.own.value(store.value, Element("", ZERO, ZERO, {}))
        fragment = self.own.fragments.get(store.target.buffer)
        if fragment is not None:
            self.lane_body.append(Store(self.own.single(fragment), value))
            return
        first = self.own.place.eq(ZERO) if self.share.together > 1 else TRUE
        self.lane_body += _guarded(all_of(self.in_row(), first), (replace(store, value=value),))

    def _map(self, loop: Loop) -> None:
        """A loop over the elements: each lane does its own."""
        self._load(loop)
        own, width = self.own, self.share.width
        stores = [stmt for stmt in loop.body if isinstance(stmt, Store)]
        targets = {
            store.target.buffer: own.local(
                store.target.buffer, store.value.dtype, (width,), Space.REGISTER
            )
            for store in stores
            if width > 1 and store.target.buffer in self.rows.kernel.outputs
        }

        def stored(stmt: Stmt, element: Element) -> Stmt:
            stmt = map_own(stmt, lambda expr: own.value(expr, element))
            if not isinstance(stmt, Store):
                return stmt
            name = stmt.target.buffer
            if name in targets:
                return replace(stmt, target=Ref(targets[name].name, (element.number,)))
            if name in own.fragments:
                place = Ref(own.fragments[name].name, own.kept(element))
                return replace(stmt, target=place)
            return stmt

        def finish(turn: Expr) -> Block:
            return tuple(
                own.write(store, targets[store.target.buffer], loop.axis, turn)
                for store in stores
                if store.target.buffer in targets
            )

        self._each(loop, lambda at: tuple(stored(stmt, at) for stmt in loop.body), finish)

    def _sum(self, loop: Loop, update: Accumulate, condition: Expr) -> None:
        """A reduction: each lane joins its own elements, then lanes join theirs pair by pair."""
        self._load(loop)
        own, combiner = self.own, update.combiner
        parts = [own.local("part", value.dtype, (LANES, 1)) for value in update.values]
        mine = tuple(map(own.single, parts))
        identities = COMBINERS[combiner].identity
        for ref, identity, part in zip(mine, identities, parts, strict=True):
            self.lane_body.append(Store(ref, const(identity(part.dtype), part.dtype)))

        def joined(element: Element) -> Block:
            values = tuple(own.value(value, element) for value in update.values)
            held = own.value(condition, element)
            return _guarded(held, (Accumulate(combiner, mine, values),))

        if condition == TRUE and self.share.width > 1 and joins_runs(update):
            self._runs(loop, update, mine)
        elif condition == TRUE and self._is_rolled and passes_over(update):
            self._runs_apart(loop, update, mine)
        else:
            self._each(loop, joined, lambda turn: ())
        self._exchange(combiner, parts, self.share.lanes)
        if self.share.warps > 1:
            self._across_warps(combiner, parts)
        targets = tuple(own.single(own.fragments[ref.buffer]) for ref in update.targets)
        self.lane_body.append(Accumulate(combiner, targets, tuple(map(own.loaded, parts))))

    def _runs(self, loop: Loop, update: Accumulate, mine: tuple[Ref, ...]) -> None:
        """Each lane joins its own elements, those of a run at once."""
        own, value = self.own, update.values[0]
        run = own.local("run", value.dtype, (self.share.width,), Space.REGISTER)

        def kept(element: Element) -> Block:
            return (Store(Ref(run.name, (element.number,)), own.value(value, element)),)

        self._each(loop, kept, lambda turn: joined_run(update.combiner, run, mine, self.own.names))

    def _runs_apart(self, loop: Loop, update: Accumulate, mine: tuple[Ref, ...]) -> None:
        """Each lane joins its own elements, those of a few turns at once; where a row ends before,
        what changes nothing."""
        own, value = self.own, update.values[0]
        run = own.local("run", value.dtype, (IN_FLIGHT,), Space.REGISTER)
        none = COMBINERS[update.combiner].identity[0](value.dtype)

        def kept(turn: Expr, part: Expr) -> Block:
            at = Ref(run.name, (part,))
            element = own.value(value, Element(loop.axis, turn, ZERO, {}))
            return (Store(at, const(none, value.dtype)), *self._guard(turn, (Store(at, element),)))

        joined = joined_run(update.combiner, run, mine, own.names)
        self.lane_body += self._rolled(kept, joined)

    def _exchange(self, combiner: str, parts: list[Buffer], count: int) -> None:
        """Lanes of so many join their parts: all of them have the whole then."""
        others = [self.own.local("other", part.dtype, (LANES, 1)) for part in parts]
        mine, given = map(self.own.single, parts), map(self.own.loaded, others)
        join = Accumulate(combiner, tuple(mine), tuple(given))
        step = count // 2
        while step:
            self.flush()
            for part, other in zip(parts, others, strict=True):
                windows = (Window(other.name, (ZERO, ZERO)), Window(part.name, (ZERO, ZERO)))
                self.body.append(Call(shuffle_name(part.dtype), windows, (index(step),)))
            self.lane_body.append(join)
            step //= 2

    def _across_warps(self, combiner: str, parts: list[Buffer]) -> None:
        """The parts of a block's warps, through shared memory."""
        own, warps = self.own, self.share.warps
        every = [own.local("parts", part.dtype, (warps,), Space.SHARED) for part in parts]
        puts = tuple(
            Store(Ref(shared.name, (var(own.warp),)), own.loaded(part))
            for part, shared in zip(parts, every, strict=True)
        )
        self.lane_body.append(If(var(own.lane).eq(ZERO), puts))
        self.flush()
        self.body.append(Sync("block"))
        for part, shared in zip(parts, every, strict=True):
            taken = Load(part.dtype, shared.name, (var(own.lane) % warps,))
            self.lane_body.append(Store(own.single(part), taken))
        self._exchange(combiner, parts, warps)

    # Elements

    def _load(self, loop: Loop) -> None:
        """Read what is to be kept from this loop on."""
        own = self.own
        new = [load for load in self.rows.loads(loop) if load in own.held]
        new = [load for load in new if load not in self.loaded]
        self.loaded |= set(new)
        lane = var(own.lane)
        if new:
            self.lane_body += self._turns(
                lambda turn: tuple(
                    own.read(load, own.held[load], (turn, lane), turn) for load in new
                )
            )

    def _each(
        self,
        loop: Loop,
        body_at: Callable[[Element], Block],
        finish: Callable[[Expr], Block],
    ) -> None:
        """A body for each element of a loop, and what is to be done with each run of them."""
        width = self.share.width
        own = {
            load: self.own.local(load.buffer, load.dtype, (width,), Space.REGISTER)
            for load in self.rows.loads(loop)
            if load not in self.own.held and width > 1
        }

        def run(turn: Expr) -> Block:
            read = tuple(self.own.read(load, to, (), turn) for load, to in own.items())
            if width == 1:
                return (*body_at(Element(loop.axis, turn, ZERO, own)), *finish(turn))
            number = self.own.names.fresh("e", "$")
            body = body_at(Element(loop.axis, turn, var(number), own))
            each = Loop(number, ZERO, index(width), body, Kind.UNROLL)
            return (*read, each, *finish(turn))

        self.lane_body += self._turns(run)

    @property
    def _is_rolled(self) -> bool:
        """Whether only a few turns are written out: of many, in which nothing is kept."""
        kept = self.own.held or self.rows.locals
        return not kept and self.share.turns > 2 * IN_FLIGHT

    def _turns(self, body_at: Callable[[Expr], Block]) -> Block:
        """A body in all turns of a lane, where there is something for it."""
        if self._is_rolled:
            return self._rolled(lambda turn, part: self._guard(turn, body_at(turn)), ())
        turn = self.own.names.fresh("turn", "$")
        body = self._guard(var(turn), body_at(var(turn)))
        return (Loop(turn, ZERO, index(self.share.turns), body, Kind.UNROLL),)

    def _rolled(self, body_at: Callable[[Expr, Expr], Block], then: Block) -> Block:
        """A body in a few turns at once, something `then`, and so on in the turns after them."""
        turn, part = (self.own.names.fresh(name, "$") for name in ("turn", "part"))
        body = body_at(var(turn) * IN_FLIGHT + var(part), var(part))
        inner = Loop(part, ZERO, index(IN_FLIGHT), body, Kind.UNROLL)
        return (Loop(turn, ZERO, index(-(-self.share.turns // IN_FLIGHT)), (inner, *then)),)

    def _guard(self, turn: Expr, body: Block) -> Block:
        """A body where a lane has something in a turn."""
        share = self.share
        inside = turn * share.together + self.own.place < share.runs
        whole = share.turns * share.together == share.runs
        if self._is_rolled and share.turns % IN_FLIGHT:
            whole = False
        return _guarded(all_of(self.in_row(), TRUE if whole else inside), body)


def _guarded(condition: Expr, body: Block) -> Block:
    return body if condition == TRUE else (If(condition, body),)
