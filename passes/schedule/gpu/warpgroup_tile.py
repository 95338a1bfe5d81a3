"""What a block of warpgroups takes of a product, and in which order blocks take their tiles."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import Self

from ....tile.warpgroups import ROWS, THREADS
from ....types import DType

DEPTH = 64  # terms of a tile: a row of a box
STAGES = 4
REGISTERS = 65536  # of a multiprocessor
_MULTIPLY_ADDS = 2048  # of a multiprocessor in a cycle


@dataclass(frozen=True)
class WarpgroupTile:
    """What is in one block of warpgroups: one that brings tiles, and `groups` that multiply, each
    with `rows` times 64 rows of the result and all `columns`. Of `blocks` at once each has several
    tiles of the result, one after the other; of None, one."""

    groups: int
    rows: int
    columns: int
    depth: int = DEPTH
    stages: int = STAGES
    splits: int = 1
    blocks: int | None = None

    @property
    def sides(self) -> tuple[int, int]:
        """Rows and columns of the result in a block."""
        return self.groups * self.rows * ROWS, self.columns

    @property
    def threads(self) -> int:
        return (self.groups + 1) * THREADS

    @property
    def registers(self) -> int:
        return REGISTERS // self.threads

    @property
    def bringing_registers(self) -> int | None:
        """Registers of a thread that brings tiles; None where all have as many as there are."""
        return 40 if self.groups > 1 else None

    @property
    def multiplying_registers(self) -> int | None:
        return 232 if self.groups > 1 else None

    @property
    def begin(self) -> int:
        return 2 * self.depth

    @property
    def cycles(self) -> float:
        return prod(self.sides) / _MULTIPLY_ADDS

    def in_parts(self, splits: int) -> Self:
        return replace(self, splits=splits)

    def shared_bytes(self, dtype: DType) -> int:
        """What the tiles take, and barriers."""
        return self.stages * (self.depth * sum(self.sides) * dtype.bytes + 16)


def rows_together(rows: int, sides: tuple[int, int], blocks: int) -> int:
    """How many of so many rows of tiles `blocks` go down at once, so that together they read the
    fewest rows and columns: a divisor of them."""
    divisors = (each for each in range(1, min(rows, blocks) + 1) if rows % each == 0)
    return min(divisors, key=lambda each: each * sides[0] + blocks / each * sides[1])
