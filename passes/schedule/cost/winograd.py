"""The cost model's choices for 3×3 convolutions: direct or by Winograd's algorithm, and that stage
by stage, with whole tiles or cut ones at the edge, or a block of tiles after the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ....ops.algorithms.winograd_tiles import Part, Tiles, points_of
from ....target import Target
from ....types import bf16, f32
from .conv_sizes import TAPS, ConvSizes
from .lanes import lane_cycles
from .matrix_tiles import MatrixSizes, matrix_cycles, uses_matrices
from .model import ROW_CHUNKS, cache_cycles, decide, memory_cycles, near_cycles
from .register_tiles import ProductSizes, Tile, product_cycles, tiles_by_cycles

WINOGRAD_WORTH = 0.8  # of the direct one's cycles: what gains less is not worth its rounding errors
# Of narrow factors: points of tiles of 4, rounded, lost 5 to 7 times as much as rounded inputs, in
# layers of 64 to 512 channels; those of tiles of 2 lost 1.3 to 1.8 times as much.
NARROW_TILE = 2
EXPOSED = 0.5  # of the time to read weights that products of few rows do not hide, as measured
PRODUCT_CYCLES = 2000  # until all threads are at work on one: tiles that are cut take several
TRANSFORM_CYCLES = 4  # of an element of a tile, one vector of it: its loads, sums and stores


def choose_algorithm(
    sizes: ConvSizes, tiles: Mapping[str, int], cycles: Mapping[str, float], target: Target
) -> str:
    """How to compute a convolution whose ways take these cycles: "direct", or one of `tiles`, which
    gives Winograd's tile."""
    if not tiles:
        return "direct"
    worth = {name: cycles[name] / WINOGRAD_WORTH for name in tiles if name in cycles}
    # What is too inaccurate is asked for again, among fewer: that is another question.
    question = f"algorithm, tiles up to {max(tiles.values())}"
    return decide(sizes, question, {**worth, "direct": cycles["direct"]}, target)


def algorithm_cycles(
    sizes: ConvSizes, tiles: Mapping[str, int], target: Target
) -> Mapping[str, float]:
    """The cycles of each algorithm there is on a CPU."""
    cycles = {name: winograd_cycles(sizes, tile, target) for name, tile in tiles.items()}
    return {**cycles, "direct": direct_cycles(sizes, target)}


