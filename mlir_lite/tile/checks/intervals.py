"""Stretches of memory as pairs of a start and a stop, in bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

Piece: TypeAlias = tuple[int, int]


def merged(pieces: Sequence[Piece]) -> list[Piece]:
    """The same bytes in the fewest pieces, in order."""
    found: list[Piece] = []
    for start, stop in sorted(pieces):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(stop, found[-1][1]))
        else:
            found.append((start, stop))
    return found


def common(one: Sequence[Piece], other: Sequence[Piece]) -> list[Piece]:
    """The bytes that lie in both of two lists of pieces."""
    pieces = [
        (max(start, begin), min(stop, end))
        for start, stop in merged(one)
        for begin, end in merged(other)
    ]
    return [(start, stop) for start, stop in pieces if start < stop]


def swept(piece: Piece, moves: Sequence[tuple[int, int]]) -> list[Piece]:
    """All that a piece covers as it moves: by `stride` bytes, `count` times in all, for each of
    the moves `(count, stride)` and each place that the others take it to."""
    pieces = [piece]
    for count, stride in sorted(moves, key=lambda move: abs(move[1])):
        whole = (count - 1) * stride
        grown: list[Piece] = []
        for start, stop in pieces:
            if abs(stride) <= stop - start:
                grown.append((start + min(0, whole), stop + max(0, whole)))
            else:
                grown += [(start + turn * stride, stop + turn * stride) for turn in range(count)]
        pieces = merged(grown)
    return pieces
