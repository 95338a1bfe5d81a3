"""A failing program made small: fewer results, fewer operations, its operands' arrays in place
of what computes them. What is left prints as a text of a few lines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count

import numpy as np

from mlir_lite import Function, Value
from mlir_lite.ir import Builder, Node, parameter, results_of
from mlir_lite.ops.table import TABLE
from mlir_lite.types import Array

from .programs import Program

Failing = Callable[[Program], bool]


def shrunk(program: Program, fails: Failing) -> Program:
    """The smallest program found, by dropping one thing at a time, that still fails."""
    program = _one_result(program, fails)
    moved = True
    while moved:
        moved = False
        for position in reversed(range(len(program.fn.nodes))):
            if position >= len(program.fn.nodes):
                continue
            smaller = cut(program, position)
            if smaller is not None and _still(smaller, fails):
                program, moved = smaller, True
    return program


def _still(program: Program, fails: Failing) -> bool:
    try:
        return fails(program)
    except Exception:
        return True


def _one_result(program: Program, fails: Failing) -> Program:
    for value in (node.results[0] for node in program.fn.nodes):
        alone = returning(program, [value])
        if _still(alone, fails):
            return alone
    for value in program.fn.results:
        alone = returning(program, [value])
        if _still(alone, fails):
            return alone
    return program


def returning(program: Program, results: Sequence[Value]) -> Program:
    """The program that gives these of its values."""
    builder = Builder(TABLE)
    fn = replace(program.fn, results=tuple(results))
    with builder.active():
        for node in program.fn.nodes:
            builder.again(node, node.op)
    return _with_used(builder.remade(fn, results), program)


def _with_used(fn: Function, program: Program) -> Program:
    """Without parameters that nobody uses."""
    arrays = dict(zip(program.fn.params, program.arrays, strict=True))
    used = {operand for node in fn.nodes for operand in node.op.operands} | set(fn.results)
    params = [param for param in fn.params if param in used]
    donated = {name: at for name, at in fn.donated.items() if at < len(fn.results)}
    made = replace(fn, params=tuple(params), donated=donated)
    return Program(made, tuple(arrays[param] for param in params))


def cut(program: Program, position: int) -> Program | None:
    """With parameters in place of the results of a node, which have the arrays it gave."""
    fn, node = program.fn, program.fn.nodes[position]
    if node.op.name == "constant" or set(node.results) & set(fn.results):
        return None
    arrays = _arrays(program)
    taken = {param.name for param in fn.params}
    free = (name for name in map("q{}".format, count()) if name not in taken)
    new = {result: parameter(next(free), result.type) for result in node.results}
    given = {**dict(zip(fn.params, program.arrays, strict=True))}
    given |= {made: np.array(arrays[old], order="C") for old, made in new.items()}
    builder = Builder(TABLE)
    values: dict[Value, Value] = {**{param: param for param in fn.params}, **new}
    with builder.active():
        for other in fn.nodes:
            if other is not node:
                _again(builder, other, values)
    made = builder.remade(fn, [values[result] for result in fn.results], tuple(given))
    whole = Program(made, tuple(given.values()))
    return _with_used(made, whole)


def _again(builder: Builder, node: Node, values: dict[Value, Value]) -> None:
    found = builder.again(node, node.op.map_operands(values.__getitem__))
    values.update(zip(node.results, found, strict=True))


def _arrays(program: Program) -> dict[Value, Array]:
    """The array of every value."""
    found: dict[Value, Array] = dict(zip(program.fn.params, program.arrays, strict=True))
    with np.errstate(all="ignore"):
        for node in program.fn.nodes:
            given = results_of(node.op.reference(*node.op.arguments(found)))
            found.update(zip(node.results, map(np.asarray, given), strict=True))
    return found
