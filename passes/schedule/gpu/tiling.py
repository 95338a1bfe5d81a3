"""The recipe for matrix products: a tile of the result a block, of which each thread has a part in
registers; tiles of the operands go through shared memory, two of each, so that the next ones are on
their way while the present ones are used.

    for m: for n: {acc = 0;  for k: acc += left[m, k] * right[k, n];  y[m, n] = f(acc)}
      ->  block: thread: {left tile 0, right tile 0 -> shared;  sync
            for k.o: {tiles k.o + 1 -> registers;  acc[i, j] += tiles k.o;
                      registers -> shared;  sync}
            y[m, n] = f(acc[i, j])}
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

from ....expr import (
    Expr,
    Load,
    Var,
    all_of,
    const,
    index,
    loads_of,
    select,
    substitute_vars,
    vars_of,
)
from ....target import Gpu
from ....tile.nodes import (
    Accumulate,
    Block,
    Buffer,
    If,
    Kernel,
    Kind,
    Let,
    Loop,
    Ref,
    Space,
    Stmt,
    Store,
    Sync,
    rewrite_block,
)
from ....tile.tree import Names, var
from ..analysis import stride
from .grid import axes_at
from .product import Product, count_of

PADDING = 4  # elements after each row of a tile, so that rows begin in other banks


@dataclass(frozen=True)
class Tile:
    """Rows and columns of the result a block, terms a step, and the part of each thread: `rows` by
    `columns` groups of threads, each with two by two squares of `square` elements a side."""

    rows: int
    columns: int
    terms: int
    square: int

    @property
    def part(self) -> int:
        """Rows, and columns, of a thread's part."""
        return 2 * self.square

    @property
    def threads(self) -> int:
        return self.rows * self.columns // self.part**2


# The largest that gives every multiprocessor a block; else the one with the most blocks.
TILES = (Tile(128, 128, 8, 4), Tile(64, 64, 16, 2), Tile(32, 32, 16, 1), Tile(16, 16, 16, 1))


def tile_for(product: Product, gpu: Gpu) -> Tile:
    """The tile by which a product is cut."""
    allowed = [tile for tile in TILES if tile.threads <= gpu.block_threads]
    enough = (tile for tile in allowed if _blocks(product, tile) >= gpu.multiprocessors)
    return next(enough, allowed[-1])


