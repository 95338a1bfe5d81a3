"""The cost model of products whose sums are vectors: lanes are terms, added up at the end, not
columns. Few columns do not fill a vector that many terms fill.

Times are in cycles of one core.
"""

from __future__ import annotations

from ....sizes import round_up
from ....target import Target
from .inner import inner_tile
from .model import decide
from .register_tiles import ProductSizes, product_cycles, tiles_by_cycles

LANE_SUM = 3  # cycles in which a sum's lanes are added up beside the next products, as measured
MEETING = 3  # vectors that each one read must meet so that two lines are read in time for it
WORTH = 0.9  # of the cycles by columns: what gains less is not worth another order


def worth_summing_lanes(sizes: ProductSizes, run: int, target: Target) -> bool:
    """Whether a product is better one whose sums are vectors, where `run` of the terms of a row lie
    together, as a pixel's channels do."""
    ways = lane_cycles(sizes, run, target)
    return decide(sizes, "lanes", ways, target) == "terms" if len(ways) > 1 else False


def sees_padding(sizes: ProductSizes, widest: int, aligned: bool, target: Target) -> bool:
    """Whether a convolution whose sums are vectors leaves the padding out by itself: where tiles
    are no narrower than the widest of it, and vectors that each meet several others may lie across
    lines of the cache, or none does."""
    tile = inner_tile(sizes, target)
    return widest <= tile.rows and (aligned or tile.vectors >= MEETING)


def lane_cycles(sizes: ProductSizes, run: int, target: Target) -> dict[str, float]:
    """The cycles of a product, all its windows, by what the lanes are: "columns", or "terms" where
    there is that choice."""
    windows = sizes.count * sizes.windows
    tile = next(iter(tiles_by_cycles(sizes, target)))
    step = product_cycles(sizes.rows, sizes.columns, tile, sizes.latency)
    columns = windows * sizes.depth * step
    wide = sizes.dtype.is_float and sizes.dtype.bits >= 32 and sizes.narrow is None
    lanes = target.lanes(sizes.dtype)
    few = sizes.rows > 1 and sizes.columns < lanes <= run
    whole = run in (sizes.depth, round_up(run, lanes))  # else parts of vectors are added up apart
    if target.gpu is not None or not (wide and few and whole):
        return {"columns": columns}
    vectors = sizes.depth // run * -(-run // lanes)
    inner = inner_tile(sizes, target)
    products = vectors * product_cycles(sizes.rows, sizes.columns, inner)
    sums = LANE_SUM * sizes.rows * sizes.columns
    return {"columns": columns, "terms": windows * (products + sums) / WORTH}
