"""lower-to-tile: from a function of groups to a Program of scheduled kernels.

Reshapes cost nothing: their result is a view of their operand's memory. Equal groups share one
kernel. What the results need is written straight into them. Loops and branches stay such.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ...errors import UnsupportedError, check
from ...ir import Constant, ConstantData, Function, Node
from ...ops.regions.checkpoint import Barrier
from ...ops.regions.control import ControlOp
from ...ops.shapes.shape import Reshape
from ...target import Target
from ...tile.program import Program, Role, View
from ..program.changes import change_program
from ..program.donate import donate
from .control import lower_control
from .state import Lowering, is_computed, root_of


@dataclass(frozen=True)
class Lowered:
    """A program without a memory plan, and the data of its constant slots."""

    program: Program
    constants: dict[str, ConstantData]
    elementwise: frozenset[tuple[str, str, str]]  # (kernel, input, output) that may share memory


def lower(fn: Function, target: Target) -> Lowered:
    """One kernel a group, scheduled for the target; equal kernels once."""
    check(
        all(param.type.is_static for param in fn.params),
        f"@{fn.name} has named sizes; specialise it first",
        UnsupportedError,
    )
    low = Lowering(target)
    for param in fn.params:
        low.add(param, param.name, Role.PARAMETER)
    _name_results(low, fn)
    _lower_nodes(low, fn.nodes)
    results = tuple(_result(low, fn, position) for position in range(len(fn.results)))
    program = Program(
        fn.name,
        tuple(kernel for work in low.kernels.values() for kernel in work.kernels),
        tuple(low.slots.values()),
        tuple(low.steps),
        tuple(low.place[param].slot for param in fn.params),
        results,
        low.faults,
    )
    program, variants = change_program(program, low.naive, target)
    for new, old in variants.items():
        low.shares.update((new, a, b) for name, a, b in tuple(low.shares) if name == old)
    if fn.donated:
        program = donate(program, _donated(low, fn, results), low.copy_kernel)
    return Lowered(program, low.constants, frozenset(low.shares))


def _donated(low: Lowering, fn: Function, results: Sequence[str]) -> dict[str, str]:
    """The slots of the parameters that are given away, and of the results that take them."""
    return {
        low.place[fn.param(name)].slot: results[position]
        for name, position in fn.donated.items()
    }


def _lower_nodes(low: Lowering, nodes: Sequence[Node]) -> None:
    for node in nodes:
        match node.op:
            case Constant(value=data):
                low.constant(node.results[0], data)
            case Reshape(x=x) | Barrier(x=x):
                low.place[node.results[0]] = low.place[x]
            case ControlOp():
                lower_control(low, node, _lower_nodes)
            case _:
                low.call(node)


def _name_results(low: Lowering, fn: Function) -> None:
    """Say which values are computed right where a result will be."""
    many = len(fn.results) > 1
    for position, value in enumerate(fn.results):
        root = root_of(value)
        if is_computed(root) and root not in low.homes:
            low.homes[root] = View(low.fresh(f"result{position}" if many else "result"))


def _result(low: Lowering, fn: Function, position: int) -> str:
    """The slot of a result: its own, or a copy of memory that something else owns."""
    value = fn.results[position]
    root = root_of(value)
    home = low.homes.get(root)
    first = next(place for place, other in enumerate(fn.results) if root_of(other) is root)
    if home is not None and first == position:
        low.slots[home.slot] = replace(low.slots[home.slot], type=value.type)
        return home.slot
    target = low.slot(f"result{position}", value.type, Role.RESULT)
    low.copy(low.place[value], target, value.type)
    return target.slot
