"""Loops and branches taken apart: what passes that move work in and out of them share."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from ...ir import Builder, Constant, Function, Node, Value, parameter
from ...ops.table import TABLE
from ...text import fresh_name

NO_VALUES: Mapping[Value, Value] = {}


def cut(
    fn: Function,
    params: Sequence[Value],
    results: Sequence[Value],
    *,
    same: Mapping[Value, Value] = NO_VALUES,
) -> Function:
    """The function from some of its values to others.

    A value among `params` that a node gives becomes a parameter. `same` says what stands for a
    parameter that is left out: another value, or a constant from anywhere.
    """
    taken = {param.name for param in params if param.node is None}
    values = {
        value: value if value.node is None else parameter(fresh_name("x", taken), value.type)
        for value in params
    }
    new_params = tuple(values.values())
    builder = Builder(TABLE)
    with builder.active():
        for value, other in same.items():
            constant = other.op if isinstance(other.op, Constant) else None
            values[value] = values[other] if constant is None else builder.emit(constant)[0]
        for node in needed_nodes(fn, results, values):
            op = node.op.map_operands(values.__getitem__)
            with builder.at(node.location):
                for old, new in zip(node.results, builder.again(node, op), strict=True):
                    values.setdefault(old, new)
    return builder.finish(fn.name, new_params, [values[result] for result in results])


def needed_nodes(
    fn: Function, results: Iterable[Value], given: Collection[Value]
) -> tuple[Node, ...]:
    """The nodes that compute these results where some values are given, in order."""
    needed, kept = set(results), list[Node]()
    for node in reversed(fn.nodes):
        if any(result in needed and result not in given for result in node.results):
            kept.append(node)
            needed.update(node.op.operands)
    return tuple(reversed(kept))


def reached(fn: Function, results: Iterable[Value]) -> frozenset[Value]:
    """The values that these results depend on, themselves among them."""
    needed = set(results)
    for node in reversed(fn.nodes):
        if any(result in needed for result in node.results):
            needed.update(node.op.operands)
    return frozenset(needed)


def depending(fn: Function, params: Iterable[Value]) -> frozenset[Value]:
    """The values that depend on any of these parameters, themselves among them."""
    found = set(params)
    for node in fn.nodes:
        if any(operand in found for operand in node.op.operands):
            found.update(node.results)
    return frozenset(found)