def narrow_cycles(sizes: ConvSizes, together: int, target: Target) -> Mapping[str, float]:
    """The cycles of each algorithm where an instruction sums so many products of narrow factors
    `together`."""
    few = replace(sizes, inner=-(-sizes.inner // together))
    winograd = _cycles_stage_by_stage(sizes, NARROW_TILE, target, together)
    direct = _matrix_cycles(few, target) or direct_cycles(few, target)
    return {"direct": direct, f"winograd{NARROW_TILE}": winograd}


def _matrix_cycles(sizes: ConvSizes, target: Target) -> float | None:
    """Cycles of a convolution in matrix registers, where the target has them; `sizes.inner` counts
    elements of 32 bits."""
    depth, windows = TAPS * sizes.inner, sizes.batch * sizes.height
    problem = ProductSizes(sizes.width, depth, sizes.outer, f32, windows=windows, narrow=bf16)
    if not uses_matrices(problem, target):
        return None
    along = MatrixSizes(problem, sizes.inner, sizes.height)
    work = min(matrix_cycles(along, target).values())
    return max(work, memory_cycles(depth * sizes.outer * f32.bytes, target))


def direct_cycles(sizes: ConvSizes, target: Target) -> float:
    """Cycles of a convolution as one product for each row of results."""
    rows, depth = sizes.batch * sizes.height, TAPS * sizes.inner
    problem = ProductSizes(sizes.width, depth, sizes.outer, f32, windows=rows)
    work = min(lane_cycles(problem, sizes.inner, target).values())
    weights = memory_cycles(TAPS * sizes.inner * sizes.outer * f32.bytes, target)
    return max(work, weights) + EXPOSED * weights


def winograd_cycles(sizes: ConvSizes, tile: int, target: Target) -> float:
    """Cycles of a convolution in tiles of `tile` × `tile` results, in the best of blocks."""
    return min(_cycles_by_order(sizes, tile, target).values())


@dataclass(frozen=True)
class TileBlock:
    """Tiles of one image that go through all stages together."""

    rows: int
    columns: int

    def __str__(self) -> str:
        return f"{self.rows}x{self.columns}"


@dataclass(frozen=True)
class StageByStage:
    """All tiles go through one stage before the next one, the last row and column of them cut, or
    whole."""

    cut: bool = False

    def __str__(self) -> str:
        return "cut tiles in stages" if self.cut else "whole tiles in stages"


def winograd_order(sizes: ConvSizes, tile: int, target: Target) -> TileBlock | StageByStage:
    """How many tiles go through all stages of a Winograd convolution before the next ones. On a
    graphics card each stage is done for all of them, whole: its blocks do not wait for one another,
    and a product more is a launch more."""
    if target.gpu is not None:
        return StageByStage()
    question = f"order of tiles of {tile}"
    return decide(sizes, question, _cycles_by_order(sizes, tile, target), target)


def _cycles_by_order(
    sizes: ConvSizes, tile: int, target: Target
) -> dict[TileBlock | StageByStage, float]:
    """The cycles stage by stage, with tiles cut where there are any to cut, and in blocks that
    there is a whole number of, enough of them to deal to threads. What is between a block's stages
    has half of the second cache: the weights pass through the rest."""
    rows, columns = -(-sizes.height // tile), -(-sizes.width // tile)
    found: dict[TileBlock | StageByStage, float] = {
        StageByStage(cut): _cycles_stage_by_stage(sizes, tile, target, cut=cut)
        for cut in (False, True)
        if not cut or sizes.height % tile or sizes.width % tile
    }
    for high in _divisors(rows):
        dealt = rows // high if high < rows else sizes.batch
        for wide in _divisors(columns):
            between = (tile + 2) ** 2 * high * wide * (sizes.inner + sizes.outer) * f32.bytes
            if dealt >= ROW_CHUNKS[0] and between <= target.l2_bytes // 2:
                block = TileBlock(high, wide)
                found[block] = _cycles_in_blocks(sizes, tile, block, target)
    return found


def _cycles_stage_by_stage(
    sizes: ConvSizes, tile: int, target: Target, together: int = 1, *, cut: bool = False
) -> float:
    """One product a point, with the larger weights read meanwhile; the transforms; and what goes
    through memory between these three stages, written and read again. So many factors `together`
    are as wide as one of f32."""
    tiles = Tiles((sizes.batch, sizes.height, sizes.width), tile, cut)
    depth = -(-sizes.inner // together)
    products = sum(_part_cycles(part, depth, sizes.outer, target) for part in tiles.parts)
    elements = points_of(tile) * tiles.count
    between = elements * (depth + sizes.outer) * f32.bytes
    through = cache_cycles if between <= target.l3_bytes else memory_cycles
    transforms = _transform_cycles(sizes, elements, target)
    return products + transforms + 2 * through(between, target)


def _part_cycles(part: Part, depth: int, columns: int, target: Target) -> float:
    """One product for each point of a part of the tiles, with larger weights read meanwhile."""
    points = len(part.points)
    register_tile = _best_tile(part.count, depth, columns, target)
    work = points * depth * product_cycles(part.count, columns, register_tile)
    weights = memory_cycles(points * depth * columns * f32.bytes, target)
    return PRODUCT_CYCLES + max(work, weights)


def _cycles_in_blocks(
    sizes: ConvSizes, tile: int, block: TileBlock, target: Target
) -> float:
    """The products and transforms of blocks, each of which reads the weights anew."""
    points, tiles = (tile + 2) ** 2, block.rows * block.columns
    count = sizes.tiles(tile) // tiles
    register_tile = _best_tile(tiles, sizes.inner, sizes.outer, target)
    work = points * sizes.inner * product_cycles(tiles, sizes.outer, register_tile)
    matrices = points * sizes.inner * sizes.outer * f32.bytes
    between = points * tiles * (sizes.inner + sizes.outer) * f32.bytes
    if matrices + between <= target.l2_bytes * 3 // 4:  # the images pass through the rest
        reading = near_cycles
    else:
        reading = cache_cycles if matrices <= target.l3_bytes // 2 else memory_cycles
    first = memory_cycles(matrices, target)
    again = (count - 1) * reading(matrices, target)
    transforms = _transform_cycles(sizes, points * tiles, target)
    return max(count * work, first + again) + EXPOSED * again + count * transforms


def _transform_cycles(sizes: ConvSizes, elements: int, target: Target) -> float:
    """Cycles of both transforms of so many points of tiles, all channels of each."""
    lanes = target.lanes(f32)
    return TRANSFORM_CYCLES * elements * (-(-sizes.inner // lanes) + -(-sizes.outer // lanes))


def _divisors(count: int) -> list[int]:
    return [part for part in range(1, count + 1) if count % part == 0]


def _best_tile(rows: int, depth: int, columns: int, target: Target) -> Tile:
    return next(iter(tiles_by_cycles(ProductSizes(rows, depth, columns, f32), target)))
