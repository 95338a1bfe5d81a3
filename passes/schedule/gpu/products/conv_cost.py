"""What convolutions take on a graphics card, in cycles of all its multiprocessors together.

Winograd's algorithm is three kernels there: what is between them passes through the cache that all
multiprocessors share, if it fits, else through memory.
"""

from __future__ import annotations

from collections.abc import Mapping

from .....target import Gpu, Target
from .....types import f32
from ...cost.conv_sizes import TAPS, ConvSizes
from .tiles import LAUNCH, MULTIPLY_ADDS, Sizes, product_cycles

CACHE_SPEED = 2  # of the shared cache, against memory


def card_cycles(
    sizes: ConvSizes, tiles: Mapping[str, int], target: Target, gpu: Gpu
) -> Mapping[str, float]:
    """The cycles of each algorithm there is for a 3×3 convolution: of "direct" alone where factors
    are rounded, which would add up in Winograd's sums of them."""
    cycles = {"direct": direct_cycles(sizes, target, gpu)}
    if gpu.factors == "f32":
        cycles |= {
            name: winograd_cycles(sizes, tile, target, gpu) for name, tile in tiles.items()
        }
    return cycles


def direct_cycles(sizes: ConvSizes, target: Target, gpu: Gpu) -> float:
    """As one product of all pixels, whose terms are the taps of all channels."""
    product = Sizes(1, sizes.pixels, sizes.outer, TAPS * sizes.inner)
    moved = sizes.pixels * (sizes.inner + sizes.outer) * f32.bytes
    return max(product_cycles(product, gpu.factors, gpu), _moving(moved, target, gpu))


def winograd_cycles(sizes: ConvSizes, tile: int, target: Target, gpu: Gpu) -> float:
    """The products of all points of tiles, and the transforms before and after, which take what
    memory takes and two more launches."""
    points, tiles = (tile + 2) ** 2, sizes.tiles(tile)
    products = product_cycles(Sizes(points, tiles, sizes.outer, sizes.inner), "f32", gpu)
    images = sizes.pixels * (sizes.inner + sizes.outer) * f32.bytes
    between = points * tiles * (sizes.inner + sizes.outer) * f32.bytes
    speed = CACHE_SPEED if between <= target.l2_bytes // 2 else 1
    passing = _moving(between, target, gpu) / speed
    return max(products, passing) + passing + _moving(images, target, gpu) + 2 * LAUNCH


def _moving(count: int, target: Target, gpu: Gpu) -> float:
    """Cycles in which memory gives or takes so many bytes."""
    clock = target.peak_flops / (2 * MULTIPLY_ADDS * gpu.multiprocessors)
    return count / target.memory_bandwidth * clock
