"""The cost model of windows that slide over a result, and of the two orders of a convolution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import prod

from ....target import Target
from ....types import DType, TensorType
from .lanes import lane_cycles
from .model import (
    PIECES,
    RULE_OF_THUMB,
    cache_cycles,
    decide,
    decide_rule,
    memory_bound,
    memory_cycles,
    near_cycles,
)
from .register_tiles import (
    FMAS_PER_CYCLE,
    SET_PERIOD,
    ProductSizes,
    tiles_by_cycles,
)

MOST_TAPS = 25  # windows up to so many are written out
WINDOW_ROWS = 2  # rows of results that share what is read of the rows between them
WINDOW_SUMS = 8  # neighbouring sums that hide the latency of an FMA


@dataclass(frozen=True)
class WindowSizes:
    """The problem of windows of `taps` that slide over a result of `extents`, along those of its
    axes that are in `tiled`; only after so many `steps` along each they see the same taps again.
    """

    extents: tuple[int, ...]
    tiled: tuple[int, ...]
    taps: tuple[int, ...]
    dtype: DType
    steps: tuple[int, ...]

    def __str__(self) -> str:
        counts = self.taps, self.tiled, self.extents, self.steps
        taps, tiled, extents, steps = ("x".join(map(str, count)) for count in counts)
        between = f" in steps of 1/{steps}" if prod(self.steps) > 1 else ""
        return f"windows {taps}{between} over {tiled} of {extents} {self.dtype}"


def choose_window_tile(sizes: WindowSizes, target: Target) -> tuple[int, ...]:
    """As `window_tile`, unless another tile was measured to be faster."""
    if prod(sizes.steps) > 1:
        return stepped_tile(sizes.tiled, sizes.steps, target)
    best = window_tile(sizes.tiled)
    *rows, pixels = (range(1, min(extent, WINDOW_SUMS) + 1) for extent in sizes.tiled)
    others = (tile for tile in product(*rows, pixels) if prod(tile) <= 2 * WINDOW_SUMS)
    cycles = {best: 1.0, **{tile: RULE_OF_THUMB for tile in others if tile != best}}
    by_name = {"x".join(map(str, tile)): tile for tile in cycles}
    answers = {name: cycles[tile] for name, tile in by_name.items()}
    return by_name[decide(sizes, "tile", answers, target)]


def window_tile(extents: tuple[int, ...]) -> tuple[int, ...]:
    """How many results side by side, along each axis, are computed together from what their
    windows share: enough to hide the latency of an FMA; along a row a divisor, if there is one."""
    *rows, pixels = extents
    if not rows:
        return (-(-pixels // -(-pixels // WINDOW_SUMS)),)
    least = WINDOW_SUMS // WINDOW_ROWS
    divisors = (count for count in range(least, WINDOW_SUMS) if pixels % count == 0)
    return (min(rows[0], WINDOW_ROWS), next(divisors, min(least, pixels)))


def stepped_tile(
    extents: tuple[int, ...], steps: tuple[int, ...], target: Target
) -> tuple[int, ...]:
    """As `window_tile`, of whole `steps`, so that all tiles see the same taps: one of each row, and
    of those along it as many as there is room for, or a divisor."""
    pixels = extents[-1]
    most = max(1, _room(target) // prod(steps))
    whole = max(1, pixels // steps[-1])
    divisors = [count for count in range(-(-most // 2), most + 1) if whole % count == 0]
    count = max(divisors, default=min(most, whole))
    tile = (*steps[:-1], count * steps[-1])
    return tuple(map(min, extents, tile))


def steps_fit(steps: Sequence[int], taps: int, target: Target) -> bool:
    """Whether windows of so many taps that move by parts of an element, `1 / steps` of it, have
    tiles of whole elements in registers."""
    tiled = len(steps) <= 2 and prod(steps) <= _room(target)
    return target.gpu is None and tiled and taps <= MOST_TAPS


def _room(target: Target) -> int:
    """How many sums stay in registers, beside what they are made of."""
    return target.vector_registers // 2


def worth_prefetching_windows(moved: int, target: Target) -> bool:
    """Whether windows ask for the rows below while they slide along some: where the last cache has
    little of them from the call before. Those that it holds arrive as fast unasked."""
    return moved > target.l3_bytes // 2


@dataclass(frozen=True)
class SeparableSizes:
    """The problem of windows in `rows`, each of which leaves `row_bytes` for a product by
    `right_bytes`; all rows of all images leave `all_bytes`."""

    rows: int
    row_bytes: int
    all_bytes: int
    right_bytes: int

    def __str__(self) -> str:
        left = f"{self.rows} rows of windows that leave {self.row_bytes} of {self.all_bytes} bytes"
        return f"{left} for a product by {self.right_bytes} bytes"


def rows_together(sizes: SeparableSizes, target: Target) -> int:
    """How many rows of windows are done before what a product makes of them; 0 where that waits for
    all of them. They stay in half of the second cache, with what they are multiplied by, and are
    enough blocks to be dealt to threads."""
    kept = target.l2_bytes // 2 - sizes.right_bytes
    counts = [
        count
        for count in range(WINDOW_ROWS, sizes.rows // PIECES + 1)
        if sizes.rows % count == 0 and count * sizes.row_bytes <= kept
    ]
    moved = 2 * sizes.all_bytes
    if memory_bound(moved, target):
        apart = memory_cycles(moved, target)
    elif moved > target.l2_bytes:
        apart = cache_cycles(moved, target)
    else:
        apart = near_cycles(moved, target)
    cycles = {**dict.fromkeys(counts, near_cycles(moved, target)), 0: apart}
    return decide(sizes, "rows together", cycles, target)


@dataclass(frozen=True)
class ConvShape:
    """A convolution of unit strides: its results' sizes, its channels, its taps, all of them or
    those of one channel."""

    batch: int
    size: tuple[int, ...]
    inner: int
    outer: int
    taps: int
    dtype: DType

    @property
    def depthwise(self) -> bool:
        """Whether each result looks at one channel."""
        return self.inner == 1


def order_cycles(shape: ConvShape, target: Target, *, channels_first: bool) -> float:
    """Cycles of a convolution in an order of its axes: a depthwise one runs in vectors along the
    last axis; others are products, whose columns are along it, channels-first those of a row, or
    of the whole image where they look at single pixels, or whose terms are. On a graphics card
    memory decides, whatever the order."""
    pixels = prod(shape.size)
    if target.gpu is not None:
        channels = shape.outer + (shape.outer if shape.depthwise else shape.inner)
        return memory_cycles(shape.batch * pixels * channels * shape.dtype.bytes, target)
    if shape.depthwise:
        along = shape.size[-1] if channels_first else shape.outer
        vectors = -(-along // target.lanes(shape.dtype))
        rows = shape.batch * pixels * shape.outer // along
        return shape.taps * rows * vectors / FMAS_PER_CYCLE
    depth = shape.inner * shape.taps
    if channels_first:
        along = pixels if shape.taps == 1 else shape.size[-1]
        count = shape.batch * pixels // max(1, along)
        run, sizes = 1, ProductSizes(shape.outer, depth, along, shape.dtype, count)
    else:
        run, rows = shape.inner, shape.batch * pixels
        sizes = ProductSizes(rows, depth, shape.outer, shape.dtype)
    return min(lane_cycles(sizes, run, target).values())


def transpose_cycles(count: int, target: Target) -> float:
    """Cycles in which so many bytes are read and written in another order."""
    through = cache_cycles if count <= target.l3_bytes else memory_cycles
    return 2 * through(count, target)


def worth_reading_first(images: TensorType, target: Target) -> bool:
    """Whether a convolution reads images channels-first, element by element, as they lie: where so
    few channels, the same row of each, cannot drive one another out of the nearest cache, even if
    all meet in one set; on a graphics card where a pixel's channels are no whole accesses."""
    channels = images.static_shape[1]
    rule = channels <= target.l1_bytes // SET_PERIOD * 2 // 3
    if target.gpu is not None:
        rule = channels % target.lanes(images.dtype) != 0
    return decide_rule(f"images {images}", "read channels-first", rule, target)


def worth_gathering(sizes: ProductSizes, target: Target) -> bool:
    """Whether the pixels that a convolution of single ones sees are copied together, so that all
    rows of its images meet the filters as one matrix: where a row has too few to hide how these
    arrive."""
    pixels = sizes.rows * sizes.windows
    one = replace(sizes, rows=pixels, windows=1)
    apart = sizes.windows * sizes.depth * _best_cycles(sizes, target)
    copied = transpose_cycles(pixels * sizes.depth * sizes.dtype.bytes, target)
    together = sizes.depth * _best_cycles(one, target) + copied
    return decide(sizes, "pixels gathered", {"yes": together, "no": apart}, target) == "yes"


def _best_cycles(sizes: ProductSizes, target: Target) -> float:
    """Cycles of a step of the inner dimension in the best tile."""
    return next(iter(tiles_by_cycles(sizes, target).values()))
