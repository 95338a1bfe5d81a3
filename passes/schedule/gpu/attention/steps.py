"""The steps of a block of attention over its keys: which tiles come when, whoever multiplies them.

    async tiles {queries};  async tiles {keys, values <- step 0};  ..
    for step in 0..whole: {wait tiles;  sync;  async tiles {keys, values <- step + 1};  ..}
    for step in whole..steps: {the same, with masked scores}
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from .....expr import TRUE, Expr, Var, index
from .....ops.kernels.stored import Stored
from .....tile.nodes import Block, Buffer, Kernel, Kind, Let, Loop, Stmt, Sync, Wait
from .....tile.tree import Names, tidy, var
from .....types import DType
from ..products.blocks import unrolled
from ..products.operand import Staged
from ..products.warp_tiles import GROUP, brought
from .blocks import AttentionBlocks
from .parts import Parts, joined_parts
from .tiles import STAGES, Stretch


class Stepping(Protocol):
    """Blocks that go through what comes by in steps."""

    @property
    def names(self) -> Names: ...

    @property
    def steps(self) -> Expr:
        """How many there are for a block."""

    @property
    def may_be_none(self) -> bool:
        """Whether some blocks have no step."""

    @property
    def stretches(self) -> Sequence[Stretch]:
        """All steps, those that are masked apart from the others."""

    def first_key(self, step: Expr) -> Expr:
        """The key, or query, that a step begins with."""


class Work(Protocol):
    """What is done in a step with the tiles of a stage, the first of whose keys (or queries) is
    told."""

    def __call__(self, stage: Expr, first_key: Var, *, masked: bool) -> Block: ...


@dataclass(frozen=True)
class Steps:
    """The steps of a block's warps: the tiles that come `once`, and in `each` step."""

    blocks: Stepping
    warp: str
    once: tuple[Staged, ...]
    each: tuple[Staged, ...]

    def started(self) -> Block:
        """What comes once, and the tiles of the first step, on their way."""
        stage = self.blocks.names.fresh("stage", "$")
        first = var(stage) < self.blocks.steps if self.blocks.may_be_none else TRUE
        once = [(side, index(0)) for side in self.once]
        return (
            *brought(once, index(0), self.warp, self.blocks.names),
            unrolled(stage, STAGES - 1, *self._brought(var(stage), var(stage), first)),
        )

    def once_there(self) -> Block:
        """Wait for what comes once alone."""
        after = STAGES - 1 if any(side.is_copied for side in self.each) else 0
        waits = (Wait(GROUP, after),) if any(side.is_copied for side in self.once) else ()
        return (*waits, Sync("block"))

    def _brought(self, step: Expr, stage: Expr, condition: Expr) -> Block:
        """The tiles of a step into a stage."""
        first = var(self.blocks.names.fresh("first.key", "$"))
        sides = [(replace(side, first=first), index(0)) for side in self.each]
        return (
            Let(first.name, self.blocks.first_key(step)),
            *brought(sides, stage, self.warp, self.blocks.names, condition),
        )

    def loops(self, work: Work) -> Block:
        """All steps, with what is done in each with the tiles of a stage, from a key on."""
        return tuple(self._loop(stretch, work) for stretch in self.blocks.stretches)

    def _loop(self, stretch: Stretch, work: Work) -> Stmt:
        step = self.blocks.names.fresh("step", "$")
        ahead, stage = var(step) + (STAGES - 1), var(step) % STAGES
        first_key = var(self.blocks.names.fresh("key", "$"))
        copies = any(side.is_copied for side in (*self.once, *self.each))
        body: Block = (
            *((Wait(GROUP, STAGES - 2),) if copies else ()),
            Sync("block"),
            *self._brought(ahead, ahead % STAGES, ahead < self.blocks.steps),
            Let(first_key.name, self.blocks.first_key(var(step))),
            *work(stage, first_key, masked=stretch.masked),
        )
        return Loop(step, stretch.first, stretch.last, body)


class MakeTiles(Protocol):
    """Gives a buffer of this name, in shared memory, for stages of tiles of rows and columns."""

    def __call__(self, name: str, shape: tuple[int, int, int]) -> Buffer: ...


def staged_operand(
    blocks: AttentionBlocks,
    name: str,
    stored: Stored,
    dtype: DType,
    depth: int,
    threads: int,
    tiles: MakeTiles,
) -> Staged:
    """The tiles of the operand `name`, `depth` columns of each row; those of queries come once."""
    stages, rows = (1, blocks.op.rows) if name == "queries" else (STAGES, blocks.op.columns)
    own = blocks.names.fresh(name, "_")

    def made(high: int, wide: int) -> Staged:
        buffer = tiles(own, (stages, high, wide))
        if name == "queries":
            return blocks.staged_rows(stored, dtype, depth, threads, buffer)
        return blocks.staged(stored, dtype, depth, threads, buffer, var("key"))

    along = made(rows, depth)
    return along if along.has_terms_last else made(depth, rows)


def bound(warp: str, warps: int, block: str, blocks: int, body: Block) -> Stmt:
    """What so many warps of so many blocks do."""
    inner = Loop(warp, index(0), index(warps), body, Kind.WARP)
    return Loop(block, index(0), index(blocks), (inner,), Kind.BLOCK)


def attention_kernel(
    blocks: AttentionBlocks,
    steps: Steps,
    warps: int,
    body: Block,
    locals_: tuple[Buffer, ...],
    parts: Parts | None,
) -> Kernel:
    """The kernel of an attention, and what joins the parts of it."""
    whole = bound(steps.warp, warps, blocks.block, blocks.count, (*blocks.begin(), *body))
    tiles = tuple(side.tiles for side in (*steps.once, *steps.each))
    made = replace(blocks.naive, body=(whole,), locals=(*tiles, *locals_))
    return tidy(made if parts is None else joined_parts(made, blocks, parts))
