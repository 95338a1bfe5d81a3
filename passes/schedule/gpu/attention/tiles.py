"""How attention is cut for a card: queries of a block, keys at a time, parts of the keys.

Where warps multiply, a multiprocessor has two blocks of four warps, an eighth of the warps it
could have. A warp of 32 queries of depth 64 has 64 registers of sums, as many of scores and 32 of
queries: some 215 of the 255 that a thread may have, and twice 128 threads fill the 65536 there
are. A third block leaves 168, which is 16 queries a warp: then each fragment of keys and values
is loaded for one product instead of two. A load of four matrices takes four cycles of shared
memory (512 bytes, 128 a cycle), a product eight of one of four tensor cores (A100): a step of 64
keys has 128 products and 8 of totals, 1088 cycles, beside 32 loads in each of four warps, 512
cycles; of 16 queries it would be as many cycles for half the products. The latency of products is
hidden without more warps: a score's four wait for each other, but those of sixteen fragments of
scores do not. At depth 128 the sums of 32 queries take twice the registers: then the keys of a
step are half as many, and fragments of queries come from shared memory again, 48 loads for 128
products instead of 64 of warps of 16 queries.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from math import prod

from .....expr import Expr
from .....sizes import round_up
from .....target import Gpu
from .....tile.instructions.warpgroups import ATTENDED
from .....tile.instructions.warps import NARROW, ROWS, TERMS
from .....types import DType, bf16, f32

MOST_DEPTH = 128  # sums of a warp's queries fill its registers
STAGES = 2  # of keys and values in shared memory
BLOCKS = 2  # that a multiprocessor should have to be busy, and has room for
STEPS = 4  # over blocks of keys that are worth a block
GRADIENT_DEPTH = 128  # of a warp's two sums together that it has beside many columns of scores
WIDE_ROWS = 128  # of a block whose warps have twice as many queries each
WIDE_COLUMNS = 32  # that come by such a block, at a time
GROUP_ROWS, GROUP_COLUMNS = 128, ATTENDED  # of a block whose warpgroups have 64 queries each
LEAST_DEPTH = 32  # of what warpgroups multiply, and more
HEIGHTS = (128, 64, 32, 16)  # queries of a block

# Of lanes that multiply f32: they stand so many rows high and keys wide.
HIGH, WIDE = 4, 8
LANE_ROWS = 4  # of one lane, or twice as many
QUAD = 4  # neighbouring elements that a lane reads of shared memory at once
PADDING = 4  # elements after each row of a tile: eight rows begin in banks of their own
WEIGHTS_PADDING = 8  # four rows do, of which a lane has eight neighbours each


@dataclass(frozen=True)
class Stretch:
    """Steps from the first to before the last one, and whether their scores are to be masked:
    those of the others are done without a test."""

    first: Expr
    last: Expr
    masked: bool


@dataclass(frozen=True)
class Tiles:
    """What a block has in shared memory: `rows` queries and `columns` keys of `depth`, values of
    `width`."""

    rows: int
    columns: int
    depth: int
    width: int

    def bytes_of_fragments(self, dtype: DType) -> int:
        """Where warps multiply fragments."""
        depth, width = round_up(self.depth, TERMS), round_up(self.width, TERMS)
        return (self.rows * depth + STAGES * self.columns * (depth + width)) * dtype.bytes

    @property
    def bytes_of_lanes(self) -> int:
        """Where lanes multiply f32; their weights go through shared memory too."""
        depth, width = round_up(self.depth, QUAD) + PADDING, round_up(self.width, WIDE * QUAD)
        weights = self.rows * (self.columns + WEIGHTS_PADDING)
        keys = STAGES * self.columns * (depth + width)
        return (self.rows * depth + keys + weights) * f32.bytes


def blocks_on_card(
    queries: tuple[int, ...],
    keys: tuple[int, ...],
    values: tuple[int, ...],
    dtype: DType,
    causal: bool,
    gpu: Gpu,
) -> tuple[int, int, int] | None:
    """Queries and keys of a block, and parts of the keys, of an attention with operands of such
    shapes; None where there is no kernel for it."""
    depth = max(queries[-1], values[-1])
    if dtype not in (*NARROW, f32) or depth > MOST_DEPTH:
        return None
    batch, together = _batch(queries, keys, values), heads_together(queries, keys, values)
    heads = prod(batch[: len(batch) - together])
    each = queries[-2] * prod(batch[len(batch) - together :])
    narrow = factors(dtype, gpu)
    fits = narrow is not None or depth <= 64
    wide = fits and heads * -(-each // WIDE_ROWS) >= gpu.multiprocessors
    if wide and narrow is not None and _fits_warpgroups(queries, keys, values, gpu):
        return GROUP_ROWS, GROUP_COLUMNS, 1
    heights = [
        rows
        for rows in HEIGHTS
        if (rows == HEIGHTS[-1] or rows // 2 < each)
        and (rows < WIDE_ROWS or wide)
    ]
    cuts = [(rows, columns) for rows in heights for columns in _keys_of(rows, depth, narrow)]
    for rows, columns in cuts:
        tiles = Tiles(rows, columns, queries[-1], values[-1])
        taken = tiles.bytes_of_fragments(narrow) if narrow else tiles.bytes_of_lanes
        # Of few warps each brings so much more: the places of that take registers.
        if taken <= _room(gpu) and columns <= rows * 2:
            break
    else:
        return None
    columns = min(columns, round_up(keys[-2], TERMS))
    steps = -(-keys[-2] // columns)
    wanted = BLOCKS * gpu.multiprocessors // (heads * -(-each // rows))
    parts = 1 if causal else max(1, min(wanted, steps // STEPS))
    return rows, columns, -(-steps // -(-steps // parts))


def _fits_warpgroups(
    queries: tuple[int, ...], keys: tuple[int, ...], values: tuple[int, ...], gpu: Gpu
) -> bool:
    """Whether warpgroups would multiply, and little that is nothing: of heads whose depth is half
    of a box they multiply as much again, in as much time as warps take."""
    depth, width = queries[-1], values[-1]
    whole = not heads_together(queries, keys, values) and keys[-2] > GROUP_COLUMNS // 2
    return gpu.warpgroup_products and whole and min(depth, width) > LEAST_DEPTH


def keys_of_warps(depth: int) -> int:
    """Keys at a time of a block of `WIDE_ROWS` queries, where warps multiply."""
    return _keys_of(WIDE_ROWS, depth, bf16)[0]


def _keys_of(rows: int, depth: int, narrow: DType | None) -> tuple[int, ...]:
    """Keys at a time, the best first."""
    if narrow is None:
        return (32, 16)
    return (32,) if rows >= WIDE_ROWS and depth > 64 else (64, 48, 32, 16)


def gradient_blocks(
    queries: tuple[int, ...], values: tuple[int, ...], dtype: DType, gpu: Gpu
) -> tuple[int, int] | None:
    """Queries, and as many keys, of a block, and how many of the others come at a time, for the
    gradients of an attention; None where there is no kernel for them."""
    if dtype not in (*NARROW, f32) or max(queries[-1], values[-1]) > MOST_DEPTH:
        return None
    each, narrow = max(queries[-2], values[-2]), factors(dtype, gpu)
    unit = TERMS if narrow else WIDE * QUAD
    depth = round_up(queries[-1], unit) + round_up(values[-1], unit)
    more, fewer = (64, 32) if narrow else (32, 16)
    for rows, columns in product(HEIGHTS[1:], (more, fewer)):
        if columns == more and (depth > GRADIENT_DEPTH or columns > rows):
            continue
        taken = _gradient_bytes(rows, columns, depth, narrow)
        if taken <= _room(gpu) and (rows == HEIGHTS[-1] or rows // 2 < each):
            return rows, columns
    return None


def wide_queries(
    queries: tuple[int, ...], values: tuple[int, ...], dtype: DType, gpu: Gpu
) -> tuple[int, int] | None:
    """As `gradient_blocks`, for the launch that has blocks of queries: warps with twice as many
    load what comes by half as often. None where there would be too few blocks, and where their sums
    are too many; those of the launch that has blocks of keys are, always."""
    narrow = factors(dtype, gpu)
    depth = round_up(queries[-1], TERMS) + round_up(values[-1], TERMS)
    blocks = prod(queries[:-2]) * (queries[-2] // WIDE_ROWS)
    if narrow is None or depth > GRADIENT_DEPTH or blocks < gpu.multiprocessors:
        return None
    fits = _gradient_bytes(WIDE_ROWS, WIDE_COLUMNS, depth, narrow) <= _room(gpu)
    return (WIDE_ROWS, WIDE_COLUMNS) if fits else None


def _gradient_bytes(rows: int, columns: int, depth: int, narrow: DType | None) -> int:
    """Shared memory for tiles of both factors of scores, together so deep, and for the numbers of
    each query: two bases at most, and the sum along its row."""
    numbers = STAGES * columns * 3 * f32.bytes
    if narrow:
        return (rows + STAGES * columns) * depth * narrow.bytes + numbers
    weights = rows * (columns + WEIGHTS_PADDING) * f32.bytes
    return (rows + STAGES * columns) * (depth + 2 * PADDING) * f32.bytes + weights + numbers


def _room(gpu: Gpu) -> int:
    """Bytes of shared memory for a block."""
    return max(gpu.static_shared_bytes, gpu.shared_bytes // BLOCKS)


def factors(dtype: DType, gpu: Gpu) -> DType | None:
    """The type that warps multiply for an attention of a type, if there is one."""
    if dtype in NARROW:
        return dtype
    return gpu.narrow_factors if dtype == f32 else None


def heads_together(
    queries: tuple[int, ...], keys: tuple[int, ...], values: tuple[int, ...]
) -> int:
    """How many of the last axes of the batch are of heads that share keys and values, if these have
    so few queries that a block takes those of all heads."""
    batch, found = _batch(queries, keys, values), 0
    if queries[-2] >= ROWS:
        return 0
    for axis in range(3, len(batch) + 3):
        if any(len(shape) >= axis and shape[-axis] != 1 for shape in (keys, values)):
            break
        found += 1
    return found


def _batch(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The leading axes, broadcast."""
    rank = max(map(len, shapes))
    padded = [(1,) * (rank - len(shape)) + shape for shape in shapes]
    return tuple(max(sizes) for sizes in zip(*(shape[:-2] for shape in padded), strict=True))
