"""Where the threads of a block must meet: before one touches what another may have written since
they last met, or overwrites what another may still read.

What a thread alone touches needs no meeting: the elements of loops that are divided alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from ....tile.nodes import Block, Buffer, Kernel, Loop, Space, Stmt, Sync
from ....tile.tree import accesses, extent_of, var

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
        meet = self._clash(reads, writes)
        if meet:
            self.read, self.written = {}, {}
        _note(self.read, reads)
        _note(self.written, writes)
        return (Sync("block"),) if meet else ()

    def turn(self, kernel: Kernel, body: Block, more: Sequence[Buffer]) -> Block:
        """The barrier that the end of a loop's body needs, if any, before the body's next turn."""
        meet = self._clash(*_touched(kernel, body, more, {}))
        if meet:
            self.read, self.written = {}, {}
        return (Sync("block"),) if meet else ()

    def join(self, inner: Meeting) -> None:
        """Note what was touched in a nested block."""
        _note(self.read, inner.read)
        _note(self.written, inner.written)

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
