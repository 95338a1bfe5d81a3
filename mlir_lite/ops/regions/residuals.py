"""What a step of a loop leaves for its gradient: values that are saved, and those computed again.

A step and its pullback are traced into one function, the joint. The values that the pullback reads
and that no cotangent reaches are its residuals. The forward loop stacks those that are costly; what
follows from the stacks, the slices and the invariants by cheap operations is computed again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ...ir import (
    Builder,
    Constant,
    Function,
    Node,
    Op,
    Value,
    current_builder,
    live_nodes,
    parameter,
    vjp,
)
from ...text import fresh_name
from ..base.broadcast import Broadcast
from ..base.cast import Cast
from ..elementwise.arithmetic import Add, Divide, Maximum, Minimum, Multiply, Subtract
from ..elementwise.compare import (
    Equal,
    Greater,
    GreaterEqual,
    Less,
    LessEqual,
    LogicalNot,
    NotEqual,
)
from ..elementwise.select import Clip, Where
from ..elementwise.unary import Absolute, Negative, Reciprocal, Sign, Square
from ..shapes.creation import Iota
from ..shapes.shape import Reshape, Transpose
from ..shapes.slice import Slice

# A few instructions for each element at most: less than storing and loading it.
_CHEAP: tuple[type[Op], ...] = (
    *(Constant, Iota, Broadcast, Reshape, Transpose, Slice, Cast),
    *(Add, Subtract, Multiply, Divide, Minimum, Maximum, Negative, Absolute, Sign, Square),
    *(Reciprocal, Where, Clip),
    *(Equal, NotEqual, Less, LessEqual, Greater, GreaterEqual, LogicalNot),
)


@dataclass(frozen=True)
class Joint:
    """A function and its pullback together.

    `cotangents` has an entry for each result, None where there is no gradient; `gradients` one
    for each parameter.
    """

    params: tuple[Value, ...]
    results: tuple[Value, ...]
    cotangents: tuple[Value | None, ...]
    gradients: tuple[Value | None, ...]
    nodes: tuple[Node, ...]

    def values(self) -> Iterator[Value]:
        """All its values, in the order they are computed."""
        yield from self.params
        yield from (value for value in self.cotangents if value is not None)
        for node in self.nodes:
            yield from node.results

    @property
    def frontier(self) -> tuple[Value, ...]:
        """What the pullback reads of the forward values, in the order they are computed."""
        reached = {value for value in self.cotangents if value is not None}
        read: set[Value] = {value for value in self.gradients if value is not None}
        for node in self.nodes:
            if any(operand in reached for operand in node.op.operands):
                reached.update(node.results)
                read.update(node.op.operands)
        return tuple(value for value in self.values() if value in read - reached)

    def at_hand(self, invariants: Iterable[Value], known: Iterable[Value]) -> set[Value]:
        """The values that need no saving: `known`, and what depends on invariants only."""
        fixed = set(invariants)
        for node in self.nodes:
            if all(operand in fixed for operand in node.op.operands):
                fixed.update(node.results)
        return fixed | set(known)


def joint(fn: Function, live: Sequence[bool]) -> Joint:
    """Trace `fn` and its pullback for the gradients of the results that are `live`."""
    builder = Builder(current_builder().table)
    params = tuple(parameter(param.name, param.type) for param in fn.params)
    names = {param.name for param in params}
    with builder.active():
        of = [at for at, chosen in enumerate(live) if chosen]
        results, pullback = vjp(fn, params, of=of)
        cotangents = tuple(
            parameter(fresh_name(f"d{at}", names), result.type) if chosen else None
            for at, (result, chosen) in enumerate(zip(results, live, strict=True))
        )
        gradients = pullback(*cotangents)
    found = [value for value in gradients if value is not None]
    built = builder.finish(fn.name, params, (*results, *found))
    return Joint(params, results, cotangents, gradients, built.nodes)


def unsaved(pair: Joint, at_hand: Collection[Value]) -> tuple[Value, ...]:
    """The residuals to save, where the values `at_hand` are there for the pullback anyway."""
    saved: list[Value] = []
    known, unknown = set(at_hand), set[Value]()

    def follows(value: Value) -> bool:
        """Whether a value is at hand, or cheaply made of those that are."""
        if value in known or value in unknown:
            return value in known
        cheap = value.op is not None and isinstance(value.op, _CHEAP)
        made = cheap and value.op is not None and all(map(follows, value.op.operands))
        (known if made else unknown).add(value)
        return made

    for value in pair.frontier:
        while isinstance(value.op, (Broadcast, Reshape, Transpose)) and not follows(value):
            value = value.op.x  # the same numbers, once
        if not follows(value):
            saved.append(value)
            known.add(value)
            unknown.clear()
    return tuple(saved)


def saving_step(fn: Function, pair: Joint, saved: Sequence[Value]) -> Function:
    """The forward half of a joint: `fn` with further results."""
    results = (*pair.results, *saved)
    return Function(fn.name, pair.params, live_nodes(pair.nodes, results), results)


def between(
    pair: Joint, sources: Collection[Value], wanted: Iterable[Value]
) -> tuple[tuple[Node, ...], tuple[Value, ...]]:
    """The nodes that make wanted values of the sources, and the sources and parameters they read.

    A value that is a source is not computed.
    """
    needed, kept = set(wanted), list[Node]()
    for node in reversed(pair.nodes):
        if any(result in needed and result not in sources for result in node.results):
            kept.append(node)
            needed.update(node.op.operands)
    made = {result for node in kept for result in node.results}
    ends = {value for value in needed if value in sources or value not in made}
    return tuple(reversed(kept)), tuple(value for value in pair.values() if value in ends)


def emit_nodes(nodes: Iterable[Node], values: Mapping[Value, Value]) -> Callable[[Value], Value]:
    """Emit nodes into the current Builder on other values: what each of their values became.

    A value that `values` has already is not replaced by what a node gives.
    """
    builder = current_builder()
    found = dict(values)
    for node in nodes:
        with builder.at(node.location):
            made = builder.emit(node.op.map_operands(found.__getitem__))
        for old, new in zip(node.results, made, strict=True):
            found.setdefault(old, new)
    return found.__getitem__
