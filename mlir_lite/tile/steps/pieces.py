"""Schedule steps that cut loops into pieces to be dealt to threads: what is left over by a tile
stays inside of a piece, and pieces along two axes are one loop.
"""

from __future__ import annotations

from dataclasses import replace

from ...expr import Bounds, Expr, apply, index
from ..nodes import Block, If, Kernel, Let, Loop, Stmt
from ..traverse import map_blocks, substitute_block
from ..tree import Names, base, copy_block, extent_of, rewrite_loops, tidy, var


def split_last(kernel: Kernel, axis: str, factor: int) -> Kernel:
    """Cut one loop in two; where the factor does not divide, the last of the outer iterations has a
    shorter inner loop of its own.

    for i in 0..n: s
      ->  for i.o in 0..ceil(n/f): if i.o < n//f: for i.i in 0..f: s'  else: for i.i in 0..n%f: s'
    """
    names = Names(kernel)

    def change(loop: Loop, _: Bounds) -> Block:
        full, rest = divmod(extent_of(loop), factor)
        outer = names.copy(f"{axis}.o")

        def piece(count: int, body: Block) -> Block:
            inner = names.copy(f"{axis}.i")
            position = loop.start + var(outer) * factor + var(inner)
            moved = substitute_block(body, {loop.axis: position})
            return (Loop(inner, index(0), index(count), moved, loop.kind),)

        inside = piece(factor, loop.body)
        if rest:
            last = piece(rest, copy_block(loop.body, names))
            inside = (If(var(outer) < full, inside, last),)
        return (Loop(outer, index(0), index(full + (rest > 0)), inside, loop.kind),)

    return tidy(rewrite_loops(kernel, (axis,), change))


def split_in_chunks(kernel: Kernel, axis: str, factor: int, size: int, outer: str) -> Kernel:
    """Cut a loop in tiles, and these in chunks of `size`, which go around the loop `outer` (this
    one or one around it, of independent iterations); what is left over is the last chunk's.

    for j: for i in 0..n: s
      ->  for i.c in 0..C: for j: {for i.o in 0..min(size, n//f - i.c*size): for i.i in 0..f: s';
                                   if i.c == C - 1: for i.i in 0..n%f: s'}
    """
    names = Names(kernel)

    def change(loop: Loop, _: Bounds) -> Block:
        chunk = names.copy(f"{axis}.c")
        count, body = _cut(loop, axis, factor, size, chunk, names)
        return (Loop(chunk, index(0), index(count), body),) if count else body

    return tidy(rewrite_loops(kernel, (outer,), change))


def _cut(
    around: Loop, axis: str, factor: int, size: int, chunk: str, names: Names
) -> tuple[int, Block]:
    """The number of chunks, and the loop `around` with what one chunk does of the loops in it; 0,
    and that loop, where none of them is there."""
    counts: set[int] = set()

    def visit(block: Block) -> Block:
        result: list[Stmt] = []
        for stmt in block:
            if isinstance(stmt, Loop) and base(stmt.axis) == axis:
                tiles, rest = divmod(extent_of(stmt), factor)
                counts.add(-(-tiles // size))
                result.extend(one(stmt, tiles, rest))
            else:
                result.append(map_blocks(stmt, visit))
        return tuple(result)

    def one(loop: Loop, tiles: int, rest: int) -> Block:
        """What the chunk does of one loop: places count from the chunk's first."""
        last = -(-tiles // size) - 1
        first = loop.start + var(chunk) * (size * factor)
        stop: Expr = index(size)
        if tiles % size:
            stop = apply("min", stop, index(tiles) - var(chunk) * size)
        outer, inner = names.copy(f"{axis}.o"), names.copy(f"{axis}.i")
        place = first + var(outer) * factor + var(inner)
        tile = Loop(
            inner, index(0), index(factor), substitute_block(loop.body, {loop.axis: place}),
            loop.kind,
        )
        whole = Loop(outer, index(0), stop, (tile,), loop.kind)
        if not rest:
            return (whole,)
        over = names.copy(f"{axis}.i")
        place = first + (tiles - last * size) * factor + var(over)
        body = substitute_block(copy_block(loop.body, names), {loop.axis: place})
        tail = Loop(over, index(0), index(rest), body, loop.kind)
        return (whole, If(var(chunk).eq(last), (tail,)))

    body = visit((around,))
    return max(counts, default=0), body


def flatten(kernel: Kernel, outer: str, inner: str) -> Kernel:
    """Make one loop of two adjacent ones, whatever they access.

    for i: for j in 0..n: s   ->   for i.f: {let i = i.f // n;  let j = i.f % n;  s}
    """
    names = Names(kernel)

    def change(loop: Loop, _: Bounds) -> Block:
        match loop.body:
            case (Loop() as within,) if base(within.axis) == inner:
                width = extent_of(within)
            case _:
                return (loop,)
        both = names.copy(f"{outer}.f")
        body = (
            Let(loop.axis, var(both) // width),
            Let(within.axis, var(both) % width),
            *within.body,
        )
        count = extent_of(loop) * width
        return (replace(loop, axis=both, stop=index(count), body=body),)

    return rewrite_loops(kernel, (outer,), change)
