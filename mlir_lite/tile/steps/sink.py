"""A schedule step: tile loops move into the reduction in their body, so that it runs once for all
elements of the tile, which then lie in registers together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import takewhile
from typing import TypeAlias, TypeVar

from ...expr import Bounds, Expr, Load, index, rewrite_expr, vars_of
from ..nodes import Block, Buffer, If, Kernel, Kind, Loop, Ref, Space, Stmt
from ..traverse import map_blocks, map_expressions
from ..tree import (
    Names,
    accesses,
    base,
    chain,
    copy_block,
    extent_of,
    loops_of,
    map_refs,
    nest,
    rewrite_loops,
    tidy,
    var,
)

T = TypeVar("T")
Place: TypeAlias = tuple[Expr, ...]  # the indices of an access


def sink(kernel: Kernel, axes: Sequence[str]) -> Kernel:
    """Move perfectly nested tile loops inside the reduction in their body; accumulators get an
    element per iteration of the tile.

    for i: {acc = 0; for k: acc += f; y[i] = acc}
      ->  for i: acc[i] = 0;  for k: for i$1: acc[i$1] += f;  for i$2: y[i$2] = acc[i$2]

    The lanes of a vector loop lie side by side: its axis is the last of the accumulators' axes.
    """
    names = Names(kernel)
    in_lanes = any(loop.kind is Kind.VECTOR for loop in loops_of(kernel, axes[-1]))
    leading = len(axes) - 1 if in_lanes else len(axes)

    def around(outer: tuple[T, ...], own: tuple[T, ...]) -> tuple[T, ...]:
        return (*outer[:leading], *own, *outer[leading:])

    grown: dict[str, Buffer] = {}

    def grow(private: frozenset[str], extents: tuple[int, ...]) -> None:
        for name in private:
            buffer = kernel.buffers[name]
            shape = around(extents, buffer.shape)
            # Cut copies of a tile share a name; the buffer takes the largest.
            before = grown[name].shape if name in grown else shape
            grown[name] = replace(buffer, shape=tuple(map(max, before, shape)))

    def change(loop: Loop, _: Bounds) -> Block:
        tile, body = _tile(loop, axes)
        # An axis that ran once has vanished from this copy; its place in the accumulators stays.
        present = {base(entry.axis): entry for entry in tile}
        private = _registers_in(kernel, body)
        grow(private, tuple(extent_of(present[axis]) if axis in present else 1 for axis in axes))
        at = tuple(
            var(present[axis].axis) - present[axis].start if axis in present else index(0)
            for axis in axes
        )
        body = _indexed(body, private, lambda own: around(at, own))
        return _pushed(tile, body, names, first=True)

    result = rewrite_loops(kernel, axes, change)
    ranks = {name: len(buffer.shape) for name, buffer in grown.items()}
    buffers = tuple(grown.get(buffer.name, buffer) for buffer in kernel.locals)
    # Accesses outside of every tile, whose loops all ran once, get the accumulators' rank.
    zeros = (index(0),) * len(axes)
    body = _indexed(
        result.body,
        frozenset(grown),
        lambda own: around(zeros, own),
        where=lambda name, own: len(own) < ranks[name],
    )
    return tidy(replace(result, body=body, locals=buffers))


def _tile(loop: Loop, axes: Sequence[str]) -> tuple[list[Loop], Block]:
    """The loops of a tile from its outermost on, and what stands in them."""
    loops, body = chain(loop)
    tile = list(takewhile(lambda entry: base(entry.axis) in axes, loops))
    return tile, nest(loops[len(tile) :], body)


def _registers_in(kernel: Kernel, block: Block) -> frozenset[str]:
    """The register buffers a block uses."""
    used = {name for name, _, _ in accesses(block)}
    return frozenset(
        buffer.name
        for buffer in kernel.locals
        if buffer.space is Space.REGISTER and buffer.name in used
    )


def _indexed(
    block: Block,
    names: frozenset[str],
    change: Callable[[Place], Place],
    *,
    where: Callable[[str, Place], bool] = lambda name, own: True,
) -> Block:
    """Change the indices of every access to these buffers (or of those that `where` picks)."""

    def visit(node: Expr) -> Expr | None:
        if isinstance(node, Load) and node.buffer in names and where(node.buffer, node.indices):
            return Load(node.dtype, node.buffer, change(node.indices))
        return None

    def moved(ref: Ref) -> Ref:
        if ref.buffer in names and where(ref.buffer, ref.indices):
            return Ref(ref.buffer, change(ref.indices))
        return ref

    return map_refs(map_expressions(block, lambda expr: rewrite_expr(expr, visit)), moved)


def _pushed(tile: list[Loop], body: Block, names: Names, *, first: bool) -> Block:
    """The statements of `body`, each run of plain ones (and each innermost part of a reduction)
    in its own copy of the tile loops."""
    axes = {loop.axis for loop in tile}
    result: list[Stmt] = []
    plain: list[Stmt] = []

    def flush() -> None:
        nonlocal first
        if not plain:
            return
        wrapped = nest(tile, tuple(plain))
        result.extend(wrapped if first else copy_block(wrapped, names))
        first = False
        plain.clear()

    for stmt in body:
        reduces = isinstance(stmt, Loop) and stmt.kind is Kind.SERIAL
        uniform = isinstance(stmt, If) and not vars_of(stmt.condition) & axes
        if reduces or uniform:
            flush()
            result.append(
                map_blocks(stmt, lambda part: _pushed(tile, part, names, first=False))
            )
        else:
            plain.append(stmt)
    flush()
    return tuple(result)
