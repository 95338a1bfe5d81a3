"""Where the threads of a block must meet: before one touches what another may have written since
they last met, or overwrites what another may still read.

What a thread alone touches needs no meeting: the elements of loops that are divided alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from .....tile.nodes import Block, Buffer, Kernel, Loop, Space, Stmt, Sync
from .....tile.traverse import blocks_of, map_blocks
from .....tile.tree import accesses, extent_of, has_constant_limits, var

# How the elements of a buffer are divided among the threads: as those of loops with these extents,
# or in no way that is known.
Shares: TypeAlias = tuple[int, ...] | None
Touched: TypeAlias = dict[str, Shares]


@dataclass
class Meeting:
    """What the threads have touched since they last met, other than their registers."""

    read: Touched = field(default_factory=dict)
    written: Touched = field(default_factory=dict)

    def before(
        self, kernel: Kernel, stmt: Stmt, more: Sequence[Buffer], own: Mapping[str, Shares]
    ) -> Block:
        """The barrier that a statement needs before it, if any; notes what the statement does, on
        elements of each thread's `own` of some buffers."""
        reads, writes = _touched(kernel, (stmt,), more, own)
        meet = self._met(reads, writes)
        _note(self.read, reads)
        _note(self.written, writes)
        return meet

    def inside(self, kernel: Kernel, stmt: Stmt, more: Sequence[Buffer]) -> Meeting:
        """A meeting for what is in a loop or a branch, which begins with what decides on that."""
        own = map_blocks(stmt, lambda _: ())
        return Meeting(_touched(kernel, (own,), more, {})[0])

    def around(self, kernel: Kernel, stmt: Stmt, more: Sequence[Buffer]) -> Block:
        """The barrier that a loop or a branch needs before it, if any, beside those in it."""
        first, surely = _until_met((stmt,))
        met = self._met(*_touched(kernel, first, more, {}))
        if surely:
            self.read, self.written = {}, {}
        return met

    def turn(self, kernel: Kernel, body: Block, more: Sequence[Buffer]) -> Block:
        """The barrier that the end of a loop's body needs, if any, before the body's next turn."""
        first, _ = _until_met(body)
        return self._met(*_touched(kernel, first, more, {}))

    def join(self, inner: Meeting) -> None:
        """Note what was touched in a nested block."""
        _note(self.read, inner.read)
        _note(self.written, inner.written)

    def _met(self, reads: Touched, writes: Touched) -> Block:
        """The barrier before some accesses, if they clash with what was touched."""
        if not self._clash(reads, writes):
            return ()
        self.read, self.written = {}, {}
        return (Sync("block"),)

    def _clash(self, reads: Touched, writes: Touched) -> bool:
        return (
            _meets(reads, self.written) or _meets(writes, self.read) or _meets(writes, self.written)
        )


def own_elements(loops: Sequence[Loop]) -> Mapping[str, Shares]:
    """The buffers that each thread touches only where it stands in the loops that are divided."""
    at = tuple(var(loop.axis) for loop in loops)
    extents = tuple(map(extent_of, loops))
    touched = list(accesses(loops[-1].body))
    other = {name for name, indices, _ in touched if indices != at}
    return {name: extents for name, _, _ in touched if name not in other}


def _until_met(block: Block) -> tuple[Block, bool]:
    """The statements of a block that may be done before the threads meet in it, and whether they do
    in any case."""
    found: list[Stmt] = []
    for stmt in block:
        if isinstance(stmt, Sync):
            return tuple(found), True
        found.append(map_blocks(stmt, lambda part: _until_met(part)[0]))
        surely = isinstance(stmt, Loop) and has_constant_limits(stmt) and extent_of(stmt) > 0
        if surely and _until_met(blocks_of(stmt)[0])[1]:
            return tuple(found), True
    return tuple(found), False


def _meets(now: Touched, before: Touched) -> bool:
    """Whether two threads may touch one element."""
    return any(
        shares is None or shares != before[name]
        for name, shares in now.items()
        if name in before
    )


def _note(into: Touched, more: Touched) -> None:
    for name, shares in more.items():
        into[name] = shares if into.get(name, shares) == shares else None


def _touched(
    kernel: Kernel, block: Block, more: Sequence[Buffer], own: Mapping[str, Shares]
) -> tuple[Touched, Touched]:
    """The buffers that a block reads and writes, other than registers."""
    registers = {
        local.name for local in (*kernel.locals, *more) if local.space is Space.REGISTER
    }
    reads: Touched = {}
    writes: Touched = {}
    for name, _, writing in accesses(block):
        if name not in registers:
            (writes if writing else reads)[name] = own.get(name)
    return reads, writes
