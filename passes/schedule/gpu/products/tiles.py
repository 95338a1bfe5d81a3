"""How a product is cut for a card: what a block, a warp and a thread take, from its figures: all
choices of products on cards are made here, by one estimate of the time that a cut takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Protocol, Self, TypeVar

from .....target import Gpu
from .....tile.instructions.warps import COLUMNS, ROWS
from .....types import DTYPES, DType, f32
from .warpgroup_tile import REGISTERS, WARPGROUP_TILES, WarpgroupTile

QUAD = 4  # neighbouring elements that a thread reads of shared memory at once
LANES = (4, 8)  # how the threads of a warp stand: rows and columns
PADDING = 4  # elements after each row of a tile: four rows begin in banks of their own
DEPTH = 8  # terms of a tile: a sector of memory, where they are neighbours
STAGES = 4  # tiles in shared memory: three on their way hide the latency
WARP_DEPTH = 32  # terms of a tile of narrow elements
WARP_STAGES = 3
SPLITS = (1, 2, 3, 4, 6, 8, 12, 16)  # parts of a sum: each is written to memory and read again

# Of a multiprocessor, in elements or bytes a cycle; the same for all cards since 2020, roughly.
MULTIPLY_ADDS = 128  # of f32
_FRAGMENT_MULTIPLY_ADDS = 1024
_ROUNDING = 2  # instructions that round an element to TF32, NaN left alone
_SHARED_BYTES = 128
_MEMORY_BYTES = 32  # from beyond it, all of them at once
_BUSY = 256  # threads that keep its arithmetic busy
LAUNCH = 5000  # cycles that one more kernel takes


@dataclass(frozen=True)
class Sizes:
    """A product: how many of which sizes."""

    batch: int
    rows: int
    columns: int
    depth: int


class Cut(Protocol):
    """What is in one block."""

    @property
    def depth(self) -> int:
        """Terms of a tile in shared memory."""

    @property
    def splits(self) -> int:
        """Parts of the sum, a block each."""

    @property
    def sides(self) -> tuple[int, int]:
        """Rows and columns of the result."""

    @property
    def threads(self) -> int: ...

    @property
    def registers(self) -> int:
        """Of a thread, roughly."""

    @property
    def begin(self) -> int:
        """Terms that could be added in the time that it takes until the first tiles are there."""

    @property
    def cycles(self) -> float:
        """Of a busy multiprocessor for one term."""

    def in_parts(self, splits: int) -> Self: ...


@dataclass(frozen=True)
class Tile:
    """What is in one block: `warps` of rows and columns, each thread with `quads` by `quads`
    squares of four by four elements; `depth` terms at a time, of which `stages` are in shared
    memory; each block has one of `splits` parts of the sum."""

    warps: tuple[int, int]
    quads: tuple[int, int]
    depth: int = DEPTH
    stages: int = STAGES
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

    @property
    def registers(self) -> int:
        return 40 + prod(self.quads) * QUAD * QUAD + 2 * sum(self.quads) * QUAD

    @property
    def begin(self) -> int:
        return 4 * self.depth

    @property
    def cycles(self) -> float:
        """Arithmetic, and half of the reads of shared memory, which go on beside it."""
        reads = prod(self.warps) * sum(self.quads) * QUAD * 4 * 32 / 4  # a row is for four lanes
        return prod(self.sides) / MULTIPLY_ADDS + reads / _SHARED_BYTES / 2

    def in_parts(self, splits: int) -> Self:
        return replace(self, splits=splits)

    def shared_bytes(self, dtype: DType) -> int:
        return self.stages * self.depth * (sum(self.sides) + 2 * PADDING) * dtype.bytes


@dataclass(frozen=True)
class WarpTile:
    """What is in one block of warps that multiply fragments: `warps` of rows and columns, each with
    `fragments` of rows and columns of the sums."""

    warps: tuple[int, int]
    fragments: tuple[int, int]
    depth: int = WARP_DEPTH
    stages: int = WARP_STAGES
    splits: int = 1
    element_bytes: int = 2
    late: tuple[bool, bool] = (False, False)  # which operands each warp rounds for itself

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

    @property
    def registers(self) -> int:
        rows, columns = self.fragments
        return 40 + 4 * rows * columns + 4 * rows + 2 * columns

    @property
    def begin(self) -> int:
        return 4 * self.depth

    @property
    def cycles(self) -> float:
        """Arithmetic, and half of the reads of shared memory and of what lanes round, which go on
        beside it."""
        rows, columns = (
            count * size for count, size in zip(self.fragments, (ROWS, COLUMNS), strict=True)
        )
        reads = prod(self.warps) * (rows + columns) * self.element_bytes / _SHARED_BYTES
        rounded = prod(self.warps) * (rows * self.late[0] + columns * self.late[1])
        arithmetic = prod(self.sides) / _FRAGMENT_MULTIPLY_ADDS * (self.element_bytes / 2)
        return arithmetic + (reads + rounded * _ROUNDING / MULTIPLY_ADDS) / 2

    def in_parts(self, splits: int) -> Self:
        return replace(self, splits=splits)


# From the least traffic with memory for each product to the most blocks.
_TILES = (
    Tile((4, 2), (2, 2)),  # 128 x 128 of 256 threads
    Tile((2, 2), (2, 2)),  # 64 x 128 of 128
    Tile((2, 2), (2, 1)),  # 64 x 64 of 128
    Tile((2, 2), (1, 1)),  # 32 x 64 of 128
    Tile((1, 4), (1, 1)),  # 16 x 128 of 128
    Tile((1, 1), (1, 1)),  # 16 x 32 of 32
)
_WARP_TILES = (
    WarpTile((2, 2), (4, 8)),  # 128 x 128 of 128 threads
    WarpTile((2, 1), (4, 8)),  # 128 x 64 of 64
    WarpTile((2, 2), (4, 4)),  # 128 x 64 of 128
    WarpTile((2, 2), (2, 4)),  # 64 x 64 of 128
    WarpTile((1, 4), (1, 4)),  # 16 x 128 of 128
    WarpTile((2, 2), (1, 2)),  # 32 x 32 of 128
    WarpTile((1, 1), (1, 2)),  # 16 x 16 of 32
)


def choose_tile(sizes: Sizes, dtype: DType, gpu: Gpu) -> Tile:
    """The tile that takes the least time by estimate, with as many stages as there is room for."""
    tile = _least(_allowed(_TILES, gpu), sizes, dtype.bytes, gpu)
    while tile.shared_bytes(dtype) > gpu.static_shared_bytes:
        tile = replace(tile, stages=tile.stages - 1)
    return tile


def choose_warp_tile(
    sizes: Sizes, dtype: DType, gpu: Gpu, late: tuple[bool, bool] = (False, False)
) -> WarpTile:
    """The tile of fragments that takes the least time by estimate; of wider elements fewer terms,
    so that it takes the same memory. Warps round the operands that are `late`."""
    size = dtype.bytes
    tiles = [
        replace(tile, depth=tile.depth * tile.element_bytes // size, element_bytes=size, late=late)
        for tile in _WARP_TILES
    ]
    return _least(_allowed(tiles, gpu), sizes, size, gpu)


def choose_warpgroup_tile(
    sizes: Sizes, boxed: Sizes, dtype: DType, gpu: Gpu, moved: Sequence[int] = ()
) -> WarpgroupTile | None:
    """The tile of warpgroups that takes the least time by estimate, for a product that is `boxed`
    with what lies past its edges, and so many bytes `moved` by each kernel before it; None where
    warps alone are faster, which leave that out."""
    tiles = [replace(tile, dtype=dtype) for tile in WARPGROUP_TILES]
    best = _least(tiles, boxed, dtype.bytes, gpu)
    before = _before(moved, gpu)
    time = _cycles(best, boxed, dtype.bytes, gpu) + before
    warps = _cycles(choose_warp_tile(sizes, dtype, gpu), sizes, dtype.bytes, gpu)
    if dtype != f32:  # warps move it, too, or compute operands on their way
        warps += min(before, warps)
    while best.shared_bytes > gpu.shared_bytes:
        best = replace(best, stages=best.stages - 1)
    if best.groups > 1:  # one block has a multiprocessor to itself
        best = replace(best, blocks=gpu.multiprocessors)
    return best if time <= warps else None


def is_worth_moving(
    sizes: Sizes, dtype: DType, gpu: Gpu, moved: Sequence[int], late: tuple[bool, bool]
) -> bool:
    """Whether kernels that move so many bytes each, after which operands are copied while warps
    multiply, pay: a product that computes operands on their way takes about twice its time. Of
    TF32 operands are copied anyway, but warps would round those that are `late`."""
    after = _cycles(choose_warp_tile(sizes, dtype, gpu), sizes, dtype.bytes, gpu)
    if dtype != f32:
        return _before(moved, gpu) <= after
    instead = _cycles(choose_warp_tile(sizes, dtype, gpu, late), sizes, dtype.bytes, gpu)
    return _before(moved, gpu) <= instead - after


def _before(moved: Sequence[int], gpu: Gpu) -> float:
    """The time of kernels that move so many bytes each."""
    return sum(LAUNCH + count / (_MEMORY_BYTES * gpu.multiprocessors) for count in moved)


_AnyCut = TypeVar("_AnyCut", bound=Cut)


def product_cycles(sizes: Sizes, factors: str, gpu: Gpu) -> float:
    """The estimated time of a product of f32 sums, in cycles of all multiprocessors. Factors are
    "f32", or rounded as `Gpu.factors` says."""
    dtype = DTYPES.get(factors, f32)
    cut: Cut = (choose_tile if factors == "f32" else choose_warp_tile)(sizes, dtype, gpu)
    return _cycles(cut, sizes, dtype.bytes, gpu)


def _allowed(cuts: Sequence[_AnyCut], gpu: Gpu) -> Sequence[_AnyCut]:
    return [cut for cut in cuts if cut.threads <= gpu.block_threads] or cuts[-1:]


def _least(cuts: Sequence[_AnyCut], sizes: Sizes, size: int, gpu: Gpu) -> _AnyCut:
    candidates = [
        cut.in_parts(splits)
        for cut in cuts
        for splits in SPLITS
        if splits == 1 or sizes.depth >= splits * 16 * cut.depth
    ]
    return min(candidates, key=lambda cut: _cycles(cut, sizes, size, gpu))


def _cycles(cut: Cut, sizes: Sizes, size: int, gpu: Gpu) -> float:
    """The estimated time: that of the multiprocessor with the most blocks, which is bound by
    arithmetic or by what the blocks read."""
    rows, columns = cut.sides
    blocks = -(-sizes.rows // rows) * -(-sizes.columns // columns) * sizes.batch * cut.splits
    each = -(-blocks // gpu.multiprocessors)
    most = max(1, min(gpu.threads, REGISTERS // cut.registers) // cut.threads)
    busy = min(1.0, min(each, most) * cut.threads / _BUSY)
    terms = -(-sizes.depth // cut.splits) + cut.begin
    time = each * terms * max(cut.cycles / busy, (rows + columns) * size / _MEMORY_BYTES)
    if cut.splits > 1:
        moved = sizes.batch * sizes.rows * sizes.columns * 4 * (2 * cut.splits + 1)
        time += LAUNCH + moved / (_MEMORY_BYTES * gpu.multiprocessors)
    return time
