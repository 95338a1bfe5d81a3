"""The recipe for a matrix product of which equal parts of the columns meet element by element, as
the gates of a recurrent cell do: a block of columns of all parts is computed, and then what becomes
of it, so that it stays in the nearest caches of the core that made it.

    for i: for n in 0..2*J: t[i, n] = sum(k, x[i, k] * w[k, n])
    for i: for j in 0..J: y[i, j] = f(t[i, j], t[i, J + j])
      ->  parallel b in 0..J/32:
            for g in 0..2: for i: for l in 0..32:
              t[i, 32*g + l] = sum(k, x[i, k] * w[k, J*g + 32*b + l])
            for i: for l in 0..32: y[i, 32*b + l] = f(t[i, l], t[i, 32 + l])

Blocks are as wide as the panels that the right operand is packed in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import prod

from ....expr import (
    INDEX,
    Const,
    Expr,
    Load,
    Var,
    apply,
    index,
    rewrite_expr,
    simplify,
    substitute_vars,
    vars_of,
)
from ....target import Target
from ....tile.nodes import Block, Kernel, Loop, Ref, Space, Stmt, Store
from ....tile.steps.prefetch_tiles import STORED
from ....tile.traverse import loads_within, map_expressions, substitute_block, walk
from ....tile.tree import Names, extent_of, map_refs, tidy, var
from ....tile.tree import nest as nested
from ..analysis import Nest, Product, as_product, nests_of
from ..elementwise import schedule_elementwise
from ..loops import parallelise
from .gemm import schedule_product
from .tiling import Surroundings, product_sizes

LEAST_BLOCKS = 4  # to be dealt to threads; fixed, so that no code depends on how many there are
BLOCK_BYTES = 64 << 10  # of one block's sums: what stays in the nearest caches

Places = tuple[Expr, ...]


@dataclass(frozen=True)
class Gates:
    """A product in the local `buffer`, in `count` parts of `size` columns, and the nests that read
    these; in blocks of `width` columns of each."""

    buffer: str
    count: int
    size: int
    width: int
    nests: tuple[Nest, ...]  # first the product's; the columns' loop is the last of each


def gates_of(kernel: Kernel) -> Gates | None:
    """The parts of a kernel that this recipe is for; None of others."""
    first, *others = nests_of(kernel) or [Nest((), ())]
    local = [buffer.name for buffer in kernel.locals if buffer.space is Space.SHARED]
    if not others or len(local) != 1 or not all(nest.loops for nest in (first, *others)):
        return None
    (buffer,) = local
    product, stored = as_product(kernel, first), _stored(kernel, (first, *others))
    if product is None or stored is None or not _computes(first, product, buffer):
        return None
    offsets = _offsets(buffer, stored, others)
    *rows, columns = _extents(first)
    size = extent_of(others[0].loops[-1])
    parts = columns // size
    alike = all(_extents(nest) == [*rows, size] for nest in others)
    if not alike or parts < 2 or offsets != {part * size for part in range(parts)}:
        return None
    # One row waits for its panels alone, which come soonest one after the other.
    if product.m is None or product.dots or not product.panel:
        return None
    cut = columns != parts * size or size % product.panel
    block = prod(rows) * parts * product.panel * product.total.bytes
    if cut or size < LEAST_BLOCKS * product.panel or block > BLOCK_BYTES:
        return None
    return Gates(buffer, parts, size, product.panel, (first, *others))


def schedule_gated(kernel: Kernel, gates: Gates, target: Target) -> Kernel:
    """Each block of the parts' columns with what becomes of it, dealt to the threads."""
    whole = as_product(kernel, gates.nests[0])
    assert whole is not None
    sizes = product_sizes(kernel, gates.nests[0], whole)
    kernel = in_blocks(kernel, gates)
    nest, *others = nests_of(kernel)
    product = as_product(kernel, nest)
    assert product is not None
    later = {gates.buffer: _read_later(kernel, gates, nest, others)}
    # Its sums are as long as those of a product alone: what follows does not add them up.
    own = replace(nest, around=())
    around = Surroundings(sizes, later, _next_panel(gates, nest))
    kernel = schedule_product(kernel, own, product, target, around)
    for other in others:
        kernel = schedule_elementwise(kernel, other, target)
    return parallelise(kernel, target)


def _next_panel(gates: Gates, nest: Nest) -> dict[str, Expr]:
    """Where the next panel of the right operand is: that of the next part, after the last one the
    first part's in the next block."""
    block, part = nest.around[0].axis, nest.loops[-2].axis
    count = var(part) + 1
    return {
        block: var(block) + apply("floordiv", count, index(gates.count)),
        part: apply("mod", count, index(gates.count)),
    }


def _read_later(
    kernel: Kernel, gates: Gates, product: Nest, others: list[Nest]
) -> tuple[Load, ...]:
    """What nests in blocks read or write one element of for each that they compute, where the
    product stores to its buffer; of what all parts have elements of their own, that of one part."""
    part = var(product.loops[-2].axis)
    found: list[Load] = []
    for nest in others:
        used = [load for load in loads_within(nest.body) if load.buffer == gates.buffer]
        places: dict[str, Expr] = {
            axis.name: stored
            for axis, stored in zip(used[0].indices if used else (), STORED, strict=False)
            if isinstance(axis, Var)
        }
        column = STORED[len(kernel.buffers[gates.buffer].shape) - 1] - part * gates.width
        places[nest.axes[-1]] = column
        for load in _touched(kernel, nest):
            axes = frozenset().union(*map(vars_of, load.indices))
            if load.buffer != gates.buffer and set(nest.axes) <= axes & places.keys():
                at = (simplify(substitute_vars(each, places), {}) for each in load.indices)
                found.append(replace(load, indices=tuple(at)))
    return tuple(_of_one_part(list(dict.fromkeys(found)), gates, part))


