"""The machine that executes Tile IR in NumPy: statements, loops, threads.

Loops whose iterations are proven independent run all at once over arrays; the rest iterate.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Literal, TypeAlias

import numpy as np

from ..errors import VerifyError, check
from ..types import Array
from .analyses.dependence import Dependences, Mode
from .analyses.scopes import PARALLEL_KINDS, THREAD_KINDS, scoped, targets_of, walk_scoped
from .evaluate import accumulate, evaluate, locate, store
from .frame import Frame, Pending, Storage
from .inline import External, Scope
from .instructions.barriers import phase_parity
from .lapack import run_routine
from .nodes import Accumulate, Async, Await, Block, If, Kernel, Let, Loop, Space, Store, Sync, Wait
from .threads import Pause, interleave, thread_nest

# The order of iterations and threads that may run at the same time, where they run one by one.
Order: TypeAlias = Literal["ascending", "descending", "shuffled"]
# When an Async body happens: at once, or as late as its Wait allows.
Completion: TypeAlias = Literal["early", "late"]

GRID_POINTS = 1 << 20  # iterations run at once, at most: bounds the interpreter's memory
LOCAL_ELEMENTS = 1 << 24  # elements of all copies of local buffers made at once, at most


@dataclass(frozen=True)
class Plan:
    """A kernel ready to run: its body with scopes, and its loops' modes (None: all iterate)."""

    kernel: Kernel
    body: Block
    dependences: Dependences | None

    @staticmethod
    def of(kernel: Kernel, *, vectorise: bool, aliases: Mapping[str, str]) -> Plan:
        body = scoped(kernel, narrow=vectorise)
        read_only = {param.name for param in kernel.params} - set(kernel.outputs)
        for stmt in walk_scoped(body):
            for target in targets_of(stmt):
                message = f"kernel '{kernel.name}' writes '{target.buffer}', which is no output"
                check(target.buffer not in read_only, message, VerifyError)
        dependences = Dependences(body, kernel.params, aliases) if vectorise else None
        return Plan(kernel, body, dependences)


