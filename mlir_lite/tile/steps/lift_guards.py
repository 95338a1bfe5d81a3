"""Schedule steps: a guarded term of a reduction becomes a condition around it, as far out as the
loops allow, so that padding is left out rather than added as zeros; and the way back.
"""

from __future__ import annotations

from dataclasses import replace

from ...expr import (
    COMBINERS,
    TRUE,
    Apply,
    Cast,
    Const,
    Expr,
    all_of,
    cast,
    has_loads,
    vars_of,
)
from ..nodes import Accumulate, Block, If, Kernel, Kind, Loop, Stmt
from ..traverse import map_blocks
from ..tree import has_constant_limits
from .reductions import only_accumulates


def lift_guards(kernel: Kernel) -> Kernel:
    """Turn a guarded term of a reduction into a condition, and move it out of loops it does not
    depend on. (A padded tap is left out rather than added as zero times a weight.)

    for k: acc += select(c, x, 0) * w   ->   if c: for k: acc += x * w
    """

    def visit(block: Block) -> Block:
        return tuple(part for stmt in block for part in one(stmt))

    def one(stmt: Stmt) -> Block:
        stmt = map_blocks(stmt, visit)
        match stmt:
            case Accumulate(values=(value,)):
                condition, bare = _without_guard(value, stmt.combiner)
                if condition is not None:
                    return (If(condition, (replace(stmt, values=(bare,)),)),)
            case Loop(body=(If(condition=condition, then=then, otherwise=()),)) if (
                stmt.kind in (Kind.SERIAL, Kind.UNROLL) and has_constant_limits(stmt)
            ):
                return _lifted(stmt, condition, then)
        return (stmt,)

    return kernel.with_body(visit(kernel.body))


def _lifted(loop: Loop, condition: Expr, then: Block) -> Block:
    """Split a condition into the part that depends on the loop and the part that does not."""
    inside: list[Expr] = []
    outside: list[Expr] = []
    for part in conjuncts(condition):
        (inside if loop.axis in vars_of(part) else outside).append(part)
    if not outside or not only_accumulates(then):
        return (loop,)
    body = (If(all_of(*inside), then),) if inside else then
    return (If(all_of(*outside), (replace(loop, body=body),)),)


def lower_guards(kernel: Kernel) -> Kernel:
    """The way back: a condition around a reduction's loops becomes one of each of its terms, so
    that pieces of the loops decide it.

    if c: for k: acc += f   ->   for k: if c: acc += f
    """

    def visit(block: Block) -> Block:
        return tuple(part for stmt in block for part in one(stmt))

    def one(stmt: Stmt) -> Block:
        match stmt:
            case If(condition=condition, then=then, otherwise=()) if only_accumulates(then):
                return tuple(part for inner in then for part in under(condition, inner))
        return (map_blocks(stmt, visit),)

    def under(condition: Expr, stmt: Stmt) -> Block:
        match stmt:
            case Loop(body=body):
                return (replace(stmt, body=visit((If(condition, body),))),)
            case If(condition=inner, then=then, otherwise=()):
                return one(If(all_of(condition, inner), then))
        return (If(condition, (stmt,)),)

    return kernel.with_body(visit(kernel.body))


def conjuncts(condition: Expr) -> list[Expr]:
    """The conditions that a condition is the conjunction of."""
    if isinstance(condition, Apply) and condition.function == "and":
        return [part for arg in condition.args for part in conjuncts(arg)]
    return [] if condition == TRUE else [condition]


def _without_guard(value: Expr, combiner: str) -> tuple[Expr | None, Expr]:
    """The condition under which a term counts, and the term without it.

    A condition on data stays: it differs from lane to lane, and what it reads may need a guard.
    """
    match value:
        case Apply(function="select", args=(condition, then, Const(value=fill))) if (
            fill == COMBINERS[combiner].identity[0](value.dtype)
            and not has_loads(condition)
        ):
            inner, bare = _without_guard(then, combiner)
            return (condition if inner is None else all_of(condition, inner)), bare
        case Cast(value=narrow, dtype=dtype) if combiner == "sum" or narrow.dtype.is_float:
            # Its identity is the wide type's, converted.
            inner, bare = _without_guard(narrow, combiner)
            return inner, value if inner is None else cast(bare, dtype)
        case Apply(function="mul", args=(left, right)) if combiner == "sum":
            first, bare_left = _without_guard(left, combiner)
            second, bare_right = _without_guard(right, combiner)
            if first is None and second is None:
                return None, value
            return all_of(*(part for part in (first, second) if part)), bare_left * bare_right
    return None, value
