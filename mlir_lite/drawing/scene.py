"""What a picture of a function shows: boxes for its operations and wires for its values.

A scene is a directed graph of networkx. A node's `box` says what is written on it, and has scenes
inside where the operation has regions; an edge says which `result` of its source goes to its
target, and its `type`. Constants and weights are no boxes: they are rows on the boxes that take
them. A single region is entered and left through `PORT`s, boxes without a face.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import networkx as nx

from ..ir import Constant, Function, Node, Op, Value
from ..ir.printer import head_text
from ..ops.regions.control import Scan
from ..ops.regions.group import Group
from ..types import TensorType
from .families import family_of, main_family
from .repeats import Part, Repeat, only_moves, parts_of

PORT = "port"  # the family of what is drawn as nothing
INPUT, RESULT = "input", "result"
MOST_OPEN = 120  # operations in a picture of which groups are shown open, if nothing is said
_MOST_NAMES = 8  # of the operations in a closed group
_MOST_ROWS = 4  # of its constants


@dataclass(frozen=True)
class Scene:
    """A function's boxes and wires; the boxes that stand for its parameters (None for one that is
    a row) and for its results."""

    name: str
    graph: nx.MultiDiGraph
    params: tuple[str | None, ...]
    results: tuple[str | None, ...]

    def boxes(self) -> Iterator[tuple[str, Box]]:
        """The keys and boxes, in the function's order."""
        yield from self.graph.nodes(data="box")


@dataclass(frozen=True)
class Box:
    """An operation, an input or a result: its name, small rows below it, and what is told of it
    where the mouse is. `has_ports` says that wires go on inside."""

    label: str
    rows: tuple[str, ...] = ()
    hint: str = ""
    family: str = PORT
    inside: tuple[Scene, ...] = ()
    has_ports: bool = False


def scene_of(fn: Function, *, open_groups: bool | None = None) -> Scene:
    """The scene of a function. Groups show what is inside of them where `open_groups` says so, by
    default in all but large functions."""
    parts = parts_of(fn)
    if open_groups is None:
        open_groups = sum(map(_operations, parts)) <= MOST_OPEN
    return _Maker(open_groups).function(fn, parts, "")


def type_text(type_: TensorType) -> str:
    """`64x10xf32`; of a scalar `f32`."""
    return str(type_).removeprefix("tensor<").removesuffix(">")


def _operations(part: Part) -> int:
    """How many operations there are to draw."""
    if isinstance(part, Repeat):
        return sum(map(_operations, part.first.nodes))
    inner = (_operations(node) for region in regions_of(part.op) for node in region.nodes)
    return (not isinstance(part.op, Constant)) + sum(inner)


def regions_of(op: Op) -> tuple[Function, ...]:
    """The functions that an operation holds."""
    return tuple(entry for entry in op.attributes.values() if isinstance(entry, Function))


@dataclass
class _Drawn:
    """A scene in the making: where each value comes from, and the rows that stand for others."""

    graph: nx.MultiDiGraph = field(default_factory=nx.MultiDiGraph)
    origins: dict[Value, tuple[str, int]] = field(default_factory=dict)
    rows: dict[Value, str] = field(default_factory=dict)

    def wire(self, value: Value, target: str, operand: int) -> None:
        """Lead a value to a box; one that is a row has no wire."""
        if value in self.rows:
            return
        source, result = self.origins[value]
        self.graph.add_edge(
            source, target, result=result, operand=operand, type=type_text(value.type)
        )


