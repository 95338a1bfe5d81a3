"""How a product is cut for a card: what a block, a warp and a thread take, from its figures."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

from ....target import Gpu
from ....tile.warps import COLUMNS, ROWS
from ....types import DType

QUAD = 4  # neighbouring elements that a thread reads of shared memory at once
LANES = (4, 8)  # how the threads of a warp stand: rows and columns
PADDING = 4  # elements after each row of a tile: four rows begin in banks of their own
DEPTH = 8  # terms of a tile: a sector of memory, where they are neighbours
STAGES = 4  # tiles in shared memory: three on their way hide the latency
SPLITS = 16  # parts of a sum at most: each is written to memory and read again


@dataclass(frozen=True)
class Tile:
    """What is in one block: `warps` of rows and columns, each thread with `quads` by `quads`
    squares of four by four elements; `depth` terms at a time, of which `stages` are in shared
    memory; each block has one of `splits` parts of the sum."""

    warps: tuple[int, int]
    quads: tuple[int, int]
    depth: int
    stages: int
    splits: int = 1

    @property
    def sides(self) -> tuple[int, int]:
        """Rows and columns of the result in a block."""
        rows, columns = (
            warp * quads * lanes * QUAD
            for warp, quads, lanes in zip(self.warps, self.quads, LANES, strict=True)
        )
        return rows, columns

    @property
    def threads(self) -> int:
        return prod(self.warps) * prod(LANES)

    def shared_bytes(self, dtype: DType) -> int:
        return self.stages * self.depth * (sum(self.sides) + 2 * PADDING) * dtype.bytes

    def blocks(self, sizes: Sizes) -> int:
        """Blocks for one part of the sum."""
        rows, columns = self.sides
        return -(-sizes.rows // rows) * -(-sizes.columns // columns) * sizes.batch


@dataclass(frozen=True)
class Sizes:
    """A product: how many of which sizes."""

    batch: int
    rows: int
    columns: int
    depth: int


# From the least traffic with memory for each product to the most blocks.
_CUTS = (
    ((4, 2), (2, 2)),  # 128 x 128 of 256 threads
    ((2, 2), (2, 2)),  # 64 x 128 of 128
    ((2, 2), (2, 1)),  # 64 x 64 of 128
    ((2, 2), (1, 1)),  # 32 x 64 of 128
    ((1, 4), (1, 1)),  # 16 x 128 of 128
    ((1, 1), (1, 1)),  # 16 x 32 of 32
)


def choose_tile(sizes: Sizes, dtype: DType, gpu: Gpu) -> Tile:
    """The tile with the least work and traffic, counted in whole waves of blocks over the card."""
    tiles = [_tile(sizes, dtype, gpu, *cut) for cut in _CUTS]
    allowed = [tile for tile in tiles if tile.threads <= gpu.block_threads] or tiles[-1:]
    return min(allowed, key=lambda tile: _cost(tile, sizes, gpu))


def _tile(
    sizes: Sizes, dtype: DType, gpu: Gpu, warps: tuple[int, int], quads: tuple[int, int]
) -> Tile:
    stages = STAGES
    while Tile(warps, quads, DEPTH, stages).shared_bytes(dtype) > gpu.static_shared_bytes:
        stages -= 1
    tile = Tile(warps, quads, DEPTH, stages)
    return replace(tile, splits=_splits(tile, sizes, gpu))


def _splits(tile: Tile, sizes: Sizes, gpu: Gpu) -> int:
    """Parts of the sum, so that every multiprocessor has a block; each part long enough to be
    worth the detour of its result over memory."""
    blocks = tile.blocks(sizes)
    longest = max(1, sizes.depth // (16 * tile.depth))
    return max(1, min(gpu.multiprocessors // blocks, longest, SPLITS))


def _cost(tile: Tile, sizes: Sizes, gpu: Gpu) -> float:
    """Time in units of one multiply-add a thread: waves of blocks, each bound by arithmetic or by
    what it reads."""
    rows, columns = tile.sides
    resident = max(1, min(gpu.threads // 2 // tile.threads, 4))
    waves = -(-tile.blocks(sizes) * tile.splits // (gpu.multiprocessors * resident))
    terms = -(-sizes.depth // tile.splits)
    # 128 multiply-adds a cycle and multiprocessor; shared memory gives 32 elements a cycle.
    own = prod(tile.quads) * QUAD * QUAD
    reads = sum(tile.quads) * QUAD
    arithmetic = rows * columns / 128 * (1 + 4 * reads / own / 4)
    traffic = (rows + columns) / 8
    return waves * resident * terms * max(arithmetic, traffic)


@dataclass(frozen=True)
class WarpTile:
    """What is in one block of warps that multiply fragments: `warps` of rows and columns, each with
    `fragments` of rows and columns of the sums."""

    warps: tuple[int, int]
    fragments: tuple[int, int]
    depth: int
    stages: int
    splits: int = 1

    @property
    def sides(self) -> tuple[int, int]:
        """Rows and columns of the result in a block."""
        rows, columns = (
            warp * number * size
            for warp, number, size in zip(
                self.warps, self.fragments, (ROWS, COLUMNS), strict=True
            )
        )
        return rows, columns

    @property
    def threads(self) -> int:
        return prod(self.warps) * prod(LANES)

    def blocks(self, sizes: Sizes) -> int:
        """Blocks for one part of the sum."""
        rows, columns = self.sides
        return -(-sizes.rows // rows) * -(-sizes.columns // columns) * sizes.batch


# From the least traffic with memory for each product to the most blocks.
_WARP_CUTS = (
    ((2, 4), (4, 4)),  # 128 x 128 of 256 threads
    ((2, 2), (2, 4)),  # 64 x 64 of 128
    ((1, 4), (1, 4)),  # 16 x 128 of 128
    ((2, 2), (1, 2)),  # 32 x 32 of 128
    ((1, 1), (1, 2)),  # 16 x 16 of 32
)
_WARP_DEPTH = 32
_WARP_STAGES = 3


def choose_warp_tile(sizes: Sizes, gpu: Gpu) -> WarpTile:
    """The largest tile of which there are enough for every multiprocessor, or the one with the
    least padding; then parts of the sum, if blocks are too few."""
    tiles = [WarpTile(*cut, _WARP_DEPTH, _WARP_STAGES) for cut in _WARP_CUTS]
    allowed = [tile for tile in tiles if tile.threads <= gpu.block_threads] or tiles[-1:]
    enough = [tile for tile in allowed if tile.blocks(sizes) >= gpu.multiprocessors]
    least = min(allowed, key=lambda tile: tile.blocks(sizes) * prod(tile.sides))
    tile = enough[0] if enough else least
    blocks = tile.blocks(sizes)
    longest = max(1, sizes.depth // (8 * tile.depth))
    return replace(tile, splits=max(1, min(gpu.multiprocessors // blocks, longest, SPLITS)))
