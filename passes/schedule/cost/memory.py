"""The cost model of what memory decides: matrices read for one row, rows that go through several
nests, requests ahead and stores past the caches."""

from __future__ import annotations

from dataclasses import dataclass

from ....target import Target
from ....tile.instructions.table import LINE_BYTES
from .model import (
    PIECES,
    RULE_OF_THUMB,
    decide,
    decide_rule,
    memory_bound,
    memory_cycles,
    right_bytes,
)
from .register_tiles import ProductSizes

WRITTEN_BYTES = 32 << 20  # beyond which a large last cache is no better than memory, as measured
STREAMED_PRODUCTS = 8  # rows multiplied by one matrix that is read once, for sums in caches
STREAMED_ROWS = 8  # read side by side: what prefetching in hardware follows, and registers hold
DEEP_ROWS = 64  # of a piece, beside which its sums' way to the second cache is little
STREAMED_LINES = 32  # read one after the other, at least: half a page
SUMMED_LINES = 4  # of each row, below which its sums are better kept in registers
STREAMED_COLUMNS = 1024  # their sums stay in the nearest cache, one page of each row is read
ROW_CUTS = (1, 2, 4, 8)  # pieces of the rows of a matrix
ROWS_IN_FLIGHT = 4  # hide the latency of joining the lanes of one
ROW_BUFFERS = 3  # a row that is read, what is kept of it, and the one that is written
STAGGERED_ROWS = 32  # of a block: the first and the last of which are on their own
STAGGERED_BLOCKS = 16  # of all rows, at least: threads share them
STAGGERED_BYTES = 1024  # kept of a row, below which the latency of its sums counts for more
STREAM_COUNTS = (1, 2, 4, 8)
STREAM_RUN = 1024  # bytes read of one before the next
STREAM_AHEAD = 4096  # bytes: what memory delivers in the time that it takes to answer
HURRY = 1.1  # of what memory delivers at best: then products wait for it
EARLY_PANELS = 4  # in the second cache: the one in use, the next, and rows
ROW_AHEAD = 2560  # bytes, of rows that are read side by side, for lines not to meet in a cache
FAR_AHEAD = 8192  # bytes, where data is read in bursts, or at several places


def worth_streaming(sizes: ProductSizes, target: Target) -> bool:
    """Whether a matrix that one row or a few are multiplied by is read row by row, not in panels:
    where it comes from far away and its rows are long. Sums of several rows should fit the second
    cache, and the last one hold hardly any of the matrix, else panels with sums in registers are
    faster."""
    long = sizes.columns >= STREAMED_COLUMNS // 4
    far = right_bytes(sizes) > target.l1_bytes
    if sizes.rows > 1:
        few = sizes.rows <= STREAMED_PRODUCTS and sizes.depth >= PIECES * STREAMED_ROWS
        far = few and summed_bytes(sizes) <= target.l2_bytes // 4
        far &= right_bytes(sizes) >= target.l3_bytes // 2
    return decide_rule(sizes, "streamed", long and far, target)


def summed_bytes(sizes: ProductSizes) -> int:
    """Bytes of the sums of all columns."""
    return sizes.rows * sizes.columns * sizes.dtype.bytes


def worth_adding_rows(sizes: ProductSizes, target: Target) -> bool:
    """Whether the columns of a matrix are summed row by row, not some columns at a time: where they
    are some cache lines of each row, which would come from far away again for the next columns."""
    wide = sizes.columns * sizes.dtype.bytes >= SUMMED_LINES * LINE_BYTES
    return decide_rule(sizes, "rows added", wide and right_bytes(sizes) > target.l1_bytes, target)


@dataclass(frozen=True)
class StreamPieces:
    """How a matrix is cut that is read row by row: into `rows` equal pieces of its rows, and these
    into pieces of so many `columns`."""

    rows: int
    columns: int

    def __str__(self) -> str:
        return f"{self.rows} of rows, {self.columns} columns"


