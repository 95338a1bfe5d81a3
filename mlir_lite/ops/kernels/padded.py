"""Buffers between the nests of a kernel that works a block at a time, padded in memory: what lies a
power of two apart would be in the same few sets of the nearest cache.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...tile.nodes import Buffer, Layout, Space
from ...tile.tree import var
from ...types import DType


def padded(
    name: str, dtype: DType, axes: Sequence[str], shape: tuple[int, ...], memory: tuple[int, ...]
) -> Buffer:
    """A local buffer of this shape at the beginning of each axis of memory of the other shape."""
    layout = Layout(tuple(axes), tuple(map(var, axes)), memory)
    return Buffer(name, dtype, shape, Space.SHARED, layout)
