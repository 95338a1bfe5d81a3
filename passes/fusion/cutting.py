"""Cutting operations out of a function: what some of them take, what they give, and the function
that they are by themselves, which one kernel will compute.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from ...ir import Builder, Constant, Function, Node, Value, parameter, users_of
from ...ops.base.broadcast import Broadcast
from ...ops.base.cast import Cast
from ...ops.base.constant import constant
from ...ops.elementwise.tf32 import Tf32Cut
from ...ops.regions.checkpoint import Barrier
from ...ops.shapes.shape import Reshape
from ...ops.shapes.slice import Slice
from ...ops.table import TABLE
from ...types import bf16, f16, f32
from ..lowering.faults import fault_operands


@dataclass(frozen=True)
class Cutting:
    """Cuts operations out of `fn`. A broadcast costs nothing inside of the kernel that reads it,
    so every cut makes those that it needs for itself; a number stands in it as a literal.

    `checked` has the operands whose data is looked at before the kernel of a node runs: these stay
    in memory.
    """

    fn: Function
    users: Mapping[Value, Sequence[Node]]
    checked: Mapping[Node, tuple[Value, ...]]

    @staticmethod
    def of(fn: Function) -> Cutting:
        return Cutting(fn, users_of(fn), {node: fault_operands(node.op) for node in fn.nodes})

    def region(self, nodes: list[Node]) -> tuple[Function, list[Value], list[Value]]:
        """The function of some nodes, the values it takes, and the values it gives."""
        given = self.given(nodes)
        nodes = self.with_repetitions(nodes)
        inputs, numbers = self.taken(nodes)
        builder = Builder(TABLE)
        params = [parameter(f"x{place}", value.type) for place, value in enumerate(inputs)]
        values = dict(zip(inputs, params, strict=True))
        with builder.active():
            for value in numbers:
                assert isinstance(value.op, Constant)
                values[value] = constant(value.op.value)
            for node in nodes:
                types = tuple(result.type for result in node.results)
                with builder.at(node.location):
                    results = builder.emit(node.op.map_operands(values.__getitem__), types)
                values.update(zip(node.results, results, strict=True))
        region = builder.finish("group", params, [values[value] for value in given])
        return region, inputs, given

    def given(self, nodes: list[Node]) -> list[Value]:
        """What some nodes compute for others, or as results of the function."""
        inside = set(nodes)
        return [
            result
            for node in nodes
            for result in node.results
            if result in self.fn.results
            or any(user not in inside for user in self.final_users(result))
        ]

    def only_slices(self, made: list[Node], nodes: list[Node]) -> bool:
        """Whether some nodes read the one thing that others give, and that in slices."""
        given = self.given(made)
        users = [node for node in nodes if any(value in given for value in node.op.operands)]
        return len(given) == 1 < len(users) and all(isinstance(node.op, Slice) for node in users)

    def taken(self, nodes: list[Node]) -> tuple[list[Value], list[Value]]:
        """The values that some nodes take from elsewhere, and among the operands the numbers."""
        made = {result for node in nodes for result in node.results}
        taken = dict.fromkeys(
            value for node in nodes for value in node.op.operands if value not in made
        )
        # A number stands in the kernel, unless what checks it needs it in memory.
        checked = {value for node in nodes for value in self.checked[node]}
        numbers = [value for value in taken if is_number(value) and value not in checked]
        inside = set(numbers)
        return [value for value in taken if value not in inside], numbers

    def final_users(self, value: Value) -> list[Node]:
        """The nodes that use a value, through broadcasts too."""
        found: list[Node] = []
        for user in self.users.get(value, ()):
            repeats = is_repetition(user) and user.results[0] not in self.fn.results
            found += self.final_users(user.results[0]) if repeats else [user]
        return found

    def with_repetitions(self, nodes: list[Node]) -> list[Node]:
        """The nodes and, right before the first that reads it, each repetition, which every group
        does for itself; not those whose data is checked before the group runs."""
        checked = {value for node in nodes for value in self.checked[node]}
        found = ((*_repetitions_of(node, checked), node) for node in nodes)
        return list(dict.fromkeys(chain.from_iterable(found)))


def _repetitions_of(node: Node, checked: Collection[Value]) -> Iterator[Node]:
    """What a node reads that only repeats, and before each what that reads."""
    for value in node.op.operands:
        if value not in checked and value.node is not None and is_repetition(value.node):
            yield from _repetitions_of(value.node, checked)
            yield value.node


def is_repetition(node: Node) -> bool:
    """What costs nothing inside of the kernel that reads it: a broadcast, and rounded elements in
    memory as the floats that they are."""
    if not node.results or not node.results[0].type.elements:
        return False
    match node.op:
        case Broadcast():
            return True
        case Cast(x=x, dtype=dtype) if _is_in_memory(x):
            return dtype == f32 and x.dtype in (bf16, f16)
        case Tf32Cut(x=x):
            return _is_in_memory(x)
    return False


def _is_in_memory(value: Value) -> bool:
    while isinstance(value.op, Reshape):
        value = value.op.x
    return isinstance(value.op, (Barrier, Constant))


def repeated(value: Value) -> Value:
    """What a broadcast repeats, or what is widened; other values as they are."""
    while value.node is not None and is_repetition(value.node):
        (value,) = value.node.op.operands
    return value


def is_number(value: Value) -> bool:
    """A constant of one element stands in the kernel as a literal."""
    return isinstance(value.op, Constant) and value.type.elements == 1
