"""The recipe for running totals: a block goes along a row, some neighbours a thread at a time; its
threads join what they have, each with those before it, in steps that double (Hillis and Steele).

    total = 0;  for i: {total = total + x[i];  y[i] = total}
      ->  block: thread: for turn: {own = x[..];  parts[thread] = own;  sync;
            own = parts[thread - 1] + own;  sync;  own = parts[thread - 2] + own;  sync;  ..
            y[..] = carry + own;  carry = carry + parts[last]}

A total that is also multiplied on its way, `total = f[i] * total + x[i]`, is joined in pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from ....expr import (
    COMBINERS,
    Apply,
    Expr,
    Load,
    apply,
    const,
    has_loads,
    index,
    loads_of,
    rewrite_expr,
    substitute_vars,
)
from ....target import Gpu
from ....tile.nodes import Block, Buffer, If, Kernel, Kind, Let, Loop, Ref, Space, Stmt, Store, Sync
from ....tile.tree import Names, extent_of, has_constant_limits, var
from ..analysis import stride
from .grid import axes_at
from .products.blocks import unrolled
from .work import iterations

LEAST = 64  # elements of a row that are worth a block
NEIGHBOURS = 4  # that a thread joins by itself

State: TypeAlias = tuple[Expr, ...]  # of neighbouring elements: the total they give of another
_COMBINERS = {"add": "sum", "mul": "prod"}


@dataclass(frozen=True)
class Running:
    """A nest whose innermost loop keeps a total: what an element is, `neutral` elements, how those
    of two neighbours are joined, and the total after an element."""

    kernel: Kernel
    loops: tuple[Loop, ...]
    along: Loop
    total: Buffer
    first: Expr
    element: State
    neutral: State
    join: Callable[[State, State], State]
    after: Callable[[Expr, State], Expr]
    write: Store
    is_exclusive: bool

    @property
    def is_contiguous(self) -> bool:
        """Whether neighbours of a row are neighbours in memory."""
        target = self.write.target
        step = stride(self.kernel.buffers[target.buffer], target.indices, self.along.axis)
        return step in (1, -1)


def as_running(kernel: Kernel, loops: Sequence[Loop]) -> Running | None:
    """The running totals that a kernel of independent loops is, if its rows are long."""
    body = loops[-1].body if loops else kernel.body
    match body:
        case (
            Store(target=Ref(buffer=name), value=first),
            Loop(body=(Store() as one, Store() as other)) as along,
        ) if kernel.locals == (kernel.buffers[name],) and has_constant_limits(along):
            pass
        case _:
            return None
    update, write = (one, other) if one.target.buffer == name else (other, one)
    reads = {load.buffer for load in loads_of(update.value)} - {name}
    plain = write.target.buffer not in (*reads, name) and update.target.buffer == name
    # What is before the element of the loop must be all that a row knows of the others.
    if not plain or extent_of(along) < LEAST or has_loads(first):
        return None
    found = _rule(update.value, name)
    if found is None:
        return None
    total = kernel.buffers[name]
    return Running(kernel, tuple(loops), along, total, first, *found, write, update is other)


_Rule: TypeAlias = tuple[
    State, State, Callable[[State, State], State], Callable[[Expr, State], Expr]
]


def _rule(value: Expr, total: str) -> _Rule | None:
    """What a total becomes: joined with an element, or multiplied by one and added to another."""

    def is_total(expr: Expr) -> bool:
        return isinstance(expr, Load) and expr.buffer == total

    def is_free(*parts: Expr) -> bool:
        return not any(load.buffer == total for part in parts for load in loads_of(part))

    match value:
        case Apply(function="add" | "mul" as name, args=(left, right)) if (
            is_total(left) and is_free(right)
        ):
            neutral = COMBINERS[_COMBINERS[name]].identity[0](value.dtype)
            return (
                (right,),
                (const(neutral, value.dtype),),
                lambda before, own: (apply(name, before[0], own[0]),),
                lambda carry, own: apply(name, carry, own[0]),
            )
        case Apply(function="add", args=(Apply(function="mul", args=(factor, old)), term)) if (
            is_total(old) and is_free(factor, term)
        ):
            return (
                (factor, term),
                (const(1, value.dtype), const(0, value.dtype)),
                lambda before, own: (before[0] * own[0], own[0] * before[1] + own[1]),
                lambda carry, own: own[0] * carry + own[1],
            )
    return None


def bind_running(running: Running, gpu: Gpu) -> Kernel:
    """The kernel with a block for each row."""
    return _Rows.of(running, gpu).kernel()


@dataclass(frozen=True)
class _Rows:
    """The work of writing running totals by blocks."""

    running: Running
    names: Names
    threads: int
    block: str
    thread: str
    carry: Buffer
    before: Buffer
    own: tuple[Buffer, ...]  # the states of a thread's elements
    parts: tuple[Buffer, ...]  # those of all threads, before a step and after it

    @staticmethod
    def of(running: Running, gpu: Gpu) -> _Rows:
        names, dtype = Names(running.kernel), running.total.dtype
        half = gpu.block_threads
        while half * NEIGHBOURS >= 2 * extent_of(running.along) and half > gpu.warp:
            half //= 2
        carry, before = (
            Buffer(names.fresh(name, "_"), dtype, (), Space.REGISTER)
            for name in ("carry", "before")
        )
        own, parts = (
            tuple(Buffer(names.fresh(name, "_"), dtype, shape, space) for _ in running.element)
            for name, shape, space in (
                ("own", (NEIGHBOURS,), Space.REGISTER), ("parts", (2, half), Space.SHARED),
            )
        )  # fmt: skip
        block, thread = names.fresh("block"), names.fresh("thread")
        return _Rows(running, names, half, block, thread, carry, before, own, parts)

    def kernel(self) -> Kernel:
        """All of it."""
        running = self.running
        turn = self.names.fresh("turn")
        each = self.threads * NEIGHBOURS
        turns = -(-extent_of(running.along) // each)
        first = var(turn) * each + var(self.thread) * NEIGHBOURS
        body: Block = (*self._loaded(first), *self._joined(), *self._written(first))
        # The next turn begins to write on side 0.
        if turns > 1 and self._side == 0:
            body = (*body, Sync("block"))
        lets = axes_at(running.loops, var(self.block)) if running.loops else ()
        stmts = (
            *lets,
            Store(Ref(self.carry.name, ()), running.first),
            Loop(turn, index(0), index(turns), body),
        )
        inside = Loop(self.thread, index(0), index(self.threads), stmts, Kind.THREAD)
        rows = iterations(list(running.loops))
        grid = Loop(self.block, index(0), index(rows), (inside,), Kind.BLOCK)
        locals_ = (self.carry, self.before, *self.own, *self.parts)
        return replace(running.kernel, body=(grid,), locals=locals_)

    def _states(self, buffers: Sequence[Buffer], *at: Expr) -> State:
        return tuple(Load(buffer.dtype, buffer.name, at) for buffer in buffers)

    def _stored(self, buffers: Sequence[Buffer], values: State, *at: Expr) -> Block:
        return tuple(
            Store(Ref(buffer.name, at), value)
            for buffer, value in zip(buffers, values, strict=True)
        )

    def _at(self, first: Expr, place: Expr, *body: Stmt) -> Block:
        """Statements at a thread's element, if the row has it."""
        along, axis = self.running.along, self.names.copy(self.running.along.axis)
        position = first + place
        there = var(axis) < along.stop
        moved: Mapping[str, Expr] = {along.axis: var(axis)}
        stmts = tuple(_substituted(stmt, moved) for stmt in body)
        let = Let(axis, along.start + position)
        if extent_of(along) % (self.threads * NEIGHBOURS) == 0:
            return (let, *stmts)
        return (let, If(there, stmts))

    def _loaded(self, first: Expr) -> Block:
        """A thread's elements, each joined with those before it."""
        place, later = self.names.fresh("e", "$"), self.names.fresh("e", "$")
        running = self.running
        loaded = self._at(first, var(place), *self._stored(self.own, running.element, var(place)))
        if isinstance(loaded[-1], If):
            loaded = (*self._stored(self.own, running.neutral, var(place)), *loaded)
        at = var(later) + 1
        joined = running.join(self._states(self.own, var(later)), self._states(self.own, at))
        return (
            unrolled(place, NEIGHBOURS, *loaded),
            unrolled(later, NEIGHBOURS - 1, *self._together(joined, self.own, at)),
        )

    def _together(self, values: State, buffers: Sequence[Buffer], *at: Expr) -> Block:
        """States stored of which the later parts need what the first ones overwrite: backwards."""
        return self._stored(buffers, values, *at)[::-1]

    def _joined(self) -> Block:
        """All threads' elements joined with those of the threads before."""
        me, last = var(self.thread), index(NEIGHBOURS - 1)
        body: list[Stmt] = [
            *self._stored(self.parts, self._states(self.own, last), index(0), me),
            Sync("block"),
        ]
        apart, side = 1, 0
        while apart < self.threads:
            now = self._states(self.parts, index(side), me)
            earlier = self._states(self.parts, index(side), me - apart)
            to = (index(1 - side), me)
            joined = self._stored(self.parts, self.running.join(earlier, now), *to)
            kept = self._stored(self.parts, now, *to)
            body += [If(me >= apart, joined, kept), Sync("block")]
            apart, side = 2 * apart, 1 - side
        return tuple(body)

    @property
    def _side(self) -> int:
        """Where the parts are in the end."""
        return (self.threads.bit_length() - 1) % 2

    def _written(self, first: Expr) -> Block:
        """The totals at a thread's elements, and the total after all threads'."""
        running, me = self.running, var(self.thread)
        carry, before = (
            Load(buffer.dtype, buffer.name, ()) for buffer in (self.carry, self.before)
        )
        earlier = self._states(self.parts, index(self._side), me - 1)
        last = self._states(self.parts, index(self._side), index(self.threads - 1))
        place = self.names.fresh("e", "$")
        at = var(place)
        total = running.after(before, self._states(self.own, at))
        writes: Block = (unrolled(place, NEIGHBOURS, *self._at(first, at, self._write(total))),)
        if running.is_exclusive:
            total = running.after(before, self._states(self.own, at))
            start = self._at(first, index(0), self._write(before))
            rest = self._at(first, at + 1, self._write(total))
            writes = (*start, unrolled(place, NEIGHBOURS - 1, *rest))
        return (
            Store(Ref(self.before.name, ()), carry),
            If(me > 0, (Store(Ref(self.before.name, ()), running.after(carry, earlier)),)),
            *writes,
            Store(Ref(self.carry.name, ()), running.after(carry, last)),
        )

    def _write(self, total: Expr) -> Store:
        name = self.running.total.name

        def visit(node: Expr) -> Expr | None:
            return total if isinstance(node, Load) and node.buffer == name else None

        write = self.running.write
        return replace(write, value=rewrite_expr(write.value, visit))


def _substituted(stmt: Stmt, values: Mapping[str, Expr]) -> Stmt:
    assert isinstance(stmt, Store)
    indices = tuple(substitute_vars(part, values) for part in stmt.target.indices)
    target = Ref(stmt.target.buffer, indices)
    return replace(stmt, target=target, value=substitute_vars(stmt.value, values))
