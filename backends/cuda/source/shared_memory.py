"""Where the shared buffers of a kernel lie: each an array of its own, or all in the memory that a
launch asks for, where they are more than arrays may be or begin where arrays do not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from ....sizes import round_up
from ....tile.analyses.alignment import WIDEST, alignment_of
from ....tile.nodes import Buffer, Kernel, Space

STATIC_BYTES = 48 << 10  # of arrays
SHARED_BYTES = 228 << 10  # of the multiprocessors that have most

Places: TypeAlias = Mapping[str, int]


@dataclass(frozen=True)
class SharedMemory:
    """What a launch asks for, and where each buffer begins in it; nothing where all are arrays."""

    asked_bytes: int
    places: Places

    @staticmethod
    def of(kernel: Kernel) -> SharedMemory:
        shared = [
            local for local in kernel.locals if local.space in (Space.SHARED, Space.BARRIER)
        ]
        # Arrays are at multiples of sixteen bytes.
        even = all(local.alignment <= WIDEST for local in shared)
        if even and sum(map(_bytes, shared)) <= STATIC_BYTES:
            return SharedMemory(0, {})
        end = 0
        places: dict[str, int] = {}
        for local in sorted(shared, key=alignment_of, reverse=True):
            alignment = max(WIDEST, alignment_of(local))
            places[local.name] = round_up(end, alignment)
            end = places[local.name] + _bytes(local)
        return SharedMemory(end, places)


def _bytes(buffer: Buffer) -> int:
    return buffer.elements * buffer.dtype.bytes
