"""Walking and rebuilding expressions: their parts, variables and loads, and the expression with
others in their place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from operator import is_not
from typing import cast as cast_to

from .nodes import Apply, Cast, Const, Expr, Load, Reduce, Var, apply, cast


def children(expr: Expr) -> tuple[Expr, ...]:
    """The parts of a node, which are expressions themselves."""
    kind = type(expr)  # a chain of tests, because this runs for every node of every kernel
    if kind is Apply:
        return cast_to(Apply, expr).args
    if kind is Load:
        return cast_to(Load, expr).indices
    if kind is Cast:
        return (cast_to(Cast, expr).value,)
    if kind is Reduce:
        return cast_to(Reduce, expr).values
    return ()


def walk_expr(expr: Expr) -> Iterator[Expr]:
    """Every node, parents first."""
    pending = [expr]
    while pending:
        node = pending.pop()
        yield node
        pending.extend(reversed(children(node)))


def rewrite_expr(expr: Expr, visit: Callable[[Expr], Expr | None]) -> Expr:
    """Rebuild bottom-up; `visit` gives the replacement of a rebuilt node, or None to keep it."""
    built = expr
    parts = children(expr)
    if parts:
        new = [rewrite_expr(part, visit) for part in parts]
        if any(map(is_not, new, parts)):
            built = with_children(expr, tuple(new))
    replaced = visit(built)
    return built if replaced is None else replaced


def with_children(expr: Expr, parts: tuple[Expr, ...]) -> Expr:
    """The node with other children, folded anew."""
    if isinstance(expr, Apply):
        return apply(expr.function, *parts)
    if isinstance(expr, Load):
        return Load(expr.dtype, expr.buffer, parts)
    if isinstance(expr, Cast):
        return cast(parts[0], expr.dtype)
    if isinstance(expr, Reduce):
        return Reduce(expr.dtype, expr.combiner, expr.axes, parts, expr.component)
    return expr


def substitute_vars(expr: Expr, values: Mapping[str, Expr]) -> Expr:
    """Replace variables by expressions."""
    if isinstance(expr, Var):
        return values.get(expr.name, expr)
    parts = children(expr)
    if not parts:
        return expr
    new = [substitute_vars(part, values) for part in parts]
    return with_children(expr, tuple(new)) if any(map(is_not, new, parts)) else expr


def vars_of(expr: Expr) -> frozenset[str]:
    """The free variables (the axes of a `Reduce` are bound in it)."""
    if isinstance(expr, Var):
        return frozenset((expr.name,))
    found: set[str] = set()
    for part in children(expr):
        if isinstance(part, Var):
            found.add(part.name)
        elif not isinstance(part, Const):
            found |= vars_of(part)
    if isinstance(expr, Reduce):
        found.difference_update(axis for axis, _ in expr.axes)
    return frozenset(found)


def loads_of(expr: Expr) -> Iterator[Load]:
    """The loads in an expression, outer ones first."""
    return iter(()) if type(expr) in _LEAVES else _loads_of(expr)


_LEAVES = frozenset((Const, Var))


def _loads_of(expr: Expr) -> Iterator[Load]:
    pending = [expr]
    while pending:
        node = pending.pop()
        if type(node) is Load:
            yield node
        pending += [part for part in reversed(children(node)) if type(part) not in _LEAVES]


def has_loads(expr: Expr) -> bool:
    """Whether data decide an expression's value."""
    return isinstance(expr, Load) or any(map(has_loads, children(expr)))


def contains_reduce(expr: Expr) -> bool:
    """Whether a reduction stands in an expression."""
    return isinstance(expr, Reduce) or any(map(contains_reduce, children(expr)))

