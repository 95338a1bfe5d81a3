"""Where the interpreter evaluates expressions: the iterations run at once, names, and memory.

A frame whose grid is `(m, n)` stands for all `m * n` iterations of two loops. The axis of a deeper
loop is an earlier dimension of the arrays, so that a value computed in an outer loop broadcasts in
the inner ones without being reshaped.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import prod

import numpy as np
from numpy.typing import NDArray

from ..types import Array, DType
from .nodes import Block, Buffer

Index = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Storage:
    """The memory of a buffer: `data` is flat; the copy of each grid point starts at `base`."""

    buffer: Buffer
    data: Array
    base: Index
    strides: tuple[int, ...]

    @staticmethod
    def of(buffer: Buffer, data: Array) -> Storage:
        """One copy, in flat row-major memory that is written through."""
        return Storage(buffer, data, np.zeros((), np.int64), buffer.strides)

    @staticmethod
    def garbage(buffer: Buffer, grid: tuple[int, ...]) -> Storage:
        """A copy for each point of a grid, holding what no program would compute."""
        points = prod(grid)
        base = np.arange(points, dtype=np.int64).reshape(grid[::-1]) * buffer.elements
        data = garbage(buffer.dtype, points * buffer.elements)
        return Storage(buffer, data, base, buffer.strides)


@dataclass(frozen=True, slots=True)
class Frame:
    """Where an expression is evaluated: the names' values, the memory, the active iterations.

    `grid` holds the extents of the loops run at once, outer first; `mask` says which points are
    active (None: all). `reductions` are dimensions of the grid along which the accumulations into
    these buffers may meet in one element. `pending` holds the asynchronous bodies of this thread
    that have not run.
    """

    kernel: str
    vars: dict[str, Array]
    buffers: dict[str, Storage]
    grid: tuple[int, ...] = ()
    mask: Array | None = None
    reductions: tuple[tuple[int, frozenset[str]], ...] = ()
    pending: list[Pending] = field(default_factory=list)

    def masked(self, condition: Array) -> Frame:
        """The frame of the iterations in which the condition holds too."""
        mask = condition if self.mask is None else self.mask & condition
        return replace(self, mask=mask)

    def expanded(
        self, axis: str, start: int, stop: int, reduced: frozenset[str] = frozenset()
    ) -> Frame:
        """The frame that runs all of `start..stop` at once as one more dimension."""
        rank = len(self.grid)
        values = np.arange(start, stop, dtype=np.int64).reshape((stop - start,) + (1,) * rank)
        self.vars[axis] = values
        reductions = (*self.reductions, (rank, reduced)) if reduced else self.reductions
        return replace(self, grid=(*self.grid, stop - start), reductions=reductions)

    def thread(self) -> Frame:
        """A copy for an iteration of its own: names, buffers and asynchronous work are private."""
        return replace(self, vars=dict(self.vars), buffers=dict(self.buffers), pending=[])


@dataclass(frozen=True, slots=True)
class Pending:
    """An asynchronous body with the frame it was issued in."""

    group: str
    body: Block
    frame: Frame


def garbage(dtype: DType, elements: int) -> Array:
    """Uninitialised memory, made visible: NaN for floats, the bytes 0xCD for integers."""
    if dtype.kind == "b":
        return np.ones(elements, dtype.numpy)
    pattern = 0xFF if dtype.is_float else 0xCD
    return np.full(elements * dtype.bytes, pattern, np.uint8).view(dtype.numpy)
