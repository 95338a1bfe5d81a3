"""How rows are dealt to a card's threads: from a few lanes for a short one to all of a block's, and
what of it they keep in registers.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from ....expr import Load
from ....target import Gpu
from ....tile.alignment import WIDEST
from ....tile.warps import LANES
from .rows import Rows, recomputed
from .work import iterations

ELEMENTS = 32  # that a lane has before more warps share a row
REGISTERS = 64  # of a lane that may hold parts of rows
FEWEST = 8  # elements a lane, where rows are too few to keep the card busy
THREADS = 1024  # of a block at most
BUSY = 512  # threads that keep a multiprocessor busy with memory


@dataclass(frozen=True)
class Share:
    """A row of `runs` of `width` neighbours is dealt to some `lanes` of a warp, or to those of
    several `warps`; each has a run in each of its `turns`."""

    width: int
    lanes: int
    warps: int
    runs: int

    @property
    def together(self) -> int:
        """Lanes that have one row."""
        return self.lanes * self.warps

    @property
    def turns(self) -> int:
        return -(-self.runs // self.together)

    @property
    def rows(self) -> int:
        """That a warp has at once."""
        return LANES // self.lanes

    @property
    def several(self) -> bool:
        return self.rows > 1

    def rows_beside(self, number: int, gpu: Gpu) -> int:
        """How many warps of a block have rows of their own: more than one once all
        multiprocessors have a block."""
        if self.warps > 1:
            return 1
        most = max(1, gpu.block_threads // LANES)
        return max(1, min(most, number // (self.rows * gpu.multiprocessors)))


@dataclass(frozen=True)
class Dealt:
    """Rows, how they are dealt, and the loads that are kept in registers."""

    rows: Rows
    share: Share
    held: tuple[Load, ...]


def deal(rows: Rows, gpu: Gpu) -> Dealt | None:
    """Rows in registers, if those of a block suffice; else rows that are read again by every loop,
    if they have no buffers of their own that would have to be kept."""
    width = rows.width(WIDEST)
    held = _read_again(rows)
    share = _share(rows, width, _words(rows, held), gpu)
    if share is not None:
        return Dealt(rows, share, held)
    rows_again = recomputed(rows)
    if rows_again is None:
        return None
    share = _share(rows_again, width, 0, gpu)
    return None if share is None else Dealt(rows_again, share, ())


def _read_again(rows: Rows) -> tuple[Load, ...]:
    """What more than one loop reads."""
    found = Counter(load for loop in rows.row_loops for load in rows.loads(loop))
    return tuple(load for load, count in found.items() if count > 1)


def _words(rows: Rows, held: tuple[Load, ...]) -> float:
    """The registers that an element of a row takes: what was read as it is in memory, what was
    computed as a value."""
    read = sum(max(load.dtype.bytes / 4, 0.25) for load in held)
    return read + sum(max(local.dtype.bytes // 4, 1) for local in rows.locals)


def _share(rows: Rows, width: int, words: float, gpu: Gpu) -> Share | None:
    """The fewest lanes that suffice; more where rows are few."""
    runs = rows.extent // width
    if runs <= LANES:
        return Share(width, 1 << (runs - 1).bit_length(), 1, runs)
    number = iterations(list(rows.loops))
    share = Share(width, LANES, 1, runs)

    def elements() -> int:
        return share.turns * width

    def is_idle() -> bool:
        few = number * share.together < gpu.multiprocessors * BUSY
        return few and elements() > max(FEWEST, width)

    while share.together < gpu.block_threads and (elements() > ELEMENTS or is_idle()):
        share = Share(width, LANES, share.warps * 2, runs)
    while share.together < min(THREADS, 4 * gpu.block_threads) and elements() * words > REGISTERS:
        share = Share(width, LANES, share.warps * 2, runs)
    return share if elements() * words <= REGISTERS else None
