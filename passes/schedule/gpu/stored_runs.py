"""Neighbours that a kernel written in blocks and warps stores one by one, stored at once, as far as
memory takes that; what follows of them may have come to their stores since the kernel was written.

    unroll e: {let c = f * 8 + e;  if r < 70 and c < 64: y[r, c] = v[e] + x[r, c]}
      ->  if r < 70 and f * 8 < 64: {call load(x_[0], x[r, f * 8]);
            unroll e: y_[e] = v[e] + x_[e];  call store(y[r, f * 8], y_[0])}
"""

from __future__ import annotations

from dataclasses import replace

from ....expr import Apply, Const, Expr, all_of, has_loads, index, substitute_vars, vars_of
from ....expr.simplify import factor_of, linear_sum
from ....tile.analyses.alignment import divisor
from ....tile.nodes import Block, Buffer, If, Kernel, Kind, Let, Loop, Space, Stmt, Store
from ....tile.steps.lift_guards import conjuncts
from ....tile.traverse import map_blocks, substitute_block
from ....tile.tree import Names, extent_of, has_constant_limits, var
from .held import Held, computed
from .products.blocks import unrolled
from .wide import widest_run


def with_stored_runs(kernel: Kernel) -> Kernel:
    """The kernel with such loops as runs."""
    names = Names(kernel)
    registers: list[Buffer] = []

    def one(stmt: Stmt) -> Block:
        if isinstance(stmt, Loop) and stmt.kind is Kind.UNROLL and has_constant_limits(stmt):
            found = _as_run(kernel, stmt, names)
            if found is not None:
                block, own = found
                registers.extend(own)
                return block
        return (map_blocks(stmt, over),)

    def over(block: Block) -> Block:
        return tuple(made for stmt in block for made in one(stmt))

    body = over(kernel.body)
    return replace(kernel, body=body, locals=(*kernel.locals, *registers))


def _as_run(
    kernel: Kernel, loop: Loop, names: Names
) -> tuple[Block, tuple[Buffer, ...]] | None:
    """What stands in a loop's place, with its registers; None where neighbours are not stored."""
    conditions, body = _bare(loop.body)
    stores = [stmt for stmt in body if isinstance(stmt, Store)]
    in_memory = [kernel.buffers[stmt.target.buffer].space is Space.GLOBAL for stmt in stores]
    if not in_memory or not all(in_memory):
        return None
    run = widest_run(kernel, body, loop.axis, extent_of(loop))
    if run is None:
        return None
    inside = [_of_first(condition, loop.axis, run.width) for condition in conditions]
    known = [condition for condition in inside if condition is not None]
    if len(known) < len(inside):
        return None
    count, part = extent_of(loop) // run.width, names.fresh("part", "$")
    first = loop.start + (var(part) * run.width if count > 1 else index(0))
    held = Held.of(run, (), names)
    made = computed(run, held, first, (), names)
    block: Block = (*held.filled(first, ()), *made.block)
    if known:
        guard = substitute_vars(all_of(*known), {loop.axis: first})
        block = (If(guard, block),)
    whole = (unrolled(part, count, *block),) if count > 1 else block
    return whole, (*held.registers.values(), *made.registers)


def _bare(block: Block) -> tuple[list[Expr], Block]:
    """A block without names for what is no data, and without the conditions around all of it."""
    conditions: list[Expr] = []
    while True:
        match block:
            case (Let(name=name, value=value), *rest) if rest and not has_loads(value):
                block = substitute_block(tuple(rest), {name: value})
            case (If(condition=condition, then=then, otherwise=()),):
                conditions += conjuncts(condition)
                block = then
            case _:
                return conditions, block


def _of_first(condition: Expr, axis: str, width: int) -> Expr | None:
    """A condition on the first of neighbours that holds for all of them or for none; None where
    they may differ."""
    if axis not in vars_of(condition):
        return condition
    match condition:
        case Apply(function="lt", args=(place, Const(value=end))) if int(end) % width == 0:
            first = substitute_vars(place, {axis: index(0)})
            counts = factor_of(axis, linear_sum([(place, 1)])) == 1
            return condition if counts and divisor(first, {}) % width == 0 else None
    return None
