"""The cost model of loops of a program: what each turn finds in a cache, and what may be computed
while it waits for the rest."""

from __future__ import annotations

from ....target import Target
from .register_tiles import ProductSizes

KEPT = 2  # a part of the last cache that what is read again and again may take
MOST_TIME = 2  # of computing, in terms of reading: a kernel that takes more waits for nothing
GAIN = 2  # times as long as reading its operand a product takes alone: then it is worth its place


def stays_near(read: int, target: Target) -> bool:
    """Whether turns that read the same so many bytes find them in the last cache."""
    return read * KEPT <= target.l3_bytes


def passes_second_cache(read: int, target: Target) -> bool:
    """Whether little of so many bytes is in the second cache when the next turn begins."""
    return 2 * read > target.l2_bytes


def waits_for(operations: int, read: int, target: Target) -> bool:
    """Whether to read so many bytes from the last cache takes most of the time of a kernel of so
    many operations."""
    return operations / target.peak_flops <= MOST_TIME * read / target.l3_bandwidth


def has_time_beside(operations: int, read: int, target: Target) -> bool:
    """Whether so many operations, of a kernel and of a product beside it, take no longer than to
    read so many bytes from the last cache."""
    return operations / target.peak_flops <= read / target.l3_bandwidth


def saves_time_beside(
    operations: int, sizes: ProductSizes, turns: int, read: int, target: Target
) -> bool:
    """Whether a product, so many operations of it in each turn, takes much longer alone than to
    read what it takes of its operand then, a share of so many `turns`. It matters where the way
    from the last cache is full with what the kernel reads, unless the second caches of two threads
    hold that."""
    if read <= 2 * target.l2_bytes:
        return True
    share = sizes.depth * sizes.columns * sizes.dtype.bytes / turns
    return operations / target.peak_flops >= GAIN * share / target.l3_bandwidth
