"""Walking and rebuilding blocks of Tile IR: what stands in a statement, and the statement with
something else there. Whoever looks at every statement or expression does it by these."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from operator import is_not

from ..expr import Expr, Load, loads_of, rewrite_expr, substitute_vars
from .nodes import (
    Accumulate,
    Async,
    Await,
    Block,
    Call,
    If,
    Let,
    Loop,
    Ref,
    Stmt,
    Store,
    Window,
)


def expressions_of(stmt: Stmt) -> tuple[Expr, ...]:
    """The expressions that stand directly in a statement (not those in nested blocks)."""
    if isinstance(stmt, Store):
        return (*stmt.target.indices, stmt.value)
    if isinstance(stmt, Let):
        return (stmt.value,)
    match stmt:
        case Loop(start=start, stop=stop):
            return (start, stop)
        case If(condition=condition):
            return (condition,)
        case Accumulate(targets=targets, values=values):
            return (*(part for target in targets for part in target.indices), *values)
        case Call(windows=windows, scalars=scalars):
            return (*(part for window in windows for part in window.offsets), *scalars)
        case Await(barrier=barrier, parity=parity):
            return (*barrier.indices, parity)
    return ()


def blocks_of(stmt: Stmt) -> tuple[Block, ...]:
    """The nested blocks of a statement."""
    match stmt:
        case Loop(body=body) | Async(body=body):
            return (body,)
        case If(then=then, otherwise=otherwise):
            return (then, otherwise)
    return ()


def walk(block: Block) -> Iterator[Stmt]:
    """Every statement, outer ones first."""
    for stmt in block:
        yield stmt
        for inner in blocks_of(stmt):
            yield from walk(inner)


def loads_in(stmt: Stmt) -> Iterator[Load]:
    """The elements that a statement's own expressions read."""
    for expr in expressions_of(stmt):
        yield from loads_of(expr)


def loads_within(block: Block) -> Iterator[Load]:
    """The elements that a block reads, in the order of its text."""
    for stmt in walk(block):
        yield from loads_in(stmt)


def map_blocks(stmt: Stmt, visit: Callable[[Block], Block]) -> Stmt:
    """The statement with its nested blocks replaced."""
    if isinstance(stmt, Loop):
        return Loop(stmt.axis, stmt.start, stmt.stop, visit(stmt.body), stmt.kind)
    if isinstance(stmt, If):
        return If(stmt.condition, visit(stmt.then), visit(stmt.otherwise))
    if isinstance(stmt, Async):
        return Async(stmt.group, visit(stmt.body))
    return stmt


def map_own(stmt: Stmt, visit: Callable[[Expr], Expr]) -> Stmt:
    """The statement with the expressions that stand directly in it replaced."""
    old = expressions_of(stmt)
    new = tuple([visit(expr) for expr in old])
    if not any(map(is_not, new, old)):
        return stmt
    parts = iter(new)

    def ref(target: Ref) -> Ref:
        return Ref(target.buffer, tuple(islice(parts, len(target.indices))))

    def moved(window: Window) -> Window:
        return Window(window.buffer, tuple(islice(parts, len(window.offsets))))

    match stmt:
        case Loop():
            return Loop(stmt.axis, next(parts), next(parts), stmt.body, stmt.kind)
        case If():
            return If(next(parts), stmt.then, stmt.otherwise)
        case Let():
            return Let(stmt.name, next(parts))
        case Store():
            return Store(ref(stmt.target), next(parts), stmt.nontemporal)
        case Accumulate():
            targets = tuple([ref(target) for target in stmt.targets])
            return Accumulate(stmt.combiner, targets, tuple(parts))
        case Call():
            windows = tuple([moved(window) for window in stmt.windows])
            return Call(stmt.callee, windows, tuple(parts))
        case Await():
            return Await(ref(stmt.barrier), next(parts))
    return stmt


def map_expressions(block: Block, visit: Callable[[Expr], Expr]) -> Block:
    """Every expression of a block, nested blocks included, replaced."""

    def nested(inner: Block) -> Block:
        return map_expressions(inner, visit)

    return tuple([map_own(map_blocks(stmt, nested), visit) for stmt in block])


def substitute_block(block: Block, values: Mapping[str, Expr]) -> Block:
    """Replace variables in every expression of a block."""
    return map_expressions(block, lambda expr: substitute_vars(expr, values))


def rewrite_block(block: Block, visit: Callable[[Expr], Expr | None]) -> Block:
    """Apply `rewrite_expr` to every expression of a block."""
    return map_expressions(block, lambda expr: rewrite_expr(expr, visit))