@dataclass(frozen=True)
class _Maker:
    """Makes the scenes of a function and of its regions."""

    open_groups: bool

    def function(
        self,
        fn: Function,
        parts: Sequence[Part],
        prefix: str,
        known: Mapping[Value, str] | None = None,
        *,
        ports: bool = False,
    ) -> Scene:
        """The scene of a function; `known` are the rows that stand for some of its parameters."""
        drawn = _Drawn(rows=dict(known or {}))
        params = tuple(
            self._parameter(drawn, param, f"{prefix}p{number}", ports=ports)
            for number, param in enumerate(fn.params)
        )
        for number, part in enumerate(parts):
            self._part(drawn, part, f"{prefix}n{number}")
        kept = {position: name for name, position in fn.donated.items()}
        results = tuple(
            self._result(drawn, value, f"{prefix}r{number}", kept.get(number, ""), ports=ports)
            for number, value in enumerate(fn.results)
        )
        return Scene(fn.name, drawn.graph, params, results)

    def _parameter(self, drawn: _Drawn, param: Value, key: str, *, ports: bool) -> str | None:
        if param in drawn.rows:
            return None
        kind = type_text(param.type)
        if "." in param.name and not ports:  # a module's weight
            drawn.rows[param] = f"{param.name} {kind}"
            return None
        box = Box("") if ports else Box(param.name, (kind,), f"%{param.name}: {kind}", INPUT)
        drawn.graph.add_node(key, box=box)
        drawn.origins[param] = key, 0
        return key

    def _result(
        self, drawn: _Drawn, value: Value, key: str, donor: str, *, ports: bool
    ) -> str | None:
        if value in drawn.rows:  # a constant, or a weight as it was given
            if ports:
                return None
            drawn.graph.add_node(key, box=Box("result", (drawn.rows[value],), "", RESULT))
            return key
        source = drawn.origins[value][0]
        if donor and not ports:
            box = drawn.graph.nodes[source]["box"]
            drawn.graph.nodes[source]["box"] = replace(box, rows=(*box.rows, f"→ {donor}"))
            return None
        kind = type_text(value.type)
        box = Box("") if ports else Box("result", (kind,), kind, RESULT)
        drawn.graph.add_node(key, box=box)
        drawn.wire(value, key, 0)
        return key

    def _part(self, drawn: _Drawn, part: Part, key: str) -> None:
        if isinstance(part, Node):
            self._node(drawn, part, key)
            return
        first = part.first
        known = {param: drawn.rows[param] for param in first.params if param in drawn.rows}
        inside = self.function(first, first.nodes, f"{key}_", known, ports=True)
        hint = f"the first of {part.times} stretches that are alike"
        box = Box(f"{part.times} times", (), hint, "regions", (inside,), has_ports=True)
        self._add(drawn, key, box, first.params, part.results)

    def _node(self, drawn: _Drawn, node: Node, key: str) -> None:
        if isinstance(node.op, Constant):
            (value,) = node.results
            drawn.rows[value] = _constant_row(node.op, value.type)
            return
        if only_moves(node.op, drawn.rows):
            (operand,), (value,) = node.op.operands, node.results
            drawn.rows[value] = f"{node.op.name} {drawn.rows[operand]}"
            return
        self._add(drawn, key, self._box(drawn, node, key), node.op.operands, node.results)

    def _add(
        self,
        drawn: _Drawn,
        key: str,
        box: Box,
        operands: Sequence[Value],
        results: Sequence[Value],
    ) -> None:
        drawn.graph.add_node(key, box=box)
        for number, value in enumerate(operands):
            drawn.wire(value, key, number)
        for number, value in enumerate(results):
            drawn.origins[value] = key, number

    def _box(self, drawn: _Drawn, node: Node, key: str) -> Box:
        op = node.op
        types = ", ".join(str(value.type) for value in node.results)
        hint = f"{head_text(node)} : {types}\n{node.location.full()}"
        regions = regions_of(op)
        if not regions:
            return Box(op.name, _rows(op, drawn.rows), hint, family_of(op))
        if isinstance(op, Group) and not self.open_groups:
            taken = tuple(drawn.rows[value] for value in op.inputs if value in drawn.rows)
            return _closed(op, taken[:_MOST_ROWS], hint)
        if isinstance(op, Group):
            given = zip(op.region.params, op.inputs, strict=True)
            known = {param: drawn.rows[value] for param, value in given if value in drawn.rows}
            inside = (self.function(op.region, op.region.nodes, f"{key}_", known, ports=True),)
            return Box(f"group {op.kind}", (), hint, "regions", inside, has_ports=True)
        scenes = tuple(
            self.function(region, parts_of(region), f"{key}_{number}_")
            for number, region in enumerate(regions)
        )
        label = f"{op.name}, {op.length} turns" if isinstance(op, Scan) else op.name
        return Box(label, _rows(op, drawn.rows), hint, "regions", scenes)


def _closed(group: Group, rows: tuple[str, ...], hint: str) -> Box:
    """A group of which only the names of its operations are told."""
    ops = [node.op for node in group.region.nodes if not isinstance(node.op, Constant)]
    names = Counter(op.name for op in ops)
    shown = [f"{name} ×{count}" if count > 1 else name for name, count in names.items()]
    more = f" +{len(shown) - _MOST_NAMES}" if len(shown) > _MOST_NAMES else ""
    named = shown[:_MOST_NAMES]
    lines = [" · ".join(named[at : at + 4]) for at in range(0, len(named), 4)]
    lines[-1:] = [line + more for line in lines[-1:]]
    inner = "\n".join(f"  {head_text(node)}" for node in group.region.nodes)
    return Box(group.kind, (*lines, *rows), f"{hint}\n{inner}", main_family(ops))


def _rows(op: Op, known: Mapping[Value, str]) -> tuple[str, ...]:
    """A row for each operand field that has constants: `weight 64x3x7x7xf32`."""
    rows: list[str] = []
    for name in op.operand_fields:
        entry = getattr(op, name)
        values = (entry,) if isinstance(entry, Value) else entry or ()
        texts = [known[value] for value in values if value in known]
        if len(texts) > 2:
            rows.append(f"{name}: {len(texts)} constants")
        else:
            rows += [f"{name} {text}" for text in texts]
    return tuple(rows)


def _constant_row(op: Constant, type_: TensorType) -> str:
    """A constant of one element by its value, others by name and type."""
    if op.number is not None:
        number = op.number
        return f"{number:.6g}" if isinstance(number, float) else str(number)
    name = f"{op.value.name} " if "." in op.value.name else ""
    return f"{name}{type_text(type_)}"
