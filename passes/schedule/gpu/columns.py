"""The recipe for sums of columns, whose neighbours lie side by side in memory: a lane has some
columns, each warp of a block every so manieth row, and each block a piece of the rows.

    for i: {acc = 0;  for k: acc += x[k, i];  y[i] = f(acc)}
      ->  launch 1: block: warp: {lane: {for k of warp: part[e] += x[k, i + e];  s[..] = part};
                                  sync;  warp 0: lane: pieces[piece, i + e] = sum of s[.., e]}
          launch 2: for i: {acc = 0;  for piece: acc += pieces[piece, i];  y[i] = f(acc)}
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ....expr import COMBINERS, Expr, const, index, vars_of
from ....target import Gpu
from ....tile.analyses.alignment import WIDEST
from ....tile.analyses.dependence import static_bounds
from ....tile.nodes import Accumulate, Kernel, Loop, Space, Store
from ....tile.tree import accesses, extent_of, has_constant_limits
from ..analysis import stride
from .wide import Run, is_wide
from .work import body_of, iterations

ROWS = 64  # that are worth a warp for every so manieth
ZERO = index(0)


@dataclass(frozen=True)
class Columns:
    """A kernel whose innermost of independent `loops` are columns, each a reduction over rows: the
    statement at `place` of its body."""

    kernel: Kernel
    loops: tuple[Loop, ...]
    place: int

    @property
    def rows(self) -> Loop:
        loop = body_of(self.kernel, list(self.loops))[self.place]
        assert isinstance(loop, Loop)
        return loop

    @property
    def update(self) -> Accumulate:
        (update,) = self.rows.body
        assert isinstance(update, Accumulate)
        return update

    def reads(self, axis: str = "") -> list[tuple[str, tuple[Expr, ...]]]:
        """What the reduction reads of memory; along an axis, if one is given."""
        return [
            (name, at)
            for name, at, writes in accesses(self.rows.body)
            if not writes
            and self.kernel.buffers[name].space is Space.GLOBAL
            and (not axis or any(axis in vars_of(part) for part in at))
        ]

    def run(self) -> Run:
        """The longest run of columns that can be read at once."""
        axis, bounds = self.loops[-1].axis, static_bounds(self.kernel.body)
        buffers = self.kernel.buffers
        found = [(buffers[name], at) for name, at in self.reads(axis)]
        types = (*(value.dtype for value in self.update.values), *(one.dtype for one, _ in found))
        width = WIDEST // max(dtype.bytes for dtype in types)
        while width > 1 and (
            extent_of(self.loops[-1]) % width
            or not all(is_wide(buffer, at, axis, width, bounds) for buffer, at in found)
        ):
            width //= 2
        return Run(self.kernel, self.rows.body, axis, width)


def as_columns(kernel: Kernel, loops: Sequence[Loop], gpu: Gpu) -> Columns | None:
    """The sums of columns that a kernel is, if they are too few for a thread each."""
    if not loops or iterations(list(loops)) >= gpu.multiprocessors * gpu.threads:
        return None
    body = body_of(kernel, list(loops))
    inner = [place for place, stmt in enumerate(body) if isinstance(stmt, Loop)]
    if len(inner) != 1 or any(local.space is Space.SHARED for local in kernel.locals):
        return None
    columns = Columns(kernel, tuple(loops), inner[0])
    rows = columns.rows
    match rows.body:
        case (Accumulate() as update,) if all(not ref.indices for ref in update.targets):
            pass
        case _:
            return None
    long = has_constant_limits(rows) and extent_of(rows) >= ROWS and rows.start == ZERO
    if not long or loops[-1].start != ZERO or not _starts(columns):
        return None
    steps = [stride(kernel.buffers[name], at, loops[-1].axis) for name, at in columns.reads()]
    return columns if steps and all(step in (0, 1) for step in steps) and 1 in steps else None


def _starts(columns: Columns) -> bool:
    """Whether the reduction begins with what changes nothing."""
    update = columns.update
    before = body_of(columns.kernel, list(columns.loops))[: columns.place]
    known = {stmt.target.buffer: stmt.value for stmt in before if isinstance(stmt, Store)}
    return len(before) == len(known) and all(
        known.get(ref.buffer) == const(identity(value.dtype), value.dtype)
        for ref, value, identity in zip(
            update.targets, update.values, COMBINERS[update.combiner].identity, strict=True
        )
    )
