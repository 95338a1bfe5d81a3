"""A schedule step on reductions: accumulators of their own for the iterations of inner loops, so
that one sum need not wait for the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from ...expr import COMBINERS, Load, const, vars_of
from ..nodes import Accumulate, Block, Buffer, If, Kernel, Kind, Loop, Ref, Space, Stmt, Store
from ..traverse import map_blocks, walk
from ..tree import Names, accesses, base, chain, copy_block, extent_of, nest, tidy, var


def split_accumulator(kernel: Kernel, axes: Sequence[str]) -> Kernel:
    """Give each iteration of the innermost reduction loops `axes` an accumulator of its own, and
    join them at the end. The order of joining is fixed, so the result is too.

    acc = 0; for k.o: for k.i: acc += f
      ->  for k.i: part[k.i] = 0;  for k.o: for k.i$1: part[k.i$1] += f;
          acc = 0; for k.i$2: acc += part[k.i$2]
    """
    names = Names(kernel)
    parts: list[Buffer] = []

    def visit(block: Block) -> Block:
        result: list[Stmt] = []
        for stmt in block:
            if isinstance(stmt, Loop) and _holds(stmt, axes):
                result.extend(split_one(stmt))
            else:
                result.append(map_blocks(stmt, visit))
        return tuple(result)

    def split_one(loop: Loop) -> Block:
        loops, tile, body = _reduction(loop, axes)
        (update,) = [stmt for stmt in walk(body) if isinstance(stmt, Accumulate)]
        part = _part_of(kernel, update, tile, names)
        parts.extend(part.buffers)
        inner = _replace_update(body, replace(update, targets=part.refs))
        return (
            *nest(tile, part.init),
            *nest(loops, copy_block(nest(tile, inner), names)),
            *copy_block(nest(tile, (part.join,)), names),
        )

    body = visit(kernel.body)
    return tidy(replace(kernel, body=body, locals=kernel.locals + tuple(parts)))


class _Part(NamedTuple):
    """Accumulators of each iteration of some loops: the states there, how they start, and the
    statement that joins them with the states they are parts of."""

    buffers: tuple[Buffer, ...]
    refs: tuple[Ref, ...]
    init: Block
    join: Accumulate


def _part_of(kernel: Kernel, update: Accumulate, tile: Sequence[Loop], names: Names) -> _Part:
    extents = tuple(extent_of(entry) for entry in tile)
    at = tuple(var(entry.axis) for entry in tile)
    types = [kernel.buffers[target.buffer].dtype for target in update.targets]
    buffers = tuple(
        Buffer(names.fresh("part"), dtype, extents, Space.REGISTER) for dtype in types
    )
    refs = tuple(Ref(buffer.name, at) for buffer in buffers)
    identities = COMBINERS[update.combiner].identity
    init = tuple(
        Store(ref, const(identity(dtype), dtype))
        for ref, identity, dtype in zip(refs, identities, types, strict=True)
    )
    loads = tuple(
        Load(dtype, ref.buffer, ref.indices) for ref, dtype in zip(refs, types, strict=True)
    )
    return _Part(buffers, refs, init, Accumulate(update.combiner, update.targets, loads))


def _holds(loop: Loop, axes: Sequence[str]) -> bool:
    """Whether a chain of loops starting here ends in the loops `axes`, or is just those."""
    loops, body = chain(loop)
    if loop.kind is Kind.PARALLEL:
        return False
    inner = loops[-len(axes) :]
    if tuple(base(entry.axis) for entry in inner) != tuple(axes):
        return False
    updates = [stmt for stmt in walk(body) if isinstance(stmt, Accumulate)]
    if len(updates) != 1 or not _is_apart(updates[0], body):
        return False
    used = frozenset().union(*(vars_of(at) for ref in updates[0].targets for at in ref.indices))
    return not used & {entry.axis for entry in inner}  # else it was split before


def _is_apart(update: Accumulate, body: Block) -> bool:
    """Whether all else in a block are stores that have nothing to do with an accumulator."""
    stores = tuple(stmt for stmt in walk(body) if isinstance(stmt, Store))
    used = {name for name, _, _ in accesses(stores)}
    known = (Accumulate, Loop, If, Store)
    return used.isdisjoint(target.buffer for target in update.targets) and all(
        isinstance(stmt, known) for stmt in walk(body)
    )


def _reduction(loop: Loop, axes: Sequence[str]) -> tuple[list[Loop], list[Loop], Block]:
    loops, body = chain(loop)
    count = len(loops) - len(axes)
    return loops[:count], loops[count:], body


def _replace_update(block: Block, update: Accumulate) -> Block:
    def one(stmt: Stmt) -> Stmt:
        if isinstance(stmt, Accumulate):
            return update
        return map_blocks(stmt, lambda part: tuple(one(inner) for inner in part))

    return tuple(one(stmt) for stmt in block)


def only_accumulates(block: Block) -> bool:
    """Whether a block does nothing but add to what it accumulates."""
    return all(isinstance(stmt, (Accumulate, Loop, If)) for stmt in walk(block))


def only_adds_to(block: Block, target: Ref) -> bool:
    """Whether a block does nothing but add to one sum."""
    updates = [stmt for stmt in walk(block) if isinstance(stmt, Accumulate)]
    sums = all(stmt.combiner == "sum" and stmt.targets == (target,) for stmt in updates)
    return only_accumulates(block) and sums
