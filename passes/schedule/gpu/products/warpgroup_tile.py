"""What a block of warpgroups takes of a product, and in which order blocks take their tiles."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import Self

from .....tile.instructions.bulk import ROW_BYTES, box_columns
from .....tile.instructions.warpgroups import ROWS, THREADS
from .....types import DType, bf16

STAGES = 4
REGISTERS = 65536  # of a multiprocessor
_FEW_SUMS = 64  # of a thread
_MULTIPLY_ADDS = 2048  # of a multiprocessor in a cycle, of narrow elements


@dataclass(frozen=True)
class WarpgroupTile:
    """What is in one block of warpgroups: one that brings tiles, and `groups` that multiply, each
    with `rows` times 64 rows of the result and all `columns`. Of `blocks` at once each has several
    tiles of the result, one after the other; of None, one."""

    groups: int
    rows: int
    columns: int
    stages: int = STAGES
    splits: int = 1
    blocks: int | None = None
    dtype: DType = bf16

    @property
    def depth(self) -> int:
        """Terms of a tile: a row of a box."""
        return box_columns(self.dtype)

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
        """Registers of a thread that brings tiles; None where all have the same."""
        return 40 if self._is_short else None

    @property
    def multiplying_registers(self) -> int | None:
        return 232 if self._is_short else None

    @property
    def _is_short(self) -> bool:
        """Whether the registers of a multiprocessor, shared out evenly, are few for the sums."""
        return self.groups > 1 and self.rows * self.columns // 2 > _FEW_SUMS

    @property
    def begin(self) -> int:
        return 2 * self.depth

    @property
    def cycles(self) -> float:
        return prod(self.sides) / _MULTIPLY_ADDS * (self.dtype.bytes / bf16.bytes)

    def in_parts(self, splits: int) -> Self:
        return replace(self, splits=splits)

    @property
    def shared_bytes(self) -> int:
        """What the tiles take, and barriers."""
        return self.stages * (ROW_BYTES * sum(self.sides) + 16)


# From the least traffic with memory for each product to the most blocks.
WARPGROUP_TILES = (
    WarpgroupTile(2, 1, 256),  # 128 x 256 of 384 threads
    WarpgroupTile(2, 2, 128),  # 256 x 128 of 384
    WarpgroupTile(2, 1, 128),  # 128 x 128 of 384
    WarpgroupTile(2, 2, 64),  # 256 x 64 of 384
    WarpgroupTile(2, 1, 64),  # 128 x 64 of 384
    WarpgroupTile(1, 1, 128),  # 64 x 128 of 256
    WarpgroupTile(1, 1, 64),  # 64 x 64 of 256
)


def rows_together(rows: int, sides: tuple[int, int], blocks: int) -> int:
    """How many of so many rows of tiles `blocks` go down at once, so that together they read the
    fewest rows and columns: a divisor of them."""
    divisors = (each for each in range(1, min(rows, blocks) + 1) if rows % each == 0)
    return min(divisors, key=lambda each: each * sides[0] + blocks / each * sides[1])
