"""Schedule steps on loops: split, reorder, partition, distribute, chunk, mark.

Each is a function `Kernel -> Kernel` that keeps the kernel's meaning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from itertools import groupby, pairwise

from ...expr import (
    INDEX,
    Apply,
    Bounds,
    Expr,
    affine,
    apply,
    bounds_of,
    index,
    simplify,
    vars_of,
    walk_expr,
)
from ..nodes import Block, If, Kernel, Kind, Let, Loop, Space, Stmt
from ..traverse import blocks_of, expressions_of, map_blocks, substitute_block, walk
from ..tree import (
    Names,
    accesses,
    base,
    chain,
    copy_block,
    extent_of,
    loop_bounds,
    nest,
    rewrite_loops,
    tidy,
    var,
    written_first,
)


class Tail(StrEnum):
    """What `split` does where the factor does not divide: CUT makes a second, shorter inner loop;
    MASK guards what would leave the range."""

    CUT = "cut"
    MASK = "mask"


def split(kernel: Kernel, axis: str, factor: int, *, tail: Tail = Tail.CUT) -> Kernel:
    """Cut one loop in two.

    for i in 0..n: s   ->   for i.o in 0..n//factor: for i.i in 0..factor: s[i := i.o*factor + i.i]
    """
    names = Names(kernel)

    def change(loop: Loop, bounds: Bounds) -> Block:
        extent = extent_of(loop)
        outer, inner = names.copy(f"{axis}.o"), names.copy(f"{axis}.i")
        masked = tail is Tail.MASK and extent % factor != 0
        count = -(-extent // factor) if masked else extent // factor
        position = loop.start + var(outer) * factor + var(inner)
        body = loop.body
        if masked:
            limits = {**bounds, loop.axis: (0, count * factor - 1)}
            body = _guarded(kernel, body, loop, limits)
        body = substitute_block(body, {loop.axis: position})
        inside = Loop(inner, index(0), index(factor), body, loop.kind)
        result: list[Stmt] = []
        if count:
            result.append(Loop(outer, index(0), index(count), (inside,), loop.kind))
        rest = extent - count * factor
        if rest > 0:
            last = names.copy(f"{axis}.i")
            copied = copy_block(loop.body, names) if count else loop.body
            moved = substitute_block(copied, {loop.axis: loop.start + count * factor + var(last)})
            result.append(Loop(last, index(0), index(rest), moved, loop.kind))
        return tuple(result)

    return tidy(rewrite_loops(kernel, (axis,), change))


def _guarded(kernel: Kernel, block: Block, loop: Loop, bounds: Bounds) -> Block:
    """Put the loop's condition around the statements of its body that would leave a buffer with
    its axis, or write what is more than the iteration's own: an output, a sum over the iterations.
    """
    buffers, condition = kernel.buffers, var(loop.axis) < loop.stop
    moved = {loop.axis, *(stmt.name for stmt in walk(block) if isinstance(stmt, Let))}
    own = {
        buffer.name
        for buffer in kernel.locals
        if buffer.space is Space.REGISTER and written_first(block, buffer.name)
    }

    def needs(stmt: Stmt, limits: Bounds) -> bool:
        for name, indices, writes in accesses((stmt,)):
            buffer = buffers[name]
            if writes and name not in own:
                return True
            for position, extent in zip(indices, buffer.shape, strict=True):
                if moved.isdisjoint(vars_of(position)):
                    continue
                low, high = bounds_of(simplify(position, limits), limits)
                if low < 0 or high >= extent:
                    return True
        return False

    def visit(part: Block, limits: Bounds) -> Block:
        result: list[Stmt] = []
        for place, stmt in enumerate(part):
            if isinstance(stmt, Loop):
                inner = {**limits, stmt.axis: loop_bounds(stmt, limits)}
                result.append(replace(stmt, body=visit(stmt.body, inner)))
            elif isinstance(stmt, Let) and needs(stmt, limits):
                result.append(If(condition, part[place:]))  # the name is for all of the rest
                break
            elif needs(stmt, limits):
                result.append(If(condition, (stmt,)))
            else:
                result.append(stmt)
        return tuple(result)

    return visit(block, bounds)


def reorder(kernel: Kernel, axes: Sequence[str]) -> Kernel:
    """Exchange perfectly nested loops: those named come in this order, where the first of them
    stood; loops between them that are not named stay outside.

    for i: for j: s   ->   for j: for i: s
    """
    first = set(axes)

    def visit(block: Block) -> Block:
        result: list[Stmt] = []
        for stmt in block:
            if not isinstance(stmt, Loop) or base(stmt.axis) not in first:
                result.append(map_blocks(stmt, visit))
                continue
            loops, body = chain(stmt)
            named = sorted(
                (loop for loop in loops if base(loop.axis) in first),
                key=lambda loop: axes.index(base(loop.axis)),
            )
            others = [loop for loop in loops if base(loop.axis) not in first]
            # Loops after the last named one belong to the body.
            last = max(position for position, loop in enumerate(loops) if loop in named)
            inside = loops[last + 1 :]
            between = [loop for loop in others if loop not in inside]
            result.extend(nest(between + named, nest(inside, visit(body))))
        return tuple(result)

    return kernel.with_body(visit(kernel.body))


def mark(kernel: Kernel, axis: str, kind: Kind) -> Kernel:
    """Say how every copy of a loop runs.

    for i: s   ->   parallel i: s
    """
    return rewrite_loops(kernel, (axis,), lambda loop, _: (replace(loop, kind=kind),))


def partition(kernel: Kernel, axis: str, points: Sequence[int]) -> Kernel:
    """Cut the range of a loop at some points; conditions that one piece decides fall out.

    for i in 0..n: s   ->   for i in 0..p: s;  for i$1 in p..n: s
    """
    names = Names(kernel)

    def change(loop: Loop, _: Bounds) -> Block:
        low, high = extent_limits(loop)
        ends = sorted({low, high, *(point for point in points if low < point < high)})
        pieces: list[Stmt] = []
        for start, stop in pairwise(ends):
            (piece,) = copy_block((loop,), names) if pieces else (loop,)
            assert isinstance(piece, Loop)
            pieces.append(replace(piece, start=index(start), stop=index(stop)))
        return tuple(pieces)

    return tidy(rewrite_loops(kernel, (axis,), change))


def extent_limits(loop: Loop) -> tuple[int, int]:
    """Constant start and stop."""
    low, _ = bounds_of(loop.start, {})
    return low, low + extent_of(loop)


def distribute(kernel: Kernel, axis: str, pieces: Sequence[str]) -> Kernel:
    """Give each loop over one of the axes `pieces` in a loop's body (and each run of other
    statements, which is a piece whose loop ran once) a copy of the loop.

    Right only where the pieces share no values: pieces made by `partition` or a cut `split`.

    for i: {for j: A;  for j$1: B}   ->   for i: for j: A;  for i$1: for j$1: B
    """
    names = Names(kernel)

    def is_piece(stmt: Stmt) -> bool:
        return isinstance(stmt, Loop) and base(stmt.axis) in pieces

    def change(loop: Loop, _: Bounds) -> Block:
        found: list[Block] = []
        for alone, run in groupby(loop.body, is_piece):
            together = tuple(run)
            found += [(stmt,) for stmt in together] if alone else [together]
        copies: list[Stmt] = []
        for body in found:
            piece: Block = (replace(loop, body=body),)
            copies.extend(copy_block(piece, names) if copies else piece)
        return tuple(copies)

    return rewrite_loops(kernel, (axis,), change)


def chunk(kernel: Kernel, axis: str, size: int) -> Kernel:
    """Cut a loop into blocks of `size` iterations, the last one shorter: one body, no copy.

    for i in 0..n: s   ->   for i.c in 0..ceil(n/size): for i in 0..min(size, n - i.c*size): s'
    """
    names = Names(kernel)

    def change(loop: Loop, _: Bounds) -> Block:
        low, high = extent_limits(loop)
        outer = names.copy(f"{axis}.c")
        stop: Expr = index(size)
        if (high - low) % size:
            stop = apply("min", stop, index(high - low) - var(outer) * size)
        position = var(loop.axis) + var(outer) * size + low
        body = substitute_block(loop.body, {loop.axis: position})
        inside = replace(loop, start=index(0), stop=stop, body=body)
        return (Loop(outer, index(0), index(-(-(high - low) // size)), (inside,)),)

    return tidy(rewrite_loops(kernel, (axis,), change))


def vectorise(kernel: Kernel, axis: str, lanes: int) -> Kernel:
    """Run a loop in vectors of `lanes`; the rest of its range is one masked vector.

    for i in 0..n: s   ->   for i.o in 0..n//lanes: vector i.i in 0..lanes: s;  if i < n: s
    """
    cut = split(kernel, axis, lanes, tail=Tail.CUT)
    inner = f"{axis}.i"

    def change(loop: Loop, bounds: Bounds) -> Block:
        extent = extent_of(loop)
        if extent == lanes:
            return (replace(loop, kind=Kind.VECTOR),)
        limits = {**bounds, loop.axis: (0, lanes - 1)}
        body = _guarded(cut, loop.body, loop, limits)
        return (Loop(loop.axis, index(0), index(lanes), body, Kind.VECTOR),)

    if lanes == 1:
        return kernel
    return rewrite_loops(cut, (inner,), change)


def condition_points(kernel: Kernel, axis: str) -> list[int]:
    """Where conditions on an axis are decided: the points to `partition` at, so that the piece
    between them needs no condition. Other axes of a condition count with their limits."""
    points: set[int] = set()

    def visit(block: Block, bounds: Bounds) -> None:
        for stmt in block:
            for expr in expressions_of(stmt):
                for node in walk_expr(expr):
                    points.update(_crossings(node, axis, bounds))
            inner = bounds
            if isinstance(stmt, Loop):
                inner = {**bounds, stmt.axis: loop_bounds(stmt, bounds)}
            for part in blocks_of(stmt):
                visit(part, inner)

    visit(kernel.body, {})
    return sorted(points)


def _crossings(node: Expr, axis: str, bounds: Bounds) -> list[int]:
    """Where `factor * axis + rest` changes sign, for the least and the largest rest."""
    if not isinstance(node, Apply) or node.function not in ("lt", "le", "gt", "ge"):
        return []
    if node.args[0].dtype != INDEX:
        return []
    found = affine(node.args[0] - node.args[1], axis)
    if found is None or found[0] == 0:
        return []
    factor, rest = found
    strict = node.function in ("lt", "ge")  # changes between -1 and 0, else between 0 and 1
    crossings = []
    for extreme in bounds_of(rest, bounds):
        edge = -extreme if strict else 1 - extreme
        crossings.append(-(-edge // factor) if factor > 0 else edge // factor + 1)
    return crossings
