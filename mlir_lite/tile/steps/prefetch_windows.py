"""A schedule step that asks, while windows slide along some rows, for the rows below: few lines lie
side by side in these, which no hardware reads ahead of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from ...expr import Expr, Load, simplify, substitute_vars
from ..instructions.table import prefetch_name
from ..nodes import Block, Call, Kernel, Kind, Loop, Stmt, Window
from ..traverse import blocks_of, loads_in, map_blocks, walk
from ..tree import base, extent_of, var
from .prefetch import runs


def prefetch_below(kernel: Kernel, axis: str) -> Kernel:
    """Have the innermost loops that run at run time, inside of the loop `axis`, ask for those
    elements of parameters that its next iteration reads, and this one does not.

    for i: for c.o: unroll t in 0..3: vector c.i: acc[c.i] += x[i * 2 + t, c.o, c.i]
      ->  for i: for c.o: {prefetch(x[i * 2 + 3, c.o, 0]);  prefetch(x[i * 2 + 4, c.o, 0]);
                           unroll t in 0..3: ..}
    """
    inputs = {
        param.name
        for param in kernel.params
        if param.name not in kernel.outputs and param.layout is None
    }

    def visit(block: Block, outer: Loop | None) -> Block:
        return tuple(one(stmt, outer) for stmt in block)

    def one(stmt: Stmt, outer: Loop | None) -> Stmt:
        if not isinstance(stmt, Loop) or not runs(stmt):
            return map_blocks(stmt, lambda block: visit(block, outer))
        if base(stmt.axis) == axis:
            outer = stmt
        inner = (part for part in walk(stmt.body) if isinstance(part, Loop))
        if outer is None or any(map(runs, inner)):
            return replace(stmt, body=visit(stmt.body, outer))
        return replace(stmt, body=(*requests(stmt.body, outer), *stmt.body))

    def requests(block: Block, outer: Loop) -> Iterator[Stmt]:
        reads = [place for place in _places(block) if place.buffer in inputs]
        present, step = set(reads), {outer.axis: var(outer.axis) + 1}
        for place in dict.fromkeys(_moved(place, step) for place in reads):
            if place not in present:
                yield Call(prefetch_name(place.dtype), (Window(place.buffer, place.indices),))

    return kernel.with_body(visit(kernel.body, None))


def _places(block: Block) -> Iterator[Load]:
    """What loops that are written out read, the first of each vector."""
    for stmt in block:
        yield from loads_in(stmt)
        places = [place for inner in blocks_of(stmt) for place in _places(inner)]
        if not isinstance(stmt, Loop):
            yield from places
            continue
        turns = 1 if stmt.kind is Kind.VECTOR else extent_of(stmt)
        for turn in range(turns):
            yield from (_moved(place, {stmt.axis: stmt.start + turn}) for place in places)


def _moved(place: Load, values: Mapping[str, Expr]) -> Load:
    """Where axes have these values."""
    indices = (simplify(substitute_vars(part, values), {}) for part in place.indices)
    return replace(place, indices=tuple(indices))
