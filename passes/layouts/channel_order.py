"""Which convolutions stay channels-first: those alone among what hands them their order on, where
the transposes to channels-last and back would cost more than they gain."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from math import prod

from ...ir import Builder, Constant, Function, Node, Value
from ...ops.base.broadcast import Broadcast
from ...ops.table import TABLE
from ...ops.windows.conv import Conv
from ...ops.windows.conv_transpose import ConvTranspose
from ...ops.windows.pool import Pool
from ...sizes import static
from ...target import Target
from ...types import f32
from ..schedule.cost.windows import MOST_TAPS, ConvShape, order_cycles, transpose_cycles


def to_last(rank: int) -> tuple[int, ...]:
    """The order that moves axis 1, the channels, to the end."""
    return (0, *range(2, rank), 1)


def stay_first(fn: Function, target: Target) -> frozenset[Value]:
    """The results of the convolutions that stay channels-first."""
    islands = _Islands()
    with Builder(TABLE).active():
        for node in fn.nodes:
            islands.add(node)
    consumed = _consumed(fn, islands)
    staying: set[Value] = set()
    for island in islands.found():
        if _is_cheaper_first(island, consumed, target):
            staying.update(node.results[0] for node in island if isinstance(node.op, Conv))
    return frozenset(staying)


@dataclass
class _Islands:
    """Sets of values that are in one order, each named by one of its values."""

    parent: dict[Value, Value] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)  # that hand an order on

    def name(self, value: Value) -> Value:
        while self.parent.setdefault(value, value) is not value:
            value = self.parent[value]
        return value

    def add(self, node: Node) -> None:
        """A node, whose operands and result get one order if it hands it on."""
        values = _of_one_order(node)
        if values:
            self.nodes.append(node)
            for value in values[1:]:
                self.parent[self.name(value)] = self.name(values[0])

    def found(self) -> list[list[Node]]:
        """The nodes of each set."""
        sets: dict[Value, list[Node]] = defaultdict(list)
        for node in self.nodes:
            sets[self.name(node.results[0])].append(node)
        return list(sets.values())


def _of_one_order(node: Node) -> list[Value]:
    """The result and the operands of a node that hands the order of its axes on; none of another.
    Constants and what is repeated can be had in any order."""
    op = node.op
    if len(node.results) != 1:
        return []
    match op:
        case Conv(x=x, layout="nchw") | ConvTranspose(x=x, layout="nchw") | Pool(x=x):
            return [node.results[0], x]
        case Constant() | Broadcast():
            return []
    rank = node.results[0].rank
    if rank < 3 or any(value.rank != rank for value in op.operands):
        return []
    if op.permuted(to_last(rank)) is None:
        return []
    free = [value for value in op.operands if not isinstance(value.op, (Constant, Broadcast))]
    return [node.results[0], *free]


def _consumed(fn: Function, islands: _Islands) -> frozenset[Value]:
    """The values that something outside of their island needs."""
    inside = set(islands.nodes)
    outside = {
        value for node in fn.nodes if node not in inside for value in node.op.operands
    }
    return frozenset(outside | set(fn.results))


def _is_cheaper_first(island: list[Node], consumed: frozenset[Value], target: Target) -> bool:
    """Whether the convolutions of an island are quicker channels-first than channels-last between
    transposes of all that comes from outside or goes there."""
    shapes: list[ConvShape] = []
    for node in island:
        match node.op:
            case Conv() as conv:
                shape = _shape_of(conv)
                if shape is None:
                    return False
                shapes.append(shape)
            case ConvTranspose() | Pool():
                return False
    if not shapes:
        return False
    results = {node.results[0] for node in island}
    given = {value for node in island for value in _of_one_order(node)[1:]} - results
    turned = sum(map(_bytes, (*given, *(results & consumed))))
    first = sum(order_cycles(shape, target, channels_first=True) for shape in shapes)
    last = sum(order_cycles(shape, target, channels_first=False) for shape in shapes)
    return first < last + transpose_cycles(turned, target)


def _bytes(value: Value) -> int:
    return prod(static(value.shape)) * value.dtype.bytes


def _shape_of(op: Conv) -> ConvShape | None:
    """The sizes of a convolution that runs well channels-first: depthwise or of single pixels."""
    known = op.x.type.is_static and op.x.type.elements and op.algorithm == "direct"
    if not known or not op.x.dtype.is_float or op.x.dtype.bits < f32.bits:
        return None
    out, per_group, *kernel = op.weight.type.static_shape
    taps = prod(kernel)
    batch, _, *size = static(op.infer().shape)
    plain = set(op.strides) == {1} and prod(size) > 0
    pointwise = op.groups == 1 and taps == 1 and not any(low or high for low, high in op.padding)
    depthwise = per_group == 1 and op.groups == out and 1 < taps <= MOST_TAPS
    if not plain or not (pointwise or depthwise):
        return None
    return ConvShape(batch, tuple(size), per_group, out, taps, op.x.dtype)
