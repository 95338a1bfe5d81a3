"""Regions from Python functions: traced by themselves, with what they take from around them made
parameters behind their own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ..ir import Builder, Function, Node, Value, current_builder, parameter
from ..text import fresh_name
from ..types import TensorType
from .structure import filled, leaves, values_of


@dataclass(frozen=True)
class Traced:
    """A traced body: its function, what it returned, and the outer values that it uses."""

    function: Function
    returned: object
    captured: tuple[Value, ...]

    def taking(self, captured: Sequence[Value]) -> Function:
        """The function with a parameter for each of `captured`, which contain its own."""
        fn = self.function
        names = {param.name for param in fn.params}
        added: dict[Value, Value] = {}
        for value in captured:
            added[value] = parameter(fresh_name(value.name or "outer", names), value.type)
        replaced, nodes = _replaced(fn.nodes, added)
        results = tuple(replaced.get(value, value) for value in fn.results)
        return Function(fn.name, (*fn.params, *added.values()), nodes, results)


def trace(
    name: str, body: Callable[..., object], parts: Sequence[tuple[str, object]]
) -> Traced:
    """Trace `body`, called on values of the types that stand in the named structures `parts`."""
    outer = current_builder()
    builder = Builder(outer.table, locate=True)
    builder.location = outer.location  # an importer says where the whole region comes from
    params: list[Value] = []
    given: list[object] = []
    for part, entry in parts:
        types = [leaf for leaf in leaves(entry) if isinstance(leaf, TensorType)]
        own = [
            parameter(f"{part}{number}" if len(types) > 1 else part, type_)
            for number, type_ in enumerate(types)
        ]
        params += own
        given.append(filled(entry, own))
    with builder.active():
        returned = body(*given)
        results = values_of(returned, f"what @{name} returns")
    fn = builder.finish(name, params, results)
    return Traced(fn, returned, outer_values(fn))


def outer_values(fn: Function) -> tuple[Value, ...]:
    """The values that a function uses and does not define, in the order of their first use."""
    own = set(fn.params)
    found: dict[Value, None] = {}
    for node in fn.nodes:
        found.update(dict.fromkeys(value for value in node.op.operands if value not in own))
        own.update(node.results)
    found.update(dict.fromkeys(value for value in fn.results if value not in own))
    return tuple(found)


def merged(traced: Iterable[Traced]) -> tuple[Value, ...]:
    """What any of several bodies captures."""
    return tuple(dict.fromkeys(value for one in traced for value in one.captured))


def _replaced(
    nodes: Sequence[Node], values: dict[Value, Value]
) -> tuple[dict[Value, Value], tuple[Node, ...]]:
    """The nodes with other values for those they take from outside."""
    values = dict(values)
    made: list[Node] = []
    for node in nodes:
        op = node.op.map_operands(lambda value: values.get(value, value))
        if op is not node.op:
            new = Node(op, [result.type for result in node.results], node.location)
            values.update(zip(node.results, new.results, strict=True))
            node = new
        made.append(node)
    return values, tuple(made)
