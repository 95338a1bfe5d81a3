"""Loops that the threads of a block divide: which iterations each takes.

    for i in 0..300: s   ->  for turn in 0..2: {let i = turn * 256 + thread;  if i < 300: s}
    for i in k..n: for j in k..n: s   ->  warps take every so manieth i, their lanes every 32nd j
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .....expr import Expr, all_of, index
from .....tile.nodes import Block, If, Let, Loop
from .....tile.tree import Names, has_constant_limits, var
from ..grid import axes_at, places
from ..work import iterations

WARP = 32


@dataclass(frozen=True)
class Turns:
    """The threads, how many there are, and fresh names."""

    thread: str
    threads: int
    names: Names

    def of(self, loops: Sequence[Loop]) -> Block:
        """Perfectly nested loops divided as one, or as the first and all others."""
        first, *rest = loops
        if all(map(has_constant_limits, loops)):
            return self._constant(list(loops))
        if not rest:
            return self._each(first, var(self.thread), self.threads, first.body)
        if all(map(has_constant_limits, rest)):
            return self._with_constant(first, rest)
        (second,) = rest
        lanes = self._each(second, var(self.thread) % WARP, WARP, second.body)
        return self._each(first, var(self.thread) // WARP, self.threads // WARP, lanes)

    def _constant(self, loops: list[Loop]) -> Block:
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

    def _each(self, loop: Loop, me: Expr, step: int, body: Block) -> Block:
        """A loop of which each of so many takes every `step`-th iteration: the same ones wherever
        the loop begins, so that what was a thread's stays its."""
        turn, first = self.names.fresh("turn"), loop.start // step
        place = (first + var(turn)) * step + me
        count = (loop.stop + (step - 1)) // step - first
        here = all_of(var(loop.axis) >= loop.start, var(loop.axis) < loop.stop)
        return (Loop(turn, index(0), count, (Let(loop.axis, place), If(here, body))),)

    def _with_constant(self, first: Loop, rest: Sequence[Loop]) -> Block:
        """A loop of varying limits and those in it, which have constant ones, as one."""
        inner = iterations(list(rest))
        place = self.names.fresh("place")
        axes = (Let(first.axis, var(place) // inner), *axes_at(rest, var(place) % inner))
        whole = Loop(place, first.start * inner, first.stop * inner, ())
        return self._each(whole, var(self.thread), self.threads, (*axes, *rest[-1].body))
