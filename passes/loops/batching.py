"""Operations on all steps of a loop at once: a rule for each kind of operation.

What a loop's step does with a slice `x[t]` is done with `x`, which has the steps as first axis. A
product with an invariant matrix becomes one product of all rows of all steps.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from ...ir import Function, Op, Value, current_builder
from ...ops.base.broadcast import Broadcast, broadcast
from ...ops.base.cast import Cast
from ...ops.base.elements import Elementwise, emit
from ...ops.products.matmul import Matmul, matmul
from ...ops.reductions.reduce import AxesOp
from ...ops.shapes.index import Gather
from ...ops.shapes.join import Concat
from ...ops.shapes.shape import Reshape, Transpose, reshape, swapaxes, transpose
from ...ops.shapes.slice import Slice
from .dataflow import needed_nodes

_ALONE = (Elementwise, Cast, Broadcast, Reshape, Transpose, Slice, Concat, AxesOp)


def can_batch(op: Op, stacked: Collection[Value]) -> bool:
    """Whether there is a rule for an operation where these values are stacked."""
    match op:
        case Matmul(lhs=lhs, rhs=rhs):
            # Two that are stacked stay a product for each step: nothing would be gained.
            if lhs in stacked:
                return rhs not in stacked and rhs.rank == 2
            return rhs in stacked and lhs.rank == rhs.rank == 2
        case Gather():
            return op.axis == 0 and op.x not in stacked
    return isinstance(op, _ALONE)


def batched(op: Op, outer: Mapping[Value, Value], stacked: Collection[Value], length: int) -> Value:
    """Emit an operation of the step for all steps: `outer` has what stands for its operands."""

    def rows(value: Value) -> Value:
        """An operand of all steps; an invariant one is repeated."""
        x = outer[value]
        return x if value in stacked else broadcast(x, (length, *value.shape))

    match op:
        case Matmul(lhs=lhs, rhs=rhs) if lhs in stacked:
            y = matmul(reshape(outer[lhs], (-1, lhs.shape[-1])), outer[rhs])
            return reshape(y, (length, *lhs.shape[:-1], rhs.shape[-1]))
        case Matmul(lhs=lhs, rhs=rhs):  # the transposed product of transposed operands
            x = reshape(swapaxes(outer[rhs], 1, 2), (-1, rhs.shape[0]))
            y = matmul(x, transpose(outer[lhs]))
            return swapaxes(reshape(y, (length, rhs.shape[1], lhs.shape[0])), 1, 2)
        case Gather():
            return emit(replace(op, x=outer[op.x], indices=rows(op.indices)))
        case Broadcast():
            new = len(op.shape) - op.x.rank
            x = reshape(rows(op.x), (length, *[1] * new, *op.x.shape))
            return broadcast(x, (length, *op.shape))
        case Reshape():
            return reshape(rows(op.x), (length, *op.shape))
        case Transpose():
            return transpose(rows(op.x), (0, *(axis + 1 for axis in op.perm)))
        case Slice():
            starts, sizes, steps = (0, *op.starts), (length, *op.sizes), (1, *op.steps)
            return emit(Slice(rows(op.x), starts, sizes, steps))
        case Concat():
            return emit(Concat(tuple(map(rows, op.xs)), op.axis + 1))
        case AxesOp():
            return emit(replace(op, x=rows(op.x), axes=tuple(axis + 1 for axis in op.axes)))
    return emit(op.map_operands(rows))


def emit_for_all(
    step: Function,
    wanted: Iterable[Value],
    outer: dict[Value, Value],
    stacked: Collection[Value],
    length: int,
) -> None:
    """Emit what gives these values for all steps; `outer` gets what stands for each.

    It has what does not need to be computed; the values that are `stacked` have the steps as
    their first axis there.
    """
    builder = current_builder()
    for node in needed_nodes(step, wanted, outer):
        with builder.at(node.location):
            if any(x in stacked for x in node.op.operands):
                outer[node.results[0]] = batched(node.op, outer, stacked, length)
            else:
                made = builder.emit(node.op.map_operands(outer.__getitem__))
                outer.update(zip(node.results, made, strict=True))
