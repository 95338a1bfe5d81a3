"""Convolutions as products whose operands come as boxes: rows of the result in patches of an image,
terms in blocks of channels, all taps of a block before the next one. What a patch sees through a
tap is one box; the engine puts zeros where that is outside of the image.

    for b: for i: for j: for n: {acc = 0;
      for k: for l: if 0 <= i + k - 1 < 56 and 0 <= j + l - 1 < 56:
        for c: acc += x[b, i + k - 1, j + l - 1, c] * w[k, l, c, n];  y[b, i, j, n] = f(acc)}
      ->
    for b: for i.o: for j.o: for i.i in 0..8: for j.i in 0..8: for n: {acc = 0;
      for c.o: for k: for l: for c.i in 0..64:
        acc += x[b, i.o * 8 + i.i + k - 1, j.o * 8 + j.i + l - 1, c.o * 64 + c.i] * w[..]
      y[b, i.o * 8 + i.i, j.o * 8 + j.i, n] = f(acc)}
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from math import prod

from .....expr import TRUE, Expr, all_of, index, substitute_vars, vars_of
from .....expr.simplify import linear
from .....tile.analyses.conditions import excesses_of
from .....tile.instructions.bulk import CHUNK_BYTES, MOST_PLACES, MOST_STEP, box_columns
from .....tile.instructions.warpgroups import ROWS
from .....tile.instructions.warps import NARROW
from .....tile.nodes import Loop
from .....tile.steps.lift_guards import conjuncts
from .....tile.traverse import map_expressions
from .....tile.tree import Names, extent_of, var
from .boxes import has_boxes, is_boxable
from .contraction import Contraction, Operand, narrow_type, narrowed

_SIDES = tuple(1 << power for power in range(ROWS.bit_length()))  # of a patch


def with_boxes(contraction: Contraction) -> Contraction | None:
    """A contraction that warpgroups multiply, with loops by which the card's engine brings both
    operands: itself where they are matrices. None where it cannot, or a factor of f32 has its terms
    not side by side."""
    dtype = narrow_type(contraction)
    sides = narrowed(contraction.left), narrowed(contraction.right)
    if dtype is None or not all(is_boxable(contraction, side) for side in sides):
        return None
    if dtype not in NARROW and not all(map(contraction.runs_along_terms, sides)):
        return None
    if all(has_boxes(contraction, side) for side in sides):
        return contraction
    left, right = sides
    steps = _steps(contraction, left)
    loops = (*contraction.terms, *left.loops, *right.loops)
    if steps is None or any(loop.start != index(0) for loop in loops):
        return None
    if not _is_zero_outside(contraction, left) or not _has_columns(contraction, right):
        return None
    if not all(_has_channels(contraction, side) for side in sides):
        return None
    return _in_patches(contraction, steps)


def _moves(operand: Operand, loop: Loop) -> tuple[int, int] | None:
    """The axis of an array that a loop moves along, and how far at once; None of no or several."""
    parts = operand.load.indices
    along = [axis for axis, part in enumerate(parts) if loop.axis in vars_of(part)]
    if len(along) != 1:
        return None
    terms = linear(parts[along[0]])
    others = (term for term in terms if term is not None and term != var(loop.axis))
    if any(loop.axis in vars_of(term) for term in others):
        return None
    return along[0], terms[var(loop.axis)]


def _steps(contraction: Contraction, operand: Operand) -> tuple[int, ...] | None:
    """How far neighbouring rows are apart along each of their loops, each of which moves along an
    axis of its own, the channels along the last one. None where that is not so."""
    moves = [_moves(operand, loop) for loop in (*operand.loops, contraction.terms[-1])]
    found = [move for move in moves if move is not None]
    axes, steps = [axis for axis, _ in found], [step for _, step in found]
    apart = len(found) == len(moves) == len(set(axes))
    last = len(operand.load.indices) - 1
    if not apart or found[-1] != (last, 1) or not all(1 <= step <= MOST_STEP for step in steps):
        return None
    return tuple(steps[:-1])


def _has_columns(contraction: Contraction, operand: Operand) -> bool:
    """Whether a box holds columns (of filters) and channels."""
    if operand.guard != TRUE or len(operand.loops) != 1:
        return False
    columns, channels = _moves(operand, operand.loops[0]), _moves(operand, contraction.terms[-1])
    last = len(operand.load.indices) - 1
    if columns == (last, 1):
        return channels == (last - 1, 1)
    return columns is not None and columns[1] == 1 and channels == (last, 1)


def _is_zero_outside(contraction: Contraction, operand: Operand) -> bool:
    """Whether an operand is zero for no other reason than that it is outside of its array."""
    load = operand.load
    shape = contraction.kernel.buffers[load.buffer].shape
    edges = [
        linear(beyond)
        for part, extent in zip(load.indices, shape, strict=True)
        for beyond in (index(0) - part, part - (extent - 1))
    ]
    asked = [excesses_of((condition,)) for condition in conjuncts(operand.guard)]
    return all(len(found) == 1 and found[0] in edges for found in asked)


def _has_channels(contraction: Contraction, operand: Operand) -> bool:
    """Whether what lies past the last channel is zero, being past the array's end; and whether
    other axes move in whole chunks along memory."""
    channel, load = contraction.terms[-1], operand.load
    buffer = contraction.kernel.buffers[load.buffer]
    own = [extent for part, extent in zip(load.indices, buffer.shape, strict=True)
           if part == var(channel.axis)]  # fmt: skip
    along = {var(loop.axis) for loop in (channel, *operand.loops)}
    others = [step for term, step in linear(load.indices[-1]).items() if term not in along]
    apart = all(step * buffer.dtype.bytes % CHUNK_BYTES == 0 for step in others)
    return own == [extent_of(channel)] and apart


def patch_of(extents: Sequence[int], steps: Sequence[int]) -> tuple[int, ...]:
    """The sides of the patches of which the fewest cover so many places, these being some steps
    apart: those with the most neighbours in memory, if there are several."""

    def cost(sides: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
        patches = prod(-(-extent // side) for extent, side in zip(extents, sides, strict=True))
        return patches, tuple(-side for side in reversed(sides))

    allowed = (
        [side for side in _SIDES if side * step <= MOST_PLACES] for step in steps
    )
    return min((sides for sides in product(*allowed) if prod(sides) == ROWS), key=cost)


def _in_patches(contraction: Contraction, steps: tuple[int, ...]) -> Contraction:
    left, names = contraction.left, Names(contraction.kernel)
    here: dict[str, Expr] = {}

    def cut(loop: Loop, size: int) -> tuple[Loop, Loop]:
        outer, inner = (names.fresh(f"{loop.axis}.{end}") for end in "oi")
        here[loop.axis] = var(outer) * size + var(inner)
        count = -(-extent_of(loop) // size)
        return Loop(outer, index(0), index(count), ()), Loop(inner, index(0), index(size), ())

    *taps, channel = contraction.terms
    blocks, inside = cut(channel, box_columns(narrowed(left).value.dtype))
    outer: list[Loop] = []
    patch: list[Loop] = []
    within: list[Expr] = []
    sides = patch_of([extent_of(loop) for loop in left.loops], steps)
    for loop, side in zip(left.loops, sides, strict=True):
        if side == 1:
            outer.append(loop)
            continue
        parts = cut(loop, side)
        outer.append(parts[0])
        patch.append(parts[1])
        if extent_of(loop) % side:
            within.append(here[loop.axis] < extent_of(loop))

    def placed(expr: Expr) -> Expr:
        return substitute_vars(expr, here)

    rows = replace(
        left,
        value=placed(left.value),
        guard=TRUE,
        loops=(*outer, *patch),
        within=all_of(*within),
        patch=tuple(patch),
    )
    return replace(
        contraction,
        left=rows,
        right=replace(contraction.right, value=placed(contraction.right.value)),
        terms=(blocks, *taps, inside),
        finish=map_expressions(contraction.finish, placed),
    )
