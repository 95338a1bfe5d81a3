"""lower-to-tile: from a function of groups to a Program of scheduled kernels.

Reshapes cost nothing: their result is a view of their operand's memory. Equal groups share one
kernel. What the results need is written straight into them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import prod

from ..errors import UnsupportedError, check
from ..expr import INDEX, Load, Var, index
from ..ir import Constant, ConstantData, Function, Node, Value
from ..location import UNKNOWN
from ..ops.shape import Reshape
from ..target import Target
from ..tile.in_place import is_elementwise
from ..tile.nodes import Buffer, Kernel, Loop, Ref, Store
from ..tile.program import CallStep, Fault, Program, Role, Slot, View
from ..types import TensorType
from .donate import donate
from .faults import (
    STATUS,
    check_kernel,
    failure_kernel,
    failure_results,
    fault_operands,
)
from .handmade import region_kernel
from .regions import region_key, region_of
from .schedule import schedule


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
    return _Lowerer(fn, target).run()


@dataclass
class _Lowerer:
    fn: Function
    target: Target
    slots: dict[str, Slot] = field(default_factory=dict)
    place: dict[Value, str] = field(default_factory=dict)  # value -> slot
    steps: list[CallStep] = field(default_factory=list)
    kernels: dict[object, Kernel] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    faults: dict[int, Fault] = field(default_factory=dict)
    constants: dict[str, ConstantData] = field(default_factory=dict)
    shares: set[tuple[str, str, str]] = field(default_factory=set)

    def run(self) -> Lowered:
        for param in self.fn.params:
            self._add(param, param.name, Role.PARAMETER)
        results = self._name_results()
        for node in self.fn.nodes:
            self._node(node, results)
        names: list[str] = []
        for position, value in enumerate(self.fn.results):
            names.append(self._result(value, position, results))
        program = Program(
            self.fn.name,
            tuple(self.kernels.values()),
            tuple(self.slots.values()),
            tuple(self.steps),
            tuple(self.place[param] for param in self.fn.params),
            tuple(names),
            self.faults,
        )
        if self.fn.donated:
            program = donate(program, self._donated(program), self._copy_kernel)
        return Lowered(program, self.constants, frozenset(self.shares))

    def _donated(self, program: Program) -> dict[str, str]:
        """The slots of the parameters that are given away, and of the results that take them."""
        return {
            self.place[self.fn.param(name)]: program.results[position]
            for name, position in self.fn.donated.items()
        }

    # Slots

    def _add(self, value: Value, name: str, role: Role) -> str:
        slot = Slot(self._fresh(name), value.type, role)
        self.slots[slot.name] = slot
        self.place[value] = slot.name
        return slot.name

    def _fresh(self, name: str) -> str:
        candidate, count = name, 0
        while candidate in self.names:
            count += 1
            candidate = f"{name}_{count}"
        self.names.add(candidate)
        return candidate

    def _name_results(self) -> dict[Value, str]:
        """The values that are computed right where a result will be, and that slot's name."""
        homes: dict[Value, str] = {}
        many = len(self.fn.results) > 1
        for position, value in enumerate(self.fn.results):
            root = _root(value)
            computed = root.node is not None and not isinstance(root.op, Constant)
            if computed and root not in homes:
                homes[root] = self._fresh(f"result{position}" if many else "result")
        return homes

    def _result(self, value: Value, position: int, homes: dict[Value, str]) -> str:
        """The slot of a result: its own, or a copy of memory that something else owns."""
        home = homes.get(_root(value))
        first = next(
            place for place, other in enumerate(self.fn.results) if _root(other) is _root(value)
        )
        if home is not None and first == position:
            self.slots[home] = replace(self.slots[home], type=value.type)
            return home
        slot = Slot(self._fresh(f"result{position}"), value.type, Role.RESULT)
        self.slots[slot.name] = slot
        if value.type.elements:
            self._copy(self.place[value], slot)
        return slot.name

    def _copy(self, source: str, target: Slot) -> None:
        kernel, label = self._copy_kernel(target), f"copy {target.type.static_shape}"
        args = (View(source), View(target.name))
        self.steps.append(CallStep(kernel.name, args, UNKNOWN, label))

    def _copy_kernel(self, slot: Slot) -> Kernel:
        """The kernel that copies a slot of this type."""
        key = ("copy", slot.type)
        if key not in self.kernels:
            naive = copy_kernel(self._fresh("copy"), slot.type)
            self.kernels[key] = schedule(naive, self.target)
        return self.kernels[key]

    # Nodes

    def _node(self, node: Node, homes: dict[Value, str]) -> None:
        match node.op:
            case Constant(value=data):
                name = self._add(node.results[0], data.name or "constant", Role.CONSTANT)
                self.constants[name] = data
                return
            case Reshape(x=x):
                self.place[node.results[0]] = self.place[x]
                return
        for result in node.results:
            if result in homes:
                self.slots[homes[result]] = Slot(homes[result], result.type, Role.RESULT)
                self.place[result] = homes[result]
            else:
                self._add(result, node.op.name, Role.ARENA)
        if not any(result.type.elements for result in node.results):
            return
        region, inputs = region_of(node)
        for inner in region.nodes:
            self._check(inner, dict(zip(region.params, inputs, strict=True)))
        kernel = self._kernel(region)
        places = [self.place[value] for value in (*inputs, *node.results)]
        label = " ".join(dict.fromkeys(inner.op.name for inner in region.nodes))
        self.steps.append(
            CallStep(kernel.name, tuple(View(name) for name in places), node.location, label)
        )
        self._check_results(node)

    def _check(self, node: Node, places: dict[Value, Value]) -> None:
        """A step that looks for faults in the data of an operation's operands."""
        found = check_kernel(node.op, f"check_{node.op.name}", len(self.faults) + 1)
        if found is not None:
            read = [places[value] for value in fault_operands(node.op)]
            self._check_step(node, found, read)

    def _check_results(self, node: Node) -> None:
        """A step that looks for what an operation found wrong, in its results."""
        name = f"check_{node.op.name}"
        found = failure_kernel(node.op, node.results, name, len(self.faults) + 1)
        if found is not None:
            self._check_step(node, found, failure_results(node.op, node.results))

    def _check_step(self, node: Node, found: tuple[Kernel, str], read: Sequence[Value]) -> None:
        kernel, message = found
        kernel = replace(kernel, name=self._fresh(kernel.name))
        self.kernels[kernel.name] = schedule(kernel, self.target)
        self.faults[len(self.faults) + 1] = Fault(message, node.location)
        places = [*(self.place[value] for value in read), self._status()]
        args = tuple(map(View, places))
        self.steps.append(CallStep(kernel.name, args, node.location, f"check {node.op.name}"))

    def _status(self) -> str:
        if STATUS not in self.slots:
            self.names.add(STATUS)
            self.slots[STATUS] = Slot(STATUS, TensorType((1,), INDEX), Role.STATUS)
        return STATUS

    def _kernel(self, region: Function) -> Kernel:
        """The scheduled kernel of a region; that of an equal region if there was one."""
        key = region_key(region)
        if key not in self.kernels:
            name = self._fresh(kernel_name(region))
            kernel = schedule(region_kernel(region, name), self.target)
            self.kernels[key] = kernel
            self.shares.update((name, *pair) for pair in sharing_pairs(kernel))
        return self.kernels[key]


