"""Stretches of a function that repeat one after the other, as the layers of a transformer do: a
picture shows the first, and how often it comes."""

from __future__ import annotations

from collections.abc import Container, Hashable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from ..ir import Constant, ConstantData, Function, Node, Op, Value
from ..ir.op import attribute_key
from .families import family_of

_LEAST_NODES = 4  # of a stretch
_MOST_NODES = 400
_LEAST_TIMES = 3


@dataclass(frozen=True)
class Repeat:
    """A stretch as a function of what it takes from outside, how often it comes, and the values
    of the last that are used after it, as the function's results are of the first."""

    first: Function
    times: int
    results: tuple[Value, ...]


Part: TypeAlias = Node | Repeat


def only_moves(op: Op, constants: Container[Value]) -> bool:
    """Whether an operation only gives constants another shape, as a broadcast does: a picture
    tells of it where it tells of them."""
    return (
        len(op.operands) == 1
        and op.operands[0] in constants
        and family_of(op) == "shapes"
        and not any(isinstance(entry, Function) for entry in op.attributes.values())
    )


def parts_of(fn: Function) -> tuple[Part, ...]:
    """The nodes of a function, with what repeats in one."""
    return tuple(_Search(fn).parts())


@dataclass(frozen=True)
class _Run:
    """`times` stretches of `period` nodes from `start` on."""

    start: int
    period: int
    times: int

    @property
    def end(self) -> int:
        return self.start + self.period * self.times


