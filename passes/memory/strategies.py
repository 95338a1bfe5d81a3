"""The orders in which the search for a placement tries its choices. Any of them is complete; which
one is fast, nobody knows before.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

from .sections import Block


class Strategy(NamedTuple):
    """The order in which choices are tried."""

    rank: Sequence[int]  # of a buffer among the choices at a section, lowest first
    rightmost: bool  # among equally constrained sections: the last instead of the first


def portfolio(
    blocks: Sequence[Block], spans: Sequence[tuple[int, int]], pressure: Sequence[int]
) -> list[Strategy]:
    """Every order of buffers (large, large area, long-lived first) with both tie-breaks; buffers
    that are alive where memory is short, by the sizes alive in each section, come first.

    `spans` are the sections of each buffer, the first and the one after the last.
    """
    widths = [last - first for first, last in spans]
    peaks = [max(pressure[first:last]) for first, last in spans]
    sizes = [block.size for block in blocks]
    keys = (
        [(-peak, -size) for peak, size in zip(peaks, sizes, strict=True)],
        [(-peak, -size * width) for peak, size, width in zip(peaks, sizes, widths, strict=True)],
        [(-width, 0) for width in widths],
    )
    return [Strategy(_ranks(key), rightmost) for key, rightmost in product(keys, (False, True))]


def _ranks(keys: Sequence[tuple[int, int]]) -> list[int]:
    """The position of each buffer, were they sorted by their keys."""
    ranks = [0] * len(keys)
    for position, index in enumerate(sorted(range(len(keys)), key=keys.__getitem__)):
        ranks[index] = position
    return ranks
