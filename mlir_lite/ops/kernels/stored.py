"""Operands that a kernel by hand reads where they lie, their axes in any order."""

from __future__ import annotations

from dataclasses import dataclass

from ...expr import Expr, Load, cast, index
from ...tile.nodes import Buffer
from ..base.body import Indices, computing_type


@dataclass(frozen=True)
class Stored:
    """A buffer, axis `i` of what it holds being its own axis `axes[i]`."""

    buffer: Buffer
    axes: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.buffer.shape[axis] for axis in self.axes)

    def place(self, batch: Indices, *at: Expr) -> Indices:
        """The index of an element in the buffer; leading axes broadcast."""
        shape = self.shape
        kept = batch[len(batch) + len(at) - len(shape) :]
        leading = tuple(
            index(0) if extent == 1 else part for part, extent in zip(kept, shape, strict=False)
        )
        here = (*leading, *at)
        return tuple(here[self.axes.index(axis)] for axis in range(len(shape)))

    def load(self, batch: Indices, *at: Expr) -> Load:
        """An element as it is stored."""
        return Load(self.buffer.dtype, self.buffer.name, self.place(batch, *at))

    def wide(self, batch: Indices, *at: Expr) -> Expr:
        """An element in the type that it is computed in."""
        return cast(self.load(batch, *at), computing_type(self.buffer.dtype))