def _root(value: Value) -> Value:
    """The value whose memory this one is a view of."""
    while isinstance(value.op, Reshape):
        value = value.op.x
    return value


def kernel_name(region: Function) -> str:
    """The names of its first operations in a row."""
    names = [node.op.name for node in region.nodes if not isinstance(node.op, Constant)]
    short = list(dict.fromkeys(names))
    return "_".join(short[:4]) + ("_etc" if len(short) > 4 else "")


def copy_kernel(name: str, type_: TensorType) -> Kernel:
    """A naive kernel that copies an array, flat."""
    count = prod(type_.static_shape)
    i = Var(INDEX, "i")
    body = Store(Ref("result", (i,)), Load(type_.dtype, "x", (i,)))
    return Kernel(
        name,
        (Buffer("x", type_.dtype, (count,)), Buffer("result", type_.dtype, (count,))),
        ("result",),
        (Loop("i", index(0), index(count), (body,)),),
    )


def sharing_pairs(kernel: Kernel) -> list[tuple[str, str]]:
    """(input, output) parameters that may be one memory."""
    outputs = [param for param in kernel.params if param.name in kernel.outputs]
    inputs = [param for param in kernel.params if param.name not in kernel.outputs]
    return [
        (read.name, written.name)
        for read in inputs
        for written in outputs
        if is_elementwise(kernel, read, written)
    ]
