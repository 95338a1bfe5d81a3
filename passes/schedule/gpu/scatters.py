"""The recipe for updates at places that are data, in their order: each block owns a range of the
places, looks through all updates, and does its own.

    for j: if a(j): for d: y[at[j], d] += u[j, d]
      ->  block: thread: for chunk: {mine[thread] = a(j) and first <= at[j] < last;  sync;
            for j of the chunk: if mine[j]: y[at[j], d] += u[j, d], d by thread;  sync}

So the result does not depend on the order in which blocks run. Of 32 updates side by side a count
says whether the block has any of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ....expr import (
    Expr,
    Load,
    Var,
    all_of,
    const,
    has_loads,
    index,
    loads_of,
    substitute_vars,
    vars_of,
)
from ....sizes import round_up
from ....target import Gpu
from ....tile.nodes import (
    Accumulate,
    Block,
    Buffer,
    If,
    Kernel,
    Kind,
    Let,
    Loop,
    Ref,
    Space,
    Stmt,
    Store,
    Sync,
)
from ....tile.tree import Names, has_constant_limits, var
from ....types import i32
from .grid import axes_at, warps_of
from .work import iterations

STEPS = 64  # updates that are worth it
SEGMENT = 32  # updates that are counted together
THREADS = 128  # that look through updates, where one alone does them
OWNERS = 8  # blocks a multiprocessor


@dataclass(frozen=True)
class Scatter:
    """A nest of updates: each at one of `places` along a `dimension`, of which each iteration of
    the `outer` loops has its own; in the order of `steps`, for those of which the `condition`
    holds; each of them for all elements of the `inner` loops."""

    kernel: Kernel
    outer: tuple[Loop, ...]
    steps: tuple[Loop, ...]
    inner: tuple[Loop, ...]
    condition: Expr
    dimension: int
    place: Expr
    places: int
    update: Store | Accumulate


def as_scatter(kernel: Kernel) -> Scatter | None:
    """The updates that a kernel is, if they are many."""
    loops: list[Loop] = []
    conditions: list[Expr] = []
    body = kernel.body
    while True:
        match body:
            case (Loop(body=inside) as loop,) if has_constant_limits(loop):
                loops.append(loop)
            case (If(condition=condition, then=inside, otherwise=()),):
                conditions.append(condition)
            case _:
                break
        body = inside
    match body:
        case (Store(target=target, value=value) as update,):
            values: tuple[Expr, ...] = (value,)
        case (Accumulate(targets=(target,), values=values) as update,):
            pass
        case _:
            return None
    found = _sorted(kernel, loops, all_of(*conditions), target, update)
    read = {load.buffer for part in (*values, *target.indices) for load in loads_of(part)}
    return None if target.buffer in read or kernel.locals else found


def _sorted(
    kernel: Kernel, loops: list[Loop], condition: Expr, target: Ref, update: Store | Accumulate
) -> Scatter | None:
    """The loops by what they are for the places."""
    shape = kernel.buffers[target.buffer].shape
    plain = {part.name for part in target.indices if isinstance(part, Var)}
    data = [at for at, part in enumerate(target.indices) if has_loads(part)]
    if not data or len(data) + len(plain) < len(shape):
        return None
    dimension = max(data, key=lambda at: shape[at])
    place = target.indices[dimension]
    deciding = vars_of(condition).union(*(vars_of(target.indices[at]) for at in data))
    outer = tuple(loop for loop in loops if loop.axis in plain & deciding)
    inner = tuple(loop for loop in loops if loop.axis in plain - deciding)
    steps = tuple(loop for loop in loops if loop.axis not in plain)
    if not steps or iterations(list(steps)) < STEPS:
        return None
    places = shape[dimension]
    return Scatter(kernel, outer, steps, inner, condition, dimension, place, places, update)


def bind_scatter(scatter: Scatter, gpu: Gpu) -> Kernel:
    """The kernel with enough blocks for a card, each of some places."""
    return _Owners.of(scatter, gpu).kernel()


@dataclass(frozen=True)
class _Owners:
    """The work of writing a scatter by blocks that own places."""

    scatter: Scatter
    names: Names
    owners: int
    threads: int
    block: str
    thread: str
    first: str  # of the block's places
    mine: Buffer  # whether an update is the block's; a segment a row
    count: Buffer
    counts: Buffer  # how many of each segment are

    @staticmethod
    def of(scatter: Scatter, gpu: Gpu) -> _Owners:
        names = Names(scatter.kernel)
        rows = iterations(list(scatter.outer))
        beside = iterations(list(scatter.inner)) if scatter.inner else THREADS
        threads = min(gpu.block_threads, max(THREADS, warps_of(beside)))
        least = 1 if scatter.inner else threads  # places of a block
        owners = -(-OWNERS * gpu.multiprocessors // rows)
        owners = max(1, min(owners, scatter.places // least))
        segments = threads // SEGMENT
        mine = Buffer(names.fresh("mine", "_"), i32, (segments, SEGMENT + 1), Space.SHARED)
        counts = Buffer(names.fresh("counts", "_"), i32, (segments,), Space.SHARED)
        count = Buffer(names.fresh("count", "_"), i32, (), Space.REGISTER)
        block, thread, first = (names.fresh(name) for name in ("block", "thread", "first"))
        return _Owners(
            scatter, names, owners, threads, block, thread, first, mine, count, counts
        )

    def kernel(self) -> Kernel:
        """All of it."""
        scatter = self.scatter
        chunk = self.names.fresh("chunk")
        chunks = -(-iterations(list(scatter.steps)) // self.threads)
        body: Block = (
            *self._found(var(chunk)),
            Sync("block"),
            self._counted(),
            Sync("block"),
            self._done(var(chunk)),
        )
        if chunks > 1:
            body = (*body, Sync("block"))
        every = Loop(chunk, index(0), index(chunks), body)
        at = var(self.block)
        first = Let(self.first, at % self.owners * self.each)
        lets = (first, *axes_at(scatter.outer, at // self.owners))
        inside = Loop(self.thread, index(0), index(self.threads), (*lets, every), Kind.THREAD)
        blocks = self.owners * iterations(list(scatter.outer))
        grid = Loop(self.block, index(0), index(blocks), (inside,), Kind.BLOCK)
        made = scatter.kernel.with_body((grid,))
        return replace(made, locals=(self.mine, self.count, self.counts))

    @property
    def each(self) -> int:
        """The places that a block owns; as many for each thread, where one alone does an update."""
        each = -(-self.scatter.places // self.owners)
        return each if self.scatter.inner else round_up(each, self.threads)

    def _found(self, chunk: Expr) -> Block:
        """Each thread looks at one update."""
        scatter, me = self.scatter, var(self.thread)
        step = self.names.fresh("step", "$")
        axes: dict[str, Expr] = {}
        lets: list[Stmt] = []
        for let in axes_at(scatter.steps, var(step)):
            own = self.names.copy(let.name)
            lets.append(Let(own, let.value))
            axes[let.name] = var(own)
        place = substitute_vars(scatter.place, axes)
        condition = substitute_vars(scatter.condition, axes)
        at = Ref(self.mine.name, (me // SEGMENT, me % SEGMENT))
        yes = Store(at, const(1, i32))
        first = var(self.first)
        owned = all_of(condition, place >= first, place < first + self.each)
        within: Stmt = If(owned, (yes,))
        exists = var(step) < iterations(list(scatter.steps))
        return (
            Store(at, const(0, i32)),
            Let(step, chunk * self.threads + me),
            If(exists, (*lets, within)),
        )

    def _counted(self) -> Stmt:
        """Some threads count the updates of a segment each."""
        me, at = var(self.thread), self.names.fresh("i", "$")
        count = Ref(self.count.name, ())
        add = Accumulate("sum", (count,), (Load(i32, self.mine.name, (me, var(at))),))
        every = Loop(at, index(0), index(SEGMENT), (add,))
        kept = Store(Ref(self.counts.name, (me,)), Load(i32, self.count.name, ()))
        counting = (Store(count, const(0, i32)), every, kept)
        return If(me < self.threads // SEGMENT, counting)

    def _done(self, chunk: Expr) -> Stmt:
        """The block's updates one after the other, all threads together."""
        segment, at = self.names.fresh("segment"), self.names.fresh("i", "$")
        step = chunk * self.threads + var(segment) * SEGMENT + var(at)
        own = Load(i32, self.mine.name, (var(segment), var(at)))
        some = Load(i32, self.counts.name, (var(segment),))
        update = (*axes_at(self.scatter.steps, step), *self._elements())
        each = If(own > 0, update)
        looked = Loop(at, index(0), index(SEGMENT), (each,))
        segments = self.threads // SEGMENT
        return Loop(segment, index(0), index(segments), (If(some > 0, (looked,)),))

    def _elements(self) -> Block:
        """All elements of one update, dealt to the threads."""
        me, local = var(self.thread), self.names.fresh("local")
        within = Let(local, (self.scatter.place - var(self.first)) % self.each)
        if not self.scatter.inner:
            return within, *self._element_of_thread(var(local))
        update = self._update_at(var(self.first) + var(local))
        total = iterations(list(self.scatter.inner))
        turn, place = self.names.fresh("turn"), self.names.fresh("place")
        body: Block = (*axes_at(self.scatter.inner, var(place)), update)
        if total % self.threads:
            body = (If(var(place) < total, body),)
        body = (Let(place, var(turn) * self.threads + me), *body)
        return (within, Loop(turn, index(0), index(-(-total // self.threads)), body))

    def _element_of_thread(self, local: Expr) -> Block:
        """The one element of an update, done by the thread that has some of the block's places."""
        me, rest = var(self.thread), self.names.fresh("rest")
        each = self.each // self.threads
        update = self._update_at(var(self.first) + me * each + var(rest))
        return Let(rest, local % each), If((local // each).eq(me), (update,))

    def _update_at(self, place: Expr) -> Store | Accumulate:
        """The update, its place being one that is seen to be the block's."""
        update = self.scatter.update
        (target,) = (update.target,) if isinstance(update, Store) else update.targets
        at = list(target.indices)
        at[self.scatter.dimension] = place
        own = Ref(target.buffer, tuple(at))
        if isinstance(update, Store):
            return replace(update, target=own)
        return replace(update, targets=(own,))