def _blocks(product: Product, tile: Tile) -> int:
    high = -(-count_of(product.rows) // tile.rows)
    wide = -(-count_of(product.columns) // tile.columns)
    return high * wide * count_of(product.batch)


def schedule_product(kernel: Kernel, product: Product, tile: Tile) -> Kernel:
    """The kernel by tiles."""
    return _Tiling(kernel, product, tile, Names(kernel)).kernel_()


class _Tiling:
    """The work of writing a tiled product."""

    def __init__(self, kernel: Kernel, product: Product, tile: Tile, names: Names) -> None:
        self.kernel, self.product, self.tile, self.names = kernel, product, tile, names
        self.dtype = product.sum.dtype
        self.locals: list[Buffer] = []
        self.block, self.thread = names.fresh("block"), names.fresh("thread")
        self.rows = self._operand("left", product.left, product.rows, tile.rows)
        self.columns = self._operand("right", product.right, product.columns, tile.columns)
        self.acc = self._local("sums", (tile.part, tile.part), Space.REGISTER)

    def _local(self, name: str, shape: tuple[int, ...], space: Space) -> Buffer:
        buffer = Buffer(self.names.fresh(name, "_"), self.dtype, shape, space)
        self.locals.append(buffer)
        return buffer

    def _operand(self, name: str, value: Expr, loops: Sequence[Loop], width: int) -> _Operand:
        tile = self.tile
        each = -(-width * tile.terms // tile.threads)
        shape = (2, tile.terms, width + PADDING)
        return _Operand(
            value,
            tuple(loops),
            width,
            count_of(loops),
            self._local(f"{name}_tiles", shape, Space.SHARED),
            self._local(f"{name}_next", (each,), Space.REGISTER),
            self._local(f"{name}_part", (tile.part,), Space.REGISTER),
            var(self.names.fresh(f"{name}_first")),
        )

    def kernel_(self) -> Kernel:
        tile, product = self.tile, self.product
        counts = [-(-operand.count // operand.width) for operand in (self.rows, self.columns)]
        blocks = prod(counts) * count_of(product.batch)
        at = var(self.block)
        lets: list[Stmt] = [
            Let(self.columns.first.name, at % counts[1] * tile.columns),
            Let(self.rows.first.name, at // counts[1] % counts[0] * tile.rows),
        ]
        batch = at // (counts[0] * counts[1])
        lets += axes_at(product.batch, batch)
        steps = -(-count_of(product.terms) // tile.terms)
        turn = self.names.fresh("step")
        body: Block = (
            *lets,
            *self._cleared(),
            *self._fetched(index(0)),
            *self._put(index(0)),
            Sync("block"),
            Loop(
                turn,
                index(0),
                index(steps),
                (
                    *self._fetched(var(turn) + 1),
                    self._multiplied(var(turn) % 2),
                    *self._put((var(turn) + 1) % 2),
                    Sync("block"),
                ),
            ),
            *self._finished(),
        )
        inner = Loop(self.thread, index(0), index(tile.threads), body, Kind.THREAD)
        outer = Loop(self.block, index(0), index(blocks), (inner,), Kind.BLOCK)
        kept = tuple(local for local in self.kernel.locals if local != product.sum)
        return replace(self.kernel, body=(outer,), locals=(*kept, *self.locals))

    def _cleared(self) -> Block:
        i, j = self._axis("i"), self._axis("j")
        store = Store(Ref(self.acc.name, (i, j)), const(0, self.dtype))
        return (self._unrolled(i, self.tile.part, self._unrolled(j, self.tile.part, store)),)

    def _axis(self, name: str) -> Expr:
        return var(self.names.fresh(name, "$"))

    def _unrolled(self, axis: Expr, count: int, *body: Stmt) -> Loop:
        (name,) = vars_of(axis)
        return Loop(name, index(0), index(count), body, Kind.UNROLL)

    # Tiles

    def _fetched(self, step: Expr) -> Block:
        """The elements of a step's tiles that this thread brings, into its registers."""
        return tuple(self._fetch(operand, step) for operand in (self.rows, self.columns))

    def _fetch(self, operand: _Operand, step: Expr) -> Stmt:
        turn = self._axis("e")
        along, term = self._place(operand, turn)
        outer, inner = self._axis("p"), self._axis("q")
        names = [name for part in (outer, inner) for name in vars_of(part)]
        lets: list[Stmt] = [
            Let(names[0], operand.first + along),
            Let(names[1], step * self.tile.terms + term),
        ]
        renamed, axes = self._renamed((*operand.loops,), outer)
        more, terms = self._renamed(self.product.terms, inner)
        value = substitute_vars(operand.value, {**renamed, **more})
        inside = all_of(outer < operand.count, inner < count_of(self.product.terms))
        taken = select(inside, value, const(0, self.dtype))
        store = Store(Ref(operand.next.name, (turn,)), taken)
        return self._unrolled(turn, operand.next.shape[0], *lets, *axes, *terms, store)

    def _renamed(
        self, loops: Sequence[Loop], position: Expr
    ) -> tuple[dict[str, Expr], tuple[Let, ...]]:
        """The axes of loops by the number of an iteration, under names of their own."""
        lets = axes_at(loops, position)
        fresh = {let.name: self.names.fresh(let.name, "$") for let in lets}
        renamed: dict[str, Expr] = {name: var(new) for name, new in fresh.items()}
        return renamed, tuple(Let(fresh[let.name], let.value) for let in lets)

    def _place(self, operand: _Operand, turn: Expr) -> tuple[Expr, Expr]:
        """Where an element that a thread brings stands in the tile: neighbouring threads bring
        what lies side by side in memory."""
        number = turn * self.tile.threads + var(self.thread)
        if operand.follows_terms(self.kernel, self.product.terms):
            return number // self.tile.terms, number % self.tile.terms
        return number % operand.width, number // operand.width

    def _put(self, half: Expr) -> Block:
        """The elements that this thread brought, into one half of the shared tiles."""
        result: list[Stmt] = []
        for operand in (self.rows, self.columns):
            turn = self._axis("e")
            along, term = self._place(operand, turn)
            brought = Load(self.dtype, operand.next.name, (turn,))
            store = Store(Ref(operand.tiles.name, (half, term, along)), brought)
            result.append(self._unrolled(turn, operand.next.shape[0], store))
        return tuple(result)

    # Sums

    def _parts(self) -> tuple[Expr, Expr]:
        """Where this thread stands among the rows and the columns of threads. The threads of a warp
        are four by eight, so that they read few different elements at once."""
        thread = var(self.thread)
        across = self.tile.columns // self.tile.part // 8
        warp, lane = thread // 32, thread % 32
        return warp // across * 4 + lane // 8, warp % across * 8 + lane % 8

    def _element(self, operand: _Operand, group: Expr, i: Expr) -> Expr:
        """The i-th element of a thread's part in a tile: two runs, half a tile apart."""
        square = self.tile.square
        return i // square * (operand.width // 2) + group * square + i % square

    def _multiplied(self, half: Expr) -> Stmt:
        term, i, j = self._axis("t"), self._axis("i"), self._axis("j")
        loads: list[Stmt] = []
        for operand, group in zip((self.rows, self.columns), self._parts(), strict=True):
            axis = self._axis("i")
            at = (half, term, self._element(operand, group, axis))
            store = Store(Ref(operand.part.name, (axis,)), Load(self.dtype, operand.tiles.name, at))
            loads.append(self._unrolled(axis, self.tile.part, store))
        product = Load(self.dtype, self.rows.part.name, (i,)) * Load(
            self.dtype, self.columns.part.name, (j,)
        )
        update = Accumulate("sum", (Ref(self.acc.name, (i, j)),), (product,))
        sums = self._unrolled(i, self.tile.part, self._unrolled(j, self.tile.part, update))
        return self._unrolled(term, self.tile.terms, *loads, sums)

    def _finished(self) -> Block:
        i, j = self._axis("i"), self._axis("j")
        row, column = self._axis("row"), self._axis("column")
        groups = self._parts()
        sums = Load(self.dtype, self.acc.name, (i, j))
        lets: list[Stmt] = []
        for operand, group, axis, name in zip(
            (self.rows, self.columns), groups, (i, j), (row, column), strict=True
        ):
            (own,) = vars_of(name)
            lets.append(Let(own, operand.first + self._element(operand, group, axis)))
        axes = (*axes_at(self.product.rows, row), *axes_at(self.product.columns, column))

        def summed(node: Expr) -> Expr | None:
            mine = isinstance(node, Load) and node.buffer == self.product.sum.name
            return sums if mine else None

        finish = rewrite_block(self.product.finish, summed)
        inside = all_of(row < self.rows.count, column < self.columns.count)
        body = (*lets, If(inside, (*axes, *finish)))
        return (self._unrolled(i, self.tile.part, self._unrolled(j, self.tile.part, *body)),)


@dataclass(frozen=True)
class _Operand:
    """One side of the product: the loops over its rows (or columns), and its buffers."""

    value: Expr
    loops: tuple[Loop, ...]
    width: int  # of a tile
    count: int
    tiles: Buffer
    next: Buffer
    part: Buffer
    first: Var  # of the block's tile

    def follows_terms(self, kernel: Kernel, terms: Sequence[Loop]) -> bool:
        """Whether its elements lie side by side along the terms."""
        return any(
            stride(kernel.buffers[load.buffer], load.indices, terms[-1].axis) == 1
            and stride(kernel.buffers[load.buffer], load.indices, self.loops[-1].axis) != 1
            for load in loads_of(self.value)
        )
