"""Sums that a block alone would be slow at, in pieces that are rows of their own: those of few long
rows, so that all of a card reads them at once, and those over several loops.

    for i: {acc = 0;  for k in 0..n: acc += x[i, k];  m = acc / n;  for j: y[i, j] = x[i, j] - m}
      ->  for i: for c: {piece = 0;  for k: piece += x[i, c * size + k];  partial[i, c] = piece}
          for i: {acc = 0;  for c: acc += partial[i, c];  m = acc / n;  known[i] = m}
          for i: for j: y[i, j] = x[i, j] - known[i]
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

from .....expr import TRUE, all_of, index, substitute_vars
from .....target import Gpu
from .....tile.nodes import Accumulate, Block, If, Kernel, Loop, Space, Store
from .....tile.traverse import substitute_block, walk
from .....tile.tree import Names, chain, extent_of, has_constant_limits, var
from ..work import body_of, iterations
from .reductions import Rows
from .segments import Pieces, Segments

PIECE = 4096  # elements that are worth a block
LONG = 16 * PIECE  # elements of a row, or of a sum, that are worth more launches
RUN = 16  # elements: pieces begin at multiples of it, for accesses of neighbours


def in_pieces(rows: Rows, gpu: Gpu) -> Kernel | None:
    """A nest for what each launch is to do; None where rows are short, or there are enough for half
    of a card."""
    number = iterations(list(rows.loops))
    if rows.extent < LONG or 2 * number > gpu.multiprocessors:
        return None
    size = _size(rows.extent, min(2 * gpu.multiprocessors // number, rows.extent // PIECE))
    names = Names(rows.kernel)

    def cut(loop: Loop) -> Pieces:
        chunk = names.copy(f"{loop.axis}.c")
        count = -(-rows.extent // size)
        return Pieces((Loop(chunk, index(0), index(count), ()),), _piece(loop, chunk, size))

    return Segments(rows.kernel, list(rows.loops), names, cut).kernel()


def _size(extent: int, pieces: int) -> int:
    """Elements of a piece, of about so many: equal pieces if there can be."""
    for count in range(pieces, pieces // 2, -1):
        if extent % (count * RUN) == 0:
            return extent // count
    return -(-extent // (pieces * RUN)) * RUN


def _piece(loop: Loop, chunk: str, size: int) -> Loop:
    """The loop over the elements of one piece, if they are there."""
    place = var(chunk) * size + var(loop.axis)
    inside = place < extent_of(loop) if extent_of(loop) % size else TRUE
    match loop.body:
        case (If(condition=condition, then=then, otherwise=()),):
            held = all_of(inside, substitute_vars(condition, {loop.axis: place}))
        case then:
            held = inside
    body: Block = substitute_block(then, {loop.axis: place})
    if held != TRUE:
        body = (If(held, body),)
    return replace(loop, stop=index(size), body=body)


def by_inner_sums(kernel: Kernel, loops: list[Loop]) -> Kernel | None:
    """A kernel of long sums over several loops each, as sums over the innermost ones, and sums of
    what those gave. None where there are none, or something else is done.

    for c: {acc = 0;  for n: for k: acc += x[n, c, k]}
      ->  for c: for n: {piece = 0;  for k: piece += x[n, c, k];  partial[c, n] = piece}
          for c: {acc = 0;  for n: acc += partial[c, n]}
    """
    body = body_of(kernel, loops)
    sums = [stmt for stmt in body if isinstance(stmt, Loop)]
    registers = {local.name for local in kernel.locals if local.space is Space.REGISTER}
    if len(registers) < len(kernel.locals) or not sums or not all(map(_is_nested_sum, sums)):
        return None
    elements = max(prod(map(extent_of, chain(loop)[0])) for loop in sums)
    if elements < LONG or not all(isinstance(stmt, (Loop, Store)) for stmt in body):
        return None

    def cut(loop: Loop) -> Pieces:
        *outer, inner = chain(loop)[0]
        return Pieces(tuple(outer), inner)

    return Segments(kernel, loops, Names(kernel), cut).kernel()


def _is_nested_sum(loop: Loop) -> bool:
    """Whether loops do nothing but join values into registers, in one statement."""
    loops, body = chain(loop)
    (stmt, *others) = walk(body)
    whole = isinstance(stmt, Accumulate) and not others
    return whole and len(loops) > 1 and all(map(has_constant_limits, loops))
