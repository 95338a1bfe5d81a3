"""A GPU's threads, interleaved one by one: each runs up to its next `Sync`, or up to an `Await` of
what has not come, in a chosen order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import product
from typing import TypeAlias

from ..errors import VerifyError
from .analyses.scopes import THREAD_KINDS
from .nodes import Await, Block, Kind, Loop, Sync

WARP = 32  # threads of a warp where no loop says

# Where a thread pauses. An Await is given again and again, the same object, until it is over.
Pause: TypeAlias = Sync | Await


def thread_nest(loop: Loop) -> tuple[list[Loop], Block]:
    """The perfectly nested thread loops from `loop` on, and the body of the innermost."""
    nest = [loop]
    while True:
        match nest[-1].body:
            case (Loop() as inner,) if inner.kind in THREAD_KINDS:
                nest.append(inner)
            case body:
                return nest, body


def interleave(
    kernel: str,
    kinds: Sequence[Kind],
    ranges: Sequence[range],
    start: Callable[[tuple[int, ...]], Iterator[Pause]],
    ordered: Callable[[Sequence[int]], Iterable[int]],
) -> Iterator[Pause]:
    """Run a thread per coordinate; gives on the Syncs that the threads around must join too, and an
    Await where no thread can go on.

    `VerifyError` where threads that a Sync joins do not all come to that same Sync.
    """
    coordinates = list(product(*ranges))
    running = [start(at) for at in coordinates]
    warps = [_warp(place, at, kinds) for place, at in enumerate(coordinates)]
    at_sync: dict[int, Sync] = {}
    awaiting: dict[int, Await] = {}
    finished: set[int] = set()
    while len(finished) < len(running):
        moved = False
        for place in ordered(range(len(running))):
            if place in finished or place in at_sync:
                continue
            stmt = next(running[place], None)
            moved |= stmt is None or stmt is not awaiting.pop(place, None)
            if stmt is None:
                finished.add(place)
            elif isinstance(stmt, Await):
                awaiting[place] = stmt
            else:
                at_sync[place] = stmt
        free = _complete_warps(warps, at_sync)
        if free:
            for place in free:
                del at_sync[place]
        elif awaiting:
            if not moved:
                yield next(iter(awaiting.values()))
        elif at_sync:
            first, *others = at_sync.values()
            if first.scope != "block" or finished or any(stmt is not first for stmt in others):
                raise VerifyError(
                    f"kernel '{kernel}': a Sync of the {first.scope} is not reached by all its "
                    f"threads; {len(at_sync)} of {len(running)} threads wait"
                )
            yield first
            at_sync.clear()


def _warp(place: int, at: tuple[int, ...], kinds: Sequence[Kind]) -> tuple[int, ...]:
    """What the threads of one warp, or of one warpgroup, have in common."""
    for whole in (Kind.WARP, Kind.WARPGROUP):
        if whole in kinds:
            return tuple(value for value, kind in zip(at, kinds, strict=True) if kind == whole)
    return () if all(kind == Kind.LANE for kind in kinds) else (place // WARP,)


def _complete_warps(warps: Sequence[tuple[int, ...]], at_sync: dict[int, Sync]) -> list[int]:
    """The threads of the warps that are wholly at one and the same Sync of the warp, and of
    warpgroups likewise."""
    members: dict[tuple[int, ...], list[int]] = {}
    for place, warp in enumerate(warps):
        members.setdefault(warp, []).append(place)
    free: list[int] = []
    for places in members.values():
        stmts = [at_sync.get(place) for place in places]
        first = stmts[0]
        inside = first is not None and first.scope != "block"
        if inside and all(stmt is first for stmt in stmts):
            free += places
    return free
