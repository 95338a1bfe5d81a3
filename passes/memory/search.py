"""Exact search for a placement of buffers under a capacity, with proof when there is none.

Buffers are rectangles whose time extent is fixed; only their offsets are free.  Pushing every
buffer down until it rests on the bottom or on another buffer keeps a placement valid, so only such
*canonical* placements are searched (Moffitt, "MiniMalloc: A Lightweight Memory Allocator for
Hardware-Accelerated Machine Learning", ASPLOS 2023).  Placed buffers form a skyline.  A lowest
stretch of it (a *valley*) can only be continued by buffers that fit between its walls, whichever
valley one takes; so the search branches at the one *section* (a maximal set of buffers alive
together) that leaves the fewest choices: which buffer rests on its floor, or none, which raises the
floor and spends some of the section's slack.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from enum import Enum
from typing import NamedTuple

from .sections import Block, bits_of, connected, sections_of
from .strategies import portfolio

# Failed states kept per capacity: bounds the memory at some 50 MB, whatever the node budget.
_REMEMBERED_STATES = 50_000
# Nodes between two looks at the clock, when there is a deadline.
_CLOCK_PERIOD = 256


class Outcome(Enum):
    """How a search ended."""

    FOUND = "found"
    IMPOSSIBLE = "impossible"
    GAVE_UP = "gave up"


class _Part(NamedTuple):
    """Unplaced buffers connected in time, and the skyline under them.

    Lists are indexed by section, counted from `first`.  Heights are measured down from `top`, the
    ceiling of the part, so that equal states compare equal wherever they lie.
    """

    first: int
    buffers: int  # bit mask of the unplaced buffers
    top: int
    room: list[int]  # from the section's floor to `top`
    slack: list[int]  # room less the sizes of its unplaced buffers: what may still be wasted


class _GaveUp(Exception):
    """The node limit or the deadline was reached."""


class Search:
    """Search for placements of `blocks`.

    `offsets` are those of the placement found last, `nodes` the nodes visited by all searches.
    `deadline` is a time of `time.monotonic()`, in seconds.
    """

    def __init__(self, blocks: Sequence[Block], deadline: float | None = None) -> None:
        self.blocks = blocks
        self.nodes = 0
        self.offsets = [0] * len(blocks)
        self.excess = 0  # see `find`
        self._deadline = deadline
        self._sections, self._spans = sections_of(blocks)
        self._pressure = [self._total(alive) for alive in self._sections]
        self._strategies = portfolio(blocks, self._spans, self._pressure)
        self._strategy = self._strategies[0]
        self._stop = 0  # the count of nodes at which the current run ends
        self._failed: set[tuple[int, tuple[int, ...]]] = set()

    def find(self, capacity: int, node_budget: int) -> Outcome:
        """Search a placement of height <= `capacity`, visiting at most `node_budget` nodes.

        On `IMPOSSIBLE`, none exists below the height `capacity + self.excess` either: by so much
        the closest of all dead ends missed.  Run lengths of such searches are heavy-tailed, hence
        short runs of several strategies in turn, the limit doubling from round to round; they share
        the failed states.
        """
        shortfall = max(self._pressure, default=0) - capacity
        if shortfall > 0:
            self.excess = shortfall
            return Outcome.IMPOSSIBLE
        self.excess = sum(block.size for block in self.blocks)
        slack = [capacity - total for total in self._pressure]
        everything = (1 << len(self.blocks)) - 1
        root = _Part(0, everything, capacity, [capacity] * len(slack), slack)
        self._failed.clear()
        stop = self.nodes + node_budget
        run_length = 4 * len(self.blocks)
        while self.nodes < stop:
            for strategy in self._strategies:
                self._strategy = strategy
                self._stop = min(stop, self.nodes + run_length)
                try:
                    found = self._run(root)
                except _GaveUp:
                    if self.late():
                        return Outcome.GAVE_UP
                    continue
                return Outcome.FOUND if found else Outcome.IMPOSSIBLE
            run_length *= 2
        return Outcome.GAVE_UP

    def late(self) -> bool:
        """Whether the deadline has passed."""
        return self._deadline is not None and time.monotonic() > self._deadline

    def _total(self, mask: int) -> int:
        return sum(self.blocks[index].size for index in bits_of(mask))

    def _run(self, root: _Part) -> bool:
        """One run of the current strategy; raises `_GaveUp`.

        The stack is explicit, since one placement per buffer may exceed the recursion limit.
        """
        for part in self._split(root):
            stack = [self._solve(part)]
            solved: bool | None = None
            while stack:
                try:
                    child = stack[-1].send(solved)
                except StopIteration as done:
                    stack.pop()
                    solved = done.value
                else:
                    stack.append(self._solve(child))
                    solved = None
            if not solved:
                return False
        return True

    def _solve(self, part: _Part) -> Generator[_Part, bool | None, bool]:
        """Place the buffers of `part`: yields the parts it depends on, is sent their answers."""
        if self.nodes >= self._stop or (self.nodes % _CLOCK_PERIOD == 0 and self.late()):
            raise _GaveUp
        self.nodes += 1
        resting = self._raise_floors(part)
        if resting is None:
            return False
        state = (part.buffers, tuple(part.room))
        if state in self._failed:
            return False
        for child in self._children(part, resting):
            for independent in self._split(child):
                if not (yield independent):
                    break
            else:
                return True
        if len(self._failed) < _REMEMBERED_STATES:
            self._failed.add(state)
        return False

    def _split(self, part: _Part) -> list[_Part]:
        """Cut `part` where no unplaced buffer is alive on both sides, smallest piece first.

        A buffer alive throughout a piece is placed right under its ceiling: exchanging it with what
        lies above it keeps any placement valid.
        """
        pieces = []
        pending = [part]
        while pending:
            whole = pending.pop()
            first, buffers, top, room, slack = whole
            alive = self._sections[first : first + len(room)]
            for begin, end, mask in connected(alive, first, buffers):
                inside = slice(begin - first, end - first)
                throughout = mask & self._sections[begin] & self._sections[end - 1]
                if throughout:
                    ceiling = self._hang(throughout, top)
                    lower = [height - (top - ceiling) for height in room[inside]]
                    rest = mask & ~throughout
                    pending.append(_Part(begin, rest, ceiling, lower, slack[inside]))
                elif end - begin == len(room):
                    pieces.append(whole)  # spares the copies
                else:
                    pieces.append(_Part(begin, mask, top, room[inside], slack[inside]))
        if len(pieces) > 1:
            pieces.sort(key=lambda piece: piece.buffers.bit_count())
        return pieces

    def _hang(self, buffers: int, ceiling: int) -> int:
        """Place buffers one under the other from a ceiling on; the height that they leave."""
        for index in bits_of(buffers):
            ceiling -= self.blocks[index].size
            self.offsets[index] = ceiling
        return ceiling

    def _raise_floors(self, part: _Part) -> list[int] | None:
        """Raise each floor to where a buffer of its section can rest; None if slack runs out.

        A buffer lies no lower than the highest floor under it.  Updates `room` and `slack` in place
        and returns, by section, the mask of the buffers that can rest on its floor.
        """
        first, buffers, _, room, slack = part
        alive = [mask & buffers for mask in self._sections[first : first + len(room)]]
        resting = alive[:]
        above = 0  # buffers over a floor at least as high as the current level
        level = -1
        levels: list[int] = []  # from the highest floor to the lowest
        free: list[int] = []  # buffers over no floor higher than that level
        for section in sorted(range(len(room)), key=room.__getitem__):
            if room[section] != level:
                level = room[section]
                levels.append(level)
                free.append(~above)
            above |= alive[section]
            resting[section] &= free[-1]
            position = len(free) - 1
            while not resting[section]:
                position -= 1
                resting[section] = alive[section] & free[position]
            slack[section] -= level - levels[position]
            if slack[section] < 0:
                self.excess = min(self.excess, -slack[section])
                return None
            room[section] = levels[position]
        return resting

    def _children(self, part: _Part, resting: Sequence[int]) -> Iterator[_Part]:
        """The ways to continue at the most constrained section, which exclude each other."""
        first, buffers, top, room, slack = part
        section = self._branching_section(part, resting)
        floor = room[section]
        rank = self._strategy.rank
        tried = set()
        for index in sorted(bits_of(resting[section]), key=rank.__getitem__):
            block = self.blocks[index]
            begin, end = self._spans[index]
            if (begin, end, block.size) in tried:
                continue
            tried.add((begin, end, block.size))
            self.offsets[index] = top - floor
            lower = room[:]
            lower[begin - first : end - first] = [floor - block.size] * (end - begin)
            yield _Part(first, buffers & ~(1 << index), top, lower, slack[:])
        next_floor = self._next_floor(part, section)
        if next_floor is None:
            return
        waste = floor - next_floor
        if waste > slack[section]:
            self.excess = min(self.excess, waste - slack[section])
            return
        lower, less = room[:], slack[:]
        lower[section] = next_floor
        less[section] -= waste
        yield _Part(first, buffers, top, lower, less)

    def _branching_section(self, part: _Part, resting: Sequence[int]) -> int:
        """The section, within the valleys of the skyline, that leaves the fewest choices."""
        room, slack = part.room, part.slack
        count = len(room)
        best, chosen = 0, -1
        end = 0
        while end < count:
            begin, floor = end, room[end]
            while end < count and room[end] == floor:
                end += 1
            if (begin and room[begin - 1] > floor) or (end < count and room[end] > floor):
                continue  # a step down beside it: buffers may hang over the edge
            for section in range(begin, end):
                # To let no buffer rest here is a choice too, if there is slack, and the worst.
                score = 2 * resting[section].bit_count() + (3 if slack[section] else 0)
                if chosen < 0 or score < best or (score == best and self._strategy.rightmost):
                    best, chosen = score, section
        return chosen

    def _next_floor(self, part: _Part, section: int) -> int | None:
        """The room left at `section` at most if no buffer rests on its floor; None if one must.

        A buffer from outside the valley lies on a wall; one from inside rests on some buffer that
        does not reach this section.
        """
        first, buffers, _, room, _ = part
        floor = room[section]
        here = self._sections[first + section] & buffers
        best = -1
        for index in bits_of(here):
            height = self._room_over(index, part)
            if height == floor:
                neighbours = 0
                for neighbour in range(*self._spans[index]):
                    neighbours |= self._sections[neighbour]
                supports = bits_of(neighbours & buffers & ~here)
                height = max(
                    (self._room_over(i, part) - self.blocks[i].size for i in supports), default=-1
                )
            best = max(best, height)
        return best if best >= 0 else None

    def _room_over(self, index: int, part: _Part) -> int:
        """The room above the highest floor under a buffer."""
        begin, end = self._spans[index]
        return min(part.room[begin - part.first : end - part.first])
