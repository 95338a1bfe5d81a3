"""Greedy placement of buffers: each in turn at the lowest place that is free throughout its life.

Several orders are tried, of which one mostly meets the lower bound.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from .sections import Block


class Placement(NamedTuple):
    """Offsets of blocks and the height they reach, in units."""

    offsets: Sequence[int]
    height: int


def greedy(blocks: Sequence[Block], goal: int) -> Placement:
    """The lowest of several first-fit placements, or the first that reaches no higher than `goal`.

    The orders: large, large area (size times duration) or long-lived first, and that of time.
    """
    orders: tuple[Callable[[Block], tuple[int, ...]], ...] = (
        lambda block: (-block.size, block.start - block.end),
        lambda block: (block.size * (block.start - block.end), -block.size),
        lambda block: (block.start - block.end, -block.size),
        lambda block: (block.start, -block.size),
    )
    best = Placement((), sum(block.size for block in blocks) + 1)
    for order in orders:
        keys = [order(block) for block in blocks]
        placement = first_fit(blocks, sorted(range(len(blocks)), key=keys.__getitem__))
        best = min(best, placement, key=lambda candidate: candidate.height)
        if best.height <= goal:
            break
    return best


def first_fit(blocks: Sequence[Block], order: Iterable[int]) -> Placement:
    """Place blocks in `order`, each at the lowest offset free throughout its lifetime."""
    offsets = [0] * len(blocks)
    placed: list[tuple[int, int, int, int]] = []  # offset, top, start, end: by ascending offset
    height = 0
    for index in order:
        start, end, size = blocks[index]
        offset = 0
        for other_offset, top, other_start, other_end in placed:
            if other_start < end and start < other_end:
                if offset + size <= other_offset:
                    break
                offset = max(offset, top)
        offsets[index] = offset
        height = max(height, offset + size)
        insort(placed, (offset, offset + size, start, end))
    return Placement(offsets, height)
