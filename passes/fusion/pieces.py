"""Pieces of a function to look at alone: each operation that is more than elementwise, together
with what follows it element by element, as a function of its own.

    %1 = conv %x, %w;  %2 = add %1, %r;  %3 = relu %2;  %4 = softmax %3
      ->  conv, add and relu of parameters x and r and the constant w;  softmax of a parameter
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from ...expr import contains_reduce
from ...ir import Builder, Constant, ConstantData, Function, Node, Value, parameter, users_of
from ...ops.base.broadcast import Broadcast
from ...ops.base.constant import constant
from ...ops.regions.group import Group
from ...ops.shapes.shape import Reshape
from ...ops.table import TABLE
from ..lowering.bodies import record_body
from ..lowering.handmade import brings_kernel
from ..regions import region_key


@dataclass(frozen=True)
class Piece:
    """A piece with its constants, and how many like it the function has."""

    function: Function
    count: int = 1

    @property
    def label(self) -> str:
        """Its operations and the shapes that they meet, for people."""
        names = (node.op.name for node in self.function.nodes if not _is_free(node))
        taken = [param.type for param in self.function.params]
        taken += [node.results[0].type for node in self.function.nodes if _is_large(node)]
        given = self.function.result_types[0]
        return f"{' '.join(dict.fromkeys(names))}: {', '.join(map(str, taken))} -> {given}"


def pieces_of(fn: Function) -> tuple[Piece, ...]:
    """The pieces of a function in order; those that differ only in their constants' data once."""
    users = users_of(fn)
    taken: set[Node] = set()
    found: dict[object, Piece] = {}
    for node in fn.nodes:
        if node in taken or _is_free(node) or _is_pointwise(node):
            continue
        nodes = [node, *_followers(fn, node, users)]
        taken.update(nodes)
        shape = _cut_out(nodes, lambda data: data.type.elements == 1)
        key = (region_key(shape), tuple(param.name[0] for param in shape.params))
        if key in found:
            found[key] = replace(found[key], count=found[key].count + 1)
        else:
            found[key] = Piece(_cut_out(nodes, lambda _: True))
    return tuple(found.values())


def _is_free(node: Node) -> bool:
    return isinstance(node.op, (Constant, Reshape, Broadcast))


def _is_large(node: Node) -> bool:
    return isinstance(node.op, Constant) and not node.op.value.is_small


def _is_pointwise(node: Node) -> bool:
    """Whether a node computes each element of its one result from one of each operand."""
    op = node.op
    if isinstance(op, Group) or brings_kernel(op) or not type(op).has("body"):
        return False
    types = tuple(result.type for result in node.results)
    return len(types) == 1 and not contains_reduce(record_body(op, types).results[0])


def _followers(fn: Function, node: Node, users: Mapping[Value, Sequence[Node]]) -> list[Node]:
    """What uses a node's result element by element, one after the other, each alone."""
    found: list[Node] = []
    while len(node.results) == 1 and node.results[0] not in fn.results:
        using = users.get(node.results[0], ())
        if len(using) != 1 or not _is_pointwise(using[0]):
            break
        if using[0].results[0].shape != node.results[0].shape:
            break
        node = using[0]
        found.append(node)
    return found


def _cut_out(nodes: Sequence[Node], keeps: Callable[[ConstantData], bool]) -> Function:
    """A function of some nodes; what they take are parameters, but the constants that it keeps."""
    builder = Builder(TABLE)
    params: list[Value] = []
    values: dict[Value, Value] = {}

    def value_of(value: Value) -> Value:
        if value not in values:
            values[value] = taken(value)
        return values[value]

    def taken(value: Value) -> Value:
        match value.op:
            case Constant(value=data) if keeps(data):
                return constant(data)
            case (Broadcast() | Reshape()) as op:
                return builder.emit(op.map_operands(value_of), (value.type,))[0]
        kind = "w" if isinstance(value.op, Constant) else "x"
        params.append(parameter(f"{kind}{len(params)}", value.type))
        return params[-1]

    with builder.active():
        for node in nodes:
            with builder.at(node.location):
                types = tuple(result.type for result in node.results)
                results = builder.emit(node.op.map_operands(value_of), types)
            values.update(zip(node.results, results, strict=True))
        given = [values[result] for result in nodes[-1].results]
    return builder.finish("piece", params, given)