class Machine:
    """Executes statements. Blocks are generators: a thread pauses where it meets a `Sync`, or an
    `Await` of what has not come yet."""

    def __init__(self, plan: Plan, order: Order, asynchronous: Completion, seed: int) -> None:
        self.plan = plan
        self.order = order
        self.asynchronous = asynchronous
        self.random = np.random.default_rng(seed)
        self.in_flight: list[Pending] = []  # what arrives at a barrier in the end

    def run(self, memory: Mapping[str, Array]) -> None:
        """Run the kernel on flat memory, by the names of its parameters."""
        buffers = {
            param.name: Storage.of(param, memory[param.name]) for param in self.plan.kernel.params
        }
        frame = Frame(self.plan.kernel.name, {}, buffers)
        with np.errstate(all="ignore"):
            # A Sync outside threads has nobody to wait for. At an Await no thread can go on.
            for pause in self.iteration(self.plan.body, frame):
                if isinstance(pause, Await):
                    self.arrive_one(pause, frame)
            while self.in_flight:
                self.finish(self.in_flight.pop(0))

    def iteration(self, block: Block, frame: Frame) -> Iterator[Pause]:
        """Run a block that nothing outlives: what is asynchronous completes at its end."""
        yield from self.block(block, frame)
        self.complete(frame, None, 0)

    def block(self, block: Block, frame: Frame) -> Iterator[Pause]:
        for stmt in block:
            match stmt:
                case Store(target=target, value=value):
                    store(target, value, frame)
                case Accumulate():
                    accumulate(stmt, frame)
                case Let(name=name, value=value):
                    frame.vars[name] = evaluate(value, frame)
                case Loop():
                    yield from self.loop(stmt, frame)
                case If():
                    yield from self.branch(stmt, frame)
                case Scope(locals=locals_, body=body):
                    fresh = {local.name: Storage.garbage(local, frame.grid) for local in locals_}
                    yield from self.block(body, replace(frame, buffers=frame.buffers | fresh))
                case External():
                    self.external(stmt, frame)
                case Sync():
                    yield stmt
                case Async():
                    self.begin(stmt, frame)
                case Await():
                    yield from self.awaited(stmt, frame)
                case Wait(group=group, pending=pending):
                    self.complete(frame, group, pending)
                case _:
                    raise VerifyError(f"kernel '{frame.kernel}': no meaning for {stmt!r}")

    def begin(self, stmt: Async, frame: Frame) -> None:
        """Note a body that may happen later."""
        issued = Pending(stmt.group, stmt.body, replace(frame, vars=dict(frame.vars)))
        if _arrives(stmt, frame):
            self.in_flight.append(issued)
            if self.asynchronous == "early":
                self.finish(self.in_flight.pop())
            return
        frame.pending.append(issued)
        if self.asynchronous == "early":
            self.complete(frame, stmt.group, 0)

    def awaited(self, stmt: Await, frame: Frame) -> Iterator[Pause]:
        """Pause until the phase of the barrier has ended."""
        pause = replace(stmt)
        parity = evaluate(stmt.parity, frame)
        storage, at = locate(stmt.barrier.buffer, stmt.barrier.indices, frame)
        while True:
            over = phase_parity(storage.data[at]) != parity
            if np.all(over if frame.mask is None else over | ~frame.mask):
                return
            yield pause

    def arrive_one(self, pause: Await, frame: Frame) -> None:
        """The oldest of what is in flight arrives, as no thread can go on."""
        if not self.in_flight:
            raise VerifyError(
                f"kernel '{frame.kernel}': threads await a phase of the barrier "
                f"'{pause.barrier.buffer}' that never ends"
            )
        self.finish(self.in_flight.pop(0))

    def finish(self, work: Pending) -> None:
        for _ in self.block(work.body, work.frame):
            raise VerifyError(f"kernel '{work.frame.kernel}': a Sync in an Async body")

    def branch(self, stmt: If, frame: Frame) -> Iterator[Pause]:
        condition = np.asarray(evaluate(stmt.condition, frame))
        if condition.ndim == 0:
            yield from self.block(stmt.then if condition else stmt.otherwise, frame)
            return
        for taken, block in ((condition, stmt.then), (~condition, stmt.otherwise)):
            arm = frame.masked(taken)
            if block and arm.mask is not None and arm.mask.any():
                yield from self.block(block, arm)

    def external(self, stmt: External, frame: Frame) -> None:
        """Do what a C function does, one active point after the other."""
        whole = frame.grid[::-1]
        active = np.broadcast_to(True if frame.mask is None else frame.mask, whole)
        places = [locate(window.buffer, window.offsets, frame) for window in stmt.windows]
        starts = [(storage.data, np.broadcast_to(at, whole)) for storage, at in places]
        params = stmt.extern.params
        for point in np.argwhere(active):
            pieces = {
                param.name: data[at[tuple(point)] :][: param.elements].reshape(param.shape)
                for param, (data, at) in zip(params, starts, strict=True)
            }
            run_routine(stmt.extern, pieces)

    def complete(self, frame: Frame, group: str | None, keep: int) -> None:
        """Run the asynchronous bodies of a group (None: of all), but for the last `keep`."""
        mine = [work for work in frame.pending if group is None or work.group == group]
        for work in mine[: len(mine) - keep]:
            frame.pending.remove(work)
            self.finish(work)

    def loop(self, loop: Loop, frame: Frame) -> Iterator[Pause]:
        start, stop = evaluate(loop.start, frame), evaluate(loop.stop, frame)
        low, high = limits(start, stop, frame.mask)
        if low >= high:
            return
        if loop.kind in THREAD_KINDS and _has_sync(loop):
            yield from self.threads(loop, frame)
        elif self.at_once(loop, frame, high - low):
            assert self.plan.dependences is not None
            reduced = self.plan.dependences.reduced[loop.axis]
            inner = frame.expanded(loop.axis, low, high, reduced)
            yield from self.block(loop.body, bounded(loop.axis, start, stop, inner))
        else:
            parallel = loop.kind in PARALLEL_KINDS
            for value in self.ordered(range(low, high)) if parallel else range(low, high):
                inner = frame.thread() if parallel else frame
                inner.vars[loop.axis] = np.asarray(value, np.int64)
                inner = bounded(loop.axis, start, stop, inner)
                body = self.iteration if parallel else self.block
                yield from body(loop.body, inner)

    def at_once(self, loop: Loop, frame: Frame, extent: int) -> bool:
        """May and should the iterations run at once?"""
        known = self.plan.dependences
        if known is None or extent == 1:
            return False
        # Inside a reduction run at once, program order is kept by running all loops at once.
        if frame.reductions:
            return True
        mode = known.modes[loop.axis]
        if mode == Mode.SERIAL:
            return False
        points = prod(frame.grid) * extent
        nested = known.inner_points[loop.axis] if mode == Mode.REDUCTION else 1
        copies = points * known.local_elements[loop.axis]
        return points * nested <= GRID_POINTS and copies <= LOCAL_ELEMENTS

    def ordered(self, values: Sequence[int]) -> Iterable[int]:
        match self.order:
            case "ascending":
                return values
            case "descending":
                return reversed(values)
        return (values[place] for place in self.random.permutation(len(values)))

    def threads(self, loop: Loop, frame: Frame) -> Iterator[Pause]:
        """Run a nest of thread loops as threads that take turns between Syncs."""
        nest, body = thread_nest(loop)
        ranges = []
        for level in nest:
            start, stop = evaluate(level.start, frame), evaluate(level.stop, frame)
            ranges.append(range(*limits(start, stop, None)))

        def start_thread(coordinates: tuple[int, ...]) -> Iterator[Pause]:
            own = frame.thread()
            for level, value in zip(nest, coordinates, strict=True):
                own.vars[level.axis] = np.asarray(value, np.int64)
            return self.iteration(body, own)

        kinds = [level.kind for level in nest]
        yield from interleave(frame.kernel, kinds, ranges, start_thread, self.ordered)


def limits(start: Array, stop: Array, mask: Array | None) -> tuple[int, int]:
    """The least start and the greatest stop over the active points."""
    if mask is not None and (start.ndim or stop.ndim):
        start, stop, active = np.broadcast_arrays(start, stop, mask)
        start, stop = start[active], stop[active]
        if not start.size:
            return 0, 0
    return int(np.min(start)), int(np.max(stop))


def bounded(axis: str, start: Array, stop: Array, frame: Frame) -> Frame:
    """Mask the points whose own limits leave the axis' value out."""
    if start.ndim == 0 and stop.ndim == 0:
        return frame
    value = frame.vars[axis]
    return frame.masked((value >= start) & (value < stop))


def _has_sync(loop: Loop) -> bool:
    return any(isinstance(stmt, Sync | Await) for stmt in walk_scoped(loop.body))


def _arrives(stmt: Async, frame: Frame) -> bool:
    """Whether a barrier tells when it is complete."""
    touched = {target.buffer for inner in walk_scoped(stmt.body) for target in targets_of(inner)}
    known = (frame.buffers[name].buffer for name in touched & frame.buffers.keys())
    return any(buffer.space is Space.BARRIER for buffer in known)
