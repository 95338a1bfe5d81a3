"""orient: products and what follows them in the order of axes that copies the fewest matrices.

    relu(matmul(x, transpose(w)) + b)  ->  transpose(relu(matmul(w, transpose(x)) + bᵀ))

where `w` is large and `x` small. What is computed element by element stays in the products' order;
constants are turned at compile time and do not count.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ...ir import Builder, Function, Node, Op, Value
from ...ops.base.broadcast import Broadcast
from ...ops.products.matmul import Matmul
from ...ops.reductions.reduce import Reduction
from ...ops.shapes.shape import Transpose, reshape, transpose
from ...ops.table import TABLE
from ...target import Target
from .orientation import is_carried, orders, swap, takes_any


def orient(fn: Function, *, target: Target) -> Function:
    """Compute transposed what is cheaper so; transposes stand where a matrix must be copied."""
    turned = orders(fn, target)
    return _Orienting(Builder(TABLE), turned).run(fn) if turned else fn


@dataclass
class _Orienting:
    """Each value of the function in the orders it is there in so far."""

    builder: Builder
    turned: frozenset[Value]
    found: dict[tuple[Value, bool], Value] = field(default_factory=dict)

    def run(self, fn: Function) -> Function:
        self.found.update({(param, False): param for param in fn.params})
        with self.builder.active():
            for node in fn.nodes:
                with self.builder.at(node.location):
                    self._node(node)
            results = [self._get(result, False) for result in fn.results]
        return self.builder.remade(fn, results)

    def _node(self, node: Node) -> None:
        op, turned = node.op, node.results[0] in self.turned
        match op:
            case Transpose(x=x, perm=perm) if perm == swap(x.rank):
                self._alias(x, node.results[0])
                return
            case Matmul(lhs=lhs, rhs=rhs) if turned:
                made = self.builder.emit(Matmul(self._get(rhs, True), self._get(lhs, True)))
                self.found[node.results[0], True] = made[0]
                return
            case Reduction(x=x) if takes_any(op) and (x, False) not in self.found:
                self._sum(op, node)
                return
        if turned and is_carried(op):
            moved = op.map_operands(lambda operand: self._get(operand, True))
            self.found[node.results[0], True] = self.builder.emit(moved)[0]
            return
        emitted = self.builder.again(node, op.map_operands(lambda value: self._get(value, False)))
        for old, new in zip(node.results, emitted, strict=True):
            self.found[old, False] = new

    def _alias(self, x: Value, result: Value) -> None:
        """A transpose: both have the same two orders, by each other's names."""
        for turned in (False, True):
            if (x, turned) in self.found:
                self.found[result, not turned] = self.found[x, turned]

    def _sum(self, op: Reduction, node: Node) -> None:
        """A reduction of a matrix that is there transposed only."""
        order = swap(op.x.rank)
        axes = tuple(sorted(order[axis] for axis in op.axes))
        moved: Op = replace(op, x=self._get(op.x, True), axes=axes)
        self.found[node.results[0], False] = self.builder.emit(moved)[0]

    def _get(self, value: Value, turned: bool) -> Value:
        """A value in an order, by a transpose if need be."""
        if (value, turned) not in self.found:
            other = self.found[value, not turned]
            # Where it is asked for is nowhere, for a result of the function.
            with self.builder.at(other.node.location if other.node else self.builder.location):
                match other.op:
                    case Broadcast(x=x) if 1 in _last(x):
                        made = self._repeated(x, other)
                    case _:
                        made = transpose(other, swap(value.rank))
            self.found[value, turned] = made
        return self.found[value, turned]

    def _repeated(self, x: Value, spread: Value) -> Value:
        """What is repeated along rows or columns, the other way round: nothing moves in memory."""
        shape = (*((1,) * (spread.rank - x.rank)), *x.shape)
        order = swap(spread.rank)
        source = reshape(x, [shape[axis] for axis in order])
        sizes = tuple(spread.shape[axis] for axis in order)
        return self.builder.emit(Broadcast(source, sizes))[0]


def _last(x: Value) -> tuple[object, ...]:
    """The sizes of the last two axes, those that there are not being 1."""
    return (1, 1, *x.shape)[-2:]
