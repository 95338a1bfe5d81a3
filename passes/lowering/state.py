"""What lowering collects on its way: slots, kernels, steps, and where each value lies.

Equal groups share one kernel. A value that has a home, such as a result's slot, is computed there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from math import gcd, prod

from ...expr import INDEX, Load, Var, index
from ...ir import Constant, ConstantData, Function, Node, Value
from ...location import UNKNOWN, Location
from ...ops.regions.checkpoint import Barrier
from ...ops.shapes.shape import Reshape
from ...target import Target
from ...text import fresh_name
from ...tile.analyses.alignment import WIDEST
from ...tile.analyses.in_place import InPlace
from ...tile.nodes import Buffer, Kernel, Loop, Ref, Store
from ...tile.program import CallStep, Fault, Role, Slot, Step, View
from ...types import TensorType
from ..regions import region_key, region_of
from ..schedule import Launches, launches
from .faults import (
    STATUS,
    check_kernel,
    failure_kernel,
    failure_results,
    fault_operands,
    is_faultless,
)
from .handmade import region_kernel

AWAKE_CYCLES = 8_000  # of work that is worth dealing to threads that wait for it


@dataclass
class Lowering:
    """A program in the making. `homes` says where values are to be computed, for those that may
    not lie anywhere; `wishes` where they should, if the state kept there is not needed by then."""

    target: Target
    slots: dict[str, Slot] = field(default_factory=dict)
    place: dict[Value, View] = field(default_factory=dict)
    homes: dict[Value, View] = field(default_factory=dict)
    wishes: dict[Value, tuple[Value, View]] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    kernels: dict[object, Launches] = field(default_factory=dict)
    naive: dict[str, Kernel] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    faults: dict[int, Fault] = field(default_factory=dict)
    constants: dict[str, ConstantData] = field(default_factory=dict)
    shares: set[tuple[str, str, str]] = field(default_factory=set)

    # Slots

    def add(self, value: Value, name: str, role: Role) -> View:
        """A new slot for a value."""
        self.place[value] = self.slot(name, value.type, role)
        return self.place[value]

    def slot(self, name: str, type_: TensorType, role: Role) -> View:
        slot = Slot(self.fresh(name), type_, role)
        self.slots[slot.name] = slot
        return View(slot.name)

    def fresh(self, name: str) -> str:
        """A name that nothing in the program has."""
        return fresh_name(name, self.names)

    def settle(self, value: Value, name: str) -> View:
        """Where a value will lie: at its home, or in a new slot of the arena."""
        home = self.homes.get(value)
        if home is None:
            return self.add(value, name, Role.ARENA)
        if home.slot not in self.slots:
            self.slots[home.slot] = Slot(home.slot, value.type, Role.RESULT)
        self.place[value] = home
        return home

    def constant(self, value: Value, data: ConstantData) -> None:
        self.constants[self.add(value, data.name or "constant", Role.CONSTANT).slot] = data

    @contextmanager
    def block(self) -> Iterator[list[Step]]:
        """Collect the steps made meanwhile apart from the others."""
        outer, self.steps = self.steps, []
        try:
            yield self.steps
        finally:
            self.steps = outer

    @contextmanager
    def turns(self) -> Iterator[list[Step]]:
        """As `block`, for the steps of a loop: between two of them threads are awake, so that they
        may be given less work than elsewhere."""
        outer = self.target
        cycles = min(outer.parallel_cycles, AWAKE_CYCLES)
        self.target = replace(outer, parallel_cycles=cycles)
        try:
            with self.block() as steps:
                yield steps
        finally:
            self.target = outer

    # How they are aligned

    def _alignments(self, read: Sequence[Value], written: Sequence[Value]) -> tuple[int, ...]:
        """The bytes that the addresses of values are multiples of; of those that are not computed
        yet, wherever they may come to lie. A kernel for a CPU needs to know none."""
        if self.target.gpu is None:
            return ()
        places = [[self.place[value]] for value in read]
        for value in written:
            wish = [self.wishes[value][1]] if value in self.wishes else []
            home = [self.homes[value]] if value in self.homes else []
            places.append([*wish, *home])
        return tuple(gcd(WIDEST, *map(self._alignment, views)) for views in places)

    def _alignment(self, view: View) -> int:
        """What a view's address is a multiple of in all turns, `WIDEST` at most: slots begin at
        multiples of that."""
        if view.slot not in self.slots:  # of a result, from its start on
            return WIDEST
        size = self.slots[view.slot].type.dtype.bytes
        steps = (view.offset, *(stride for _, stride in view.strides))
        return gcd(WIDEST, *(step * size for step in steps))

    # Steps

    def copy(self, source: View, target: View, type_: TensorType) -> None:
        """A step that copies an array; none where that is at its place, or empty."""
        if source == target or not type_.elements:
            return
        label = f"copy {type_.static_shape}"
        kernel = self.copy_kernel(type_, (self._alignment(source), self._alignment(target)))
        self.steps.append(CallStep(kernel.name, (source, target), UNKNOWN, label))

    def copy_kernel(
        self, type_: TensorType, alignments: tuple[int, ...] = (WIDEST, WIDEST)
    ) -> Kernel:
        """The kernel that copies arrays of a type, which lie at multiples of so many bytes."""
        key = ("copy", type_, alignments)
        if key not in self.kernels:
            self._launch(key, copy_kernel(self.fresh("copy"), type_), alignments)
        (kernel,) = self.kernels[key].kernels
        return kernel

    def call(self, node: Node) -> None:
        """The step of a group or a single operation, with what checks its data."""
        region, inputs = region_of(node)
        if not any(result.type.elements for result in node.results):
            for result in node.results:
                self.settle(result, node.op.name)
            return
        work = self._work(region, self._alignments(inputs, node.results))
        for position, result in enumerate(node.results):
            if not self._granted(result, work, position, inputs):
                self.settle(result, node.op.name)
        for inner in region.nodes:
            self._check(inner, dict(zip(region.params, inputs, strict=True)))
        args = [self.place[value] for value in (*inputs, *node.results)]
        label = " ".join(operation_names(region))
        self._call(work, args, node.location, label)
        self._check_results(node)

    def _call(
        self, work: Launches, args: Sequence[View], location: Location, label: str
    ) -> None:
        """A step for each kernel; `args` in the order of the parameters of all together."""
        views = dict(zip(work.params, args, strict=True))
        for buffer in work.workspaces:
            type_ = TensorType(buffer.memory_shape, buffer.dtype)
            views[buffer.name] = self.slot(buffer.name, type_, Role.ARENA)
        for kernel in work.kernels:
            given = tuple(views[param.name] for param in kernel.params)
            self.steps.append(CallStep(kernel.name, given, location, label))

    def _granted(
        self, result: Value, work: Launches, position: int, inputs: Sequence[Value]
    ) -> bool:
        """Put a result where it wishes to be, over a state that the kernel does not read after."""
        if result not in self.wishes or result in self.homes:
            return False
        state, view = self.wishes[result]
        written = work.params[len(inputs) + position]
        # What a later launch reads must not be overwritten by an earlier one.
        alone = work.kernels[0].name if len(work.kernels) == 1 else ""
        for param, value in zip(work.params, inputs, strict=False):
            shared = (alone, param, written) in self.shares
            if root_of(value) is state and not shared:
                return False
        self.place[result] = view
        return True

    def _check(self, node: Node, places: Mapping[Value, Value]) -> None:
        """A step that looks for faults in the data of an operation's operands."""
        found = check_kernel(node.op, f"check_{node.op.name}", len(self.faults) + 1)
        if found is None:
            return
        data = {value: places[value] for value in fault_operands(node.op)}
        if not is_faultless(node.op, data):
            self._check_step(node, found, list(data.values()))

    def _check_results(self, node: Node) -> None:
        """A step that looks for what an operation found wrong, in its results."""
        name = f"check_{node.op.name}"
        found = failure_kernel(node.op, node.results, name, len(self.faults) + 1)
        if found is not None:
            self._check_step(node, found, failure_results(node.op, node.results))

    def _check_step(self, node: Node, found: tuple[Kernel, str], read: Sequence[Value]) -> None:
        kernel, message = found
        kernel = replace(kernel, name=self.fresh(kernel.name))
        work = self._launch(kernel.name, kernel, (*self._alignments(read, ()), WIDEST))
        self.fault(message, node.location)
        args = [*(self.place[value] for value in read), self._status()]
        self._call(work, args, node.location, f"check {node.op.name}")

    def fault(self, message: str, location: Location) -> int:
        """The status that means this."""
        self.faults[len(self.faults) + 1] = Fault(message, location)
        return len(self.faults)

    def _status(self) -> View:
        if STATUS not in self.slots:
            self.names.add(STATUS)
            self.slots[STATUS] = Slot(STATUS, TensorType((1,), INDEX), Role.STATUS)
        return View(STATUS)

    def _work(self, region: Function, alignments: tuple[int, ...]) -> Launches:
        """The scheduled kernels of a region; those of an equal region if there was one."""
        key = (region_key(region), alignments, self.target.parallel_cycles)
        if key not in self.kernels:
            name, gpu = self.fresh(kernel_name(region)), self.target.gpu
            self._launch(key, region_kernel(region, name, gpu, alignments), alignments)
        return self.kernels[key]

    def _launch(self, key: object, kernel: Kernel, alignments: tuple[int, ...]) -> Launches:
        """Schedule a naive kernel whose parameters lie at multiples of so many bytes, and note
        which of them may be one memory."""
        if self.target.gpu is not None:
            pairs = zip(kernel.params, alignments, strict=True)
            params = tuple(replace(param, alignment=bytes_) for param, bytes_ in pairs)
            kernel = replace(kernel, params=params)
        work = launches(kernel, self.target)
        if len(work.kernels) > 1:
            own = tuple(replace(made, name=self.fresh(made.name)) for made in work.kernels)
            work = replace(work, kernels=own)
        self.kernels[key] = work
        self.naive[kernel.name] = kernel
        for made in work.kernels:
            self.shares.update((made.name, *pair) for pair in sharing_pairs(made))
        return work


def root_of(value: Value) -> Value:
    """The value whose memory this one is a view of."""
    while isinstance(value.op, (Reshape, Barrier)):
        value = value.op.x
    return value


def is_computed(value: Value) -> bool:
    """Whether a value is some operation's work, to be done wherever it is wanted."""
    return value.node is not None and not isinstance(value.op, (Constant, Reshape, Barrier))


def operation_names(region: Function) -> list[str]:
    """The names of its operations, once each; of constants where there is nothing else."""
    names = [node.op.name for node in region.nodes if not isinstance(node.op, Constant)]
    return list(dict.fromkeys(names)) or ["constant"]


def kernel_name(region: Function) -> str:
    """The names of its first operations in a row."""
    short = operation_names(region)
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
    proofs = InPlace(kernel)
    return [
        (read.name, written.name)
        for read in inputs
        for written in outputs
        if proofs.is_proven(read, written)
    ]
