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
from math import prod

from .....expr import index
from .....tile.analyses.dependence import Dependences, Mode
from .....tile.analyses.scopes import scoped, targets_of
from .....tile.nodes import Accumulate, Block, Buffer, If, Kernel, Kind, Let, Loop, Ref, Space, Stmt
from .....tile.traverse import map_blocks, walk
from .....tile.tree import Names, accesses, chain, extent_of, has_constant_limits, var
from .....types import DType
from ..grid import places, warps_of
from ..work import body_of, indexes_registers, iterations
from .barriers import Meeting, Shares, own_elements
from .sums import BlockSum, longest
from .turns import WARP, Turns

SUM = 32  # shorter sums are done by every thread for itself
MANY = 256  # iterations that a loop of varying limits is taken to have


def bind_block(kernel: Kernel, loops: list[Loop], most: int, *, each: int = 1) -> Kernel:
    """Give each iteration of the independent leading loops to a block of `most` threads at most,
    which have `each` of what the largest loop in it does, if that is so much."""
    count = _Spread.of(kernel, most).extent(body_of(kernel, loops))
    count = min(count, max(WARP, count // each))
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

    @property
    def _turns(self) -> Turns:
        return Turns(self.thread, self.threads, self.names)

    # What can be divided

    def extent(self, block: Block) -> int:
        """The most iterations of a loop that the threads may divide."""
        found = 1
        for stmt in block:
            if isinstance(stmt, Loop) and self._is_divided(stmt):
                found = max(found, self._length(self._divided(stmt)))
            elif isinstance(stmt, Loop) and self._is_sum(stmt):
                found = max(found, self._length([longest(stmt)]))
            elif isinstance(stmt, (Loop, If)):
                parts = (stmt.body,) if isinstance(stmt, Loop) else (stmt.then, stmt.otherwise)
                found = max(found, *map(self.extent, parts))
        return found

    def _is_divided(self, loop: Loop) -> bool:
        """Whether the threads take iterations of a loop: if it says so, or if those are
        independent, and not so few that there is more to divide in each."""
        if loop.kind is Kind.PARALLEL:
            return True
        if self.modes.modes[loop.axis] is not Mode.INDEPENDENT or self._escapes(loop):
            return False
        if any(indexes_registers(self.kernel, part) for part in self._divided(loop)):
            return False
        own = self._length(self._divided(loop))
        return own >= 32 or own >= self.extent(self._divided(loop)[-1].body)

    def _divided(self, loop: Loop) -> list[Loop]:
        """The perfectly nested loops that are divided together."""
        if loop.kind is Kind.PARALLEL:
            return list(takewhile(lambda inner: inner.kind is Kind.PARALLEL, chain(loop)[0]))
        if not has_constant_limits(loop):
            return [loop]
        return list(
            takewhile(
                lambda inner: has_constant_limits(inner)
                and self.modes.modes[inner.axis] is Mode.INDEPENDENT,
                chain(loop)[0],
            )
        )

    def _length(self, loops: Sequence[Loop]) -> int:
        """The iterations of perfectly nested loops; of one whose limits vary, as if they were many,
        or as many as there may be if it says that it is to be divided."""
        if all(map(has_constant_limits, loops)):
            return iterations(list(loops))
        if any(loop.kind is not Kind.PARALLEL for loop in loops):
            return MANY
        limits = [self.modes.bounds[loop.axis] for loop in loops]
        return prod(last - first + 1 for first, last in limits)

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
                if isinstance(part, (Loop, If)) and part is stmt:
                    result.extend(self._inside(part, meeting))
                    continue
                if self.threads > 1:
                    result.extend(meeting.before(self.kernel, part, self.locals, own))
                result.append(part)
        return tuple(result)

    def _own(self, stmt: Stmt) -> Mapping[str, Shares]:
        """The buffers of which each thread touches only its share in a statement."""
        match stmt:
            case Loop() if has_constant_limits(stmt) and self.threads > 1:
                divided = self._divided(stmt)
                if self._is_divided(stmt) and all(map(has_constant_limits, divided)):
                    return own_elements(divided)
                if self._is_sum(stmt) and len(chain(stmt)[0]) == 1:
                    return own_elements([stmt])
        return {}

    def _inside(self, stmt: Loop | If, meeting: Meeting) -> Block:
        """A loop or a branch that all threads go through together."""
        if self.threads == 1:
            return (map_blocks(stmt, lambda part: self.block(part, Meeting())),)
        inner: list[Meeting] = []

        def visit(part: Block) -> Block:
            inner.append(meeting.inside(self.kernel, stmt, self.locals))
            body = self.block(part, inner[-1])
            if isinstance(stmt, Loop):
                body = (*body, *inner[-1].turn(self.kernel, body, self.locals))
            return body

        done = map_blocks(stmt, visit)
        met = meeting.around(self.kernel, done, self.locals)
        for found in inner:
            meeting.join(found)
        return *met, done

    def _parts(self, stmt: Stmt) -> Block:
        """What becomes of a statement; itself where its own statements are to be divided."""
        match stmt:
            case Loop() if self.threads > 1 and self._is_divided(stmt):
                return self._turns.of(self._divided(stmt))
            case Loop() if self.threads > 1 and self._is_sum(stmt):
                return self._summed(stmt)
            case Loop() | If() | Let():
                return (stmt,)
        private = {target.buffer for target in targets_of(stmt)} <= self._registers(stmt)
        if private or self.threads == 1:
            return (stmt,)
        return (If(var(self.thread).eq(index(0)), (stmt,)),)

    def _summed(self, loop: Loop) -> Block:
        """A reduction of which each thread does a part."""
        found = BlockSum.of(loop, self.threads, self._local)
        divided = self._with_loop(found.partial(loop), longest(loop).axis)
        return (*found.starts(), *divided, *found.joined(var(self.thread), self.names))

    def _with_loop(self, stmt: Stmt, axis: str) -> Block:
        """The loops of a reduction, that of an axis divided."""
        if isinstance(stmt, Loop) and stmt.axis == axis:
            return self._turns.of([stmt])
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


def _without(block: Block, loop: Loop) -> Block:
    """The block, nested ones too, without one of its loops."""
    kept = (stmt for stmt in block if stmt is not loop)
    return tuple(map_blocks(stmt, lambda part: _without(part, loop)) for stmt in kept)
