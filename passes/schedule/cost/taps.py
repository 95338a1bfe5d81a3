"""The cost model of sums over all places of a window, one for each of its taps."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from ....target import Target
from ....types import DType
from .model import PIECES
from .windows import WINDOW_SUMS

FEWEST_PLACES = 2  # side by side, that share what is read
FEWEST_PIECES = 4  # for threads
FEWEST_VECTORS = 5  # of a piece's channels: less of a pixel that lies side by side arrives late


@dataclass(frozen=True)
class TapSizes:
    """The problem of a sum over axes of the extents `summed` for each of `taps` in so many
    `channels`, which reads so many bytes; no tap leaves the image along the first axis if that is
    `free`."""

    taps: tuple[int, ...]
    summed: tuple[int, ...]
    channels: int
    moved: int
    free: bool
    dtype: DType

    def moved_by(self, block: int) -> int:
        """What the axes from `block` on read, roughly."""
        return self.moved // prod(self.summed[:block])


@dataclass(frozen=True)
class TapSums:
    """The channels are cut in pieces of so many, or else the outermost summed axis in so many
    `pieces`, whose sums are added up; the axes from `block` on are summed in registers, of the last
    so many `places` at a time."""

    channels: int
    pieces: int
    block: int
    places: int


def taps_fit(taps: int, target: Target) -> bool:
    """Whether so many sums stay in registers, beside what a few places read."""
    return target.gpu is None and _places(taps, target) >= FEWEST_PLACES


def tap_sums(sizes: TapSizes, target: Target) -> TapSums:
    """How such sums are cut: in pieces for threads, of channels if that leaves some vectors of them
    side by side; and in blocks that the second cache holds while vector after vector of channels
    passes through."""
    first, last = sizes.summed[0], sizes.summed[-1]
    vectors, narrow = divmod(sizes.channels, target.lanes(sizes.dtype))
    parts = max(
        (
            count for count in range(PIECES, 2 * PIECES, 2)
            if vectors % count == 0 and vectors // count >= FEWEST_VECTORS and not narrow
        ),
        default=1,
    )
    pieces = max(count for count in range(1, 2 * PIECES) if first % count == 0)
    if parts > 1 or pieces < FEWEST_PIECES or not sizes.free or len(sizes.summed) == 1:
        pieces = 1
    several = sizes.free and parts * pieces > 1 and len(sizes.summed) > 1
    blocks = range(1, len(sizes.summed)) if several else range(1)
    near = (at for at in blocks if 4 * sizes.moved_by(at) <= 3 * parts * target.l2_bytes)
    block = next(near, blocks[-1])
    most = min(_places(prod(sizes.taps), target), WINDOW_SUMS)
    divisors = [count for count in range(-(-most // 2), most + 1) if last % count == 0]
    places = max(divisors, default=-(-last // -(-last // most)))
    return TapSums(sizes.channels // parts, pieces, block, places)


def _places(taps: int, target: Target) -> int:
    """Of which a vector each stays in a register, with one of another operand."""
    return target.vector_registers - taps - 2
