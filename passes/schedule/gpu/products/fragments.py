"""Fragments that the lanes of a warp, or of a warpgroup, hold, by their names, and statements on
them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from .....expr import Expr, Load, index
from .....tile.instructions.warps import LANES, of_threads
from .....tile.nodes import (
    Accumulate,
    Block,
    Buffer,
    Call,
    Kind,
    Loop,
    Ref,
    Space,
    Stmt,
    Store,
    Window,
)
from .....tile.tree import Names, var
from .....types import DType
from .blocks import unrolled


@dataclass(frozen=True)
class Fragments:
    """Fragments of so many threads; their last axes are the lane and its elements."""

    names: Names
    buffers: Mapping[str, Buffer]
    threads: int = LANES

    @staticmethod
    def of(
        names: Names,
        shapes: Mapping[str, tuple[DType, tuple[int, ...]]],
        threads: int = LANES,
    ) -> Fragments:
        buffers = {
            name: Buffer(names.fresh(name, "_"), dtype, shape, Space.FRAGMENT)
            for name, (dtype, shape) in shapes.items()
        }
        return Fragments(names, buffers, threads)

    def with_register(self, name: str, register: Buffer) -> Fragments:
        """These, and what all lanes have the same of."""
        return replace(self, buffers={**self.buffers, name: register})

    def extent(self, name: str, axis: int) -> int:
        return self.buffers[name].shape[axis]

    def unrolled(self, extents: Sequence[int], body: Callable[..., Block]) -> Block:
        """Loops over so many, written out, around what `body` gives at their axes."""
        axes = [self.names.fresh(name, "$") for name, _ in zip("ijk", extents, strict=False)]
        block = body(*map(var, axes))
        for axis, extent in reversed(list(zip(axes, extents, strict=True))):
            block = (unrolled(axis, extent, *block),)
        return block

    def lanes(self, extents: Sequence[int], body: Callable[..., Block]) -> Stmt:
        """What each lane does, in such loops."""
        lane = self.names.fresh("lane", "$")
        inner = self.unrolled(extents, lambda *at: body(var(lane), *at))
        return Loop(lane, index(0), index(self.threads), inner, Kind.LANE)

    def load(self, name: str, *at: Expr) -> Load:
        buffer = self.buffers[name]
        return Load(buffer.dtype, buffer.name, at)

    def store(self, name: str, value: Expr, *at: Expr) -> Store:
        return Store(Ref(self.buffers[name].name, at), value)

    def add(self, name: str, value: Expr, *at: Expr) -> Accumulate:
        return Accumulate("sum", (Ref(self.buffers[name].name, at),), (value,))

    def window(self, name: str, *at: Expr) -> Window:
        """A fragment, known by its first indices."""
        buffer = self.buffers[name]
        return Window(buffer.name, (*at, *(index(0),) * (len(buffer.shape) - len(at))))

    def call(self, instruction: str, **windows: tuple[Expr, ...]) -> Call:
        """An instruction on whole fragments."""
        parts = tuple(self.window(name, *at) for name, at in windows.items())
        return Call(instruction, parts)

    def call_of_threads(self, instruction: str, **windows: tuple[Expr, ...]) -> Call:
        """An instruction that warps do, by all these threads."""
        return self.call(of_threads(instruction, self.threads), **windows)
