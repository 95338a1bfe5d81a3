"""The recipe for iterations whose work a block shares: its threads divide the loops inside, sum
together, and meet where one needs what another did.

    for i: {m = -inf;  for k: m = max(m, x[i, k]);  for j: y[i, j] = x[i, j] - m}
      ->  block i: thread t: {for k of t: part = max(part, x[i, k]);  s[t] = part;  sync;  ..;
                              for j of t: y[i, j] = x[i, j] - m}
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile

from ....expr import Expr, index
from ....tile.dependence import Dependences, Mode
from ....tile.nodes import Accumulate, Block, Buffer, If, Kernel, Kind, Let, Loop, Ref, Space, Stmt
from ....tile.scopes import scoped, targets_of
from ....tile.traverse import map_blocks, walk
from ....tile.tree import Names, accesses, chain, extent_of, has_constant_limits, var
from ....types import DType
from .barriers import Meeting, Shares, own_elements
from .block_sums import BlockSum, longest
from .grid import places, warps_of
from .work import body_of, indexes_registers, iterations

SUM = 32  # shorter sums are done by every thread for itself
MANY = 256  # iterations that a loop of varying limits is taken to have


def bind_block(kernel: Kernel, loops: list[Loop], most: int) -> Kernel:
    """Give each iteration of the independent leading loops to a block of `most` threads at most."""
    count = _Spread.of(kernel, most).extent(body_of(kernel, loops))
    spread = _Spread.of(kernel, min(most, warps_of(count)) if count > 1 else 1)
    block = spread.names.fresh("block")
    lets: Block = ()
    if loops:
        position, axes = places(loops, var(block), spread.names)
        lets = (position, *axes)
    body = spread.block(body_of(kernel, loops), Meeting())
    inner = Loop(spread.thread, index(0), index(spread.threads), (*lets, *body), Kind.THREAD)
    outer = Loop(block, index(0), index(iterations(loops)), (inner,), Kind.BLOCK)
    return replace(kernel, body=(outer,), locals=(*kernel.locals, *spread.locals))


@dataclass
class _Spread:
    """The work of dividing a block's statements among its threads."""

    kernel: Kernel
    threads: int
    modes: Dependences
    names: Names
    thread: str
    locals: list[Buffer] = field(default_factory=list)

    @staticmethod
    def of(kernel: Kernel, threads: int) -> _Spread:
        names = Names(kernel)
        # To the threads of a block its shared buffers are what global ones are: not private.
        shared = tuple(local for local in kernel.locals if local.space is Space.SHARED)
        private = tuple(local for local in kernel.locals if local.space is not Space.SHARED)
        plain = replace(kernel, params=(*kernel.params, *shared), locals=private)
        modes = Dependences(scoped(plain, narrow=True), plain.params, {})
        return _Spread(kernel, threads, modes, names, names.fresh("thread"))

    # What can be divided

    def extent(self, block: Block) -> int:
        """The most iterations of a loop that the threads may divide."""
        found = 1
        for stmt in block:
            if isinstance(stmt, Loop) and self._is_divided(stmt):
                found = max(found, _length(self._divided(stmt)))
            elif isinstance(stmt, Loop) and self._is_sum(stmt):
                found = max(found, _length([longest(stmt)]))
            elif isinstance(stmt, (Loop, If)):
                parts = (stmt.body,) if isinstance(stmt, Loop) else (stmt.then, stmt.otherwise)
                found = max(found, *map(self.extent, parts))
        return found

    def _is_divided(self, loop: Loop) -> bool:
        """Whether the threads take iterations of a loop: if those are independent, and not so few
        that there is more to divide in each."""
        if self.modes.modes[loop.axis] is not Mode.INDEPENDENT or self._escapes(loop):
            return False
        if any(indexes_registers(self.kernel, part) for part in self._divided(loop)):
            return False
        own = _length(self._divided(loop))
        return own >= 32 or own >= self.extent(self._divided(loop)[-1].body)

    def _divided(self, loop: Loop) -> list[Loop]:
        """The perfectly nested loops that are divided as one."""
        if not has_constant_limits(loop):
            return [loop]
        return list(
            takewhile(
                lambda inner: has_constant_limits(inner)
                and self.modes.modes[inner.axis] is Mode.INDEPENDENT,
                chain(loop)[0],
            )
        )

    def _escapes(self, loop: Loop) -> bool:
        """Whether a loop writes a register that something outside of it uses."""
        written = self._registers(loop)
        outside = [name for name, _, _ in accesses(_without(self.kernel.body, loop))]
        return not written.isdisjoint(outside)

    def _registers(self, stmt: Stmt) -> set[str]:
        buffers = {local.name: local for local in (*self.kernel.locals, *self.locals)}
        return {
            name
            for name, _, writes in accesses((stmt,))
            if writes and name in buffers and buffers[name].space is Space.REGISTER
        }

    def _is_sum(self, loop: Loop) -> bool:
        """Whether a loop does nothing but join values into registers, all in one statement."""
        stmts = list(walk((loop,)))
        joins = [stmt for stmt in stmts if isinstance(stmt, Accumulate)]
        plain = all(isinstance(stmt, (Loop, If, Accumulate)) for stmt in stmts)
        if not plain or len(joins) != 1 or self.modes.modes[loop.axis] is not Mode.REDUCTION:
            return False
        targets = {target.buffer for target in joins[0].targets}
        fixed = all(not target.indices or _is_first(target) for target in joins[0].targets)
        own = longest(loop)
        long = has_constant_limits(own) and extent_of(own) >= SUM
        return targets <= self._registers(loop) and fixed and long

    # Dividing it

    def block(self, block: Block, meeting: Meeting) -> Block:
        """The statements of a block as each thread does them."""
        result: list[Stmt] = []
        for stmt in block:
            own = self._own(stmt)
            for part in self._parts(stmt):
                if self.threads > 1:
                    result.extend(meeting.before(self.kernel, part, self.locals, own))
                if isinstance(part, (Loop, If)) and part is stmt:
                    result.append(self._inside(part, meeting))
                else:
                    result.append(part)
        return tuple(result)

    def _own(self, stmt: Stmt) -> Mapping[str, Shares]:
        """The buffers of which each thread touches only its share in a statement."""
        match stmt:
            case Loop() if has_constant_limits(stmt) and self.threads > 1:
                if self._is_divided(stmt):
                    return own_elements(self._divided(stmt))
                if self._is_sum(stmt) and len(chain(stmt)[0]) == 1:
                    return own_elements([stmt])
        return {}

    def _inside(self, stmt: Loop | If, meeting: Meeting) -> Stmt:
        """A loop or a branch that all threads go through together."""

        def visit(part: Block) -> Block:
            inner = Meeting()
            body = self.block(part, inner)
            if isinstance(stmt, Loop) and self.threads > 1:
                body = (*body, *inner.turn(self.kernel, body, self.locals))
            meeting.join(inner)
            return body

        return map_blocks(stmt, visit)

    def _parts(self, stmt: Stmt) -> Block:
        """What becomes of a statement; itself where its own statements are to be divided."""
        match stmt:
            case Loop() if self.threads > 1 and self._is_divided(stmt):
                return self._shared_out(stmt)
            case Loop() if self.threads > 1 and self._is_sum(stmt):
                return self._summed(stmt)
            case Loop() | If() | Let():
                return (stmt,)
        private = {target.buffer for target in targets_of(stmt)} <= self._registers(stmt)
        if private or self.threads == 1:
            return (stmt,)
        return (If(var(self.thread).eq(index(0)), (stmt,)),)

    def _shared_out(self, loop: Loop) -> Block:
        """A loop of which each thread takes every so manieth iteration."""
        if has_constant_limits(loop):
            return self._turns(self._divided(loop))
        turn = self.names.fresh("turn")
        place = loop.start + var(turn) * self.threads + var(self.thread)
        count = (loop.stop - loop.start + (self.threads - 1)) // self.threads
        inside = If(var(loop.axis) < loop.stop, loop.body)
        return (Loop(turn, index(0), count, (Let(loop.axis, place), inside)),)

    def _turns(self, loops: list[Loop]) -> Block:
        """Perfectly nested loops divided as one."""
        total = iterations(loops)
        count = -(-total // self.threads)
        turn = self.names.fresh("turn")
        place: Expr = var(self.thread)
        if count > 1:
            place = var(turn) * self.threads + place
        position, lets = places(loops, place, self.names)
        body: Block = (*lets, *loops[-1].body)
        if total % self.threads:
            body = (If(var(position.name) < total, body),)
        if count > 1:
            return (Loop(turn, index(0), index(count), (position, *body)),)
        return (position, *body)

    def _summed(self, loop: Loop) -> Block:
        """A reduction of which each thread does a part."""
        found = BlockSum.of(loop, self.threads, self._local)
        divided = self._with_loop(found.partial(loop), longest(loop).axis)
        return (*found.starts(), *divided, *found.joined(var(self.thread), self.names))

    def _with_loop(self, stmt: Stmt, axis: str) -> Block:
        """The loops of a reduction, that of an axis divided."""
        if isinstance(stmt, Loop) and stmt.axis == axis:
            return self._turns([stmt])
        return (map_blocks(stmt, lambda part: tuple(self._within(part, axis))),)

    def _within(self, block: Block, axis: str) -> Iterator[Stmt]:
        for stmt in block:
            yield from self._with_loop(stmt, axis)

    def _local(self, name: str, dtype: DType, shape: tuple[int, ...], space: Space) -> Buffer:
        buffer = Buffer(self.names.fresh(name, "_"), dtype, shape, space)
        self.locals.append(buffer)
        return buffer


def _is_first(target: Ref) -> bool:
    return all(part == index(0) for part in target.indices)


def _length(loops: Sequence[Loop]) -> int:
    """The iterations of perfectly nested loops; of one whose limits vary, as if they were many."""
    if any(not has_constant_limits(loop) for loop in loops):
        return MANY
    return iterations(list(loops))


def _without(block: Block, loop: Loop) -> Block:
    """The block, nested ones too, without one of its loops."""
    kept = (stmt for stmt in block if stmt is not loop)
    return tuple(map_blocks(stmt, lambda part: _without(part, loop)) for stmt in kept)
