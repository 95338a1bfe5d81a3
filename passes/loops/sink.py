"""sink: work that no step of a loop waits for is done after the loop.

A state that only sums products, as the gradient of a weight does,

    scan [.., %zeros] .. @step(.., %sum: tensor<3x5xf32>, ..) {
      %1 = transpose %x {perm = [1, 0]} : tensor<3x4xf32>
      %2 = matmul %1, %d : tensor<3x5xf32>
      %3 = add %sum, %2 : tensor<3x5xf32>

becomes one product of the rows of all steps, and a product of which only a stacked result is made
becomes one product of what it is made of, stacked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, reduce

from ...ir import Constant, Function, Op, Value, current_builder, transform
from ...ops.base.broadcast import Broadcast
from ...ops.base.elements import emit
from ...ops.elementwise.arithmetic import Add, add
from ...ops.products.matmul import Matmul, matmul
from ...ops.reductions.reduce import Sum
from ...ops.reductions.reduce import sum as sum_
from ...ops.regions.checkpoint import Barrier
from ...ops.regions.control import Scan
from ...ops.shapes.shape import Reshape, Transpose, reshape, transpose
from ...ops.shapes.slice import Pad, Slice
from ...ops.table import TABLE
from .batching import can_batch, emit_for_all
from .dataflow import cut, depending, reached
from .prune_loops import prune_loops

Values = tuple[Value, ...] | None


def sink(fn: Function) -> Function:
    """Compute after a loop what its steps only add up, and products of what they only stack."""
    if not any(isinstance(node.op, Scan) for node in fn.nodes):
        return fn
    fn = prune_loops(transform(fn, _on_scans(_sums), TABLE))
    return prune_loops(transform(fn, _on_scans(_outputs), TABLE))


def _on_scans(move: Callable[[_Loop], Values]) -> Callable[[Op], Values]:
    def visit(op: Op) -> Values:
        match op:
            case Scan(length=int(length)) if length > 0:
                return move(_Loop(op, length))
        return None

    return visit


@dataclass
class _Loop:
    """A scan that is to get further outputs."""

    op: Scan
    length: int
    added: list[Value] = field(default_factory=list)

    @property
    def step(self) -> Function:
        return self.op.step

    @property
    def states(self) -> Sequence[Value]:
        return self.step.params[: len(self.op.carries)]

    @property
    def inputs(self) -> dict[Value, Value]:
        return dict(zip(self.step.params[len(self.states) :], self.op.inputs, strict=False))

    @property
    def invariants(self) -> dict[Value, Value]:
        first = len(self.states) + len(self.op.inputs)
        return dict(zip(self.step.params[first:], self.op.invariants, strict=True))

    @cached_property
    def varying(self) -> frozenset[Value]:
        return depending(self.step, (*self.states, *self.inputs))

    @cached_property
    def again(self) -> frozenset[Value]:
        """What a checkpoint computes again rather than keep: to stack it would undo that."""
        behind = [node.results[0] for node in self.step.nodes if isinstance(node.op, Barrier)]
        return depending(self.step, behind)

    @property
    def outputs(self) -> Sequence[Value]:
        return self.step.results[len(self.states) :]

    def is_stacked(self, value: Value) -> bool:
        """Whether a value of each step is there after the loop anyway."""
        return value in self.inputs or value in self.outputs or value in self.added

    def stack(self, value: Value) -> None:
        """Make a value of each step an output."""
        if not self.is_stacked(value):
            self.added.append(value)

    def run(
        self, states: Sequence[Value], outputs: Sequence[Value]
    ) -> tuple[tuple[Value, ...], dict[Value, Value]]:
        """Emit the loop with these next states and outputs: the states, and what is stacked."""
        ends = tuple(dict.fromkeys((*outputs, *self.added)))
        step = cut(self.step, self.step.params, (*states, *ends))
        made = current_builder().emit(replace(self.op, step=step))
        return made[: len(states)], self.inputs | dict(zip(ends, made[len(states) :], strict=True))


def _sums(loop: _Loop) -> Values:
    """The loop without the states that only add up what can be added after it."""
    found = {at: _terms(loop.step, at) for at in range(len(loop.states))}
    for term in (_viewed(term) for terms in found.values() for term in terms):
        if isinstance(term.op, Matmul) and _is_product(loop, term):
            loop.stack(_base(loop, _rows_of(term.op.lhs)))
            loop.stack(_base(loop, term.op.rhs))
    summed = {
        at: terms for at, terms in found.items() if terms and all(_can_sum(loop, x) for x in terms)
    }
    if not summed:
        return None
    next_states = [
        param if at in summed else loop.step.results[at] for at, param in enumerate(loop.states)
    ]
    states, stacked = loop.run(next_states, loop.outputs)
    ends = list(states)
    for at, terms in summed.items():
        parts = [_total(term, stacked, loop.length) for term in terms]
        start = loop.op.carries[at]
        parts = parts if _is_zero(start) else [start, *parts]
        ends[at] = reduce(add, parts)
    return (*ends, *(stacked[value] for value in loop.outputs))


def _terms(step: Function, at: int) -> list[Value]:
    """What each step adds to a state that nothing else reads; empty for any other state."""
    param, value = step.params[at], step.results[at]
    moving = depending(step, [param])
    chain, terms = {param}, list[Value]()
    while value is not param:
        if not isinstance(value.op, Add):
            return []
        lhs, rhs = value.op.lhs, value.op.rhs
        if (lhs in moving) == (rhs in moving):
            return []
        chain.add(value)
        value, term = (lhs, rhs) if lhs in moving else (rhs, lhs)
        terms += _summands(term)
    elsewhere = any(end in chain for place, end in enumerate(step.results) if place != at)
    return [] if elsewhere or moving != chain else terms


def _summands(value: Value) -> list[Value]:
    if isinstance(value.op, Add):
        return [*_summands(value.op.lhs), *_summands(value.op.rhs)]
    return [value]


def _viewed(value: Value) -> Value:
    """What a value is only another shape, order or part of: their sums are alike."""
    while _is_view(value):
        (value,) = value.op.operands if value.op is not None else ()
    return value


def _is_view(value: Value) -> bool:
    match value.op:
        case Pad(mode="constant", value=added):
            return not added
        case Transpose() | Reshape() | Slice():
            return True
    return False


def _is_product(loop: _Loop, value: Value) -> bool:
    """Whether this is a matrix product of what each step has anew, and may keep."""
    match value.op:
        case Matmul(lhs=lhs, rhs=rhs):
            matrices = lhs.rank == rhs.rank == 2 and {lhs, rhs} <= loop.varying
            return matrices and lhs not in loop.again
    return False


def _can_sum(loop: _Loop, value: Value) -> bool:
    """Whether what the steps give of a value can be added up after the loop."""
    value = _viewed(value)
    match value.op:
        case Sum(x=x, keepdims=False):
            return loop.is_stacked(_base(loop, x))
    return _is_product(loop, value) or loop.is_stacked(value)


def _base(loop: _Loop, value: Value) -> Value:
    """What is to be stacked to have this value of all steps."""
    while isinstance(value.op, Reshape) and not loop.is_stacked(value):
        value = value.op.x
    return value


def _rows_of(lhs: Value) -> Value:
    """The left operand of a product, with the summed axis first if it is a transposition."""
    return lhs.op.x if isinstance(lhs.op, Transpose) else lhs


def _total(value: Value, stacked: Mapping[Value, Value], length: int) -> Value:
    """The sum over all steps of a value."""

    def every(x: Value) -> Value:
        if x not in stacked and isinstance(x.op, Reshape):
            return reshape(every(x.op.x), (length, *x.shape))
        return stacked[x]

    if _is_view(value) and value.op is not None:
        return emit(value.op.map_operands(lambda x: _total(x, stacked, length)))
    match value.op:
        case Matmul(lhs=lhs, rhs=rhs) if value not in stacked:
            right = reshape(every(rhs), (-1, rhs.shape[1]))
            if isinstance(lhs.op, Transpose):
                return matmul(transpose(reshape(every(lhs.op.x), (-1, lhs.shape[0]))), right)
            left = transpose(every(lhs), (1, 0, 2))
            return matmul(reshape(left, (lhs.shape[0], -1)), right)
        case Sum(x=x, axes=axes) if value not in stacked:
            return sum_(every(x), (0, *(axis + 1 for axis in axes)))
    return sum_(every(value), 0)


def _is_zero(value: Value) -> bool:
    match value.op:
        case Broadcast(x=x):
            return _is_zero(x)
        case Constant(value=data):
            return data.type.elements == 1 and not data.array().any()
    return False


def _outputs(loop: _Loop) -> Values:
    """The loop without the products that only its outputs wait for."""
    moved = _moved(loop)
    if not moved:
        return None
    nodes = [node for node in loop.step.nodes if node.results[0] in moved]
    for node in nodes:
        for operand in node.op.operands:
            if operand in loop.varying and operand not in moved:
                loop.stack(operand)
    kept = [value for value in loop.outputs if value not in moved]
    states, stacked = loop.run(loop.step.results[: len(loop.states)], kept)
    outer = loop.invariants | stacked
    wanted = [value for value in loop.outputs if value in moved]
    emit_for_all(loop.step, wanted, outer, loop.varying, loop.length)
    return (*states, *(outer[value] for value in loop.outputs))


def _moved(loop: _Loop) -> set[Value]:
    """Products by invariants that no state waits for, and all that follows from them."""
    step = loop.step
    waited = reached(step, step.results[: len(loop.states)])
    kept: set[Value] = set()  # what an operation that stays reads
    possible: set[Value] = set()
    for node in reversed(step.nodes):
        result, *others = node.results
        free = result not in waited and result not in kept and result in loop.varying
        if free and not others and can_batch(node.op, loop.varying):
            possible.add(result)
        else:
            kept.update(node.op.operands)
    moved: set[Value] = set()
    for node in step.nodes:
        result = node.results[0]
        follows = isinstance(node.op, Matmul) or any(x in moved for x in node.op.operands)
        if result in possible and follows:
            moved.add(result)
    return moved
