"""The cost model: the one place where figures of a target become choices.

A choice is a question about a problem (`ProductSizes`, `ConvSizes`), with the cycles of each
answer; `decide` gives the cheapest, unless the target's tuning record has measured another.

Times are in cycles of one core.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from ....sizes import round_up
from ....target import Target
from ....types import f32
from .register_tiles import FMAS_PER_CYCLE, ProductSizes, Tile, tiles_by_cycles

Answer = TypeVar("Answer")

SPILLED_PANEL = 2  # what a panel costs that leaves the second cache, at least
PACKING_TILES = 8  # of rows make good for copying a panel, which the first of them does
PAGE_BYTES = 4096  # beyond which no hardware fetches ahead
PACKED_ROWS = 64  # that meet filters make good for packing these anew each time
TILES_IN_A_RUN = 4  # cache lines of a row that are written one after the other
PANELS = 4  # enough to deal to threads; fixed, so that no code depends on how many there are
ROW_CHUNKS = (8, 4, 16, 2, 32)  # pieces that rows are cut in, the usual number first
PREFETCHING_TILES = 8  # of rows, over which the next panel comes from the last cache meanwhile
ASKING_TILES = 4  # the fewest of a chunk of rows over which it is asked for
PIECES = 8  # of a product at least, where it has them: threads get equal numbers of them
SHARED_MOVES = 128 << 10  # bytes: half come from another core later than a dispatch takes
DOUBT = 4  # within this factor a border may be elsewhere
RULE_OF_THUMB = 1.1  # how much slower the other way is taken to be, where no figure tells


def decide(
    problem: object, question: str, cycles: Mapping[Answer, float], target: Target
) -> Answer:
    """The answer to a question about a problem: as recorded by the tuner, else the cheapest one,
    the first among equals."""
    ranked = sorted(cycles, key=lambda answer: cycles[answer])
    names = {str(answer): cycles[answer] for answer in ranked}
    chosen = target.tuning.choose(str(problem), question, names)
    return next(answer for answer in ranked if str(answer) == chosen)


def decide_rule(problem: object, question: str, rule: bool, target: Target) -> bool:
    """`decide` for a question that a rule answers with yes or no."""
    cycles = {"yes": 1.0 if rule else RULE_OF_THUMB, "no": RULE_OF_THUMB if rule else 1.0}
    return decide(problem, question, cycles, target) == "yes"


def choose_tile(sizes: ProductSizes, target: Target) -> Tile:
    """The register tile of a product; its panels, if it is packed, give its width."""
    return decide(sizes, "tile", tiles_by_cycles(sizes, target), target)


def panel_width(sizes: ProductSizes, target: Target) -> int:
    """Columns of the panels in which the right operand of a product is packed.

    Where rows share a panel, two of them should stay in the second cache: the one in use and the
    next. A graphics card has all of them in one, whose rows begin where a thread's access may.
    """
    if target.gpu is not None:
        access = target.lanes(sizes.dtype)
        return round_up(sizes.columns, access)
    kept = target.l2_bytes // (2 * sizes.depth * target.vector_bytes)
    widths: dict[int, float] = {}
    for tile, cycles in tiles_by_cycles(sizes, target).items():
        spills = sizes.rows > 1 and tile.vectors > max(2, kept)
        widths.setdefault(tile.columns, cycles * (SPILLED_PANEL if spills else 1))
    return decide(sizes, "panel", widths, target)


def right_bytes(sizes: ProductSizes) -> int:
    """Bytes of the right operand of one product."""
    return sizes.depth * sizes.dtype.bytes * sizes.columns


def panels_first(sizes: ProductSizes, tile: Tile, target: Target) -> bool:
    """Whether the panels of a product's right operand go outermost, all rows inside: where that
    operand would leave the nearest caches between two rows of tiles, and the panels of all products
    are enough to be dealt out."""
    panels = -(-sizes.columns // tile.columns)
    # Only a packed panel is asked for ahead of time, which pays where each product has its own.
    far = sizes.far(target) if sizes.panel else replace(sizes, count=1).far(target)
    far = far or asked_anew(sizes, tile, target)
    return decide_rule(sizes, "panels first", far and panels * sizes.count >= PANELS, target)


def panels_together(products: int) -> bool:
    """Whether the panels of so many products are dealt to threads together, which get equal numbers
    of them then: where the products are few, and no multiple of the pieces that there are to be."""
    return products < 4 * PIECES and products % PIECES != 0


def asked_anew(sizes: ProductSizes, tile: Tile, target: Target) -> bool:
    """Whether the panels of one product are asked for ahead though they stay in the second cache
    from one chunk of rows to the next: packed they are a model's weights, and other weights have
    driven them out since the last call, if they are as large."""
    enough = sizes.rows >= 2 * ASKING_TILES * tile.rows and sizes.count == sizes.windows == 1
    return bool(sizes.panel) and enough and right_bytes(sizes) > target.l2_bytes // 4


def row_chunks(sizes: ProductSizes, tile: Tile, target: Target) -> int:
    """Pieces in which rows are dealt to threads, each passing through all panels; 1 where panels
    are dealt instead. The target's threads are not asked for: no result depends on them.

    Where the right operand stays in the second cache, as many as make enough pieces, each of some
    tiles if panels are asked for meanwhile; where it is read from the last cache again for each
    chunk, only two: threads that then find their rows in their own caches gain more than that, or
    get equal work where there are few panels. From memory it is read once.
    """
    tiles, panels = sizes.rows // tile.rows, -(-sizes.columns // tile.columns)
    counts = [count for count in ROW_CHUNKS if count <= tiles]
    if not counts or right_bytes(sizes) > target.l3_bytes // 8:
        return 1
    if sizes.far(target) and panels >= PANELS:
        usual = 2 if tiles >= 2 * PREFETCHING_TILES or panels < PIECES else 1
    elif tiles >= ROW_CHUNKS[0]:
        asking = asked_anew(sizes, tile, target) and panels >= PANELS
        least = ASKING_TILES if asking else 1
        usual = next(count for count in (8, 4, 2) if tiles >= count * least)
    else:
        usual = next((count for count in (2, 4) if count * panels >= PIECES), max(counts))
    cycles = {count: RULE_OF_THUMB ** (count != usual) for count in (*counts, 1)}
    return decide(sizes, "row chunks", cycles, target)


def worth_packing(sizes: ProductSizes, step: int, tile: Tile, target: Target) -> bool:
    """Whether a panel of the right operand is copied together before the rows stream by: where
    its rows, `step` bytes apart, meet in the same few sets of the nearest cache, or leave it and
    lie in a page each, so that nothing fetches them ahead; and there are tiles of rows enough to
    make good for the copy."""
    apart = step & -step  # the power of two that decides which sets a row may be in
    row = tile.columns * sizes.dtype.bytes
    collide = apart > row and sizes.depth * apart > target.l1_bytes
    scattered = step >= PAGE_BYTES and sizes.depth * row > target.l1_bytes
    rule = (collide or scattered) and sizes.rows >= PACKING_TILES * tile.rows
    return decide_rule(sizes, "panels copied", rule, target)


def memory_bound(moved: int, target: Target) -> bool:
    """Whether what a kernel reads and writes comes from memory rather than a cache."""
    return moved > target.l3_bytes // 4


def worth_threads(cycles: float, target: Target) -> bool:
    """Whether work of this many cycles is worth dispatching to other threads."""
    return cycles >= target.parallel_cycles


def idle(pieces: int) -> float:
    """The share of their time for which `PIECES` threads have none of so many equal pieces; that
    of fewer threads is less."""
    return 1 - pieces / round_up(pieces, PIECES)


def worth_sharing_moves(moved: int, target: Target) -> bool:
    """Whether threads that are awake share what moves so many bytes between their caches."""
    return decide_rule(f"{moved} bytes moved", "moves shared", moved >= SHARED_MOVES, target)


def worth_sharing(sizes: ProductSizes, cycles: float, target: Target) -> bool:
    """`worth_threads` for a product of these cycles; only near the border is it a question."""
    rule = worth_threads(cycles, target)
    if not 1 / DOUBT < cycles / target.parallel_cycles < DOUBT:
        return rule
    return decide_rule(sizes, "threads", rule, target)


def worth_transposing(rows: int, columns: int, lanes: int) -> bool:
    """Whether a tile is better read in vectors and turned in registers than element by element:
    `lanes * log2(lanes)` shuffles against a load and an insertion each."""
    high, wide = min(rows, lanes), min(columns, lanes)
    return wide + lanes * (lanes.bit_length() - 1) < 2 * high * wide


def worth_long_runs(rows: int, lanes: int) -> bool:
    """Whether results as narrow as a tile are written one after the other for a tile's rows before
    the next ones: where so many rows at once would drive out lines that are begun, and there are
    enough tiles of them to deal to threads."""
    return rows >= PIECES * lanes


def memory_cycles(count: int, target: Target) -> float:
    """Cycles in which one core reads or writes so many bytes of memory."""
    return count / target.memory_bandwidth * _cycles_a_second(target)


def cache_cycles(count: int, target: Target) -> float:
    """Cycles in which one core reads or writes so many bytes of the last cache."""
    return count / target.l3_bandwidth * _cycles_a_second(target)


def near_cycles(count: int, target: Target) -> float:
    """Cycles in which one core reads or writes so many bytes of its second cache."""
    return count / target.l2_bandwidth * _cycles_a_second(target)


def _cycles_a_second(target: Target) -> float:
    return target.peak_flops / (2 * FMAS_PER_CYCLE * target.lanes(f32))
