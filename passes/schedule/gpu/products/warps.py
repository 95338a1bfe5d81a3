"""The tiles of a product of narrow elements, multiplied by warps: fragments of sixteen rows, eight
columns and sixteen terms, that all threads of a warp hold and multiply together. Of TF32 there are
eight terms; what is not rounded before it is in shared memory each lane rounds where it has it.

    block: warp: {async tiles {lane: left, right <- step 0};  ..
      for step: {wait tiles;  sync;  async tiles {lane: left, right <- step + 2};
                 for k: {call load_left(a[i], left);  call load_right(b[j], right);
                         call mma(sums[i, j], a[i], b[j])}}
      lane: y[m, n] = f(sums[i, j, lane, e])}
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from .....expr import TRUE, Expr, Load, apply, const, index
from .....tile.instructions.warps import (
    COLUMNS,
    LANES,
    ROWS,
    left_place,
    mma_name,
    right_place,
    terms_of,
)
from .....tile.nodes import (
    Block,
    Buffer,
    Call,
    Kernel,
    Kind,
    Loop,
    Ref,
    Space,
    Stmt,
    Store,
    Sync,
    Wait,
    Window,
)
from .....tile.tree import Names, tidy, var
from .....types import DType, f32
from ..held import Computed
from .blocks import Blocks, steps_of, unrolled
from .contraction import Contraction, Operand, narrow_type, narrowed
from .fragment_results import FragmentSums, finished
from .operand import Staged
from .rounding import is_rounded_late
from .tiles import WarpTile
from .warp_tiles import GROUP, brought, lanes, load_fragments, swizzled

ZERO = index(0)


def by_warps(contraction: Contraction, tile: WarpTile) -> Kernel:
    """The kernel of a contraction of narrow elements."""
    return _Tiling.of(contraction, tile).kernel()


@dataclass(frozen=True)
class _Tiling:
    """The work of writing a contraction by warps."""

    blocks: Blocks[Staged]
    tile: WarpTile
    warp: str
    dtype: DType
    sums: Buffer
    fragments: tuple[Buffer, Buffer]

    @staticmethod
    def of(contraction: Contraction, tile: WarpTile) -> _Tiling:
        dtype = narrow_type(contraction)
        assert dtype is not None
        names = Names(contraction.kernel)
        tile = replace(tile, stages=min(tile.stages, steps_of(contraction, tile) + 1))
        block, warp = names.fresh("block"), names.fresh("warp")
        blocks = Blocks.of(contraction, tile, names, block, partial(_staged, contraction, tile))
        rows, columns = tile.fragments
        pair = f32.bytes // dtype.bytes  # elements of a register
        shapes = ((rows, columns, LANES, 4), (rows, LANES, 4 * pair), (columns, LANES, 2 * pair))
        sums, a, b = (
            Buffer(names.fresh(name, "_"), kind, shape, Space.FRAGMENT)
            for name, kind, shape in zip(
                ("sums", "a", "b"), (f32, dtype, dtype), shapes, strict=True
            )
        )
        return _Tiling(blocks, tile, warp, dtype, sums, (a, b))

    @property
    def operands(self) -> tuple[Staged, Staged]:
        return self.blocks.operands

    def kernel(self) -> Kernel:
        """All of it. Stages are constants where no more than copies is written out for each."""
        copied, done = all(side.is_copied for side in self.operands), self._finished()
        body: Block = (
            *self.blocks.begin(),
            self._cleared(),
            *self._started(),
            *self.blocks.over_steps(self.tile.stages, self._step, together=copied),
            *done.block,
        )
        warps = self.tile.warps[0] * self.tile.warps[1]
        inner = Loop(self.warp, index(0), index(warps), body, Kind.WARP)
        count = self.blocks.count(self.tile.splits)
        outer = Loop(self.blocks.block, index(0), index(count), (inner,), Kind.BLOCK)
        tiles = (side.tiles for side in self.operands)
        locals_ = (*tiles, self.sums, *self.fragments, *done.registers)
        return tidy(replace(self.blocks.contraction.kernel, body=(outer,), locals=locals_))

    def _own(self, side: Staged) -> Expr:
        """Where a warp's part of the tile begins: no name for it, so that what is a multiple of
        eight is seen to be one where rows are swizzled."""
        across = self.tile.warps[1]
        is_left = side is self.blocks.left
        place = var(self.warp) // across if is_left else var(self.warp) % across
        return place * (side.sizes[0] // self.tile.warps[0 if is_left else 1])

    def _cleared(self) -> Stmt:
        lane, i, j, e = (self.blocks.axis(name) for name in ("lane", "i", "j", "e"))
        at = (var(i), var(j), var(lane), var(e))
        store = Store(Ref(self.sums.name, at), const(0, f32))
        rows, columns = self.tile.fragments
        all_ = unrolled(i, rows, unrolled(j, columns, unrolled(e, 4, store)))
        return lanes(lane, all_)

    # Steps over the terms

    def _started(self) -> Block:
        """The tiles of the first steps on their way."""
        stage = self.blocks.axis("stage")
        brought = self._brought(self.blocks.first_step + var(stage), var(stage))
        return (unrolled(stage, self.tile.stages - 1, *brought),)

    def _brought(
        self, step: Expr, stage: Expr, condition: Expr = TRUE, *, whole: bool = False
    ) -> Block:
        """A step's tiles, if there is such a step; a `whole` one has all its terms."""
        sides = [(side, step) for side in self.operands]
        return brought(sides, stage, self.warp, self.blocks.names, condition, whole=whole)

    def _step(self, step: Expr, stage: Expr, more: bool) -> Block:
        """With a step's tiles there and those ahead on their way, add its products."""
        stages = self.tile.stages
        ahead = step + (stages - 1)
        copies = any(side.is_copied for side in self.operands)
        return (
            *((Wait(GROUP, stages - 2),) if copies else ()),
            Sync("block"),
            *self._brought(
                self.blocks.first_step + ahead,
                (stage + (stages - 1)) % stages,
                TRUE if more else ahead < self.blocks.steps,
                whole=more and self.blocks.has_whole_steps,
            ),
            self._multiplied(stage),
        )

    def _multiplied(self, stage: Expr) -> Stmt:
        """The products of a stage, as many terms at a time as one instruction multiplies."""
        term, i, j = (self.blocks.axis(name) for name in ("term", "i", "j"))
        rows, columns = self.tile.fragments
        a, b = self.fragments
        zero = index(0)
        product = Call(
            mma_name(self.dtype),
            (
                Window(self.sums.name, (var(i), var(j), zero, zero)),
                Window(a.name, (var(i), zero, zero)),
                Window(b.name, (var(j), zero, zero)),
            ),
        )
        terms = terms_of(self.dtype)
        first = var(term) * terms
        return unrolled(
            term,
            self.tile.depth // terms,
            *self._loaded("left", self.blocks.left, a, stage, first),
            *self._loaded("right", self.blocks.right, b, stage, first),
            unrolled(i, rows, unrolled(j, columns, product)),
        )

    def _loaded(
        self, name: str, side: Staged, fragment: Buffer, stage: Expr, first: Expr
    ) -> Block:
        """A warp's fragments of an operand, rounded if they are not yet."""
        own = self.blocks.contraction
        late = is_rounded_late(own.left if name == "left" else own.right)
        return (
            self._brought_there(name, side, fragment, stage, first),
            *((self._rounded(fragment),) if late else ()),
        )

    def _brought_there(
        self, name: str, side: Staged, fragment: Buffer, stage: Expr, first: Expr
    ) -> Stmt:
        """A warp's fragments of an operand. No instruction turns f32: lanes read theirs."""
        turned = not side.has_terms_last
        if self.dtype != f32 or not turned:
            axis, row = self.blocks.axis("f"), self._own(side)
            at = (stage, row, first)
            return load_fragments(side.tiles, fragment, name, at, axis, turned=turned)
        place = left_place if name == "left" else right_place

        def one(lane: Expr, f: Expr, e: Expr) -> Expr:
            row, term = place(f32, lane, e, ZERO)
            row = self._own(side) + f * (ROWS if name == "left" else COLUMNS) + row
            return Load(f32, side.tiles.name, (stage, first + term, row))

        return self._by_lanes(fragment, one)

    def _rounded(self, fragment: Buffer) -> Stmt:
        """Each lane's elements of f32 fragments rounded."""

        def one(lane: Expr, f: Expr, e: Expr) -> Expr:
            return apply("tf32", Load(f32, fragment.name, (f, lane, e)))

        return self._by_lanes(fragment, one)

    def _by_lanes(self, fragment: Buffer, element: Callable[[Expr, Expr, Expr], Expr]) -> Stmt:
        """Each lane's elements of fragments."""
        lane, f, e = (self.blocks.axis(axis) for axis in ("lane", "f", "e"))
        count, _, size = fragment.shape
        store = Store(
            Ref(fragment.name, (var(f), var(lane), var(e))), element(var(lane), var(f), var(e))
        )
        return lanes(lane, unrolled(f, count, unrolled(e, size, store)))

    # Results

    def _finished(self) -> Computed:
        left, right = map(self._own, self.operands)
        return finished(self.blocks, FragmentSums(self.sums, LANES), left, right)


def _staged(
    contraction: Contraction,
    tile: WarpTile,
    operand: Operand,
    name: str,
    sizes: tuple[int, int],
    ends: int,
    names: Names,
) -> Staged:
    bare = narrowed(operand)
    operand = bare if bare.plain is not None or bare.value.dtype != f32 else operand
    dtype, along = operand.value.dtype, contraction.runs_along_terms(operand)
    shape = (tile.stages, *(sizes if along else sizes[::-1]))
    # Eight lanes load rows that follow each other; of f32 that lies turned four read every row.
    layout = swizzled(shape, dtype, 2 if dtype == f32 and not along else 1)
    tiles = Buffer(names.fresh(name, "_"), dtype, shape, Space.SHARED, layout)
    return Staged.of(
        contraction, operand, name, tiles, sizes, ends, tile.threads, names, keeps=True
    )
