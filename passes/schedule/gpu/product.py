"""Matrix products, found in any nest that sums products: a tile of the result a block, of which
each thread has a part in registers; tiles of the operands go through shared memory, two of each, so
that the next ones are on their way while the present ones are used.

    for m: for n: {acc = 0;  for k: acc += left[m, k] * right[k, n];  y[m, n] = f(acc)}
      ->  block: thread: {left tile 0, right tile 0 -> shared;  sync
            for k.o: {tiles k.o + 1 -> registers;  acc[i, j] += tiles k.o;  registers -> shared;  sync}
            y[m, n] = f(acc[i, j])}

Convolutions are such products too: the places of the result are rows, the taps are summed over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

from ....expr import (
    Apply,
    Const,
    Expr,
    Load,
    all_of,
    const,
    index,
    loads_of,
    select,
    substitute_vars,
    vars_of,
)
from ....target import Gpu
from ....tile.dependence import Dependences, Mode
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
    walk,
)
from ....tile.scopes import scoped
from ....tile.tree import Names, chain, extent_of, has_constant_limits, var
from ..analysis import stride

LEAST = 16  # rows, columns and terms: less is no matter for tiles
PADDING = 4  # elements after each row of a tile, so that rows begin in other banks


@dataclass(frozen=True)
class Product:
    """A nest that is a matrix product for each iteration of `batch`: the loops over its rows,
    columns and terms, the operands' elements, and what is done with a sum."""

    batch: tuple[Loop, ...]
    rows: tuple[Loop, ...]
    columns: tuple[Loop, ...]
    terms: tuple[Loop, ...]
    left: Expr
    right: Expr
    sum: Buffer
    finish: Block


def as_product(kernel: Kernel) -> Product | None:
    """The product that a kernel of one nest is, if it is large enough for tiles."""
    match kernel.body:
        case (Loop() as top,):
            loops, body = chain(top)
        case _:
            return None
    match body:
        case (Store(target=Ref(buffer=name), value=Const(value=0)), Loop() as inner, *finish):
            terms, update = chain(inner)
        case _:
            return None
    match update:
        case (
            Accumulate(
                combiner="sum",
                targets=(Ref(buffer=summed),),
                values=(Apply(function="mul", args=(left, right)),),
            ),
        ) if summed == name:
            pass
        case _:
            return None
    plain = not any(isinstance(stmt, Loop) for part in finish for stmt in walk((part,)))
    constant = all(map(has_constant_limits, (*loops, *terms)))
    total = kernel.buffers[name]
    one = total.space is Space.REGISTER and total.elements == 1 and total.dtype.is_float
    if not (plain and constant and one and _independent(kernel, loops)):
        return None
    return _sorted(loops, terms, left, right, total, tuple(finish))


def _independent(kernel: Kernel, loops: Sequence[Loop]) -> bool:
    modes = Dependences(scoped(kernel, narrow=True), kernel.params, {}).modes
    return all(modes[loop.axis] is Mode.INDEPENDENT for loop in loops)


def _sorted(
    loops: list[Loop], terms: list[Loop], left: Expr, right: Expr, total: Buffer, finish: Block
) -> Product | None:
    """The product, with the innermost loop among its columns; None where it is too small."""
    if loops[-1].axis in vars_of(left) and loops[-1].axis not in vars_of(right):
        left, right = right, left
    in_left, in_right = vars_of(left), vars_of(right)
    rows = tuple(loop for loop in loops if loop.axis in in_left - in_right)
    columns = tuple(loop for loop in loops if loop.axis in in_right - in_left)
    batch = tuple(loop for loop in loops if loop not in rows and loop not in columns)
    if any(_count(part) < LEAST for part in (rows, columns, terms)):
        return None
    return Product(batch, rows, columns, tuple(terms), left, right, total, finish)


def _count(loops: Sequence[Loop]) -> int:
    return prod(map(extent_of, loops))


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
    for tile in TILES:
        blocks = -(-_count(product.rows) // tile.rows) * -(-_count(product.columns) // tile.columns)
        if tile.threads <= gpu.block_threads and (
            blocks * _count(product.batch) >= gpu.multiprocessors or tile is TILES[-1]
        ):
            return tile
    return TILES[-1]


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
            _count(loops),
            self._local(f"{name}_tiles", shape, Space.SHARED),
            self._local(f"{name}_next", (each,), Space.REGISTER),
            self._local(f"{name}_part", (tile.part,), Space.REGISTER),
            var(self.names.fresh(f"{name}_first")),
        )

    def kernel_(self) -> Kernel:
        tile, product = self.tile, self.product
        counts = [-(-operand.count // operand.width) for operand in (self.rows, self.columns)]
        blocks = prod(counts) * _count(product.batch)
        at = var(self.block)
        lets: list[Stmt] = [
            Let(self.columns.first.name, at % counts[1] * tile.columns),
            Let(self.rows.first.name, at // counts[1] % counts[0] * tile.rows),
        ]
        batch = at // (counts[0] * counts[1])
        lets += _axes(product.batch, batch)
        steps = -(-_count(product.terms) // tile.terms)
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
        inside = all_of(outer < operand.count, inner < _count(self.product.terms))
        taken = select(inside, value, const(0, self.dtype))
        store = Store(Ref(operand.next.name, (turn,)), taken)
        return self._unrolled(turn, operand.next.shape[0], *lets, *axes, *terms, store)

    def _renamed(
        self, loops: Sequence[Loop], position: Expr
    ) -> tuple[dict[str, Expr], tuple[Let, ...]]:
        """The axes of loops by the number of an iteration, under names of their own."""
        lets = _axes(loops, position)
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
        """The element of a tile that is the i-th of a thread's part: two runs, half a tile apart."""
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
        axes = (*_axes(self.product.rows, row), *_axes(self.product.columns, column))

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
    first: Expr  # of the block's tile

    def follows_terms(self, kernel: Kernel, terms: Sequence[Loop]) -> bool:
        """Whether its elements lie side by side along the terms."""
        return any(
            stride(kernel.buffers[load.buffer], load.indices, terms[-1].axis) == 1
            and stride(kernel.buffers[load.buffer], load.indices, self.loops[-1].axis) != 1
            for load in loads_of(self.value)
        )


def _axes(loops: Sequence[Loop], position: Expr) -> tuple[Let, ...]:
    """The axes of perfectly nested loops by the number of an iteration."""
    lets: list[Let] = []
    for place, loop in enumerate(reversed(loops)):
        extent = extent_of(loop)
        last = place + 1 == len(loops)
        lets.append(Let(loop.axis, loop.start + (position if last else position % extent)))
        position = position // extent
    return tuple(reversed(lets))
