"""The recipe for independent iterations: a thread each.

    for i in 0..m: for j in 0..n: s
      ->  block b: thread t: {let p = b * 256 + t;
                              if p < m * n: {let i = p // n;  let j = p % n;  s}}
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ....expr import Expr, Load, index
from ....sizes import round_up
from ....target import Gpu
from ....tile.nodes import Block, Buffer, If, Kernel, Kind, Let, Loop, Ref, Space, Store
from ....tile.traverse import substitute_block
from ....tile.tree import (
    Names,
    chain,
    copy_block,
    extent_of,
    has_constant_limits,
    nest,
    var,
)
from .held import Held, computed
from .wide import Run, widest_run
from .work import independent_loops, iterations

IN_FLIGHT = 4  # elements that a thread loads before it stores any, or
RUNS = 2  # runs of them
HELD = 96  # elements that it loads at most, of so many arrays or places that there are more


def bind_grid(kernel: Kernel, loops: list[Loop], gpu: Gpu) -> Kernel:
    """Give each iteration of the independent leading loops to a thread, or a run of them where
    neighbours can be read and written at once; some, where there are more than keep the card
    busy."""
    run = _run(kernel, loops)
    if run is not None:
        return bind_runs(kernel, loops, run, gpu)
    total = iterations(loops)
    match loops[-1].body:
        case (Store() as store,) if total >= IN_FLIGHT * gpu.multiprocessors * gpu.threads:
            return _several(kernel, loops, store, gpu)
    grid = Grid.of(kernel, total, gpu)
    position, lets = places(loops, grid.place(index(0)), grid.names)
    body = grid.guarded(var(position.name), (*lets, *loops[-1].body))
    return grid.kernel((position, *body), ())


def _run(kernel: Kernel, loops: list[Loop]) -> Run | None:
    """The runs along the innermost loop; past the last whole one where it is the only loop."""
    *_, last = loops
    extent = None if len(loops) == 1 else extent_of(last)
    if last.start != index(0):
        return None
    run = widest_run(kernel, last.body, last.axis, extent)
    while run is not None and run.width > 2 and run.registers > HELD:
        run = replace(run, width=run.width // 2)
    return run


@dataclass(frozen=True)
class Grid:
    """The threads of a launch: each has so many `turns`, a block apart, of `total` iterations and
    some `more` of another kind."""

    original: Kernel
    names: Names
    block: str
    thread: str
    total: int
    more: int
    threads: int
    turns: int

    @staticmethod
    def of(kernel: Kernel, total: int, gpu: Gpu, *, turns: int = 1, more: int = 0) -> Grid:
        names = Names(kernel)
        block, thread = names.fresh("block"), names.fresh("thread")
        threads = min(gpu.block_threads, warps_of(total + more))
        return Grid(kernel, names, block, thread, total, more, threads, turns)

    @property
    def blocks(self) -> int:
        return -(-(self.total + self.more) // (self.threads * self.turns))

    def place(self, turn: Expr) -> Expr:
        """The number of a thread's iteration in a turn."""
        first = var(self.block) * (self.threads * self.turns)
        if self.turns > 1:
            first = first + turn * self.threads
        return first + var(self.thread)

    def guarded(self, place: Expr, body: Block, otherwise: Block = ()) -> Block:
        """What is to be done at a place, if there is one."""
        whole = self.blocks * self.threads * self.turns == self.total
        return body if whole else (If(place < self.total, body, otherwise),)

    def each(self, body_at: Callable[[Expr], Block], *, again: bool = False) -> Block:
        """A body in all turns, its names fresh if it is there `again`."""
        turn = self.names.fresh("turn") if self.turns > 1 else ""
        body = body_at(var(turn) if turn else index(0))
        if again:
            body = copy_block(body, self.names)
        return (Loop(turn, index(0), index(self.turns), body, Kind.UNROLL),) if turn else body

    def kernel(self, body: Block, registers: tuple[Buffer, ...]) -> Kernel:
        inner = Loop(self.thread, index(0), index(self.threads), body, Kind.THREAD)
        outer = Loop(self.block, index(0), index(self.blocks), (inner,), Kind.BLOCK)
        local = (*self.original.locals, *registers)
        return replace(self.original, body=(outer,), locals=local)


def _several(kernel: Kernel, loops: list[Loop], store: Store, gpu: Gpu) -> Kernel:
    """Elements a block apart for each thread, which loads what all of them need first:

    let r[0..4] = f(x[..]);  y[..] = r[0..4]
    """
    grid = Grid.of(kernel, iterations(loops), gpu, turns=IN_FLIGHT)
    dtype = store.value.dtype
    values = Buffer(grid.names.fresh("values", "_"), dtype, (IN_FLIGHT,), Space.REGISTER)

    def part(stmt_at: Callable[[Expr], Store], *, again: bool = False) -> Block:
        def body_at(turn: Expr) -> Block:
            position, lets = places(loops, grid.place(turn), grid.names)
            return (position, *grid.guarded(var(position.name), (*lets, stmt_at(turn))))

        return grid.each(body_at, again=again)

    parts = (
        *part(lambda turn: Store(Ref(values.name, (turn,)), store.value)),
        *part(lambda turn: replace(store, value=Load(dtype, values.name, (turn,))), again=True),
    )
    return grid.kernel(parts, (values,))


