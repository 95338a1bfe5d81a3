"""The recipe for transposes: a tile goes through shared memory, so that threads side by side read
what lies side by side, and write so too.

    for m: for n: y[m, n] = f(x[n, m], z[m, n])
      ->  block: thread: {tile[n, m] = x[n, m], m by thread;  sync;
                          y[m, n] = f(tile[n, m], z[m, n]), n by thread}
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ....expr import (
    Apply,
    Expr,
    Load,
    all_of,
    has_loads,
    index,
    loads_of,
    rewrite_expr,
    substitute_vars,
    walk_expr,
)
from ....tile.nodes import Buffer, If, Kernel, Kind, Let, Loop, Ref, Space, Stmt, Store, Sync
from ....tile.tree import Names, extent_of, var
from ..analysis import stride
from .grid import axes_at
from .work import iterations

SIDE = 32  # of a tile: the threads of a warp, and the banks
THREADS = 256


@dataclass(frozen=True)
class Transposed:
    """A nest that stores one value an iteration, along `column`, and loads some along `row`."""

    row: Loop
    column: Loop
    others: tuple[Loop, ...]
    loads: tuple[Load, ...]
    store: Store


def as_transposed(kernel: Kernel, loops: list[Loop]) -> Transposed | None:
    """The transpose that a kernel of independent loops is, if both sides of it fill tiles."""
    match loops[-1].body if loops else ():
        case (Store() as store,) if store.target.buffer in kernel.outputs:
            pass
        case _:
            return None

    def step(load: Load | Ref, loop: Loop) -> int | None:
        return stride(kernel.buffers[load.buffer], load.indices, loop.axis)

    columns = [loop for loop in loops if step(store.target, loop) == 1]
    for column in columns:
        for row in loops:
            found = tuple(
                load
                for load in dict.fromkeys(loads_of(store.value))
                if row is not column and step(load, row) == 1 and step(load, column) not in (0, 1)
                and not any(map(has_loads, load.indices))
            )  # fmt: skip
            if found and min(extent_of(row), extent_of(column)) >= SIDE // 2 and _plain(store):
                others = tuple(loop for loop in loops if loop not in (row, column))
                return Transposed(row, column, others, found, store)
    return None


def _plain(store: Store) -> bool:
    """Whether a value's loads all happen: one under a condition may not be done before it."""
    return not any(
        isinstance(node, Apply) and node.function == "select" for node in walk_expr(store.value)
    )


def bind_transposed(kernel: Kernel, turned: Transposed, most: int) -> Kernel:
    """The kernel by tiles, with `most` threads a block at most."""
    names = Names(kernel)
    threads = min(THREADS, most)
    block, thread = names.fresh("block"), names.fresh("thread")
    tiles = tuple(
        Buffer(names.fresh("tile", "_"), load.dtype, (SIDE, SIDE + 1), Space.SHARED)
        for load in turned.loads
    )
    high, wide = (-(-extent_of(loop) // SIDE) for loop in (turned.row, turned.column))
    at, me = var(block), var(thread)
    first_row, first_column = names.fresh("first_row"), names.fresh("first_column")
    lets: list[Stmt] = [
        Let(first_column, at % wide * SIDE),
        Let(first_row, at // wide % high * SIDE),
        *axes_at(turned.others, at // (high * wide)),
    ]
    near, far = me % SIDE, me // SIDE

    def pass_(by_row: bool) -> Stmt:
        turn = names.fresh("turn")
        beyond = far + var(turn) * (threads // SIDE)
        along, across = (near, beyond) if by_row else (beyond, near)
        row, column = names.copy(f"{turned.row.axis}$"), names.copy(f"{turned.column.axis}$")
        places: dict[str, Expr] = {
            turned.row.axis: var(row) + turned.row.start,
            turned.column.axis: var(column) + turned.column.start,
        }
        inside = all_of(
            var(row) < extent_of(turned.row), var(column) < extent_of(turned.column)
        )
        where = (across, along)
        parts = (
            tuple(_kept(turned, tiles, where)) if by_row else (_stored(turned, tiles, where),)
        )
        moved = tuple(_at(part, places) for part in parts)
        body: tuple[Stmt, ...] = (
            Let(row, var(first_row) + along),
            Let(column, var(first_column) + across),
            If(inside, moved),
        )
        return Loop(turn, index(0), index(SIDE * SIDE // threads), body, Kind.UNROLL)

    body = (*lets, pass_(True), Sync("block"), pass_(False))
    inner = Loop(thread, index(0), index(threads), body, Kind.THREAD)
    blocks = high * wide * iterations(list(turned.others))
    outer = Loop(block, index(0), index(blocks), (inner,), Kind.BLOCK)
    return replace(kernel, body=(outer,), locals=(*kernel.locals, *tiles))


def _kept(
    turned: Transposed, tiles: tuple[Buffer, ...], where: tuple[Expr, Expr]
) -> Iterator[Store]:
    """What is loaded, into the tiles."""
    for load, tile in zip(turned.loads, tiles, strict=True):
        yield Store(Ref(tile.name, where), load)


def _stored(turned: Transposed, tiles: tuple[Buffer, ...], where: tuple[Expr, Expr]) -> Store:
    """The store, its turned loads out of the tiles."""
    names = {load: tile.name for load, tile in zip(turned.loads, tiles, strict=True)}

    def visit(node: Expr) -> Expr | None:
        if isinstance(node, Load) and node in names:
            return Load(node.dtype, names[node], where)
        return None

    return replace(turned.store, value=rewrite_expr(turned.store.value, visit))


def _at(store: Store, places: dict[str, Expr]) -> Store:
    indices = tuple(substitute_vars(part, places) for part in store.target.indices)
    target = Ref(store.target.buffer, indices)
    return replace(store, target=target, value=substitute_vars(store.value, places))