def _touched(kernel: Kernel, nest: Nest) -> Iterator[Load]:
    """What a nest reads, and what it stores as if it read it."""
    yield from loads_within(nest.body)
    for stmt in walk(nest.body):
        if isinstance(stmt, Store):
            buffer = kernel.buffers[stmt.target.buffer]
            yield Load(buffer.dtype, buffer.name, stmt.target.indices)


def _of_one_part(loads: list[Load], gates: Gates, part: Expr) -> list[Load]:
    """The loads, those `size` columns apart for each of the parts as one."""
    found: list[Load] = []
    for load in tuple(loads):
        *rows, column = load.indices
        parts = [
            replace(load, indices=(*rows, simplify(column + number * gates.size, {})))
            for number in range(gates.count)
        ]
        if all(each in loads for each in parts):
            loads = [each for each in loads if each not in parts]
            found.append(replace(load, indices=(*rows, column + part * gates.size)))
    return [*found, *loads]


def in_blocks(kernel: Kernel, gates: Gates) -> Kernel:
    """All nests under one loop over blocks of columns; the local buffer has room for one block."""
    names = Names(kernel)
    block, part = names.fresh("b"), names.fresh("g")
    width, size = index(gates.width), gates.size
    first, *others = gates.nests
    made: list[Stmt] = []

    def moved(nest: Nest, start: Expr, place: Callable[[Expr], Expr], *around: Loop) -> None:
        """A nest on the columns from `start` on; `place` is where a column of the buffer lies."""
        *rows, columns = nest.loops
        body = _placed(nest.body, gates.buffer, place)
        body = substitute_block(body, {columns.axis: start + var(columns.axis)})
        made.extend(nested([*rows, *around, replace(columns, stop=width)], body))

    start = var(block) * width
    parts = Loop(part, index(0), index(gates.count), ())
    inside = var(first.loops[-1].axis) - start - var(part) * size + var(part) * width
    moved(first, start + var(part) * size, lambda _: inside, parts)
    for nest in others:
        axis = var(nest.loops[-1].axis)

        def place(column: Expr, axis: Expr = axis) -> Expr:
            offset = _constant(column - axis)
            assert offset is not None
            return axis - start + index(offset // size) * width

        moved(nest, start, place)
    loop = Loop(block, index(0), index(size // gates.width), tuple(made))
    room = tuple(
        replace(buffer, shape=(*buffer.shape[:-1], gates.count * gates.width))
        if buffer.name == gates.buffer
        else buffer
        for buffer in kernel.locals
    )
    return tidy(replace(kernel, body=(loop,), locals=room))


def _placed(block: Block, buffer: str, place: Callable[[Expr], Expr]) -> Block:
    """Accesses to a buffer with other columns."""

    def expression(expr: Expr) -> Expr:
        def visit(node: Expr) -> Expr | None:
            if isinstance(node, Load) and node.buffer == buffer:
                *rows, column = node.indices
                return Load(node.dtype, buffer, (*rows, place(column)))
            return None

        return rewrite_expr(expr, visit)

    def target(ref: Ref) -> Ref:
        if ref.buffer != buffer:
            return ref
        return Ref(buffer, (*ref.indices[:-1], place(ref.indices[-1])))

    return map_refs(map_expressions(block, expression), target)


def _extents(nest: Nest) -> list[int]:
    return [extent_of(loop) for loop in nest.loops]


def _computes(nest: Nest, product: Product, buffer: str) -> bool:
    """Whether a nest is that product, its columns last, and stores to the buffer only."""
    stores = [stmt for stmt in nest.body if isinstance(stmt, Store)]
    own = {store.target.buffer for store in stores if store.target.indices}
    return nest.axes[-1] == product.n and buffer in own and len(stores) == 2


def _stored(kernel: Kernel, nests: tuple[Nest, ...]) -> dict[str, Places] | None:
    """Where the nests store to each buffer, in terms of the loops' numbers; None where there are
    several such places, or one that is not each iteration's own."""
    found: dict[str, Places] = {}
    for nest in nests:
        axes = {var(axis) for axis in nest.axes}
        for stmt in walk(nest.body):
            if isinstance(stmt, Store) and kernel.buffers[stmt.target.buffer].shape:
                own = axes <= set(stmt.target.indices) and stmt.target.buffer not in found
                if not own:
                    return None
                found[stmt.target.buffer] = _numbered(nest, stmt.target.indices)
    return found


def _offsets(buffer: str, stored: dict[str, Places], nests: list[Nest]) -> set[int] | None:
    """How many columns from their own the nests read the buffer; None if they read other rows, or
    of one another what other iterations store."""
    found: set[int] = set()
    for nest in nests:
        if nest.reductions:
            return None
        for load in loads_within(nest.body):
            if load.buffer not in stored:
                continue
            *rows, column = _numbered(nest, load.indices)
            *own, last = stored[load.buffer]
            offset = _constant(column - last)
            if rows != own or offset is None or (offset and load.buffer != buffer):
                return None
            if load.buffer == buffer:
                found.add(offset)
    return found


def _numbered(nest: Nest, indices: Places) -> Places:
    """Indices with the loops' numbers for their names, so that those of two nests compare."""
    numbers: dict[str, Expr] = {
        axis: Var(INDEX, f"#{number}") for number, axis in enumerate(nest.axes)
    }
    return tuple(simplify(substitute_vars(part, numbers), {}) for part in indices)


def _constant(expr: Expr) -> int | None:
    """The value of an index without loops in it."""
    match simplify(expr, {}):
        case Const(value=int(value)):
            return value
    return None
