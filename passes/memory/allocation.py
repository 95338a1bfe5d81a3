"""Static memory allocation: an offset in one arena for every buffer whose lifetime is known.

Buffers alive at the same step may not overlap in memory, and the arena should be as small as
possible (dynamic storage allocation, NP-hard).  Greedy placement in several orders comes first; it
mostly meets the lower bound, the most bytes alive at one step.  Where it does not, the exact search
of `allocation_search` either finds a lower placement or proves that there is none.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import gcd
from typing import Literal

from ...errors import InputError, VerifyError, check
from ...sizes import round_up
from .greedy import Placement, first_fit, greedy
from .search import Outcome, Search
from .sections import Block

# The default node budget is this over the number of buffers, since the time of a node grows with
# that number: two to three seconds in the worst case.  One descent of the search takes a node a
# buffer, so where the budget is below a few descents (some 1400 buffers), it is not begun.
_DEFAULT_WORK = 8_000_000
_MOST_NODES = 100_000
_LEAST_DESCENTS = 4

Proof = Literal[
    "lower bound met",
    "exhaustive search",
    "capacity met",
    "capacity unattainable",
    "node budget ended",
    "time ended",
]


@dataclass(frozen=True, slots=True)
class Lifetime:
    """A buffer of `size` bytes, alive at the steps in [start, end).

    Raises `InputError` for an empty lifetime or a negative size.
    """

    name: str
    start: int
    end: int
    size: int

    def __post_init__(self) -> None:
        check(
            self.start < self.end,
            f"buffer '{self.name}' must end after it starts, got [{self.start}, {self.end})",
            InputError,
        )
        check(
            self.size >= 0,
            f"buffer '{self.name}' must have a size of at least 0 bytes, got {self.size}",
            InputError,
        )


@dataclass(frozen=True)
class Allocation:
    """Where each buffer lies; figures in bytes, sizes rounded up to the alignment."""

    offsets: Mapping[str, int]
    height: int  # bytes of arena used
    lower_bound: int  # the most bytes alive at one step
    bound: int  # proven: no placement is lower than this; at least `lower_bound`
    proof: Proof  # why the work ended
    nodes: int  # visited by the exact search; 0 if greedy placement was enough
    peak: tuple[str, ...]  # the buffers of size > 0 alive at the first step of most bytes

    @property
    def optimal(self) -> bool:
        """Whether it is proved that no placement is lower."""
        return self.height == self.bound


def allocate(
    lifetimes: Sequence[Lifetime],
    *,
    alignment: int = 64,
    capacity: int | None = None,
    node_budget: int | None = None,
    seconds: float | None = None,
) -> Allocation:
    """Place all buffers at multiples of `alignment` bytes, in as low an arena as possible.

    With `capacity` (bytes) the first placement that fits is returned.  If none was found, `height`
    is over it; `bound` is too, and `proof` says "capacity unattainable", if there is none.

    The result depends on the set of lifetimes, not on their order, and on `node_budget`, the most
    nodes that the exact search visits (by default, about two seconds of it).  `seconds` also ends
    the search, and is for interactive use: the result then depends on the machine's speed.

    Raises `InputError` for duplicate names, a non-positive alignment or a negative limit.
    """
    check(alignment > 0, f"alignment must be positive, got {alignment}", InputError)
    limits = {"capacity": capacity, "node_budget": node_budget, "seconds": seconds}
    for label, limit in limits.items():
        check(limit is None or limit >= 0, f"{label} must be at least 0, got {limit}", InputError)
    _check_names(lifetimes)

    lives = sorted(lifetimes, key=lambda life: (life.start, life.end, -life.size, life.name))
    placed = [life for life in lives if life.size]
    sizes = [round_up(life.size, alignment) for life in placed]
    unit = gcd(*sizes) or alignment  # every canonical offset is a sum of sizes
    blocks = [
        Block(life.start, life.end, size // unit) for life, size in zip(placed, sizes, strict=True)
    ]
    if node_budget is None:
        node_budget = _default_budget(len(blocks))
    deadline = None if seconds is None else time.monotonic() + seconds
    lower_bound, peak = _peak(blocks)
    room = None if capacity is None else capacity // unit
    goal = lower_bound if room is None else room
    placement, bound = greedy(blocks, goal), lower_bound
    search = Search(blocks, deadline)
    if placement.height > goal >= lower_bound:
        if room is None:
            placement, bound = _minimise(search, placement, lower_bound, node_budget)
        else:
            placement, bound = _fit(search, placement, lower_bound, room, node_budget)

    offsets = {life.name: 0 for life in lives}
    for life, offset in zip(placed, placement.offsets, strict=True):
        offsets[life.name] = offset * unit
    verify_offsets(lives, offsets, alignment=alignment)
    return Allocation(
        offsets=offsets,
        height=placement.height * unit,
        lower_bound=lower_bound * unit,
        bound=bound * unit,
        proof=_proof(placement.height, lower_bound, bound, room, search.late()),
        nodes=search.nodes,
        peak=tuple(placed[index].name for index in peak),
    )


def verify_offsets(
    lifetimes: Iterable[Lifetime], offsets: Mapping[str, int], *, alignment: int = 1
) -> None:
    """Raise `VerifyError` if two buffers overlap in both time and memory.

    Also if a buffer has no offset, or one that is negative or not a multiple of `alignment`.
    """
    events: list[tuple[int, bool, str, int, int]] = []
    for life in lifetimes:
        check(life.name in offsets, f"buffer '{life.name}' has no offset", VerifyError)
        offset = offsets[life.name]
        check(
            offset >= 0 and offset % alignment == 0,
            f"buffer '{life.name}' is at offset {offset}, not at a multiple of {alignment}",
            VerifyError,
        )
        if life.size:
            extent = (life.name, offset, offset + life.size)
            events.append((life.start, True, *extent))
            events.append((life.end, False, *extent))  # sorts before a start at the same step
    alive: list[tuple[int, int, str]] = []  # begin, end, name: ascending, since disjoint
    for step, starts, name, begin, end in sorted(events):
        position = bisect_left(alive, (begin, end, name))
        if not starts:
            del alive[position]
            continue
        for other_begin, other_end, other in alive[max(0, position - 1) : position + 1]:
            check(
                other_end <= begin or end <= other_begin,
                f"buffers '{name}' at [{begin}, {end}) and '{other}' at "
                f"[{other_begin}, {other_end}) overlap at step {step}",
                VerifyError,
            )
        alive.insert(position, (begin, end, name))


def _check_names(lifetimes: Iterable[Lifetime]) -> None:
    seen: set[str] = set()
    for life in lifetimes:
        check(life.name not in seen, f"two buffers are named '{life.name}'", InputError)
        seen.add(life.name)


def _default_budget(count: int) -> int:
    """The nodes to visit for so many blocks."""
    nodes = min(_MOST_NODES, _DEFAULT_WORK // max(1, count))
    return nodes if nodes >= _LEAST_DESCENTS * count else 0


def _minimise(
    search: Search, placement: Placement, lower_bound: int, node_budget: int
) -> tuple[Placement, int]:
    """Lower the placement and raise the bound until they meet or the budget ends.

    Half of the budget goes to the lowest height not excluded; when that is used up, the gap above
    is bisected, with half of the remaining budget a step.
    """
    bound = lowest = lower_bound
    while lowest < placement.height and search.nodes < node_budget and not search.late():
        target = bound if lowest == bound else (lowest + placement.height) // 2
        outcome = search.find(target, (node_budget - search.nodes + 1) // 2)
        match outcome:
            case Outcome.FOUND:
                placement = _settled(search)
            case Outcome.IMPOSSIBLE:
                bound = lowest = min(placement.height, target + search.excess)
            case Outcome.GAVE_UP:
                lowest = target + 1
    return placement, bound


def _fit(
    search: Search, placement: Placement, lower_bound: int, capacity: int, node_budget: int
) -> tuple[Placement, int]:
    """A placement under `capacity`, or the one given if none is found; and the proven bound."""
    match search.find(capacity, node_budget):
        case Outcome.FOUND:
            return _settled(search), lower_bound
        case Outcome.IMPOSSIBLE:
            return placement, min(placement.height, capacity + search.excess)
        case Outcome.GAVE_UP:
            return placement, lower_bound


def _settled(search: Search) -> Placement:
    """The placement found last, every block pushed down as far as it goes."""
    order = sorted(range(len(search.blocks)), key=search.offsets.__getitem__)
    return first_fit(search.blocks, order)


def _proof(height: int, lower_bound: int, bound: int, capacity: int | None, late: bool) -> Proof:
    """Why the work ended."""
    if capacity is not None and bound > capacity:
        return "capacity unattainable"
    if height == lower_bound:
        return "lower bound met"
    if height == bound:
        return "exhaustive search"
    if capacity is not None and height <= capacity:
        return "capacity met"
    return "time ended" if late else "node budget ended"


def _peak(blocks: Sequence[Block]) -> tuple[int, list[int]]:
    """The most units alive at one step, and the blocks alive at the first such step."""
    changes: list[tuple[int, int]] = []
    for block in blocks:
        changes.append((block.start, block.size))
        changes.append((block.end, -block.size))  # sorts before a start at the same step
    total = most = at = 0
    for step, change in sorted(changes):
        total += change
        if total > most:
            most, at = total, step
    return most, [i for i, block in enumerate(blocks) if block.start <= at < block.end]
