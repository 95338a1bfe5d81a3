"""Static memory allocation: an offset in one arena for every buffer whose lifetime is known.

Buffers alive at the same step may not overlap in memory, and the arena should be as small as
possible (dynamic storage allocation, NP-hard).  Greedy placement in several orders comes first; it
mostly meets the lower bound, the most bytes alive at one step.  Where it does not, the exact search
of `allocation_search` either finds a lower placement or proves that there is none.
"""

from __future__ import annotations

import time
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import gcd
from typing import Literal

from ..errors import InputError, VerifyError, check
from .allocation_search import Block, Outcome, Search

# The default node budget is this over the number of buffers, since a node's time grows with that
# number: some two seconds in the worst case, whatever the model's size.
_DEFAULT_WORK = 8_000_000
_MOST_NODES = 100_000

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
    """Where each buffer lies; all figures in bytes, sizes rounded up to the alignment."""

    offsets: Mapping[str, int]
    height: int  # bytes of arena used
    lower_bound: int  # the most bytes alive at one step
    bound: int  # proven: no placement is lower than this; at least `lower_bound`
    proof: Proof  # why the search ended
    nodes: int  # nodes of the exact search; 0 if greedy placement was enough
    peak: tuple[str, ...]  # the buffers (of size > 0) alive at the first step of most bytes

    @property
    def optimal(self) -> bool:
        """Whether no placement is lower."""
        return self.height == self.bound


def allocate(
    lifetimes: Sequence[Lifetime],
    *,
    alignment: int = 64,
    capacity: int | None = None,
    node_budget: int | None = None,
    seconds: float | None = None,
) -> Allocation:
    """Place all buffers at multiples of `alignment`, the arena as low as possible.

    With `capacity` (bytes) the first placement that fits is returned; if none was found, the
    result's `height` is over it, and `bound` too if that was proved impossible.  The result depends
    on the set of lifetimes only, not on their order, and on `node_budget`, the most nodes that the
    exact search visits (by default, about two seconds of it).  `seconds` also ends the search, and
    is for interactive use: the result then depends on the machine's speed.

    Raises `InputError` for duplicate names, a non-positive alignment or a negative limit.
    """
    check(alignment > 0, f"alignment must be positive, got {alignment}", InputError)
    for limit, label in ((capacity, "capacity"), (node_budget, "node_budget"), (seconds, "seconds")):
        check(limit is None or limit >= 0, f"{label} must be at least 0, got {limit}", InputError)
    _check_names(lifetimes)

    canonical = sorted(lifetimes, key=lambda life: (life.start, life.end, -life.size, life.name))
    placed = [life for life in canonical if life.size]
    sizes = [-(-life.size // alignment) * alignment for life in placed]
    unit = gcd(*sizes) or alignment
    blocks = [
        Block(life.start, life.end, size // unit)
        for life, size in zip(placed, sizes, strict=True)
    ]
    if node_budget is None:
        node_budget = min(_MOST_NODES, _DEFAULT_WORK // max(1, len(blocks)))
    planner = _Planner(
        blocks=blocks,
        capacity=None if capacity is None else capacity // unit,
        node_budget=node_budget,
        deadline=None if seconds is None else time.monotonic() + seconds,
    )
    plan = planner.plan()
    offsets = {life.name: 0 for life in canonical}
    for life, offset in zip(placed, plan.offsets, strict=True):
        offsets[life.name] = offset * unit
    verify_offsets(canonical, offsets, alignment=alignment)
    return Allocation(
        offsets=offsets,
        height=plan.height * unit,
        lower_bound=plan.lower_bound * unit,
        bound=plan.bound * unit,
        proof=plan.proof,
        nodes=plan.nodes,
        peak=tuple(placed[index].name for index in plan.peak),
    )


def verify_offsets(
    lifetimes: Iterable[Lifetime], offsets: Mapping[str, int], *, alignment: int = 1
) -> None:
    """Raise `VerifyError` unless no two buffers overlap in both time and memory.

    Offsets must be there for every buffer, not negative, and multiples of `alignment`.
    """
    events: list[tuple[int, bool, Lifetime]] = []
    for life in lifetimes:
        offset = offsets.get(life.name)
        check(offset is not None, f"buffer '{life.name}' has no offset", VerifyError)
        check(
            offset is not None and offset >= 0 and offset % alignment == 0,
            f"buffer '{life.name}' is at offset {offset}, not a multiple of {alignment}",
            VerifyError,
        )
        if life.size:
            events.append((life.start, True, life))
            events.append((life.end, False, life))  # sorts before a start at the same step
    events.sort(key=lambda event: event[:2])
    alive: list[tuple[int, int, str]] = []  # (offset, end, name), ascending and disjoint
    for step, starts, life in events:
        offset = offsets[life.name]
        extent = (offset, offset + life.size, life.name)
        position = bisect_left(alive, extent)
        if not starts:
            del alive[position]
            continue
        for begin, end, name in alive[max(0, position - 1) : position + 1]:
            check(
                end <= extent[0] or extent[1] <= begin,
                f"buffers '{life.name}' at [{extent[0]}, {extent[1]}) and '{name}' at "
                f"[{begin}, {end}) overlap at step {step}",
                VerifyError,
            )
        alive.insert(position, extent)


def _check_names(lifetimes: Sequence[Lifetime]) -> None:
    seen: set[str] = set()
    for life in lifetimes:
        check(life.name not in seen, f"two buffers are named '{life.name}'", InputError)
        seen.add(life.name)


@dataclass(frozen=True)
class _Plan:
    """The result in units; `peak` holds indices of blocks."""

    offsets: Sequence[int]
    height: int
    lower_bound: int
    bound: int
    proof: Proof
    nodes: int
    peak: Sequence[int]


@dataclass(frozen=True)
class _Planner:
    """Minimise the height of `blocks`, in units."""

    blocks: Sequence[Block]
    capacity: int | None
    node_budget: int
    deadline: float | None

    def plan(self) -> _Plan:
        lower_bound, peak = _peak(self.blocks)
        goal = max(lower_bound, self.capacity or 0)
        offsets, height = _greedy(self.blocks, goal)
        bound, nodes = lower_bound, 0
        if height > goal and (self.capacity is None or lower_bound <= self.capacity):
            offsets, height, bound, nodes = self._improve(offsets, height, lower_bound)
        proof = self._proof(height, lower_bound, bound, nodes)
        return _Plan(offsets, height, lower_bound, bound, proof, nodes, peak)

    def _improve(
        self, offsets: list[int], height: int, bound: int
    ) -> tuple[list[int], int, int, int]:
        """Lower `height` and raise `bound` until they meet, or the budget ends.

        Half of the budget goes to the lowest height not excluded, then the interval left is
        bisected, with half of the remaining budget a step.
        """
        search = Search(self.blocks, deadline=self.deadline)
        unknown = bound - 1  # no use in searching this height or a lower one again
        target = bound if self.capacity is None else self.capacity
        while unknown < target < height and search.nodes < self.node_budget:
            outcome = search.find(target, (self.node_budget - search.nodes + 1) // 2)
            match outcome:
                case Outcome.FOUND:
                    order = sorted(range(len(self.blocks)), key=search.offsets.__getitem__)
                    offsets, height = _first_fit(self.blocks, order)
                case Outcome.IMPOSSIBLE:
                    bound = min(height, target + search.excess)
                    unknown = bound - 1
                case Outcome.GAVE_UP:
                    unknown = target
            if self.capacity is not None and outcome is not Outcome.GAVE_UP:
                break
            ...
        return offsets, height, bound, search.nodes
