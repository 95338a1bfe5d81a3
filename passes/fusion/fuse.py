"""fuse: operations that one kernel computes well become a `group`.

A merge is tried by making the naive kernel of what it would give, and kept if that needs no large
intermediate: either everything is computed in its user's place (elementwise chains, epilogues), or
all nests run row by row (softmax, norms), or a product's by blocks of its columns (gates), or that
of windows by a few of their rows (depthwise-separable convolutions).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod

from ...expr import contains_reduce
from ...ir import Builder, Constant, Function, Node, Value
from ...ops.regions.checkpoint import Barrier
from ...ops.regions.group import Group
from ...ops.shapes.shape import Reshape
from ...ops.shapes.slice import Slice
from ...ops.table import TABLE
from ...target import Target
from ...tile.steps.lift_guards import lift_guards
from ..lowering.bodies import Body, reads_of, record_body
from ..lowering.handmade import brings_kernel, region_kernel
from .cutting import Cutting, is_repetition, repeated
from .group_kinds import GATES, kind_of
from .trials import Trials

MOST_OPERATIONS = 48
MOST_INPUTS = 20


def fuse(fn: Function, *, target: Target | None = None) -> Function:
    """Group what one kernel should compute; single operations stay as they are. A target says what
    its caches hold; one that is a graphics card, what else would be slow there."""
    return _Fusion(fn, target).run()


@dataclass
class _Part:
    """Operations that will be one kernel."""

    nodes: list[Node]
    inputs: set[int] = field(default_factory=set)  # parts it depends on directly
    kind: str = ""  # what its kernel is, once that is known (see `kind_of`)


@dataclass
class _Fusion:
    fn: Function
    target: Target | None
    parts: dict[int, _Part] = field(default_factory=dict)
    part_of: dict[Node, int] = field(default_factory=dict)
    bodies: dict[Node, Body] = field(default_factory=dict)

    def run(self) -> Function:
        self.cutting = Cutting.of(self.fn)
        self.trials = Trials(self.cutting, self.bodies, self.target)
        self.order = {node: number for number, node in enumerate(self.fn.nodes)}
        for number, node in enumerate(self.fn.nodes):
            if _fusible(node):
                types = tuple(result.type for result in node.results)
                self.bodies[node] = record_body(node.op, types)
            if is_repetition(node):
                continue
            kind = "elementwise" if self._is_pointwise(node) else ""
            self.parts[number] = _Part([node], self._inputs(node), kind)
            self.part_of[node] = number
            if self._fusible(node):
                self._merge(node)
        self._merge_gates()
        return self._emit()

    def _fusible(self, node: Node) -> bool:
        """Whether what follows a node may be done in its kernel."""
        return node in self.bodies or brings_kernel(node.op)

    def _sources(self, node: Node) -> list[Value]:
        """The operands of a node, seen through broadcasts."""
        return [repeated(value) for value in node.op.operands]

    def _inputs(self, node: Node) -> set[int]:
        return {self.part_of[v.node] for v in self._sources(node) if v.node is not None}

    def _merge(self, node: Node) -> None:
        """Join the part of a new node with those of its operands, the latest first; one that brings
        its kernel, with parts of what lies in memory."""
        producers = {
            self.part_of[value.node]
            for value in self._sources(node)
            if value.node is not None
            and self._fusible(value.node)
            and (node in self.bodies or isinstance(value.op, Slice))
        }
        for producer in sorted(producers, reverse=True):
            mine = self.part_of[node]
            if producer in self.parts and producer != mine:
                kind = self._joined_kind(producer, mine)
                if kind:
                    self._join(producer, mine, kind)

    def _merge_gates(self) -> None:
        """Join products with what reads all parts of their columns: once that is in one place."""
        for consumer in sorted(self.parts):
            for producer in sorted(self.parts[consumer].inputs):
                made, nodes = self.parts[producer].nodes, self.parts[consumer].nodes
                known = all(node in self.bodies for node in (*made, *nodes))
                slices = known and self.cutting.only_slices(made, nodes)
                if slices and self._joined_kind(producer, consumer) == GATES:
                    self._join(producer, consumer, GATES)

    def _joined_kind(self, producer: int, consumer: int) -> str:
        """What a kernel of two parts would be; empty where they should not be one."""
        nodes = self.parts[producer].nodes + self.parts[consumer].nodes
        if len(nodes) > MOST_OPERATIONS or self._cycle(producer, consumer):
            return ""
        # What checks an operand's data runs before the group, so the operand must be there.
        made = {result for node in nodes for result in node.results}
        if any(repeated(value) in made for node in nodes for value in self.cutting.checked[node]):
            return ""
        nodes.sort(key=self.order.__getitem__)
        inputs, _ = self.cutting.taken(self.cutting.with_repetitions(nodes))
        if len(inputs) > MOST_INPUTS:
            return ""
        if self._only_follows(self.parts[producer], self.parts[consumer]):
            return self.parts[producer].kind
        return self.trials.kind(nodes)

    def _is_pointwise(self, node: Node) -> bool:
        """Whether a node computes one result, element by element, without a reduction."""
        body = self.bodies.get(node)
        return body is not None and len(body.results) == 1 and not contains_reduce(body.results[0])

    def _only_follows(self, producer: _Part, consumer: _Part) -> bool:
        """Whether the consumer is one operation that takes the producer's only result element by
        element: then it is computed where that is stored, and the kernel stays what it is."""
        (node, *others) = consumer.nodes
        if others or not producer.kind or not self._is_pointwise(node):
            return False
        if any(brings_kernel(other.op) for other in producer.nodes):
            return False
        given = self.cutting.given(producer.nodes)
        if len(given) != 1:
            return False
        (value,), inside = given, set(producer.nodes)
        read = [part for part in node.op.operands if repeated(part).node in inside]
        if not read or any(part is not value for part in read):
            return False
        domain = prod(node.results[0].type.static_shape)
        reads = reads_of(self.bodies[node], node.op, value, domain)
        alone = value not in self.fn.results and set(self.cutting.final_users(value)) == {node}
        return alone and value.shape == node.results[0].shape and all(
            read.at_own_index for read in reads
        )

    def _cycle(self, producer: int, consumer: int) -> bool:
        """Whether the consumer also depends on the producer through another part."""
        pending = [part for part in self.parts[consumer].inputs if part != producer]
        seen: set[int] = set()
        while pending:
            part = pending.pop()
            if part == producer:
                return True
            if part not in seen:
                seen.add(part)
                pending.extend(self.parts[part].inputs)
        return False

    def _join(self, first: int, second: int, kind: str) -> None:
        """Make the later part hold the nodes of both."""
        keep, drop = max(first, second), min(first, second)
        self.parts[keep].nodes = sorted(
            self.parts[first].nodes + self.parts[second].nodes, key=self.order.__getitem__
        )
        self.parts[keep].inputs |= self.parts[drop].inputs
        self.parts[keep].kind = kind
        del self.parts[drop]
        for node in self.parts[keep].nodes:
            self.part_of[node] = keep
        for part in self.parts.values():
            if drop in part.inputs:
                part.inputs.discard(drop)
                part.inputs.add(keep)
        self.parts[keep].inputs.discard(keep)

    def _emit(self) -> Function:
        """The function with each part of several operations as a group, in dependence order."""
        builder = Builder(TABLE)
        values: dict[Value, Value] = dict(zip(self.fn.params, self.fn.params, strict=True))
        done: set[int] = set()

        def value_of(value: Value) -> Value:
            """A value outside of groups; a broadcast is only made where such a use needs it."""
            if value not in values:
                assert value.node is not None and is_repetition(value.node)
                with builder.at(value.node.location):
                    (values[value],) = builder.emit(value.node.op.map_operands(value_of))
            return values[value]

        def emit_part(number: int) -> None:
            if number in done:
                return
            done.add(number)
            part = self.parts[number]
            for needed in sorted(part.inputs):
                emit_part(needed)
            with builder.at(part.nodes[-1].location):
                nodes = self.cutting.with_repetitions(part.nodes)
                (*others, node) = part.nodes
                if len(nodes) == 1 or not (others or node in self.bodies):
                    results = builder.emit(node.op.map_operands(value_of))
                    values.update(zip(node.results, results, strict=True))
                    return
                region, inputs, given = self.cutting.region(part.nodes)
                kind = part.kind
                if not kind:
                    kernel = lift_guards(region_kernel(region, "trial"))
                    kind = kind_of(region, kernel, self.target)
                op = Group(tuple(map(value_of, inputs)), kind, region)
                values.update(zip(given, builder.emit(op), strict=True))

        with builder.active():
            for number in sorted(self.parts):
                emit_part(number)
            results = [value_of(result) for result in self.fn.results]
        return builder.remade(self.fn, results)


def _fusible(node: Node) -> bool:
    """Whether a node has a body, and is neither free of charge nor of unknown sizes."""
    cls = type(node.op)
    return (
        cls.has("body")
        and not isinstance(node.op, (Constant, Reshape, Barrier, Group))
        and all(result.type.elements for result in node.results)
    )
