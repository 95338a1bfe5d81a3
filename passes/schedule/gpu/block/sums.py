"""Sums of which each thread of a block has a part: a few threads join some of the parts each, then
every thread joins what those have.

    part[] = 0;  for k of t: part[] += x[k];  parts[t] = part[];  sync;
    if t < 16: {for j in 1..16: part[] += parts[j * 16 + t];  sums[t] = part[]};  sync;
    for j in 0..16: acc[] += sums[j]
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from .....expr import COMBINERS, Expr, Load, const, index
from .....tile.nodes import Accumulate, Block, Buffer, If, Kind, Loop, Ref, Space, Stmt, Store
from .....tile.traverse import map_blocks, walk
from .....tile.tree import Names, extent_of, has_constant_limits, var
from .....types import DType

# Threads that join parts. With as many as there are parts for each of them, both rounds are short:
# two barriers, where halving the parts again and again has one for each step.
FEW = 16

Local = Callable[[str, DType, tuple[int, ...], Space], Buffer]


@dataclass(frozen=True)
class BlockSum:
    """A reduction that so many threads share: what `update` joins goes into their parts first."""

    update: Accumulate
    own: Sequence[Buffer]  # a thread's part
    every: Sequence[Buffer]  # the parts of all
    few: Sequence[Buffer]  # what a few threads have joined
    threads: int

    @staticmethod
    def of(loop: Loop, threads: int, local: Local) -> BlockSum:
        (update,) = [stmt for stmt in walk((loop,)) if isinstance(stmt, Accumulate)]
        types = [value.dtype for value in update.values]
        own = [local("part", dtype, (), Space.REGISTER) for dtype in types]
        every = [local("parts", dtype, (threads,), Space.SHARED) for dtype in types]
        few = [local("sums", dtype, (FEW,), Space.SHARED) for dtype in types]
        return BlockSum(update, own, every, few, threads)

    @property
    def _parts(self) -> tuple[Ref, ...]:
        return tuple(Ref(buffer.name, ()) for buffer in self.own)

    def starts(self) -> Block:
        """A thread's part, before it has seen anything."""
        identities = COMBINERS[self.update.combiner].identity
        return tuple(
            Store(Ref(part.name, ()), const(identity(part.dtype), part.dtype))
            for part, identity in zip(self.own, identities, strict=True)
        )

    def partial(self, loop: Loop) -> Loop:
        """The loop with what it joins in the threads' parts."""
        return with_update(loop, replace(self.update, targets=self._parts))

    def joined(self, me: Expr, names: Names) -> Block:
        """The parts joined, `me` being the thread."""
        mine, all_of_few = names.fresh("turn"), names.fresh("turn")
        place = var(mine) * FEW + me
        loop = Loop(mine, index(1), index(self.threads // FEW), (self._update(self.every, place),))
        round_ = (loop, *self._put(self.few, me))
        whole = self._update(self.few, var(all_of_few), self.update.targets)
        return (
            *self._put(self.every, me),
            If(me < FEW, round_),
            Loop(all_of_few, index(0), index(FEW), (whole,), Kind.UNROLL),
        )

    def _put(self, to: Sequence[Buffer], me: Expr) -> Block:
        return tuple(
            Store(Ref(buffer.name, (me,)), Load(part.dtype, part.name, ()))
            for buffer, part in zip(to, self.own, strict=True)
        )

    def _update(
        self, given: Sequence[Buffer], place: Expr, targets: tuple[Ref, ...] = ()
    ) -> Accumulate:
        values = tuple(Load(buffer.dtype, buffer.name, (place,)) for buffer in given)
        return Accumulate(self.update.combiner, targets or self._parts, values)


def longest(loop: Loop) -> Loop:
    """The loop of a reduction that has the most iterations, of those with constant limits."""
    loops = [stmt for stmt in walk((loop,)) if isinstance(stmt, Loop)]
    return max(filter(has_constant_limits, loops), key=extent_of, default=loop)


def with_update(loop: Loop, update: Accumulate) -> Loop:
    """A reduction with another statement in the place of its own."""

    def one(stmt: Stmt) -> Stmt:
        if isinstance(stmt, Accumulate):
            return update
        return map_blocks(stmt, lambda part: tuple(map(one, part)))

    changed = one(loop)
    assert isinstance(changed, Loop)
    return changed
