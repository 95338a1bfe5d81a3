"""Rewriting: patterns on operations, and the walk that applies them through a Builder.

A pattern is `@rewrite(Transpose) def f(op: Transpose) -> Value | None`, its docstring
`before  ->  after`; it emits its replacement into the current Builder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from ..errors import PassError
from .builder import Builder, OpTable
from .function import Function
from .op import Op
from .value import Value

SomeOp = TypeVar("SomeOp", bound=Op)
Replacement: TypeAlias = Value | tuple[Value, ...] | None


@dataclass(frozen=True)
class Pattern:
    """A rewrite of operations of one class (or any of several)."""

    classes: tuple[type[Op], ...]
    apply: Callable[[Any], Replacement]  # the argument is an instance of one of `classes`
    name: str


def rewrite(*classes: type[SomeOp]) -> Callable[[Callable[[SomeOp], Replacement]], Pattern]:
    """Make a pattern of a function on operations of these classes."""

    def decorate(function: Callable[[SomeOp], Replacement]) -> Pattern:
        return Pattern(tuple(classes), function, function.__name__)

    return decorate


def rewrite_all(
    fn: Function, patterns: Sequence[Pattern], table: OpTable, *, fuel: int = 8
) -> Function:
    """Apply patterns in program order, over and over until nothing changes or `fuel` rounds."""
    by_class: dict[type[Op], list[Pattern]] = {}
    for pattern in patterns:
        for cls in pattern.classes:
            by_class.setdefault(cls, []).append(pattern)
    for _ in range(fuel):
        fn, changed = _sweep(fn, by_class, table)
        if not changed:
            break
    return fn


def _sweep(
    fn: Function, by_class: dict[type[Op], list[Pattern]], table: OpTable
) -> tuple[Function, bool]:
    changed = False

    def visit(op: Op) -> Replacement:
        nonlocal changed
        for pattern in by_class.get(type(op), ()):
            replaced = pattern.apply(op)
            if replaced is not None:
                changed = True
                return replaced
        return None

    return transform(fn, visit, table), changed


def transform(fn: Function, visit: Callable[[Op], Replacement], table: OpTable) -> Function:
    """Re-emit a function; `visit` sees each operation on its new operands and may replace it by one
    of the same types. The function itself where nothing changes.
    """
    builder = Builder(table)
    values: dict[Value, Value] = dict(zip(fn.params, fn.params, strict=True))
    with builder.active():
        for node in fn.nodes:
            op = node.op.map_operands(values.__getitem__)
            with builder.at(node.location):
                replaced = visit(op)
                if replaced is None:
                    replaced = builder.again(node, op)
            made = replaced if isinstance(replaced, tuple) else (replaced,)
            for old, new in zip(node.results, made, strict=True):
                if old.type != new.type:
                    change = f"changed its type from {old.type} to {new.type}"
                    raise PassError(f"a rewrite of '{op.name}' {change}")
                values[old] = new
        results = tuple(values[result] for result in fn.results)
    rewritten = builder.remade(fn, results)
    same = (rewritten.nodes, rewritten.results) == (fn.nodes, fn.results)
    return fn if same else rewritten
