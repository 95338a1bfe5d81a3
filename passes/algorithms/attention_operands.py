"""What attention reads, seen through transposes and scaling; and whose scores are there anyway."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from ...ir import Function, Op, Value
from ...ops.elementwise.arithmetic import Divide, Multiply
from ...ops.nn.attention import Attention
from ...ops.products.matmul import Matmul
from ...ops.shapes.shape import Transpose
from ...sizes import static
from ...target import Target
from ..simplify.uniform import uniform


@dataclass(frozen=True)
class Operand:
    """An operand as it is stored: attention takes it transposed by `axes`, times `factor`."""

    value: Value
    axes: tuple[int, ...]
    factor: float = 1.0

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.value.type.static_shape[axis] for axis in self.axes)


def operand(value: Value, *, turned: bool = False, factors: bool = True) -> Operand:
    """What a value, its last two axes exchanged if `turned`, is before it was transposed (or
    multiplied by numbers, if `factors` are asked for)."""
    *batch, first, last = range(value.rank)
    axes = (*batch, last, first) if turned else (*batch, first, last)
    factor = 1.0
    while True:
        bare, number = scaled(value) if factors else (value, 1.0)
        match value.op:
            case Transpose(x=x, perm=perm):
                value, axes = x, composed(axes, perm)
            case _ if bare is not value:
                value, factor = bare, factor * number
            case _:
                return Operand(value, axes, factor)


def scaled(value: Value) -> tuple[Value, float]:
    """A value and the number it is multiplied by."""
    match value.op:
        case Multiply(lhs=left, rhs=right):
            for x, number in ((left, uniform(right)), (right, uniform(left))):
                if number is not None and x.shape == value.shape:
                    return x, float(number)
        case Divide(lhs=x, rhs=right) if x.shape == value.shape and uniform(right):
            return x, 1 / float(uniform(right) or 1)
    return value, 1.0


def composed(outer: tuple[int, ...], inner: tuple[int, ...]) -> tuple[int, ...]:
    """The order of a transposition after another one."""
    return tuple(inner[axis] for axis in outer)


def sharing_scores(fn: Function, target: Target) -> frozenset[Op]:
    """The attentions whose scores the function computes besides, for their gradients.

    Written out they share them, which saves a product, if all of them fit into the caches; larger
    ones, which a deep net would keep for every layer, are better computed twice.
    """
    given = {
        (operand(op.lhs, factors=False), operand(op.rhs, turned=True, factors=False))
        for op in (node.op for node in fn.nodes)
        if isinstance(op, Matmul)
    }
    return frozenset(
        op
        for op in (node.op for node in fn.nodes)
        if isinstance(op, Attention)
        and all(value.type.is_static for value in (op.queries, op.keys))
        and _score_bytes(op) <= target.l3_bytes
        and (operand(op.queries, factors=False), operand(op.keys, factors=False)) in given
    )


def _score_bytes(op: Attention) -> int:
    *batch, queries, _ = static(op.infer().shape)
    keys = op.keys.type.static_shape[-2]
    return prod(batch) * queries * keys * op.queries.dtype.bytes
