"""Reverse mode: the gradients of a function, emitted into the current Builder.

The forward pass emits the function's operations and remembers those on the way from the parameters
that are differentiated to the results; the pullback goes back over them, asks each operation's
`gradient`, and adds up what arrives at each value. Operations that hold a region may call this from
their own `gradient`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from ..errors import MlirLiteError, TypeRuleError, UnsupportedError, check
from ..location import UNKNOWN, Location
from .builder import Builder, parameter
from .current import current_builder
from .function import Function
from .op import Op
from .value import Node, Value


@dataclass(frozen=True)
class _Step:
    """A node on the way, as it was emitted: its operation may give more results than the node."""

    node: Node
    op: Op
    results: tuple[Value, ...]


@dataclass(frozen=True)
class Pullback:
    """From the gradients of a function's results to those of its parameters."""

    _fn: Function
    _active: frozenset[Value]
    _steps: tuple[_Step, ...]

    def __call__(self, *cotangents: Value | None) -> tuple[Value | None, ...]:
        """The gradient of each parameter for these of the results; None stands for zero.

        Emits into the current Builder, at each operation's own location. `UnsupportedError` names
        an operation that has no gradient, and the user's line.
        """
        gradients = _Gradients()
        for result, cotangent in zip(self._fn.results, cotangents, strict=True):
            gradients.add(result, cotangent if result in self._active else None)
        for step in reversed(self._steps):
            arrived = [gradients.take(result) for result in step.node.results]
            if any(gradient is not None for gradient in arrived):
                with current_builder().at(step.node.location), _at(step.node.location):
                    further = [None] * (len(step.results) - len(arrived))
                    self._spread(step, [*arrived, *further], gradients)
        return tuple(gradients.take(param) for param in self._fn.params)

    def _spread(
        self, step: _Step, arrived: Sequence[Value | None], gradients: _Gradients
    ) -> None:
        """Add an operation's gradients to those of the values it read."""
        operands = step.node.op.operands
        wrt = [at for at, operand in enumerate(operands) if operand in self._active]
        found = gradients_of(step.op, step.results, arrived, wrt)
        for at in wrt:
            gradient, type_ = found[at], operands[at].type
            given = gradient is None or gradient.type == type_
            check(given, f"'{step.op.name}' gave {type_} the gradient {gradient!r}")
            gradients.add(operands[at], gradient)


class _Gradients:
    """What has arrived at each value so far."""

    def __init__(self) -> None:
        self._sums: dict[Value, Value] = {}

    def add(self, value: Value, gradient: Value | None) -> None:
        if gradient is not None:
            before = self._sums.get(value)
            self._sums[value] = gradient if before is None else before + gradient

    def take(self, value: Value) -> Value | None:
        return self._sums.pop(value, None)


def vjp(
    fn: Function,
    args: Sequence[Value],
    *,
    wrt: Collection[int] | None = None,
    of: Collection[int] | None = None,
) -> tuple[tuple[Value, ...], Pullback]:
    """Emit `fn` on these values: its results, and the pullback of gradients through it.

    `wrt` are the positions of the parameters that are differentiated, by default all of floats;
    `of` are those of the results that will have a gradient, by default all. Operations between the
    two are emitted as `Op.saving` says.
    """
    chosen = range(len(fn.params)) if wrt is None else wrt
    active = _depending(fn, [fn.params[at] for at in chosen if fn.params[at].dtype.is_float])
    wanted = fn.results if of is None else tuple(fn.results[at] for at in of)
    way = _leading_to(fn, wanted, active)
    values = dict(zip(fn.params, args, strict=True))
    builder = current_builder()
    steps: list[_Step] = []
    for node in fn.nodes:
        op = node.op.map_operands(values.__getitem__)
        with builder.at(node.location):
            op = (op.saving() or op) if node in way else op
            results = builder.emit(op)
        values.update(zip(node.results, results, strict=False))
        if node in way:
            steps.append(_Step(node, op, results))
    return tuple(values[result] for result in fn.results), Pullback(fn, active, tuple(steps))


def _depending(fn: Function, params: Sequence[Value]) -> frozenset[Value]:
    """The values through which a change of these parameters goes: integers stop it."""
    found = set(params)
    for node in fn.nodes:
        if any(operand in found for operand in node.op.operands):
            found.update(result for result in node.results if result.dtype.is_float)
    return frozenset(found)


def _leading_to(
    fn: Function, results: Sequence[Value], active: frozenset[Value]
) -> frozenset[Node]:
    """The nodes on the way from active values to these results."""
    reached = {result for result in results if result in active}
    way: set[Node] = set()
    for node in reversed(fn.nodes):
        if any(result in reached for result in node.results):
            way.add(node)
            reached.update(operand for operand in node.op.operands if operand in active)
    return frozenset(node for node in way if any(x in active for x in node.op.operands))


def gradients_of(
    op: Op, results: Sequence[Value], arrived: Sequence[Value | None], wrt: Collection[int]
) -> Sequence[Value | None]:
    """The gradients of an operation's operands, at least of those at the positions `wrt`.

    They are what its own `gradient` says, or those of its decomposition.
    """
    if not op.has("gradient"):
        check(op.has("decompose"), f"'{op.name}' has no gradient", UnsupportedError)
        return vjp(decomposition(op), op.operands, wrt=wrt)[1](*arrived)
    found: list[Value | None] = []
    by_field = op.gradient(*results, *arrived)
    for name, gradient in zip(op.operand_fields, by_field, strict=True):
        match getattr(op, name):
            case Value():
                found.append(gradient)
            case tuple() as values:
                found.extend([None] * len(values) if gradient is None else gradient)
    return found


def decomposition(op: Op) -> Function:
    """What an operation's `decompose` emits, as a function with a parameter for each operand."""
    params = [parameter(f"x{at}", operand.type) for at, operand in enumerate(op.operands)]
    remaining = iter(params)
    own = op.map_operands(lambda _: next(remaining))
    builder = Builder(current_builder().table)
    with builder.active():
        found = own.decompose(*own.arguments({param: param for param in params}))
    return builder.finish(op.name, params, found if isinstance(found, tuple) else (found,))


@contextmanager
def _at(location: Location) -> Iterator[None]:
    """Put the user's line in front of errors that do not have it yet."""
    try:
        yield
    except (TypeRuleError, UnsupportedError) as error:
        if error.where or location is UNKNOWN:
            raise
        located: MlirLiteError = type(error)(str(error), location.full())
        raise located from error
