"""A schedule step that asks, in one nest of a block, for what the nest that writes results reads
beside the block's own: many lines, which would be waited for all at once."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

from ...expr import apply, index, simplify, substitute_vars, vars_of
from ..instructions.table import prefetch_name
from ..nodes import Block, Call, Kernel, Kind, Loop, Stmt, Store, Window
from ..traverse import loads_within, map_blocks, substitute_block, walk
from ..tree import Names, extent_of, has_constant_limits, var


def prefetch_for_results(kernel: Kernel) -> Kernel:
    """Where a nest writes results for which it reads other inputs, have each iteration of the nest
    before it ask for a share of the rows of these.

    for p: {..};  for r: vector c: out[r, c] = x[r, c] + sums[r, c]
      ->  for p: {for r in 0..R / P: prefetch(x[p * R / P + r, 0]);  ..};  for r: ..
    """
    inputs = frozenset(param.name for param in kernel.params) - set(kernel.outputs)
    names = Names(kernel)

    def visit(block: Block) -> Block:
        result: list[Stmt] = []
        for stmt in block:
            before = result[-1] if result else None
            if isinstance(before, Loop) and isinstance(stmt, Loop) and _writes(stmt, kernel):
                result[-1] = asking(before, stmt)
            result.append(map_blocks(stmt, visit))
        return tuple(result)

    def asking(before: Loop, rows: Loop) -> Loop:
        known = has_constant_limits(before) and has_constant_limits(rows)
        if before.kind is not Kind.SERIAL or not known:
            return before
        share = -(-extent_of(rows) // extent_of(before))
        turn = names.copy(rows.axis)
        row = (var(before.axis) - before.start) * share + var(turn)
        last = rows.stop - 1
        place = {rows.axis: apply("min", rows.start + row, last)}
        requests = tuple(_requests(rows.body, rows.axis, inputs, names))
        if not requests:
            return before
        asked = Loop(turn, index(0), index(share), substitute_block(requests, place))
        return replace(before, body=(asked, *before.body))

    return kernel.with_body(visit(kernel.body))


def _writes(loop: Loop, kernel: Kernel) -> bool:
    """Whether a nest writes results, and sums nothing."""
    stores = [stmt.target.buffer for stmt in walk(loop.body) if isinstance(stmt, Store)]
    return loop.kind is Kind.SERIAL and bool(stores) and set(stores) <= set(kernel.outputs)


def _requests(block: Block, row: str, inputs: Collection[str], names: Names) -> Iterator[Stmt]:
    """Requests for what the vector loops of a block read along their lanes, of inputs that have a
    row of their own in each iteration."""
    for stmt in block:
        match stmt:
            case Loop(kind=Kind.VECTOR):
                yield from _requests_of_lanes(stmt, row, inputs)
            case Loop(axis=axis, body=body):
                inner = tuple(_requests(body, row, inputs, names))
                if inner:
                    copy = names.copy(axis)
                    moved = substitute_block(inner, {axis: var(copy)})
                    yield replace(stmt, axis=copy, body=moved)


def _requests_of_lanes(loop: Loop, row: str, inputs: Collection[str]) -> Iterator[Call]:
    """The requests for what a vector loop reads, each place once."""
    reads = (load for load in loads_within(loop.body) if load.buffer in inputs)
    for load in dict.fromkeys(reads):
        used = frozenset().union(*map(vars_of, load.indices))
        if row in used and loop.axis in vars_of(load.indices[-1]):
            place = (substitute_vars(part, {loop.axis: loop.start}) for part in load.indices)
            window = Window(load.buffer, tuple(simplify(at, {}) for at in place))
            yield Call(prefetch_name(load.dtype), (window,))
