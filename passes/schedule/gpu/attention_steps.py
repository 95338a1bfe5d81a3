"""The steps of a block of attention over its keys: which tiles come when, whoever multiplies them.

    async tiles {queries};  async tiles {keys, values <- step 0};  ..
    for step: {wait tiles;  sync;  async tiles {keys, values <- step + 1};  ..}
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from ....expr import TRUE, Expr, Var, index
from ....tile.nodes import Block, Buffer, Kernel, Kind, Let, Loop, Stmt, Sync, Wait
from ....tile.tree import tidy, var
from .attention_blocks import AttentionBlocks
from .attention_parts import Parts, joined_parts
from .attention_tiles import STAGES
from .product_blocks import unrolled
from .product_operand import Staged
from .warp_tiles import GROUP, brought


@dataclass(frozen=True)
class Steps:
    """The steps of a block's warps: `sides` are the tiles of queries, keys and values."""

    blocks: AttentionBlocks
    warp: str
    sides: tuple[Staged, Staged, Staged]

    def kernel(
        self, warps: int, body: Block, locals_: tuple[Buffer, ...], parts: Parts | None
    ) -> Kernel:
        """What so many warps of each block do, and what joins the parts of it."""
        inner = Loop(self.warp, index(0), index(warps), (*self.blocks.begin(), *body), Kind.WARP)
        outer = Loop(self.blocks.block, index(0), index(self.blocks.count), (inner,), Kind.BLOCK)
        tiles = tuple(side.tiles for side in self.sides)
        made = replace(self.blocks.naive, body=(outer,), locals=(*tiles, *locals_))
        return tidy(made if parts is None else joined_parts(made, self.blocks, parts))

    def started(self) -> Block:
        """Queries, and the first keys and values, on their way."""
        stage = self.blocks.axis("stage")
        first = var(stage) < self.blocks.steps if self.blocks.op.parts > 1 else TRUE
        return (
            *brought([(self.sides[0], index(0))], index(0), self.warp, self.blocks.names),
            unrolled(stage, STAGES - 1, *self._brought(var(stage), var(stage), first)),
        )

    def queries_there(self) -> Block:
        """Wait for the queries alone."""
        after = STAGES - 1 if any(side.is_copied for side in self.sides[1:]) else 0
        waits = (Wait(GROUP, after),) if self.sides[0].is_copied else ()
        return (*waits, Sync("block"))

    def _brought(self, step: Expr, stage: Expr, condition: Expr) -> Block:
        """The keys and values of a step into a stage."""
        first = var(self.blocks.axis("first.key"))
        sides = [(replace(side, first=first), index(0)) for side in self.sides[1:]]
        return (
            Let(first.name, self.blocks.first_key(step)),
            *brought(sides, stage, self.warp, self.blocks.names, condition),
        )

    def loop(self, work: Callable[[Expr, Var], Block]) -> Stmt:
        """All steps, with what is done in each with the tiles of a stage, from a key on."""
        step = self.blocks.axis("step")
        ahead, stage = var(step) + (STAGES - 1), var(step) % STAGES
        first_key = var(self.blocks.axis("key"))
        copies = any(side.is_copied for side in self.sides)
        body: Block = (
            *((Wait(GROUP, STAGES - 2),) if copies else ()),
            Sync("block"),
            *self._brought(ahead, ahead % STAGES, ahead < self.blocks.steps),
            Let(first_key.name, self.blocks.first_key(var(step))),
            *work(stage, first_key),
        )
        return Loop(step, index(0), self.blocks.steps, body)
