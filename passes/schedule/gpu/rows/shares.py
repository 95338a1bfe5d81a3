"""How rows are dealt to a card's threads: from a few lanes for a short one to all of a block's, and
what of it they keep in registers.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from .....expr import Load
from .....target import Gpu
from .....tile.analyses.alignment import WIDEST
from .....tile.instructions.warps import LANES
from .....tile.tree import accesses
from .....types import DType
from ..work import iterations
from .reductions import Rows, recomputed
from .statistics import with_joined_sums

ELEMENTS = 32  # that a lane has before more warps share a row
REGISTERS = 96  # of a lane that may hold parts of rows, of as many as there are beside
OTHERS = 32  # that it needs for the rest
REGISTER_FILE = 64 << 10  # of a multiprocessor, for the threads of one block at least
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
    streamed = with_joined_sums(rows_again)
    share = _share(streamed, width, 0, gpu)
    return None if share is None else Dealt(streamed, share, ())


def _read_again(rows: Rows) -> tuple[Load, ...]:
    """What more than one loop reads."""
    found = Counter(load for loop in rows.row_loops for load in rows.loads(loop))
    return tuple(load for load, count in found.items() if count > 1)


def _words(rows: Rows, held: tuple[Load, ...]) -> float:
    """The most registers that an element of a row takes at once: from when it is read or computed
    until it is read for the last time."""
    read = [set(rows.loads(loop)) for loop in rows.row_loops]
    spans = [_Span.of([load in loads for loads in read], load.dtype) for load in held]
    touched = [{name for name, _, _ in accesses((loop,))} for loop in rows.row_loops]
    spans += [
        _Span.of([local.name in names for names in touched], local.dtype) for local in rows.locals
    ]
    ends = {span.last for span in spans}
    return max(
        (sum(span.words for span in spans if span.first < end <= span.last) for end in ends),
        default=0,
    )


@dataclass(frozen=True)
class _Span:
    """The loops between which registers hold something, and how many for an element."""

    first: int
    last: int
    words: float

    @staticmethod
    def of(used: list[bool], dtype: DType) -> _Span:
        places = [place for place, there in enumerate(used) if there]
        # What is narrower is held as it came, and once more as what the compiler made of it.
        words = dtype.bytes / 4 + (dtype.bytes < 4)
        return _Span(places[0], places[-1], words)


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

    def fits() -> bool:
        return elements() * words <= min(REGISTERS, REGISTER_FILE // share.together - OTHERS)

    while share.together < gpu.block_threads and (elements() > ELEMENTS or is_idle()):
        share = Share(width, LANES, share.warps * 2, runs)
    most = min(THREADS, 4 * gpu.block_threads)
    while share.together < most and (not fits() or (not words and is_idle())):
        share = Share(width, LANES, share.warps * 2, runs)
    return share if fits() else None