def bind_runs(kernel: Kernel, loops: list[Loop], run: Run, gpu: Gpu) -> Kernel:
    """Runs a block apart for each thread, which loads what all of them need first; the elements
    past the last whole run are one a thread:

    for i in 0..n: y[i] = f(x[i])
      ->  block b: thread t: {
            for r: {let p = (b * 2 + r) * 256 + t;  call load(x_[r, 0], x[p * 4])}
            for r: {..;  for e: y_[e] = f(x_[r, e]);  call store(y[p * 4], y_[0])}}
    """
    *outer, last = loops
    whole, rest = divmod(extent_of(last), run.width)
    runs = [*outer, replace(last, stop=index(whole))]
    total = iterations(runs)
    several = total >= RUNS * gpu.multiprocessors * gpu.threads and RUNS * run.registers <= HELD
    grid = Grid.of(kernel, total, gpu, turns=RUNS if several else 1, more=rest)
    lead = (grid.turns,) if grid.turns > 1 else ()
    held = Held.of(run, lead, grid.names)
    results: dict[str, Buffer] = {}

    def part(
        body_at: Callable[[Expr, Expr], Block], beyond: Block, *, again: bool = False
    ) -> Block:
        def in_turn(turn: Expr) -> Block:
            position, lets = places(runs, grid.place(turn), grid.names)
            place = var(position.name)
            more: Block = ()
            if rest and beyond:
                own = {last.axis: place + (whole * run.width - whole)}
                alone = copy_block(substitute_block(beyond, own), grid.names)
                more = (If(place < whole + rest, alone),)
            done = (*lets, *body_at(var(last.axis) * run.width, turn))
            return (position, *grid.guarded(place, done, more))

        return grid.each(in_turn, again=again)

    def fetch(first: Expr, turn: Expr) -> Block:
        return held.filled(first, (turn,)[: len(lead)])

    def finish(first: Expr, turn: Expr) -> Block:
        made = computed(run, held, first, (turn,)[: len(lead)], grid.names)
        results.update((buffer.name, buffer) for buffer in made.registers)
        return made.block

    if lead:
        body = (*part(fetch, ()), *part(finish, last.body, again=True))
    else:
        body = part(lambda first, turn: (*fetch(first, turn), *finish(first, turn)), last.body)
    return grid.kernel(body, (*held.registers.values(), *results.values()))


def places(loops: list[Loop], position: Expr, names: Names) -> tuple[Let, Block]:
    """The number of an iteration among all of perfectly nested loops, and the loops' axes by it."""
    if len(loops) == 1 and loops[0].start == index(0):
        return Let(loops[0].axis, position), ()
    whole = Let(names.fresh("place"), position)
    return whole, axes_at(loops, var(whole.name))


def axes_at(loops: Sequence[Loop], position: Expr) -> tuple[Let, ...]:
    """The axes of perfectly nested loops by the number of an iteration."""
    lets: list[Let] = []
    for number, loop in enumerate(reversed(loops), start=1):
        extent = extent_of(loop)
        own = position if number == len(loops) else position % extent
        lets.append(Let(loop.axis, loop.start + own))
        position = position // extent
    return tuple(reversed(lets))


def warps_of(count: int) -> int:
    """The threads of as many whole warps as `count` iterations keep busy."""
    return round_up(max(1, count), 32)


def hoist_independent(kernel: Kernel) -> Kernel:
    """Move the loops that are independent as outermost ones out of those that are not.

    for j: for d: y[at[j], d] += u[j, d]   ->   for d: for j: y[at[j], d] += u[j, d]
    """
    match kernel.body:
        case (Loop() as top,):
            loops, body = chain(top)
        case _:
            return kernel
    free: list[Loop] = []
    bound: list[Loop] = []
    for loop in loops:
        first = [loop, *(other for other in loops if other is not loop)]
        moved = kernel.with_body(nest(first, body))
        (free if _is_outermost(moved, loop) else bound).append(loop)
    if not free or not bound or not _are_closed(loops):
        return kernel
    hoisted = kernel.with_body(nest([*free, *bound], body))
    return hoisted if len(independent_loops(hoisted)) >= len(free) else kernel


def _is_outermost(kernel: Kernel, loop: Loop) -> bool:
    return any(found.axis == loop.axis for found in independent_loops(kernel)[:1])


def _are_closed(loops: list[Loop]) -> bool:
    """Whether no loop's limits depend on another's axis."""
    return all(map(has_constant_limits, loops))
