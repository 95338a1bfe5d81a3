"""Regions: the function that one kernel computes, when two of them are the same, and passes in
the regions of loops and branches."""

from __future__ import annotations

from collections.abc import Callable

from ..expr import INDEX
from ..ir import (
    INLINE_BYTES,
    Constant,
    Function,
    Node,
    Op,
    Value,
    current_builder,
    parameter,
    transform,
)
from ..ops.regions.control import ControlOp
from ..ops.regions.group import Group
from ..ops.table import TABLE
from ..types import TensorType


def in_regions(fn: Function, change: Callable[[Function], Function]) -> Function:
    """Change the regions of loops and branches, the innermost first, then the function itself.

    Equal regions, as layers have them, are changed once and become one.
    """
    return _in_regions(fn, change, {})


def _in_regions(
    fn: Function, change: Callable[[Function], Function], made: dict[object, Function]
) -> Function:
    def changed(attribute: object) -> object:
        if not isinstance(attribute, Function):
            return attribute
        key = _whole_key(attribute)
        if key not in made:
            made[key] = _in_regions(attribute, change, made)
        return made[key]

    def visit(op: Op) -> tuple[Value, ...] | None:
        new = op.rebuild(lambda value: value, changed) if isinstance(op, ControlOp) else op
        return None if new is op else current_builder().emit(new)

    if any(isinstance(node.op, ControlOp) for node in fn.nodes):
        fn = transform(fn, visit, TABLE)
    return change(fn)


def _whole_key(region: Function) -> object:
    """Equal for regions that are the same in all that a reader sees; a large constant is itself."""
    large = [
        node.op.value
        for node in region.nodes
        if isinstance(node.op, Constant) and node.op.value.type.nbytes > INLINE_BYTES
    ]
    if large:
        return region
    names = tuple(param.name for param in region.params)
    locations = tuple(node.location for node in region.nodes)
    return region.name, names, locations, region_key(region)


def region_of(node: Node) -> tuple[Function, tuple[Value, ...]]:
    """The function a node's kernel computes, and the values it takes."""
    if isinstance(node.op, Group):
        return node.op.region, node.op.inputs
    return single_region(node)


def single_region(node: Node) -> tuple[Function, tuple[Value, ...]]:
    """A function of just this operation."""
    inputs = tuple(dict.fromkeys(node.op.operands))
    params = {
        value: parameter(f"x{position}" if len(inputs) > 1 else "x", value.type)
        for position, value in enumerate(inputs)
    }
    inner = Node(
        node.op.map_operands(params.__getitem__),
        [result.type for result in node.results],
        node.location,
    )
    return Function(node.op.name, tuple(params.values()), (inner,), inner.results), inputs


def region_key(region: Function) -> object:
    """Equal for regions that compute the same, whatever their names and locations."""
    numbers: dict[Value, int] = {}
    for param in region.params:
        numbers[param] = len(numbers)
    parts: list[object] = [tuple(param.type for param in region.params)]
    for node in region.nodes:
        operands = tuple(numbers[value] for value in node.op.operands)
        parts.append((_shape_key(node.op), operands))
        for result in node.results:
            numbers[result] = len(numbers)
    parts.append(tuple(numbers[result] for result in region.results))
    return tuple(parts)


def _shape_key(op: Op) -> object:
    """The operation with every operand the same stand-in, so that only its attributes count."""
    return op.map_operands(lambda _: _STAND_IN).key()


_STAND_IN = parameter("any", TensorType((), INDEX))
