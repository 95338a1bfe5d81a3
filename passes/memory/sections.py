"""Which buffers of an allocation are alive together: sets of them, as the bits of integers.

    blocks  a: [0, 3)   b: [1, 2)   c: [2, 4)     sections  {a, b}, {a, c}
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple


class Block(NamedTuple):
    """A buffer to place: alive in [start, end), `size` in units."""

    start: int
    end: int
    size: int


def bits_of(mask: int) -> Iterator[int]:
    """The positions of the ones of `mask`, ascending."""
    while mask:
        lowest = mask & -mask
        yield lowest.bit_length() - 1
        mask ^= lowest


def sections_of(blocks: Sequence[Block]) -> tuple[list[int], list[tuple[int, int]]]:
    """The maximal sets of blocks alive together, in time, and each block's range of them.

    Two blocks overlap in time exactly if they share a section (the maximal cliques of an interval
    graph); steps whose live set is part of another's add nothing.
    """
    events = []
    for index, block in enumerate(blocks):
        events.append((block.start, True, index))
        events.append((block.end, False, index))  # sorts before a start at the same step
    sections: list[int] = []
    begins = [0] * len(blocks)
    spans = [(0, 0)] * len(blocks)
    alive, grown = 0, False
    for _, starts, index in sorted(events):
        if starts:
            begins[index] = len(sections)
        elif grown:
            sections.append(alive)
        if not starts:
            spans[index] = (begins[index], len(sections))
        alive ^= 1 << index
        grown = starts
    return sections, spans


def connected(
    sections: Sequence[int], first: int, blocks: int
) -> Iterator[tuple[int, int, int]]:
    """The maximal runs [begin, end) of sections, counted from `first`, that are linked by `blocks`,
    with those of them that are alive there."""
    begin, mask, previous = first, 0, 0
    for section, living in enumerate(sections, start=first):
        alive = living & blocks
        if not alive & previous:
            if mask:
                yield begin, section, mask
            begin, mask = section, 0
        mask |= alive
        previous = alive
    if mask:
        yield begin, first + len(sections), mask