class _Search:
    """Looks for runs among the nodes that a picture has boxes for."""

    def __init__(self, fn: Function) -> None:
        self._fn = fn
        self._constants: dict[Value, Hashable] = {}
        self._nodes: list[Node] = []
        for node in fn.nodes:
            if isinstance(node.op, Constant) or only_moves(node.op, self._constants):
                operands = tuple(map(self._constants.__getitem__, node.op.operands))
                self._constants[node.results[0]] = _look(node), operands
            else:
                self._nodes.append(node)
        numbers: dict[Hashable, int] = {}
        looks = [numbers.setdefault(_look(node), len(numbers)) for node in self._nodes]
        self._looks = np.array(looks, np.int64)
        self._places = {
            value: (place, number)
            for place, node in enumerate(self._nodes)
            for number, value in enumerate(node.results)
        }
        self._last_readers = self._find_last_readers()

    def parts(self) -> Iterator[Part]:
        """All nodes in order, constants before what uses them."""
        yield from (node for node in self._fn.nodes if self._constants.keys() & node.results)
        place = 0
        for run in self._runs(0, len(self._nodes)):
            yield from self._nodes[place : run.start]
            yield self._repeat(run)
            place = run.end
        yield from self._nodes[place:]

    def _runs(self, start: int, end: int) -> Iterator[_Run]:
        """The runs within a stretch: the longest, and those before and after it."""
        best = max(self._candidates(start, end), key=_gain, default=None)
        if best is None:
            return
        yield from self._runs(start, best.start)
        yield best
        yield from self._runs(best.end, end)

    def _candidates(self, start: int, end: int) -> Iterator[_Run]:
        looks = self._looks[start:end]
        for period in range(_LEAST_NODES, min(_MOST_NODES, (end - start) // _LEAST_TIMES) + 1):
            if np.count_nonzero(looks[period:] == looks[:-period]) < period:
                continue  # sooner than by looking at operands, too
            first = start
            for place in range(start, end - period + 1):
                if place < end - period and self._alike(place, place + period):
                    continue
                times, spare = divmod(place - first, period)
                if times >= _LEAST_TIMES - 2:
                    for shift in range(spare + 1):
                        run = self._extended(_Run(first + shift, period, times + 1), start)
                        if run.times >= _LEAST_TIMES and self._is_closed(run):
                            yield run
                first = place + 1

    def _extended(self, run: _Run, start: int) -> _Run:
        """The run with the stretch before it, if that is alike but for what it begins with."""
        first = run.start - run.period
        if first < start:
            return run
        stretch = range(first, run.start)
        if not all(self._alike(place, place + run.period, stretch) for place in stretch):
            return run
        return _Run(first, run.period, run.times + 1)

    def _alike(self, one: int, other: int, first: range = range(0)) -> bool:
        """Whether two nodes do the same: to the same values, or to those as far before them; in
        the first stretch also to values from before it, in place of those from within."""
        if self._looks[one] != self._looks[other]:
            return False
        pairs = zip(self._nodes[one].op.operands, self._nodes[other].op.operands, strict=True)
        return all(
            self._same(a, b, other - one) or self._begins(a, b, first) for a, b in pairs
        )

    def _begins(self, one: Value, other: Value, first: range) -> bool:
        """Whether the first stretch takes from before it what the second takes from the first."""
        inside = other in self._places and self._places[other][0] in first
        before = one not in self._places or self._places[one][0] < first.start
        return inside and before and one.type == other.type

    def _same(self, one: Value, other: Value, distance: int) -> bool:
        if one is other:
            return True
        if one in self._constants and other in self._constants:
            return self._constants[one] == self._constants[other]
        if one not in self._places or other not in self._places:  # weights that are parameters
            return one.type == other.type and not {one, other} & self._places.keys()
        (place, number), (later, result) = self._places[one], self._places[other]
        return number == result and later - place == distance

    def _is_closed(self, run: _Run) -> bool:
        """Whether only the last stretch gives something to what comes after."""
        return max(self._last_readers[run.start : run.end - run.period]) < run.end

    def _find_last_readers(self) -> list[int]:
        """Of each node the place of the last that reads it; past the end for the results."""
        last = [-1] * len(self._nodes)
        for place, node in enumerate(self._nodes):
            for value in node.op.operands:
                if value in self._places:
                    last[self._places[value][0]] = place
        for value in self._fn.results:
            if value in self._places:
                last[self._places[value][0]] = len(self._nodes)
        return last

    def _repeat(self, run: _Run) -> Repeat:
        first = self._nodes[run.start : run.start + run.period]
        last = self._nodes[run.end - run.period : run.end]
        inside = {value for node in first for value in node.results}
        taken = dict.fromkeys(
            value for node in first for value in node.op.operands if value not in inside
        )
        after = {value for node in self._nodes[run.end :] for value in node.op.operands}
        after.update(self._fn.results)
        pairs = [
            (value, late)
            for early_node, late_node in zip(first, last, strict=True)
            for value, late in zip(early_node.results, late_node.results, strict=True)
            if late in after
        ]
        function = Function("", tuple(taken), tuple(first), tuple(value for value, _ in pairs))
        return Repeat(function, run.times, tuple(late for _, late in pairs))


def _gain(run: _Run) -> tuple[int, int]:
    """How many nodes need not be drawn; of equal ones the one with the shortest stretch."""
    return run.period * (run.times - 1), -run.period


def _look(node: Node) -> Hashable:
    """What a node is, whatever its operands are."""
    attributes = tuple(map(_attribute_look, node.op.attributes.values()))
    return type(node.op), attributes, tuple(str(value.type) for value in node.results)


def _attribute_look(entry: object) -> Hashable:
    match entry:
        case Function():
            return _function_look(entry)
        case ConstantData():
            return _constant_look(entry)
        case _:
            return attribute_key(entry)


def _constant_look(data: ConstantData) -> Hashable:
    """Numbers are alike if they are equal, weights if their types are."""
    element = data.array().tobytes() if data.type.elements == 1 else b""
    return str(data.type), element


def _function_look(fn: Function) -> Hashable:
    """A region: its operations, and which values each is of."""
    numbers: dict[Value, int] = {}
    for value in (*fn.params, *(value for node in fn.nodes for value in node.results)):
        numbers.setdefault(value, len(numbers))
    nodes = tuple(
        (_look(node), tuple(numbers[value] for value in node.op.operands)) for node in fn.nodes
    )
    return nodes, tuple(numbers[value] for value in fn.results)