def stream_pieces(sizes: ProductSizes, target: Target, *, rows_too: bool) -> StreamPieces:
    """The pieces in which one row is multiplied by a matrix, enough for threads; `rows_too` says
    that the matrix may be cut between its rows. Several rows always are.

    One that comes from memory is best read as it lies there, in rows as long as their sums stay in
    the nearest cache; or in the second one, where reading ahead goes on from one row to the next
    and a piece has rows enough to make good for that.
    """
    lanes = target.lanes(sizes.dtype)
    even = StreamPieces(1, streamed_columns(sizes.columns, lanes))
    deep = sizes.depth >= PIECES * DEEP_ROWS
    whole = sizes.rows > 1 or (deep and goes_on(sizes, target))
    room = target.l2_bytes // 4 if whole else target.l1_bytes // 2
    beside = -(-summed_bytes(sizes) // room)
    columns = -(-sizes.columns // (beside * lanes)) * lanes
    most = sizes.depth // STREAMED_ROWS if rows_too else 1
    cuts = [rows for rows in ROW_CUTS if rows <= max(1, most)]
    enough = (StreamPieces(rows, columns) for rows in cuts if rows * beside >= PIECES)
    usual = next(enough, even) if sizes.far(target) else even
    if sizes.rows > 1:
        return next(enough, usual)
    pieces = even, *(StreamPieces(rows, columns) for rows in cuts)
    cycles = {piece: RULE_OF_THUMB ** (piece != usual) for piece in pieces}
    return decide(sizes, "stream pieces", cycles, target)


@dataclass(frozen=True)
class RowsRead:
    """How many rows of a matrix are read side by side, as far `apart` as they can be, so that each
    is followed by the next one in memory, or neighbours; `prefetched` or not."""

    rows: int
    apart: bool
    prefetched: bool


def rows_read(sizes: ProductSizes, pieces: StreamPieces, target: Target) -> RowsRead:
    """How a piece of a matrix is read: at as many places as a core reads fastest at, each of them a
    stream without an end. What comes from memory is prefetched all the same: vectors that lie
    across two cache lines, as in arrays of NumPy, wait for both."""
    if goes_on(sizes, target) and pieces.columns >= sizes.columns:
        prefetched = memory_bound(right_bytes(sizes), target)
        return RowsRead(target.read_streams, True, prefetched)
    prefetched = sizes.far(target) and target.followed_rows < STREAMED_ROWS
    return RowsRead(STREAMED_ROWS, False, prefetched)


def goes_on(sizes: ProductSizes, target: Target) -> bool:
    """Whether rows of a matrix are read at some places, from each of which a core reads on by
    itself: where it comes from far away."""
    streams = target.read_streams
    return sizes.far(target) and streams > 1 and follows(streams, target)


def streamed_columns(columns: int, lanes: int) -> int:
    """Columns of a matrix read row by row that one piece of the work has: so many that there are
    enough pieces, but some lines of each row, at most a page."""
    even = -(-columns // (PIECES * lanes)) * lanes
    return min(STREAMED_COLUMNS, max(STREAMED_LINES * lanes, even))


def read_streams(moved: int, cycles: float, target: Target) -> int:
    """At how many places at once so many bytes are read for so many cycles of arithmetic: what
    comes from memory at several, each of which the hardware reads ahead of. Where it does so by
    itself they are read side by side, which repeats the arithmetic: it must be little."""
    usual = target.read_streams if memory_bound(moved, target) else 1
    if follows(usual, target) and cycles >= memory_cycles(moved, target):
        usual = 1
    ranked = {count: RULE_OF_THUMB ** (count != usual) for count in STREAM_COUNTS}
    return decide(f"{moved} bytes read once", "streams", ranked, target)


def follows(streams: int, target: Target) -> bool:
    """Whether a core reads ahead at so many places by itself, however little it reads of each in
    turn; else they are read in bursts, and asked for."""
    return target.asked_places == 1 and streams <= target.followed_rows


def worth_prefetching(cycles: float, moved: int, target: Target) -> bool:
    """Whether data that a kernel reads once, from one end to the other, is asked for ahead: where
    the arithmetic takes about as long as memory does. A core with little to compute looks far
    enough ahead by itself, and requests would only be in its way."""
    return memory_bound(moved, target) and 2 * cycles >= memory_cycles(moved, target)


def worth_prefetching_early(step: float, panel: int, target: Target) -> bool:
    """Whether a panel of so many bytes is asked for from the first tile over the one before it on,
    not as late as it can be: where memory hardly delivers a line in a `step` of a tile's sums, and
    the panel in use stays in the second cache all the same."""
    hurried = HURRY * memory_cycles(LINE_BYTES, target) > step
    return hurried and EARLY_PANELS * panel <= target.l2_bytes


def beyond_caches(moved: int, target: Target) -> bool:
    """Whether what a kernel reads and writes is so much that little of it stays in a cache, so
    that writing it past them saves reading each line first. One core finds little of what it wrote
    in a last cache that many share, however large that is."""
    return moved >= min(target.l3_bytes, WRITTEN_BYTES)


@dataclass(frozen=True)
class RowSizes:
    """The problem of a kernel that goes through `rows` in several nests: it moves so many bytes in
    all and keeps `scratch` bytes of each row."""

    rows: int
    moved: int
    scratch: int

    def __str__(self) -> str:
        return f"{self.rows} rows, {self.moved} bytes moved, {self.scratch} kept of each"


def rows_in_flight(sizes: RowSizes, target: Target) -> int:
    """How many rows go through each nest before the next one, a divisor of the rows there are: a
    few hide the latency of joining a row's lanes, if they and what is made of them stay in the
    nearest cache; but what comes from memory is better read steadily, one row at a time."""
    most = target.l1_bytes // (ROW_BUFFERS * max(1, sizes.scratch))
    if memory_bound(sizes.moved, target):
        most = 1
    counts = [count for count in range(1, ROWS_IN_FLIGHT + 1) if sizes.rows % count == 0]
    usual = max((count for count in counts if count <= most), default=1)
    cycles = {count: RULE_OF_THUMB ** (count != usual) for count in counts}
    return decide(sizes, "rows in flight", cycles, target)


def staggered_rows(sizes: RowSizes, target: Target) -> int:
    """How many rows follow one another so that each is written while the next is computed, a
    divisor of the rows there are; 1 where it does not pay, or two rows would leave the caches."""
    most = min(STAGGERED_ROWS, sizes.rows // STAGGERED_BLOCKS)
    if not STAGGERED_BYTES <= sizes.scratch <= target.l2_bytes // 4:
        most = 1
    counts = [count for count in range(1, STAGGERED_ROWS + 1) if sizes.rows % count == 0]
    usual = max((count for count in counts if count <= most), default=1)
    cycles = {count: RULE_OF_THUMB ** (count != usual) for count in counts}
    return decide(sizes, "rows written during the next", cycles, target)
