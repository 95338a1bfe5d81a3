"""Loops and branches as steps of a Program.

A state lies in one slot, which each turn reads and then overwrites: in place where nothing needs
the old state any more, by a copy where something does. What a scan steps over and what it stacks
are views that move by a row a turn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import TypeAlias

from ...errors import PassError
from ...ir import Function, Node, Value
from ...ops.regions.control import Cond, ControlOp, Scan, WhileLoop, over_limit, static_length
from ...tile.program import IfStep, LoopStep, Role, View, WhileStep
from .state import Lowering, is_computed, root_of

LowerNodes: TypeAlias = Callable[[Lowering, Sequence[Node]], None]


def lower_control(low: Lowering, node: Node, lower_nodes: LowerNodes) -> None:
    """The steps of a loop or a branch; `lower_nodes` lowers what is inside."""
    match node.op:
        case Scan():
            _scan(low, node, node.op, lower_nodes)
        case WhileLoop():
            _while(low, node, node.op, lower_nodes)
        case Cond():
            _cond(low, node, node.op, lower_nodes)
        case _:
            raise PassError(f"'{node.op.name}' has no lowering")


def _scan(low: Lowering, node: Node, op: Scan, lower_nodes: LowerNodes) -> None:
    count = len(op.carries)
    states = _start(low, node, op.carries)
    stacked = [low.settle(result, "stacked") for result in node.results[count:]]
    length = static_length(op.length)
    if length == 0:
        return
    turn = low.fresh("turn")

    def row(view: View, value: Value) -> View:
        """The slice of a stacked array that a turn sees."""
        size = prod(value.type.static_shape[1:])
        start, stride = ((length - 1) * size, -size) if op.reverse else (0, size)
        strides = ((turn, stride),) if size else ()
        return View(view.slot, view.offset + start * bool(size), (*view.strides, *strides))

    slices = [row(low.place[value], value) for value in op.inputs]
    rows = [
        row(view, result) for view, result in zip(stacked, node.results[count:], strict=True)
    ]
    given = [*states, *slices, *(low.place[value] for value in op.invariants)]
    with low.turns() as body:
        _step(low, op.step, given, states, rows, lower_nodes)
    if body:
        low.steps.append(LoopStep(turn, length, tuple(body), node.location))


def _while(low: Lowering, node: Node, op: WhileLoop, lower_nodes: LowerNodes) -> None:
    states = _start(low, node, op.carries)
    given = [*states, *(low.place[value] for value in op.invariants)]
    with low.block() as test:
        low.place.update(zip(op.condition.params, given, strict=True))
        lower_nodes(low, op.condition.nodes)
    condition = low.place[op.condition.results[0]]
    with low.turns() as body:
        _step(low, op.step, given, states, [], lower_nodes)
    fault = 0 if op.limit is None else low.fault(over_limit(op.limit), node.location)
    steps = tuple(test), condition, tuple(body)
    low.steps.append(WhileStep(*steps, op.limit, fault, node.location))


def _cond(low: Lowering, node: Node, op: Cond, lower_nodes: LowerNodes) -> None:
    places = [low.settle(result, "chosen") for result in node.results]
    given = [low.place[value] for value in op.inputs]
    blocks = []
    for branch in (op.then, op.otherwise):
        with low.block() as block:
            _step(low, branch, given, [], places, lower_nodes)
        blocks.append(tuple(block))
    if any(blocks):
        condition = low.place[op.predicate]
        low.steps.append(IfStep(condition, blocks[0], blocks[1], node.location))


def _start(low: Lowering, node: Node, carries: Sequence[Value]) -> list[View]:
    """The slots of the states, which are those of the results, holding the first state."""
    states = []
    for value, result in zip(carries, node.results, strict=False):
        states.append(low.settle(result, "state"))
        low.copy(low.place[value], states[-1], value.type)
    return states


def _step(
    low: Lowering,
    region: Function,
    given: Sequence[View],
    states: Sequence[View],
    outputs: Sequence[View],
    lower_nodes: LowerNodes,
) -> None:
    """The steps of a region on memory: its first results go to `states`, which are also where its
    first parameters lie, the others to `outputs`."""
    low.place.update(zip(region.params, given, strict=True))
    next_states, results = region.results[: len(states)], region.results[len(states) :]
    for value, view in zip(results, outputs, strict=True):
        if is_computed(root_of(value)):
            low.homes.setdefault(root_of(value), view)
    for number, value in enumerate(next_states):
        if _may_replace(region, number):
            low.wishes.setdefault(root_of(value), (region.params[number], states[number]))
    lower_nodes(low, region.nodes)
    for value, view in zip(results, outputs, strict=True):
        low.copy(low.place[value], view, value.type)
    _renew(low, region, states)
    for value in map(root_of, region.results):  # another loop may have the same region
        low.homes.pop(value, None)
        low.wishes.pop(value, None)


def _renew(low: Lowering, region: Function, states: Sequence[View]) -> None:
    """Copy the next states that are not yet at their place; old ones that move are saved first."""
    next_states = region.results[: len(states)]
    sources = [low.place[value] for value in next_states]
    for number, value in enumerate(next_states):
        if sources[number] in states and sources[number] != states[number]:
            saved = low.slot("saved", value.type, Role.ARENA)
            low.copy(sources[number], saved, value.type)
            sources[number] = saved
    for source, state, value in zip(sources, states, next_states, strict=True):
        low.copy(source, state, value.type)


def _may_replace(region: Function, number: int) -> bool:
    """Whether a next state may be computed over the old one as far as other operations go: none
    after its own reads that, and it is no result elsewhere."""
    state, value = region.params[number], root_of(region.results[number])
    if not is_computed(value) or isinstance(value.op, ControlOp):
        return False
    if any(root_of(result) is state for result in region.results):
        return False
    assert value.node is not None
    after = region.nodes[region.nodes.index(value.node) + 1 :]
    return not any(root_of(operand) is state for node in after for operand in node.op.operands)
